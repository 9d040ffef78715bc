"""More training rows than are kept: python -m suites.mobile_actions.more N --out FILE.

The rows are train.jsonl's in form and made by the same code, from the words and phrasings of
train and of *_more.toml together. Most names, places, titles and texts are varied, so that they
come once: what comes often is learned by heart and written in the place of what was asked. The same
N gives the same bytes, and a smaller N their beginning.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

from suites.mobile_actions.generate import NoNewText, Row, Writer, rows
from suites.mobile_actions.slots import fits
from suites.mobile_actions.varied import Variety

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

# The rows of a scene share date, time and declared tools, which are 500 of a row's 600 tokens,
# so that a trainer may compute them once for all of them.
SCENE = 8
# Shares in 100 rows, or weights: more of what is hard for a small model.
SHAPES = {"single": 55, "two": 22, "three": 13, "no_call": 10}
NO_CALLS = {"small_talk": 1, "no_tool": 1, "missing_argument": 1}
FUNCTIONS = {
    "turn_on_flashlight": 4,
    "turn_off_flashlight": 4,
    "open_wifi_settings": 4,
    "show_map": 8,
    "send_email": 22,
    "create_calendar_event": 34,
    "create_contact": 24,
}
DATES = {"relative": 5, "absolute": 1}
# Of rows that are written for their dates: reckoning with them is what is learned last.
FOR_DATES = {
    "turn_on_flashlight": 2,
    "turn_off_flashlight": 2,
    "open_wifi_settings": 2,
    "show_map": 4,
    "send_email": 10,
    "create_calendar_event": 70,
    "create_contact": 10,
}
VARIED = 0.8  # of values
TRIES = 100  # templates that may turn out to be used up
# More plain values than in train.jsonl: there are many of them, and few with quotes or braces.
TEXTS = {"plain": 8, "punctuation": 4, "quotes": 4, "braces": 3, "non_latin": 4}
VALUES = {
    "send_email": TEXTS,
    "create_calendar_event": TEXTS,
    "create_contact": {"plain": 4, "non_latin": 2},
}


class SceneWriter(Writer):
    """Writes rows that share the current time and the order of the tools, scene by scene."""

    def __init__(self, name: str = "more", functions: dict[str, int] = FUNCTIONS) -> None:
        """Read the words and phrasings; neither evaluation's nor training's texts come again.

        The name begins the rows' ids, and decides what is drawn; `functions` has their shares.
        """
        others = [row["messages"] for split in ("eval", "train") for row in rows(split)]
        seen = {messages[1]["content"] for messages in others}
        super().__init__(name, seen, ["train", "more"])
        # Every value of the other files: no varied text, title or place is one of them.
        self.known = {
            value
            for messages in others
            for call in messages[2].get("tool_calls", ())
            for value in call["function"]["arguments"].values()
        }
        self.told: set[str] = set()  # requests without a call in this scene
        names = ("first_names", "last_names", "non_latin_names", "domains")
        pools = [value for name in names for value in self.pools[name]]
        kinds = [value for pool in self.values.values() for kind in pool.values() for value in kind]
        self.variety = Variety(self.rng, pools + kinds)
        shares = {"shape": SHAPES, "no_call": NO_CALLS, "function": functions, "single": functions}
        for drawn, share in (shares | VALUES | {"date": DATES}).items():
            self.share(drawn, share)
        self.open_scene()

    def open_scene(self) -> None:
        """Draw the current time and the order of the tools of the rows to come."""
        self.scene_now, self.scene_tools = super().now(), super().tools()
        self.told.clear()

    def now(self) -> datetime:
        """Return the scene's current time."""
        return self.scene_now

    def tools(self) -> list[Row]:
        """Return the scene's tools."""
        return self.scene_tools

    def may_answer(self, line: str) -> bool:
        """Return whether the request is new in its scene, and none of another file's."""
        text = line.partition(" => ")[0]
        if text in self.seen or text in self.told:
            return False
        self.told.add(text)
        return True

    def free(self, slot: str, kind: str, before: str, after: str) -> str:
        """Return a value of this kind that mostly never came before, where that can stand here."""
        known = super().free(slot, kind, before, after)
        if self.rng.random() < VARIED:
            varied = self.variety.value(known)
            if varied not in self.known and fits(varied, slot, before, after):
                return varied
        return known

    def person(self, kind: str, adjacent: bool) -> dict[str, str]:  # noqa: FBT001  as it is
        """Return names and addresses that mostly never came before."""
        given = super().person(kind, adjacent)
        if self.rng.random() < VARIED:
            first, last = (self.variety.value(given[k]) for k in ("first_name", "last_name"))
            given |= {"first_name": first, "last_name": last, "email": self.address(first, last)}
        if self.rng.random() < VARIED:
            names = (self.rng.choice(self.pools[k]) for k in ("first_names", "last_names"))
            given["to"] = self.address(*map(self.variety.value, names))
        return given

    def address(self, first: str, last: str) -> str:
        """Return an email address, mostly of a domain that never came before."""
        box, at, domain = super().address(first, last).partition("@")
        label, dot, rest = domain.partition(".")
        varied = self.variety.value(label)
        return f"{box}{at}{varied if varied.isascii() else label}{dot}{rest}"

    def drawn(self, name: str) -> str:
        """Return the next kind of `name`, by its shares."""
        return self.decks["kind of", name].take(lambda _: True)

    def next_row(self) -> Row:
        """Return a row of the scene."""
        shape = self.drawn("shape")
        if shape == "no_call":
            return self.no_call(self.drawn("no_call"))
        n_calls = {"single": 1, "two": 2, "three": 3}[shape]
        functions = [self.drawn("single")] if n_calls == 1 else self.functions(n_calls)
        for _ in range(TRIES):
            # The deck gives another template than the one that was used up.
            with contextlib.suppress(NoNewText):
                return self.case(functions)
        message = f"no new text for {' and '.join(functions)}; write fewer rows"
        raise NoNewText(message)

    def endless(self) -> Iterator[Row]:
        """Yield row after row; NoNewText where the phrasings have no new text to give."""
        for n in count():
            if n and n % SCENE == 0:
                self.open_scene()
            # What is read as training data has the metadata "train".
            yield {"id": f"{self.split}-{n + 1:05}", **self.next_row(), "metadata": "train"}


def more(n_rows: int, *, dates: bool = False) -> list[Row]:
    """Return so many rows; with `dates`, other ones, most of which hold a date."""
    writer = SceneWriter("dates", FOR_DATES) if dates else SceneWriter()
    return list(islice(writer.endless(), n_rows))


def write(file: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("n_rows", type=int, metavar="N", help="rows to write, in scenes of 8")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--dates", action="store_true", help="rows of which most hold a date")
    args = parser.parse_args(arguments)
    write(args.out, more(args.n_rows, dates=args.dates))
    return 0


if __name__ == "__main__":
    sys.exit(main())
