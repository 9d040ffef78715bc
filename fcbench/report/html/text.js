// Hostile text -> DOM. Nothing here, or anywhere else in this script, reads a string as markup:
// every text of a model, a suite or a file becomes a text node.

const data = JSON.parse(document.getElementById("evidence").textContent);
const MOST_MARKS = 2000; // of invisible characters in one text; the rest is written plainly
const BREAK = "\n", MOST_BREAKS = 8;

const codePoint = (n) => `\\u{${n.toString(16)}}`;
const UNSEEN = new RegExp(
  `([${data.invisible.map(([a, b]) => `${codePoint(a)}-${codePoint(b)}`).join("")}])\\1*`, "gu");

// Return a new element; strings among the children become text nodes.
function el(tag, kind = "", ...children) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...children);
  return made;
}

function labelled(element, label) {
  element.setAttribute("aria-label", label);
  return element;
}

// Return what a character that cannot be seen is called, and how often it comes in a run of it.
function nameOf(character, run = character) {
  const times = run.length / character.length;
  const name = `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return times > 1 ? `${name} ×${times.toLocaleString("en")}` : name;
}

// Append a text in which what cannot be seen is named, and line breaks are both seen and kept.
function put(parent, text) {
  let done = 0, marks = 0;
  for (const found of text.matchAll(UNSEEN)) {
    if (marks === MOST_MARKS) break;
    const [run, character] = found;
    const isFew = character === BREAK && run.length <= MOST_BREAKS;
    parent.append(text.slice(done, found.index), el("span", "unseen", isFew ? "↵".repeat(run.length) : nameOf(character, run)));
    if (character === BREAK) parent.append(isFew ? run : BREAK);
    done = found.index + run.length;
    marks += 1;
  }
  const rest = text.slice(done);
  parent.append(marks < MOST_MARKS ? rest : rest.replace(UNSEEN, (run, character) => (character === BREAK ? run : `⟨${nameOf(character, run)}⟩`)));
  return parent;
}

// Return a text for one line: attributes, lists and headings.
function oneLine(text, length = 160) {
  const cut = text.length > length ? `${whole(text, 0, length)}…` : text;
  return cut.replace(UNSEEN, (run, character) => (character === BREAK ? " ↵ " : `⟨${nameOf(character)}⟩`));
}

// Return a slice that cuts no character of two UTF-16 units in half.
function whole(text, from, to) {
  const isLow = (at) => at > 0 && at < text.length && text.charCodeAt(at) >> 10 === 0x37
    && text.charCodeAt(at - 1) >> 10 === 0x36;
  return text.slice(isLow(from) ? from - 1 : from, isLow(to) ? to - 1 : to);
}

// Return [kind, text] pairs of a text, of which only the ends and what is near the focus are kept
// where it is longer than the limit; `from` to `to` is the focus, -1 for none.
function excerpt(text, from, to, limit) {
  const kept = [];
  if (text.length <= limit) kept.push([0, text.length]);
  else {
    kept.push([0, Math.floor(limit * 0.5)]);
    if (from >= 0) kept.push([Math.max(0, from - limit * 0.15 | 0), Math.min(text.length, to + limit * 0.15 | 0)]);
    kept.push([text.length - Math.floor(limit * 0.1), text.length]);
  }
  const parts = [];
  let done = 0;
  for (const [start, end] of kept) {
    const first = Math.max(start, done);
    if (first > done) parts.push(["cut", String(first - done)]);
    const focus = from >= first && from <= end && (from < end || to === from || from === text.length);
    if (focus) {
      const last = Math.min(to, end);
      parts.push(["text", whole(text, first, from)], ["focus", whole(text, from, last)], ["text", whole(text, last, end)]);
      from = -1;
    } else if (end > first) parts.push(["text", whole(text, first, end)]);
    done = Math.max(done, end);
  }
  return parts.filter(([kind, part]) => kind === "focus" || part);
}

// Append a text, its focus marked by what `marked` makes of it, with a button for all where it is cut.
function putExcerpt(parent, text, { from = -1, to = -1, limit = 3000, marked = null } = {}) {
  const fill = (most) => {
    parent.replaceChildren();
    const parts = excerpt(text, from, to, most);
    for (const [kind, part] of parts) {
      if (kind === "cut") parent.append(el("span", "cut", `${Number(part).toLocaleString("en")} characters left out`));
      else if (kind === "focus" && marked) parent.append(marked(part));
      else put(parent, part);
    }
    if (parts.some(([kind]) => kind === "cut")) {
      const button = el("button", "more", `Show all ${text.length.toLocaleString("en")} characters`);
      button.type = "button";
      button.addEventListener("click", () => fill(Infinity));
      parent.append(BREAK, button);
    }
  };
  fill(limit);
  return parent;
}

// Return a <details> whose content is made when it is first opened.
function folded(summary, fill) {
  const made = el("details", "", el("summary", "", summary));
  made.addEventListener("toggle", () => {
    if (made.open && made.childElementCount === 1) made.append(fill());
  });
  return made;
}
