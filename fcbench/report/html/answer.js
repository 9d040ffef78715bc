// One answer of one run: the text with a caret where it fails, and the calls argument by argument.

const RIGHT = "✓ right", WRONG = "✗ wrong", NO_ANSWER = "no answer";
const words = (name) => name.replaceAll("_", " ");

// Return the answers of a run to a case, with buttons where it was asked more than once.
function answerOf(run, answers) {
  const box = el("section", "answer");
  const show = (number) => {
    const answer = answers[number];
    box.className = `answer ${answer.right ? "yes" : "no"}`;
    const verdict = answer.error ? NO_ANSWER : answer.right ? RIGHT : WRONG;
    const head = el("header", "", badge(run), put(el("bdi"), run.label), el("span", "verdict", verdict));
    box.replaceChildren(head);
    labelled(box, `${run.letter}: ${verdict}`);
    if (answers.length > 1) box.append(repeats(answers, number, show));
    box.append(...parts(answer));
  };
  show(0);
  return box;
}

function badge(run) {
  return el("span", `badge run-${run.colour}`, run.letter);
}

function repeats(answers, chosen, show) {
  const box = el("div", "repeats");
  answers.forEach((answer, i) => {
    const button = el("button", "", `${i + 1}${answer.right ? "✓" : "✗"}`);
    button.type = "button";
    button.setAttribute("aria-pressed", String(i === chosen));
    button.addEventListener("click", () => {
      show(i);
    });
    box.append(button);
  });
  return labelled(box, "Repeats");
}

function* parts(answer) {
  if (answer.error) {
    yield putExcerpt(el("div", "why"), answer.error);
    return;
  }
  yield wire(answer);
  if (answer.failure) yield why(answer.failure);
  else if (answer.reason) yield putExcerpt(el("p", "why"), answer.reason, { limit: 600 });
  if (answer.native) yield callList("The server's own parser read", answer.native);
  if (answer.repairs) yield put(el("p", "why soft"), `Lenient parsing would repair: ${answer.repairs.join("; ")}.`);
  const pairs = answer.pairs ?? [];
  if (pairs.some(([, called]) => called !== null)) for (const pair of pairs) yield* call(pair);
  if (answer.prompt) {
    const n = answer.promptTokens;
    const said = n === undefined ? "Prompt as sent" : `Prompt as sent, ${n.toLocaleString("en")} tokens`;
    const text = () => answer.prompt.map((i) => data.pieces[i]).join("");
    yield folded(said, () => putExcerpt(el("div", "wire text"), text(), { limit: 12000 }));
  }
  yield factsLine(answer);
}

function factsLine(answer) {
  const facts = [words(answer.outcome)];
  if (answer.outputTokens !== undefined) facts.push(`${answer.outputTokens.toLocaleString("en")} tokens`);
  if (answer.seconds !== undefined) facts.push(`${answer.seconds.toFixed(2)} s`);
  if (answer.stop) facts.push(answer.stop === "limit" ? "stopped by the token limit" : "ended by a stop token");
  return el("p", "facts-line", facts.join(" · "));
}

function wire(answer) {
  const text = answer.text ?? "", failure = answer.failure;
  if (!text) return el("p", "soft why", answer.native ? "The model's text is not known." : "The model wrote nothing.");
  const box = el("div", "wire text");
  if (!failure) return putExcerpt(box, text);
  const found = failure.found && text.startsWith(failure.found, failure.at) ? failure.found.length : 0;
  const to = Math.min(text.length, failure.at + Math.min(60, found || String.fromCodePoint(text.codePointAt(failure.at) ?? 32).length));
  const marked = (part) => {
    const mark = put(el("mark", "caret"), spaces(part));
    if (!part) mark.append("end");
    return labelled(mark, `fails here: ${words(failure.kind)}`);
  };
  return putExcerpt(box, text, { from: failure.at, to, marked });
}

// Return a text that is nothing but spaces as what can be seen.
function spaces(text) {
  return text.trim() ? text : text.replaceAll(" ", "␣");
}

function why(failure) {
  const list = el("dl");
  const rows = {
    [words(failure.kind)]: `at character ${failure.offset.toLocaleString("en")} (byte ${failure.byte.toLocaleString("en")})`,
    expected: failure.expected, found: spaces(failure.found), hint: failure.hint,
  };
  for (const [name, text] of Object.entries(rows)) {
    if (text) list.append(el("dt", "", name), putExcerpt(el("dd"), text, { limit: 400 }));
  }
  return el("div", "why", list);
}

function callList(title, calls) {
  const box = el("div", "why", el("span", "soft", `${title}: `));
  if (!calls.length) box.append("no call");
  calls.forEach(([name, args], i) => {
    if (i) box.append(el("br"));
    box.append(putExcerpt(el("code"), `${name} ${args}`, { limit: 1000 }));
  });
  return box;
}

// Yield one pair of an expected and a called function, its arguments below.
function* call([expected, called, args]) {
  if (expected !== null && called === null) {
    yield el("p", "call", "No call of ", put(el("code"), expected));
    return;
  }
  const head = put(el("p", "call"), called);
  if (expected === null) head.append(el("span", "soft", ", which was not expected"));
  else if (expected !== called) head.append(el("span", "bad", " instead of ", put(el("code"), expected)));
  yield head;
  if (args.length) yield argumentTable(args);
}

function argumentTable(args) {
  const head = el("tr");
  for (const name of ["argument", "expected", "got"]) head.append(scoped(el("th", "", name), "col"));
  head.append(scoped(el("th", "how", ""), "col"));
  const body = el("tbody");
  for (const [path, result, expected, got] of args) {
    const row = el("tr", result === "equal" ? "yes" : "no");
    const [a, b] = result === "equal" || expected === null || got === null ? [null, null] : differing(expected, got);
    row.append(scoped(putExcerpt(el("th"), path, { limit: 300 }), "row"), value(expected, a), value(got, b));
    row.append(el("td", "how", result === "equal" ? "✓" : `✗ ${words(result)}`));
    body.append(row);
  }
  return el("table", "args", el("thead", "", head), body);
}

function scoped(cell, scope) {
  cell.scope = scope;
  return cell;
}

function value(text, range) {
  const cell = el("td", "text");
  if (text === null) return el("td", "soft", "—");
  const [from, to] = range ?? [-1, -1];
  return putExcerpt(cell, text, { from, to, limit: 600, marked: (part) => put(el("mark"), spaces(part)) });
}

// Return where two texts differ, as [from, to] in each: what is between their common ends.
function differing(a, b) {
  let start = 0, end = 0;
  const most = Math.min(a.length, b.length);
  while (start < most && a[start] === b[start]) start += 1;
  if (start && a.charCodeAt(start - 1) >> 10 === 0x36) start -= 1;
  while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  if (end && a.charCodeAt(a.length - end) >> 10 === 0x37) end -= 1;
  return [[start, a.length - end], [start, b.length - end]];
}
