// The case browser: filters, a list of which only the visible part exists, and one case in full.

const ROW = 56, SPARE = 4, MOST_MARKED = 6, WAIT = 120; // pixels, rows, runs, milliseconds
let filter = { ...NO_FILTER }, shownCases = [], chosen = -1, place = -1;
const box = document.getElementById("browser");
const controls = {}, view = {}, drawn = new Map(); // rows by their place

function control(name, label, input) {
  controls[name] = input;
  input.addEventListener(input.type === "search" ? "input" : "change", () => {
    filter[name] = name === "group" ? Number(input.value) : input.value;
    if (name === "group") filter = { ...NO_FILTER, group: filter.group };
    refresh(input.type === "search" ? WAIT : 0);
  });
  return el("label", name === "q" ? "find" : "", label, input);
}

function choice(options) {
  const made = el("select");
  for (const [value, text] of options) {
    const option = el("option", "", oneLine(text, 60));
    option.value = value;
    made.append(option);
  }
  return made;
}

function buildFilters() {
  const group = data.groups[filter.group];
  const answers = group.cases.flatMap((item) => item.runs.flat());
  const kinds = [...new Set(answers.map((answer) => answer.outcome))].sort();
  const tags = [...new Set(group.cases.flatMap((item) => item.tags))].sort();
  const find = el("input");
  find.type = "search";
  find.autocomplete = "off";
  find.spellcheck = false;
  find.placeholder = "id, words, calls, reasons";
  const made = [control("q", "Search", find)];
  if (data.groups.length > 1) made.push(control("group", "Suite", choice(data.groups.map((g, i) => [String(i), g.title]))));
  if (group.runs.length > 1) made.push(control("run", "Run", choice([["", "any run"], ...group.runs.map((r) => [String(r.number), `${r.letter}  ${r.label}`])])));
  made.push(control("outcome", "Turn", choice([["", "any turn"], ...kinds.map((kind) => [kind, words(kind)])])));
  made.push(control("right", "Result", choice([["", "right or wrong"], ["1", "right"], ["0", "wrong"]])));
  if (group.runs.length > 1) {
    const kindsOf = [["", "all cases"], ["differ", "runs differ"], ["right", "all runs right"], ["wrong", "all runs wrong"]];
    made.push(control("agree", "Runs", choice(kindsOf)));
  }
  if (tags.length) made.push(control("tag", "Tag", choice([["", "any tag"], ...tags.map((tag) => [tag, tag])])));
  const reset = el("button", "", "Reset");
  reset.type = "button";
  reset.addEventListener("click", () => go({ ...NO_FILTER, group: filter.group }, chosen));
  view.filters.replaceChildren(...made, reset);
}

function build() {
  view.filters = el("form", "filters");
  view.filters.addEventListener("submit", (event) => event.preventDefault());
  labelled(view.filters, "Filter the cases").setAttribute("role", "search");
  view.count = el("p", "soft note");
  view.count.setAttribute("role", "status");
  view.list = labelled(el("div", "list"), "Cases");
  view.list.tabIndex = 0;
  view.list.setAttribute("role", "listbox");
  view.space = el("div");
  view.space.setAttribute("role", "presentation");
  view.rows = el("div");
  view.rows.setAttribute("role", "presentation");
  view.space.append(view.rows);
  view.list.append(view.space);
  view.detail = labelled(el("article", "detail"), "Case");
  const keys = el("p", "soft keys", el("kbd", "", "j"), " ", el("kbd", "", "k"), " next and previous case · ", el("kbd", "", "/"), " search");
  box.append(view.filters, view.count, el("div", "cases", view.list, view.detail), keys);
  box.hidden = false;
  let waiting = false;
  view.list.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawRows(); });
  }, { passive: true });
  view.list.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) choose(Number(row.dataset.place));
  });
  document.addEventListener("keydown", onKey);
  addEventListener("hashchange", () => { readAddress(true); });
  addEventListener("resize", drawRows);
}

// Keep those rows that stay in view, drop those that left it, and make those that came.
function drawRows() {
  const list = view.list, n = shownCases.length;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
  const last = Math.min(n, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
  for (const [i, row] of drawn) {
    if (i >= first && i < last) continue;
    row.remove();
    drawn.delete(i);
  }
  for (let i = first; i < last; i += 1) {
    if (drawn.has(i)) continue;
    drawn.set(i, rowOf(i));
    view.rows.insertBefore(drawn.get(i), view.rows.children[i - first] ?? null);
  }
  view.rows.style.transform = `translateY(${first * ROW}px)`;
  for (const [i, row] of drawn) row.setAttribute("aria-selected", String(i === place));
  if (drawn.has(place)) list.setAttribute("aria-activedescendant", `row-${place}`);
  else list.removeAttribute("aria-activedescendant");
}

// Show other cases than before.
function list(indices) {
  shownCases = indices;
  drawn.clear();
  view.rows.replaceChildren(...(indices.length ? [] : [el("p", "none", "No case is like this.")]));
  // Set through the object model, which the policy allows; a style attribute it would refuse.
  view.space.style.height = `${indices.length * ROW}px`;
  view.list.scrollTop = 0;
}

function rowOf(i) {
  const group = data.groups[filter.group], item = group.cases[shownCases[i]];
  const row = el("div", "row", el("div", "head", el("span", "name", oneLine(item.id, 80)), marksOf(item, group)));
  const last = item.messages.filter(([role]) => role === "user").at(-1) ?? item.messages.at(-1) ?? ["", ""];
  row.append(el("div", "words", el("bdi", "", oneLine(last[1], 120))));
  row.id = `row-${i}`;
  row.dataset.place = i;
  row.setAttribute("role", "option");
  row.setAttribute("aria-setsize", shownCases.length);
  row.setAttribute("aria-posinset", i + 1);
  return row;
}

function marksOf(item, group) {
  const shares = item.runs.map(shareRight);
  if (shares.length > MOST_MARKED) {
    const n = shares.filter((share) => share === 1).length;
    return el("span", "soft", `${n} of ${shares.length} right`);
  }
  const marks = el("span", "marks");
  shares.forEach((share, i) => {
    const kind = share === 1 ? "yes" : share ? "part" : "no";
    const mark = el("span", `mark ${kind}`, group.runs.length > 1 ? group.runs[i].letter : share === 1 ? "✓" : "✗");
    marks.append(labelled(mark, `${group.runs[i].letter} ${share === null ? "no answer" : share === 1 ? "right" : share ? "sometimes right" : "wrong"}`));
    mark.setAttribute("role", "img");
  });
  return marks;
}

// Show the case at a place of the list; -1 shows none.
function choose(at, follow = true) {
  place = at;
  chosen = at < 0 ? -1 : shownCases[at];
  if (follow && at >= 0) {
    // The list's last rows may be below the window's edge.
    const list = view.list, top = at * ROW, seen = list.clientHeight - 3 * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + seen) list.scrollTop = top + ROW - seen;
  }
  drawRows();
  drawCase();
  if (follow) writeAddress();
}

function drawCase() {
  const group = data.groups[filter.group], item = group.cases[chosen];
  view.detail.replaceChildren();
  if (!item) return;
  const link = put(el("a"), item.id);
  link.href = toAddress({ ...NO_FILTER, group: filter.group }, chosen);
  const bar = el("div", "bar");
  for (const tag of item.tags) {
    const button = el("button", "tag", oneLine(tag, 60));
    button.type = "button";
    button.addEventListener("click", () => go({ ...filter, tag }, chosen));
    bar.append(button);
  }
  bar.append(el("span", "grow"), step("← Previous", -1), step("Next →", 1));
  view.detail.append(el("h3", "", link), bar, ...turns(item), ...wanted(item));
  const answers = el("div", "answers");
  item.runs.forEach((found, i) => {
    const answer = answerOf(group.runs[i], found);
    // The run that is asked for comes first.
    if (String(group.runs[i].number) === filter.run) answers.prepend(answer);
    else answers.append(answer);
  });
  view.detail.append(el("h4", "", item.runs.length > 1 ? "What the runs wrote" : "What the model wrote"), answers);
}

function step(text, by) {
  const button = el("button", "", text);
  button.type = "button";
  button.disabled = !(place + by in shownCases);
  button.addEventListener("click", () => choose(place + by));
  return button;
}

function* turns(item) {
  yield el("h4", "", "Prompt");
  for (const [role, text] of item.messages) {
    const said = () => putExcerpt(el("div", "text"), text, { limit: 4000 });
    if (role === "system" || role === "developer") yield folded(role, () => el("div", "turn", said()));
    else yield el("div", "turn", el("span", "role", oneLine(role, 40)), said());
  }
  if (item.tools.length) {
    const tools = item.tools.map((i) => data.tools[i]);
    yield folded(`${tools.length} ${tools.length === 1 ? "tool" : "tools"}`, () => {
      const list = el("div", "wire text");
      tools.forEach((tool) => list.append(putExcerpt(el("div"), tool, { limit: 2000 })));
      return list;
    });
  }
}

function* wanted(item) {
  const several = item.expected.length > 1;
  yield el("h4", "", several ? "Expected, any of these" : item.ordered && item.expected[0]?.length > 1 ? "Expected, in this order" : "Expected");
  if (!item.expected.length) yield el("p", "soft", "Some call: which one is not said.");
  for (const answer of item.expected) {
    const list = el("div", "wire text");
    if (!answer.length) list.append(el("span", "soft", "no call"));
    answer.forEach(([name, args]) => list.append(putExcerpt(el("div"), `${name} ${args}`, { limit: 2000 })));
    yield list;
  }
}

let timer = 0;

// Search again, and keep the chosen case where it is still among those that are shown.
function refresh(wait = 0, then = null) {
  clearTimeout(timer);
  const start = () => search(filter, (indices) => {
    list(indices);
    const kept = indices.indexOf(chosen), n = data.groups[filter.group].cases.length;
    view.count.textContent = `${indices.length.toLocaleString("en")} of ${n.toLocaleString("en")} cases`;
    choose(kept >= 0 ? kept : indices.length ? 0 : -1, true);
    if (then) then();
  });
  if (wait) timer = setTimeout(start, wait);
  else start();
}

// Go to a filter, and to a case in it.
function go(to, index, then = null) {
  const otherGroup = to.group !== filter.group || !controls.q;
  filter = to;
  chosen = index;
  if (otherGroup) buildFilters();
  for (const [name, input] of Object.entries(controls)) input.value = String(filter[name]);
  refresh(0, then);
}

// Do what the address says: a case, a filter or both; a case that the filter leaves out wins.
function readAddress(jump) {
  const said = fromAddress(location.hash);
  if (!said) return false;
  const item = data.groups[said.filter.group].cases[said.index];
  const fits = !item || wantedBy(said.filter, data.groups[said.filter.group])(item);
  const to = fits ? said.filter : { ...NO_FILTER, group: said.filter.group };
  go(to, said.index, () => {
    if (said.missing !== null) view.count.textContent += `; there is no case ${oneLine(said.missing, 80)}`;
    if (jump) document.getElementById("cases").scrollIntoView({ behavior: "instant" });
  });
  return true;
}

let isQuiet = true; // until somebody chooses, the address stays what it was

function writeAddress() {
  if (isQuiet) return;
  try {
    history.replaceState(null, "", toAddress(filter, chosen));
  } catch {
    // A browser may refuse to change a file's address, or to do so as often as a key repeats.
  }
}

function onKey(event) {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const inList = event.target === view.list;
  const by = { j: 1, k: -1, ...(inList && { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }) }[event.key];
  const end = inList ? { Home: 0, End: shownCases.length - 1 }[event.key] : undefined;
  if (event.key === "/") {
    event.preventDefault();
    controls.q.focus();
  } else if ((by !== undefined || end !== undefined) && shownCases.length) {
    event.preventDefault();
    isQuiet = false;
    choose(Math.min(Math.max(end ?? place + by, 0), shownCases.length - 1));
    const seen = view.list.getBoundingClientRect();
    if (seen.top > innerHeight || seen.bottom < 0) box.scrollIntoView({ behavior: "instant" });
  }
}

function addThemes() {
  const button = document.getElementById("theme"), root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const say = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  labelled(button, "Switch between light and dark");
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    say();
  });
  say();
  button.hidden = false;
}

addThemes();
build();
if (!readAddress(true)) go({ ...NO_FILTER }, 0);
for (const kind of ["pointerdown", "keydown", "input"]) box.addEventListener(kind, () => { isQuiet = false; }, true);
