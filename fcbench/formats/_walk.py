"""The strict parse: one pass over a turn that ends with its calls or where it goes wrong."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from lark import Token

from fcbench.formats._grammar import END, Reduction
from fcbench.formats._python_text import is_dotted_name, is_identifier, read_string

if TYPE_CHECKING:
    from fcbench.formats._grammar import Grammar
    from fcbench.types import Call

MAX_DEPTH = 64
"""Levels of objects and arrays that a call's arguments may have, the argument object included."""

CLOSERS = {"_RBRACE": "_LBRACE", "_RSQB": "_LSQB", "_RPAR": "_LPAR"}
OPENERS = frozenset(CLOSERS.values())

# Terminals that a rule beyond the grammar is about.
_OPEN, _CLOSE, _KEY, _NUMBER, _ARGUMENTS, _NAME = range(1, 7)
_WATCHED = {
    **dict.fromkeys(OPENERS, _OPEN),
    **dict.fromkeys(CLOSERS, _CLOSE),
    "KEY": _KEY,
    "DICT_KEY": _KEY,
    "NAME": _NAME,
    "NUMBER": _NUMBER,
    "_ARGUMENTS": _ARGUMENTS,
}
LONGEST_FINITE = 300  # characters of a number without exponent that is surely finite
REMEMBERED = 4096  # stacks whose followers are kept
SHALLOW = 32  # states that such a stack may have

Action = int | Reduction | None
"""The state after a terminal, what is reduced before it, or None where it cannot stand."""


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


class Walk:
    """A strict parse that knows where it is.

    Linear in the length of the text; nothing recurses. The rules that a grammar cannot state are
    checked on the way: no key twice in one object, at most MAX_DEPTH levels, finite numbers.
    """

    def __init__(self, grammar: Grammar, turn: str) -> None:
        self.turn = turn
        self.position = 0
        self.containers: list[str] = []
        self._grammar = grammar
        self._keys: list[set[str]] = []
        self._wrappers = 0  # brackets around a call's arguments, which are not its nesting
        self._states = [grammar.start_state]
        self._values: list[Any] = []
        self._previous: tuple[str, int, int] | None = None  # terminal, start, end
        self._taken: Token | None = None  # or a token that does not stand in the text

    def run(self) -> Halt | None:
        """Go on to the first token that cannot stand where it does; None at a complete turn."""
        turn, states, values = self.turn, self._states, self._values
        table, converters = self._grammar.states, self._grammar.converters
        position, previous = self.position, self._previous
        problem = None
        while True:
            state = table[states[-1]]
            found = state.match(turn, position)
            if found is None:
                break
            name: str = found.lastgroup  # type: ignore[assignment]  # every alternative is named
            text = found.group()
            watched = _WATCHED.get(name)
            if watched is not None:
                problem = self._problem(watched, name, text)
                if problem is not None:
                    break
            action: Action = state.actions[name]
            while isinstance(action, Reduction):
                action = self._reduce(action, name)
            if action is None:
                break
            states.append(action)
            convert = converters.get(name)
            values.append(text if convert is None else convert(text))
            previous = (name, position, found.end())
            position = found.end()
            if watched is not None:
                self._watch(watched, name, text)
        self.position = position
        if previous is not self._previous:
            self._previous, self._taken = previous, None
        if problem is None and position == len(turn) and self._accepts(END):
            return None
        return self._halt(problem)

    def result(self) -> list[Call]:
        """Return the calls of a complete turn."""
        action: Action = self._grammar.states[self._states[-1]].actions[END]
        while isinstance(action, Reduction):
            action = self._reduce(action, END)
        calls: list[Call] = self._values[-1]
        return calls

    def push(self, name: str, text: str, length: int) -> bool:
        """Take a token that is not spelled so in the text, and move past `length` characters."""
        action = self._grammar.states[self._states[-1]].actions.get(name)
        while isinstance(action, Reduction):
            action = self._reduce(action, name)
        if action is None:
            return False
        self._states.append(action)
        convert = self._grammar.converters.get(name)
        self._values.append(text if convert is None else convert(text))
        self._taken = Token(name, text, start_pos=self.position)
        self.position += length
        return True

    @property
    def is_at_start(self) -> bool:
        """Whether no token is taken."""
        return not self._values

    def take_back(self) -> None:
        """Undo the last token, which moved no bracket."""
        self._states.pop()
        self._values.pop()
        self._previous = self._taken = None

    @property
    def previous(self) -> Token | None:
        """The last token taken."""
        if self._taken is not None or self._previous is None:
            return self._taken
        name, start, end = self._previous
        return Token(name, self.turn[start:end], start_pos=start)

    def expected(self) -> frozenset[str]:
        """Return the terminals (and $END) that can really stand here."""
        key = tuple(self._states)
        known = self._grammar.expected_after
        found = known.get(key)
        if found is None:
            candidates = self._grammar.states[self._states[-1]].actions
            found = frozenset(name for name in candidates if self._accepts(name))
            if len(key) <= SHALLOW and len(known) < REMEMBERED:
                known[key] = found
        return found

    def _reduce(self, reduction: Reduction, name: str) -> Action:
        """Carry out a reduction and return what follows on the terminal, if anything does."""
        size, rule, build = reduction
        states, values = self._states, self._values
        children = values[-size:]
        del values[-size:], states[-size:]
        values.append(build(children))
        after = self._grammar.states[states[-1]].gotos[rule]
        states.append(after)
        return self._grammar.states[after].actions.get(name)

    def _accepts(self, name: str) -> bool:
        """Whether a terminal can stand here: LALR tables only show it after the reductions."""
        stack, table = list(self._states), self._grammar.states
        action = table[stack[-1]].actions.get(name)
        while isinstance(action, Reduction):
            del stack[-action.size :]
            stack.append(table[stack[-1]].gotos[action.rule])
            if name == END and stack[-1] == self._grammar.end_state:
                return True
            action = table[stack[-1]].actions.get(name)
        return action is not None

    def _halt(self, problem: str | None) -> Halt:
        container = self.containers[-1] if self.containers else None
        return Halt(self.position, self.expected(), self.previous, container, problem)

    def _problem(self, watched: int, name: str, text: str) -> str | None:
        if watched == _KEY:
            # A pattern cannot tell Python's words, which are those in parentheses and lists.
            if self.containers[-1:] == ["_LPAR"] and not is_identifier(text):
                return "missing_key"
            known = self._keys[-1] if self._keys else ()
            return "duplicate_key" if key_of(text, name) in known else None
        if watched == _NAME:
            return "missing_name" if self.containers and not is_dotted_name(text) else None
        if watched == _OPEN:
            too_deep = len(self.containers) - self._wrappers >= MAX_DEPTH and name != "_LPAR"
            return "too_deep" if too_deep else None
        return "bad_number" if watched == _NUMBER and is_infinite(text) else None

    def _watch(self, watched: int, name: str, text: str) -> None:
        if watched == _KEY:
            self._keys[-1].add(key_of(text, name))
        elif watched == _OPEN:
            if name == "_LPAR":
                self._wrappers = len(self.containers)
            self.containers.append(name)
            self._keys.append(set())
        elif watched == _CLOSE:
            self.containers.pop()
            self._keys.pop()
        elif watched == _ARGUMENTS:
            self._wrappers = len(self.containers)


def key_of(token: str, name: str = "KEY") -> str:
    """Return the key that a token stands for: one in quotes may be spelled in several ways."""
    if name == "DICT_KEY":
        return read_string(token)
    if token[0] != '"':
        return token
    return str(json.loads(token)) if "\\" in token else token[1:-1]


def is_infinite(number: str) -> bool:
    """Whether a number with a fraction or an exponent overflows a float."""
    # Without an exponent it takes 309 digits, and an integer of any size is exact.
    large = "e" in number or "E" in number or (len(number) > LONGEST_FINITE and "." in number)
    # The e of 0x1e is a digit.
    return large and "x" not in number and "X" not in number and math.isinf(float(number))
