"""The suite's rows: python -m suites.build mobile_actions writes them.

Everything follows from the seed, the phrasings_*.toml and words_*.toml beside this file.
dates.py writes and reads the dates, schema.toml holds the functions and the tags.
"""

from __future__ import annotations

import functools
import random
import re
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suites.mobile_actions.dates import WEEKDAYS, When, absolute, relative
from suites.mobile_actions.slots import FREE, SLOT, describe, fits, is_clear, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent
SEED = 270
SCHEMA = tomllib.loads((HERE / "schema.toml").read_text("utf-8"))
# function -> description, arguments {name: description}, required arguments
FUNCTIONS: dict[str, dict[str, Any]] = SCHEMA["functions"]
TAGS: dict[str, str] = {name: f"`{name}` is expected" for name in FUNCTIONS} | SCHEMA["tags"]
# Of so many values of a function, so many are of each kind, where they fit. Braces and quotes
# are for titles, subjects and bodies; places and names have few or none.
KINDS = {
    "send_email": {"plain": 4, "punctuation": 3, "quotes": 5, "braces": 4, "non_latin": 4},
    "create_calendar_event": {
        "plain": 4,
        "punctuation": 2,
        "quotes": 6,
        "braces": 4,
        "non_latin": 4,
    },
    "show_map": {"plain": 10, "punctuation": 3, "quotes": 1, "non_latin": 3},
    "create_contact": {"plain": 4, "non_latin": 1},
}
DATES = {"relative": 11, "absolute": 4}
PERSONAL, TWICE, RARE = 0.75, 0.3, 0.1  # shares of personal mailboxes, repetition, greetings
PARALLEL = dict(zip(FUNCTIONS, [3, 3, 3, 5, 6, 7, 5], strict=True))

Call = dict[str, Any]
Row = dict[str, Any]


@dataclass
class Deck:
    """Templates in seeded order; each comes up before any comes up again, where it can be used."""

    rng: random.Random
    templates: list[str]
    queue: list[str] = field(default_factory=list)

    def take(self, usable: Callable[[str], bool]) -> str:
        """Remove and return the first template that is usable here."""
        for _ in range(2):
            for position, template in enumerate(self.queue):
                if usable(template):
                    return self.queue.pop(position)
            self.queue += self.rng.sample(self.templates, len(self.templates))
        message = f"no template of {self.templates[:2]}… can be used here"
        raise ValueError(message)


class NoNewText(ValueError):
    """A template has given all the texts that it can."""


def lines(block: str) -> list[str]:
    r"""Return the entries of a block: its lines that are not empty, with `\n` as a line break."""
    return [line.replace("\\n", "\n") for line in block.splitlines() if line]


def read(kind: str, sources: Sequence[str]) -> dict[str, Any]:
    """Return the "phrasings" or "words" of these splits, each block followed by the next one's."""
    tables = [tomllib.loads((HERE / f"{kind}_{s}.toml").read_text("utf-8")) for s in sources]
    return functools.reduce(joined_blocks, tables)


def joined_blocks(first: Any, second: Any) -> Any:
    """Return two blocks as one, and tables of blocks block by block."""
    if isinstance(first, str):
        return first + second
    both = {key: joined_blocks(first[key], second[key]) for key in first if key in second}
    return first | second | both


class Writer:
    """Writes the rows of one file from its own words and phrasings."""

    def __init__(self, split: str, seen: set[str], sources: Sequence[str] = ()) -> None:
        """Read the data of a split or of `sources`; texts in `seen` are not written again."""
        self.split, self.seen, self.used = split, seen, Counter[str]()
        self.rng = random.Random(f"{SEED}-{split}")
        phrasings, words = (read(kind, sources or [split]) for kind in ("phrasings", "words"))
        self.openers, self.closers = (
            Deck(self.rng, lines(phrasings[k])) for k in ("openers", "closers")
        )
        self.pools = {k: lines(v) for k, v in words.items() if isinstance(v, str)}
        self.values = {
            pool: {kind: lines(block) for kind, block in kinds.items()}
            for pool, kinds in words.items()
            if isinstance(kinds, dict)
        }
        self.decks = {
            (group, part): Deck(self.rng, lines(block))
            for group, parts in phrasings.items()
            if isinstance(parts, dict)
            for part, block in parts.items()
        }

        decks = {name: {"plain": 1} for name in FUNCTIONS} | KINDS
        for name, shares in (decks | {"date": DATES, "function": PARALLEL}).items():
            self.share(name, shares)

    def share(self, name: str, shares: dict[str, int]) -> None:
        """Draw the kind of `name` by these shares from here on."""
        kinds = [kind for kind, share in shares.items() for _ in range(share)]
        self.decks["kind of", name] = Deck(self.rng, kinds)

    def row(self, now: datetime, text: str, answer: Row, tags: list[str]) -> Row:
        """Return one row; its id is given later, when the rows are in their final order."""
        tools = self.tools()
        date = f"{now:%Y-%m-%dT%H:%M:%S}\nDay of week is {WEEKDAYS[now.weekday()]}\n"
        developer = (
            f"Current date and time given in YYYY-MM-DDTHH:MM:SS format: {date}"
            "You are a model that can do function calling with the following functions\n"
        )
        messages = [
            {"role": "developer", "content": developer},
            {"role": "user", "content": text},
            {"role": "assistant", **answer},
        ]
        tags = [tag for tag in TAGS if tag in tags]
        return {"metadata": self.split, "tags": tags, "tools": tools, "messages": messages}

    def tools(self) -> list[Row]:
        """Return the declared tools in an order of their own."""
        tools = [{"function": declaration(name)} for name in FUNCTIONS]
        self.rng.shuffle(tools)
        return tools

    def now(self) -> datetime:
        """Return a current time between 6 am and 9 pm of a day in 2025 to 2027."""
        day = datetime(2025, 1, 1) + timedelta(days=self.rng.randrange(3 * 365))  # noqa: DTZ001
        return day.replace(hour=self.rng.randint(6, 20), minute=self.rng.randrange(0, 60, 5))

    def no_call(self, kind: str) -> Row:
        """Return a row that expects no call."""
        text, reply = self.decks["no_call", kind].take(self.may_answer).split(" => ")
        now = self.now()
        reply = reply.replace("{weekday}", WEEKDAYS[now.weekday()])
        return self.row(now, text, {"content": reply}, ["no_call", f"no_call_{kind}"])

    def may_answer(self, line: str) -> bool:  # noqa: ARG002 - for a writer that minds
        """Return whether this request and its answer without a call may be written now."""
        return True

    def case(self, functions: list[str]) -> Row:
        """Return a row that expects a call of each of these functions, in this order."""
        template = self.single(functions[0]) if len(functions) == 1 else self.joined(functions)
        for attempt in range(1000):
            now = self.now()
            text, calls, tags = self.fill(template, functions, now)
            if len(functions) == 1 and template[-1] != "}":
                text = self.greet(text, 0.5 if attempt else RARE)
            if text not in self.seen:
                break
        else:
            message = f"cannot make a new text from {template!r}"
            raise NoNewText(message)
        self.seen.add(text)
        tags |= {"single"} if len(calls) == 1 else {f"parallel_{len(calls)}"}
        answer = {"tool_calls": [{"function": call} for call in calls]}
        return self.row(now, text, answer, [*tags])

    def single(self, name: str) -> str:
        """Return a template for one call."""
        deck = self.decks[name, "sentences"]
        return number(deck.take(lambda t: is_clear(number(t, 0))), 0)

    def greet(self, text: str, chance: float) -> str:
        """Return the text with a greeting or thanks around it, where they can stand."""
        if not text.startswith("Yo") and "\n" not in text and (text[0].isupper() or chance > RARE):
            if text[-1] in ".?!" and self.rng.random() < chance:
                text = f"{text} {self.closers.take(lambda _: True)}"
            if self.rng.random() < chance:
                text = f"{self.openers.take(lambda _: True)} {text}"
        return text

    def joined(self, functions: list[str]) -> str:
        """Return a template for several calls."""
        count = {2: "two", 3: "three"}[len(functions)]
        text = self.decks["joiners", count].take(lambda _: True)
        for index, name in enumerate(functions):
            slot = re.search(r"\{[%sS]\}" % "abc"[index], text, re.IGNORECASE)  # noqa: UP031
            if slot is None:
                message = f"a joiner lacks its part {index}: {text}"
                raise ValueError(message)
            head, tail = text[: slot.start()], text[slot.end() :]
            sentence, capital = slot[0] == "{s}", slot[0].isupper()

            def place(part: str, i: int = index, up: bool = capital) -> str:  # noqa: FBT001
                return number(part[0].upper() + part[1:] if up else part, i)

            def usable(
                part: str,
                h: str = head,
                t: str = tail,
                whole: bool = sentence,  # noqa: FBT001
                put: Callable[[str], str] = place,
            ) -> bool:
                if whole and ("\n" in part or part[-1] not in ".?!"):
                    return False
                return is_clear(h + put(part) + t)

            deck = self.decks[name, "sentences" if sentence else "clauses"]
            text = head + place(deck.take(usable)) + tail
        return text

    def fill(
        self, template: str, functions: list[str], now: datetime
    ) -> tuple[str, list[Call], set[str]]:
        """Return the user's text, the calls it asks for, and what there is to say about them."""
        tags, spoken = set(functions), {}
        calls: list[Call] = []
        for index, name in enumerate(functions):
            slots = [m for m in SLOT.finditer(template) if int(m[2]) == index]
            kind = self.decks["kind of", name].take(lambda _: True)
            given = self.person(kind, f"{{first_name#{index}}} {{last_name#{index}}}" in template)
            for slot in slots:
                around = template[: slot.start()], template[slot.end() :]
                if slot[1] in {"when", "When", "at"}:
                    when = self.when(now, noun=slot[1] == "at")
                    said = (when.noun if slot[1] == "at" else when.adverb) or ""
                    said = said[0].upper() + said[1:] if slot[1] == "When" else said
                    given["datetime"] = f"{when.moment:%Y-%m-%dT%H:%M:%S}"
                    tags.add("relative_date" if when.relative else "absolute_date")
                elif slot[1] in FREE:
                    said = given[slot[1]] = self.free(slot[1], kind, *around)
                else:
                    said = given[slot[1]] if slot[1] in given else self.word(slot[1])
                spoken[slot[0]] = said
            arguments, required = FUNCTIONS[name]["arguments"], FUNCTIONS[name]["required"]
            named = {"datetime" if s[1] in {"when", "When", "at"} else s[1] for s in slots}
            chosen = {key: given[key] for key in arguments if key in named}
            calls.append({"name": name, "arguments": chosen})
            tags |= describe(chosen)
            if len(arguments) > len(required):
                tags.add(f"optional_{'present' if len(chosen) > len(required) else 'absent'}")
        return SLOT.sub(lambda m: spoken[m[0]], template), calls, tags

    def free(self, slot: str, kind: str, before: str, after: str) -> str:
        """Return a value of this kind where it can stand here, else a plain one."""
        kinds = self.values[FREE[slot]]
        for pool in (kinds.get(kind, []), kinds["plain"]):
            able = [value for value in pool if fits(value, slot, before, after)]
            # Double quotes fit in few places, so they go first there; then what was used least.
            able = [value for value in able if kind == "quotes" and '"' in value] or able
            if able:
                least = min(self.used[value] for value in able)
                value = self.rng.choice([v for v in able if self.used[v] == least])
                self.used[value] += 1
                return value
        message = f"no {slot} fits between {before!r} and {after!r}"
        raise ValueError(message)

    def when(self, now: datetime, *, noun: bool) -> When:
        """Return a moment that has a noun phrase if one is needed."""
        form = self.decks["kind of", "date"].take(lambda _: True)
        make = {"relative": relative, "absolute": absolute}[form]
        while (found := make(self.rng, now)).noun is None and noun:
            pass
        return found

    def person(self, kind: str, adjacent: bool) -> dict[str, str]:  # noqa: FBT001
        """Return names and addresses; family-first names only where the names stand apart."""
        names = self.pools["non_latin_names"]
        if kind == "non_latin":
            able = [n.strip("* ") for n in names if not (adjacent and n.startswith("*"))]
            first, last = self.rng.choice(able).split(" | ")
        else:
            first, last = (self.rng.choice(self.pools[k]) for k in ("first_names", "last_names"))
        pattern = self.rng.choice(self.pools["phone_patterns"])
        phone = re.sub(r"n", lambda _: str(self.rng.randrange(10)), pattern)
        to = [self.rng.choice(self.pools[k]) for k in ("first_names", "last_names")]
        return {
            "first_name": first,
            "last_name": last,
            "phone_number": phone,
            "email": self.address(first, last),
            "to": self.address(*to),
        }

    def address(self, first: str, last: str) -> str:
        """Return an email address of that person, or of an office where no ASCII is left."""
        name, family = (
            "".join(c for c in unicodedata.normalize("NFKD", n).lower() if "a" <= c <= "z")
            for n in (first.replace("ø", "o"), last.replace("ø", "o"))
        )
        box = self.rng.choice(self.pools["mailboxes"])
        if name and family and self.rng.random() < PERSONAL:
            box = self.rng.choice([
                f"{name}.{family}", f"{name}_{family}", f"{name[0]}{family}", f"{name}",
                f"{family}+{box}", f"{name}{self.rng.randint(2, 99)}",
            ])  # fmt: skip
        return f"{box}@{self.rng.choice(self.pools['domains'])}"

    def word(self, slot: str) -> str:
        """Return a word for a slot that is no argument."""
        return self.rng.choice(self.pools.get(f"{slot}s") or self.pools[slot])

    def functions(self, count: int) -> list[str]:
        """Return what a parallel case calls; a function comes twice only if it has arguments."""
        names: list[str] = []
        lights = {"turn_on_flashlight", "turn_off_flashlight"}
        repeat = self.rng.random() < TWICE

        def usable(name: str) -> bool:
            if name in names:
                return repeat and name in KINDS
            return not (name in lights and lights & set(names))

        while len(names) < count:
            names.append(self.decks["kind of", "function"].take(usable))
        return names

    def rows(self, singles: list[int], pairs: int, triples: int, no_calls: list[int]) -> list[Row]:
        """Return the file's rows in mixed order."""
        rows = [
            self.case([name])
            for name, count in zip(FUNCTIONS, singles, strict=True)
            for _ in range(count)
        ]
        rows += [self.case(self.functions(2)) for _ in range(pairs)]
        rows += [self.case(self.functions(3)) for _ in range(triples)]
        kinds = ("small_talk", "no_tool", "missing_argument")
        for kind, count in zip(kinds, no_calls, strict=True):
            rows += [self.no_call(kind) for _ in range(count)]
        self.rng.shuffle(rows)
        return [{"id": f"{self.split}-{n:04}", **row} for n, row in enumerate(rows, start=1)]


def declaration(name: str) -> Row:
    """Return the declaration of a function as FunctionGemma's data have it."""
    function = FUNCTIONS[name]
    parameters: Row = {"type": "OBJECT", "properties": {}}
    for argument, description in function["arguments"].items():
        parameters["properties"][argument] = {"type": "STRING", "description": description}
    if function["required"]:
        parameters["required"] = function["required"]
    return {"name": name, "description": function["description"], "parameters": parameters}


def rows(split: str) -> list[Row]:
    """Return the rows of a split, "eval" or "train"; none of the latter repeats the former."""
    seen: set[str] = set()
    evaluation = Writer("eval", seen).rows([12, 14, 11, 15, 20, 18, 25], 45, 20, [7, 7, 6])
    if split == "eval":
        return evaluation
    return Writer("train", seen).rows([60, 58, 60, 72, 95, 105, 75], 204, 96, [25, 25, 25])
