"""A .lark file as a parser: the fast strict parse, and the same parse one token at a time."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lark import Lark, Token
from lark.exceptions import LarkError, UnexpectedInput

from fcbench.errors import FormatError
from fcbench.paths import data_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lark import Transformer

    from fcbench.types import Call

MAX_DEPTH = 64
"""Levels of objects and arrays that a call's arguments may have, the argument object included."""

KNOWN_TERMINALS = {
    *("_START_CALL", "_END_CALL", "_CALL", "NAME", "KEY", "_ESCAPE", "TEXT"),
    *("_LBRACE", "_RBRACE", "_LSQB", "_RSQB", "_COLON", "_COMMA"),
    *("NUMBER", "TRUE", "FALSE", "NULL", "STRING", "FUNCTION", "_IDENTIFIER"),
    *("_NAME", "_ARGUMENTS", "_ID", "_BREAK", "_GAP", "_WS", "_PYTHON_TAG"),
}
"""What the builders and the diagnosis know by name."""

CLOSERS = {"_RBRACE": "_LBRACE", "_RSQB": "_LSQB"}


class Irregular(Exception):
    """The text follows the grammar's rules but breaks one that a grammar cannot state."""


class Halt(NamedTuple):
    """Where a strict parse stopped, and what it would have taken there.

    `problem` is set when the token fits the grammar but breaks a rule beyond it. `container` is
    the innermost open bracket's terminal, or None. `previous` is the last token taken.
    """

    position: int
    expected: frozenset[str]
    previous: Token | None
    container: str | None
    problem: str | None = None


class Grammar:
    """One compiled grammar. `make_builder` returns the transformer that builds the calls.

    Raises FormatError when the file is not a grammar, or not LALR(1).
    """

    def __init__(
        self, path: Path, make_builder: Callable[[], Transformer[Token, list[Call]]]
    ) -> None:
        self.path = path
        try:
            self._lark = Lark(
                path.read_text(encoding="utf-8"),
                parser="lalr",
                start="turn",
                maybe_placeholders=False,
                transformer=make_builder(),
                import_paths=[str(path.parent), str(data_folder("grammars"))],
                source_path=str(path),
            )
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(f"{path}: cannot be read: {error}") from error
        except (LarkError, re.error) as error:
            first = " ".join(str(error).split())
            raise FormatError(
                f"{path}: not an LALR grammar: {first[:300]}",
                hint="fcbench grammars are LALR(1) with the start rule `turn`",
            ) from error
        self._patterns = {
            terminal.name: terminal.pattern.to_regexp() for terminal in self._lark.terminals
        }
        # The order in which lark itself tries terminals.
        self._order = [
            terminal.name
            for terminal in sorted(
                self._lark.terminals,
                key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name),
            )
        ]
        self._scanners: dict[int, re.Pattern[str]] = {}
        if self._lark.ignore_tokens or not set(self._order) <= KNOWN_TERMINALS:
            raise self._other_rules()

    def _other_rules(self) -> FormatError:
        return FormatError(
            f"{self.path}: does not build calls as the format's own grammar does",
            hint="a variant keeps the rules' and terminals' names, and what each rule holds",
        )

    def calls(self, turn: str) -> list[Call] | None:
        """Return the calls of a whole turn, or None if it is not in the language."""
        # A turn this flat cannot be too deep; any other is walked, where depth is counted.
        if turn.count("{") + turn.count("[") > MAX_DEPTH:
            walk = Walk(self, turn)
            return walk.result() if walk.run() is None else None
        try:
            return self._lark.parse(turn)  # type: ignore[return-value]  # the builder's result
        except (UnexpectedInput, Irregular):
            return None
        except (ValueError, TypeError, IndexError) as error:
            raise self._other_rules() from error

    def scanner(self, parser: Any) -> re.Pattern[str]:
        """Return one pattern for all terminals that a parser's state can shift or reduce on."""
        state = parser.parser_state.position
        found = self._scanners.get(state)
        if found is None:
            choices = parser.choices()
            alternatives = [
                f"(?P<{name}>{self._patterns[name]})" for name in self._order if name in choices
            ]
            # A state that only the end can follow has no terminal; it matches nothing.
            found = re.compile("|".join(alternatives) or r"(?!)")
            self._scanners[state] = found
        return found

    def interactive(self) -> Any:
        """Return lark's interactive parser at the start of a turn."""
        return self._lark.parse_interactive()


class Walk:
    """A strict parse, token by token, that knows where it is.

    Linear in the length of the text; nothing recurses.
    """

    def __init__(self, grammar: Grammar, turn: str) -> None:
        self.turn = turn
        self.position = 0
        self.previous: Token | None = None
        self.containers: list[str] = []
        self._keys: list[set[str]] = []
        self._wrappers = 0  # brackets around a call's arguments, which are not its nesting
        self._grammar = grammar
        self._parser = grammar.interactive()

    def run(self) -> Halt | None:
        """Go on to the first token that cannot stand where it does; None at a complete turn."""
        while self.position < len(self.turn):
            halt = self.take()
            if halt is not None:
                return halt
        return None if "$END" in self.expected() else self.halt()

    def take(self) -> Halt | None:
        """Take one token, or return where the parse stands."""
        token = self.next_token()
        if token is None:
            return self.halt()
        problem = self._problem(token)
        return self.halt(problem) if problem is not None or not self.feed(token) else None

    def next_token(self) -> Token | None:
        """Return the token at the position, if any terminal that may follow matches there."""
        pattern = self._grammar.scanner(self._parser)
        match = pattern.match(self.turn, self.position)
        if match is None or match.lastgroup is None:
            return None
        return Token(match.lastgroup, match.group(), start_pos=self.position)

    def feed(self, token: Token, length: int | None = None) -> bool:
        """Take a token and move past `length` characters (its own by default)."""
        try:
            self._parser.feed_token(token)
        except UnexpectedInput:
            return False
        self.previous = token
        self.position += len(token) if length is None else length
        self._track(token)
        return True

    def expected(self) -> frozenset[str]:
        """Return the terminals (and $END) that can really stand here."""
        return frozenset(self._parser.accepts())

    def halt(self, problem: str | None = None) -> Halt:
        """Describe the place where the parse stands."""
        container = self.containers[-1] if self.containers else None
        return Halt(self.position, self.expected(), self.previous, container, problem)

    def result(self) -> list[Call]:
        """Return the calls of a complete turn."""
        calls: list[Call] = self._parser.feed_eof()
        return calls

    def _problem(self, token: Token) -> str | None:
        if token.type in CLOSERS.values() and len(self.containers) - self._wrappers >= MAX_DEPTH:
            return "too_deep"
        if token.type == "KEY" and self._keys and _key(token) in self._keys[-1]:
            return "duplicate_key"
        if token.type == "NUMBER" and is_infinite(token):
            return "bad_number"
        return None

    def _track(self, token: Token) -> None:
        if token.type in CLOSERS.values():
            self.containers.append(token.type)
            self._keys.append(set())
        elif token.type in CLOSERS:
            self.containers.pop()
            self._keys.pop()
        elif token.type == "KEY":
            self._keys[-1].add(_key(token))
        elif token.type == "_ARGUMENTS":
            self._wrappers = len(self.containers)


def _key(token: str) -> str:
    """Return the key that a token stands for: JSON may spell one in several ways."""
    return str(json.loads(token)) if token.startswith('"') else str(token)


def is_infinite(number: str) -> bool:
    """Whether a JSON number with a fraction or an exponent overflows a float."""
    return any(c in ".eE" for c in number) and math.isinf(float(number))


@cache
def compiled(path: Path, make_builder: Callable[[], Transformer[Token, list[Call]]]) -> Grammar:
    """Return the grammar of a file, compiled once per process."""
    return Grammar(path, make_builder)
