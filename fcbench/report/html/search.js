// Which cases are shown. Looking through many of them is done in slices, so that no frame waits.

const SLICE = 8; // milliseconds
const NO_FILTER = { group: 0, run: "", outcome: "", right: "", agree: "", tag: "", q: "" };

// Return the share of a run's answers to a case that are right, null where all are errors.
function shareRight(answers) {
  const judged = answers.filter((answer) => !answer.error);
  return judged.length ? judged.filter((answer) => answer.right).length / judged.length : null;
}

function agrees(item, wanted) {
  const shares = item.runs.map(shareRight);
  if (wanted === "differ") return shares.some((share) => share !== shares[0]);
  return shares.every((share) => share === (wanted === "right" ? 1 : 0));
}

function haystack(item) {
  if (item.haystack === undefined) {
    const said = [item.id, ...item.messages.map(([, text]) => text), ...item.expected.flat(2)];
    for (const answer of item.runs.flat()) said.push(answer.text ?? "", answer.reason ?? "", answer.error ?? "");
    // Not JSON's property: a case's data have no such key.
    Object.defineProperty(item, "haystack", { value: said.join("\n").toLowerCase() });
  }
  return item.haystack;
}

// Return a function that says whether a case is wanted.
function wantedBy(filter, group) {
  const place = filter.run === "" ? -1 : group.runs.findIndex((run) => String(run.number) === filter.run);
  const sought = filter.q.toLowerCase();
  return (item) => {
    if (filter.tag && !item.tags.includes(filter.tag)) return false;
    if (filter.outcome || filter.right) {
      const answers = place < 0 ? item.runs.flat() : item.runs[place];
      const fits = (answer) => (!filter.outcome || answer.outcome === filter.outcome)
        && (!filter.right || String(Number(Boolean(answer.right))) === filter.right);
      if (!answers.some(fits)) return false;
    }
    if (filter.agree && !agrees(item, filter.agree)) return false;
    return !sought || haystack(item).includes(sought);
  };
}

let latestSearch = 0;

// Call `found` with the indices of the wanted cases when all have been looked at, unless another
// search began meanwhile.
async function search(filter, found) {
  const mine = ++latestSearch;
  const group = data.groups[filter.group], isWanted = wantedBy(filter, group);
  const indices = [];
  let began = performance.now();
  for (let i = 0; i < group.cases.length; i += 1) {
    if (isWanted(group.cases[i])) indices.push(i);
    if (performance.now() - began > SLICE) {
      await new Promise((resolve) => { setTimeout(resolve); });
      if (mine !== latestSearch) return;
      began = performance.now();
    }
  }
  found(indices);
}

// Return the state that an address names, null where it names a section.
function fromAddress(hash) {
  const said = hash.slice(1);
  if (!said.includes("=")) return null;
  const given = new URLSearchParams(said.replaceAll("+", "%2B"));
  const filter = { ...NO_FILTER };
  for (const name of Object.keys(NO_FILTER)) filter[name] = given.get(name) ?? NO_FILTER[name];
  filter.group = Number(filter.group) in data.groups ? Number(filter.group) : 0;
  if (filter.run !== "") {
    const of = data.groups.findIndex((group) => group.runs.some((run) => String(run.number) === filter.run));
    if (of < 0) filter.run = "";
    else filter.group = of;
  }
  const [atGroup, atIndex] = (given.get("at") ?? "").split(".").map(Number);
  if (data.groups[atGroup]?.cases[atIndex]) return { filter: { ...filter, group: atGroup }, index: atIndex, missing: null };
  const id = given.get("case");
  const index = id === null ? -1 : data.groups[filter.group].cases.findIndex((item) => item.id === id);
  return { filter, index, missing: id !== null && index < 0 ? id : null };
}

const LONGEST_LINKED = 200;
const isLinkable = (text) => text.length <= LONGEST_LINKED && text.isWellFormed();

// Return the address of a case under a filter.
function toAddress(filter, index) {
  const parts = [];
  const item = data.groups[filter.group].cases[index];
  if (item && isLinkable(item.id)) parts.push(`case=${encodeURIComponent(item.id)}`);
  else if (item) parts.push(`at=${filter.group}.${index}`);
  for (const [name, value] of Object.entries(filter)) {
    if (value !== NO_FILTER[name] && isLinkable(String(value))) parts.push(`${name}=${encodeURIComponent(value)}`);
  }
  return `#${parts.join("&") || "cases"}`;
}
