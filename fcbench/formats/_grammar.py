"""A .lark file as tables: what each state of its LALR parser takes, and what each rule builds.

lark compiles the grammar (contextual terminals, LALR(1) tables); the tables are then run by
fcbench.formats._walk, which in one pass gives either the calls or the exact place where the text
leaves the language. lark's own loop gives the calls or an exception; its interactive parser, which
knows the place, is ten times slower.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from lark import Lark
from lark.exceptions import LarkError
from lark.grammar import Terminal
from lark.parsers.lalr_analysis import Shift

from fcbench.errors import FormatError
from fcbench.paths import data_folder
from fcbench.text import in_a_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lark.grammar import Rule

END = "$END"

KNOWN_TERMINALS = {
    *("_START_CALL", "_END_CALL", "_CALL", "NAME", "KEY", "DICT_KEY", "_ESCAPE", "TEXT"),
    *("_LBRACE", "_RBRACE", "_LSQB", "_RSQB", "_LPAR", "_RPAR", "_COLON", "_COMMA", "_EQUAL"),
    *("NUMBER", "TRUE", "FALSE", "NULL", "STRING", "FUNCTION", "_IDENTIFIER"),
    *("_NAME", "_ARGUMENTS", "_ID", "_BREAK", "_GAP", "_WS", "_PYTHON_TAG"),
}
"""What the builders and the diagnosis know by name."""


class Reduction(NamedTuple):
    """Replace the last `size` values by what `build` makes of them, a `rule`."""

    size: int
    rule: str
    build: Callable[[list[Any]], Any]


class State(NamedTuple):
    """One state of the parser: `match` finds the next token among those that may follow.

    `actions` maps a terminal to the state after it, or to what is reduced before it; `gotos` maps
    a rule to the state after it.
    """

    match: Callable[[str, int], re.Match[str] | None]
    actions: dict[str, int | Reduction]
    gotos: dict[str, int]


class Grammar:
    """One compiled grammar; `builder` has a method for each rule and for terminals with a value.

    A rule's method takes the list of its children, a terminal's its text. Raises FormatError when
    the file is not a grammar, not LALR(1), or does not build calls.
    """

    def __init__(self, path: Path, builder: object) -> None:
        self.path = path
        try:
            self.lark = Lark(
                path.read_text(encoding="utf-8"),
                parser="lalr",
                start="turn",
                maybe_placeholders=False,
                import_paths=[str(path.parent), str(data_folder("grammars"))],
                source_path=str(path),
            )
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"{path}: cannot be read: {error}") from error
        except (LarkError, re.error) as error:
            raise FormatError(
                f"{path}: not an LALR grammar: {in_a_line(error)}",
                hint="fcbench grammars are LALR(1) with the start rule `turn`",
            ) from error
        self.patterns = {t.name: t.pattern.to_regexp() for t in self.lark.terminals}
        if self.lark.ignore_tokens or not set(self.patterns) <= KNOWN_TERMINALS:
            raise self.other_rules()
        self.converters: dict[str, Callable[[str], Any]] = {
            name: getattr(builder, name) for name in self.patterns if hasattr(builder, name)
        }
        table = self.lark.parse_interactive().parser_state.parse_conf.parse_table
        self.start_state: int = table.start_states["turn"]
        self.end_state: int = table.end_states["turn"]
        reductions = {rule: self._reduction(rule, builder) for rule in self.lark.rules}
        self.states = {
            number: self._state(entries, reductions) for number, entries in table.states.items()
        }
        self.expected_after: dict[tuple[int, ...], frozenset[str]] = {}
        """What can follow a stack of states, found once (see Walk.expected)."""

    def other_rules(self) -> FormatError:
        """Return the error of a variant whose rules hold something else than the format's own."""
        return FormatError(
            f"{self.path}: does not build calls as the format's own grammar does",
            hint="a variant keeps the rules' and terminals' names, and what each rule holds",
        )

    def _state(self, entries: dict[str, Any], reductions: dict[Rule, Reduction]) -> State:
        actions: dict[str, int | Reduction] = {}
        gotos = {}
        for symbol, (action, argument) in entries.items():
            if symbol == END or symbol in self.patterns:
                actions[symbol] = argument if action is Shift else reductions[argument]
            else:
                gotos[symbol] = argument
        # The order in which lark itself tries terminals.
        ordered = sorted(
            (t for t in self.lark.terminals if t.name in actions),
            key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
        )
        alternatives = [f"(?P<{t.name}>{self.patterns[t.name]})" for t in ordered]
        # A state that only the end can follow has no terminal; it matches nothing.
        return State(re.compile("|".join(alternatives) or r"(?!)").match, actions, gotos)

    def _reduction(self, rule: Rule, builder: object) -> Reduction:
        name = str(rule.origin.name)
        kept = [
            index
            for index, symbol in enumerate(rule.expansion)
            if not (isinstance(symbol, Terminal) and symbol.filter_out)
        ]
        helpers = [rule.expansion[index].name.startswith("_") for index in kept]
        gather = _gather(
            kept, [h and not rule.expansion[i].is_term for i, h in zip(kept, helpers, strict=True)]
        )
        method = getattr(builder, rule.alias or name, None)
        if name.startswith("_"):
            build = gather
        elif rule.options.expand1 and len(kept) == 1 and rule.alias is None:
            build = itemgetter(kept[0])
        elif method is None:
            raise self.other_rules()
        else:
            build = _then(gather, method)
        return Reduction(len(rule.expansion), name, build)


def _gather(kept: Sequence[int], spliced: Sequence[bool]) -> Callable[[list[Any]], list[Any]]:
    """Return what takes the kept children, those of helper rules (lark's * and +) spliced in."""
    if not any(spliced):
        return lambda children: [children[index] for index in kept]

    def gather(children: list[Any]) -> list[Any]:
        first = children[kept[0]]
        # Helper rules recurse on the left: extending in place keeps long lists linear.
        gathered: list[Any] = first if spliced[0] else [first]
        for index, is_list in zip(kept[1:], spliced[1:], strict=True):
            if is_list:
                gathered += children[index]
            else:
                gathered.append(children[index])
        return gathered

    return gather


def _then(gather: Callable[[list[Any]], list[Any]], method: Callable[[list[Any]], Any]) -> Any:
    return lambda children: method(gather(children))
