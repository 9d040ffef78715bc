"""From the place where a strict parse stops to the kind of failure, and the lenient repairs.

The kind follows from what the grammar would have taken (the parser's state) and what stands
there instead. Source of the kinds and their precedence: the wire format notes of this project,
summarised in README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lark import Token

from fcbench.formats._grammar import CLOSERS, Grammar, Halt, Walk
from fcbench.types import Call, Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN = 40  # characters of what was found that a message repeats
BRACKETS = "{}[]()"
QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_WORD = re.compile(r"""[^\s{}\[\]()<>,:"']+""")
_NAME_RUN = re.compile(r"""[^\s{}\[\]()<>,"']+""")
_SPACE = re.compile(r"\s+")
_NUMBER_LIKE = re.compile(
    r"[0-9.eE+-]*[0-9][0-9.eE+-]*|[+.-]+|[+-]?(?:nan|NaN|NAN|inf|Infinity|INF)"
)
_NUMBER_RUN = re.compile(r"[0-9.eE+-]+")
_PARTIAL_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?)?")
_LITERALS = {"TRUE", "FALSE", "NULL"}
_VALUES = frozenset({"_ESCAPE", "NUMBER", "TRUE", "FALSE", "NULL", "_LBRACE", "_LSQB"})


@dataclass(frozen=True)
class Wire:
    """The tokens of a format of FunctionGemma's kind.

    `stops` end the turn, `controls` may never stand in a string, `padding` is no answer, and a
    turn that holds one of `openers` attempts a call.
    """

    start: str
    end: str
    quote: str
    declaration: str
    prefix: str
    stops: tuple[str, ...]
    controls: tuple[str, ...]
    padding: tuple[str, ...]
    openers: tuple[str, ...]

    def attempts_call(self, text: str) -> bool:
        """Whether a text holds a call token, or a name after the prefix and before a bracket."""
        if any(opener in text for opener in self.openers):
            return True
        # Every maximal run of name characters is looked at once: one pattern for the whole would
        # take quadratic time over a long run.
        return self.prefix in text and any(
            self.prefix in run.group()[:-1] and text[run.end() : run.end() + 1] in ("{", "(")
            for run in _NAME_RUN.finditer(text)
        )

    def names(self) -> Mapping[str, str]:
        """Return what each terminal is called in a message to a person."""
        return {
            "_START_CALL": self.start,
            "_END_CALL": self.end,
            "_CALL": self.prefix,
            "NAME": "a function name",
            "_LBRACE": "{",
            "_RBRACE": "}",
            "_LSQB": "[",
            "_RSQB": "]",
            "_COLON": ":",
            "_COMMA": ",",
            "KEY": "an argument name",
            "_ESCAPE": self.quote,
            "TEXT": "text",
            "NUMBER": "a number",
            "TRUE": "true",
            "FALSE": "false",
            "NULL": "None",
            "$END": "the end of the turn",
        }


HINTS: dict[FailureKind, str] = {
    "empty_output": "the model wrote nothing: NaN logits (float16?), a wrong stop token?",
    "truncated": "right so far, but the token limit cut it: raise --max-new-tokens",
    "missing_start_token": "a call opens with {start}; are special tokens skipped when decoding?",
    "missing_end_token": "a call closes with {end}; is that a stop token, or skipped in decoding?",
    "missing_call_prefix": "the chat template writes `{prefix}` here: was the model trained or "
    "prompted without the template?",
    "missing_name": "a function name stands right after `{prefix}`",
    "missing_open_brace": "arguments open with {{ even when there are none: {{}}",
    "missing_close_brace": "an object or array is never closed",
    "missing_key": "each argument is name:value",
    "missing_value": "a value stands after each colon and between two commas",
    "missing_separator": "name and value are joined by `:`, arguments and items by `,`",
    "trailing_comma": "no comma before a closing bracket",
    "wrong_bracket": "arguments and objects stand in {{}}, arrays in []",
    "duplicate_key": "an argument may be given once",
    "unterminated_string": "a string stands between two {quote} and holds no control token",
    "bare_string": "a string stands between two {quote}",
    "quoted_string": "strings stand between two {quote}, not in quotation marks",
    "json_arguments": "this is JSON; in this format argument names are bare: {{name:value}}",
    "bad_number": "a number is written as in JSON, and finite",
    "python_literal": "true and false are lower-case",
    "stray_whitespace": "no whitespace between tokens: was the model trained on such calls?",
    "text_before_call": "a call turn holds nothing but calls",
    "text_between_calls": "calls follow each other with nothing between",
    "text_after_call": "a call turn ends right after the last {end}",
    "declaration_echo": "the model repeats the declarations instead of calling: is this the "
    "prompt it was trained on?",
    "too_deep": "arguments may be nested 64 levels deep",
    "unexpected": "see what was expected",
}


def diagnose(wire: Wire, grammar: Grammar, turn: str, *, limited: bool) -> Failure:
    """Return why a turn, known to be outside the strict language, is outside it.

    `limited`: the token limit, not a stop token, ended the turn.
    """
    walk = Walk(grammar, turn)
    halt = walk.run()
    if halt is None:
        raise AssertionError(f"the two strict parses disagree on {turn!r}")
    if limited and _cut_short(wire, halt, turn):
        return failure(wire, "truncated", turn, Halt(len(turn), halt.expected, halt.previous, None))
    kind, at = _kind(wire, halt, turn)
    # A value judged together with what sticks to it is judged as a value, from its beginning.
    expected = halt.expected if at == halt.position else _VALUES
    return failure(wire, kind, turn, halt._replace(position=at, expected=expected))


def empty_output(wire: Wire, turn: str) -> Failure:
    """Return the failure of a turn that holds nothing but whitespace and padding."""
    return failure(wire, "empty_output", turn, Halt(0, frozenset({"_START_CALL"}), None, None))


def failure(wire: Wire, kind: FailureKind, turn: str, halt: Halt) -> Failure:
    """Return the record of a failure of a kind at a place."""
    offset = halt.position
    return Failure(
        kind=kind,
        offset=offset,
        byte_offset=len(turn[:offset].encode("utf-8", "surrogatepass")),
        expected=_expected(wire, halt.expected),
        found=_found(wire, turn, offset),
        hint=HINTS[kind].format(
            start=wire.start, end=wire.end, quote=wire.quote, prefix=wire.prefix
        ),
    )


def _expected(wire: Wire, terminals: frozenset[str]) -> str:
    """Return what would have been right, in words, always in the same order."""
    words = ["a value"] if terminals >= _VALUES else []
    others = terminals - _VALUES if words else terminals
    words += [word for name, word in wire.names().items() if name in others]
    return " or ".join(words)


def _found(wire: Wire, turn: str, at: int) -> str:
    if at >= len(turn):
        return "the end of the turn"
    for control in wire.controls:
        if turn.startswith(control, at):
            return control
    run = _SPACE.match(turn, at) or _WORD.match(turn, at)
    found = run.group() if run else turn[at]
    return found if len(found) <= SHOWN else found[: SHOWN - 1] + "…"


def _cut_short(wire: Wire, halt: Halt, turn: str) -> bool:
    """Whether the turn is right so far: the rest begins a token that may follow."""
    if halt.problem is not None:
        return False
    rest = turn[halt.position :]
    texts = [
        wire.names()[name]
        for name in halt.expected
        if name in ("_START_CALL", "_END_CALL", "_CALL", "_ESCAPE")
    ]
    if halt.expected >= _VALUES:
        texts += ["true", "false", "None", "null"]
    if any(text.startswith(rest) for text in texts) or not rest:
        return True
    if halt.expected >= _VALUES:
        return _PARTIAL_NUMBER.fullmatch(rest) is not None
    previous = halt.previous
    if previous is not None and previous.type == "NUMBER" and _touches(previous, halt):
        return _PARTIAL_NUMBER.fullmatch(previous + rest) is not None
    return False


def _touches(previous: Token, halt: Halt) -> bool:
    return previous.start_pos is not None and previous.start_pos + len(previous) == halt.position


def _kind(wire: Wire, halt: Halt, turn: str) -> tuple[FailureKind, int]:
    """Return the failure's kind and offset, by what the grammar expected where it stopped."""
    at, expected = halt.position, halt.expected
    if halt.problem is not None:
        return halt.problem, at  # type: ignore[return-value]  # the three problems are kinds
    if expected & {"TEXT"} or (halt.previous is not None and halt.previous.type == "TEXT"):
        return "unterminated_string", at
    if "_START_CALL" in expected:
        return _outside_calls(wire, halt, turn), at
    if halt.previous is not None and _touches(halt.previous, halt):
        glued = _glued_value(halt.previous, turn, at)
        if glued is not None:
            return glued
    if at < len(turn) and turn[at].isspace():
        return "stray_whitespace", at
    if expected >= _VALUES:
        return _instead_of_value(wire, halt, turn), at
    if "KEY" in expected:
        return _instead_of_key(wire, halt, turn), at
    return _instead_of_punctuation(wire, halt, turn), at


def _outside_calls(wire: Wire, halt: Halt, turn: str) -> FailureKind:
    at = halt.position
    after_call = halt.previous is not None
    if turn.startswith(wire.declaration, at):
        return "declaration_echo"
    if turn.startswith(wire.prefix if after_call else (wire.prefix, wire.end), at):
        return "missing_start_token"
    if turn.startswith(wire.controls, at):
        return "unexpected"
    following = turn.find(wire.start, at)
    gap = turn[at:following] if following >= 0 else turn[at:]
    if not gap.strip():
        return "stray_whitespace"
    if not after_call:
        return "text_before_call"
    return "text_after_call" if following < 0 else "text_between_calls"


def _glued_value(previous: Token, turn: str, at: int) -> tuple[FailureKind, int] | None:
    """Judge a number or literal that more characters stick to, as in 007, 1.2.3 or trueish."""
    start = previous.start_pos
    word = _WORD.match(turn, at)
    if word is None or start is None:
        return None
    whole = turn[start : word.end()]
    if previous.type == "NUMBER":
        run = _NUMBER_RUN.match(turn, start)
        if run is not None and run.end() == at and turn.startswith(":", word.end()):
            return "missing_separator", at  # a:1b:2 is two arguments
        return ("bad_number" if _NUMBER_LIKE.fullmatch(whole) else "bare_string"), start
    return ("bare_string", start) if previous.type in _LITERALS else None


def _instead_of_value(wire: Wire, halt: Halt, turn: str) -> FailureKind:
    at = halt.position
    if at == len(turn) or turn.startswith(wire.controls, at):
        return "missing_value" if halt.container == "_LBRACE" else "missing_close_brace"
    char = turn[at]
    if char == "]" and halt.container == "_LSQB":
        return "trailing_comma"
    if char in ",:" or (char == "}" and halt.container == "_LBRACE"):
        return "missing_value"
    if char in QUOTES:
        return "quoted_string"
    if char in BRACKETS:
        return "missing_value" if char == "]" else "wrong_bracket"
    word = _WORD.match(turn, at)
    found = word.group() if word else char
    if found in ("True", "False"):
        return "python_literal"
    return "bad_number" if _NUMBER_LIKE.fullmatch(found) else "bare_string"


def _instead_of_key(wire: Wire, halt: Halt, turn: str) -> FailureKind:
    at = halt.position
    char = turn[at : at + 1]
    if char in QUOTES and char:
        return "json_arguments"
    if char == "}":
        return "trailing_comma"
    if char and char in "])":
        return "wrong_bracket"
    if turn.startswith(wire.quote, at) or (char and not turn.startswith(wire.controls, at)):
        return "missing_key"
    return "missing_close_brace"


def _instead_of_punctuation(wire: Wire, halt: Halt, turn: str) -> FailureKind:
    at, expected = halt.position, halt.expected
    char = turn[at : at + 1]
    if "_CALL" in expected:
        return "missing_call_prefix"
    if "NAME" in expected:
        return "missing_name"
    if expected == {"_LBRACE"}:
        return "wrong_bracket" if char and char in "([" else "missing_open_brace"
    if "_END_CALL" in expected:
        return "wrong_bracket" if char and char in "}])" else "missing_end_token"
    if char and char in "}])":
        return "missing_separator" if "_COLON" in expected and char == "}" else "wrong_bracket"
    if "_COMMA" in expected and (not char or turn.startswith((wire.end, wire.start), at)):
        return "missing_close_brace"
    return "missing_separator" if expected & {"_COLON", "_COMMA"} else "unexpected"


# Lenient mode


class Repairing(Walk):
    """A walk that mends what lenient mode allows, in one pass, and lists what it mended."""

    def __init__(self, wire: Wire, grammar: Grammar, turn: str) -> None:
        super().__init__(grammar, turn)
        self.repairs: list[str] = []
        self._wire = wire

    def calls(self) -> list[Call] | None:
        """Return the calls of the mended turn, or None if mending was not enough."""
        while True:
            self._drop_trailing_comma()
            halt = self.run_one()
            if halt is None:
                continue
            if halt.position == len(self.turn) and "$END" in halt.expected:
                return self.result()
            if not self._mend(halt):
                return None

    def run_one(self) -> Halt | None:
        """Take one token, or return where the parse stands."""
        token = self.next_token()
        if token is None:
            return self.halt()
        problem = self._problem(token)
        return self.halt(problem) if problem is not None or not self.feed(token) else None

    def _note(self, what: str) -> None:
        self.repairs.append(f"{what} at {self.position}")

    def _drop_trailing_comma(self) -> None:
        if self.containers and self.turn.startswith(",", self.position):
            gap = _SPACE.match(self.turn, self.position + 1)
            after = gap.end() if gap else self.position + 1
            closer = "}" if self.containers[-1] == "_LBRACE" else "]"
            before = self.previous
            comma_is_first = before is not None and before.type in (
                "_COMMA",
                "_COLON",
                *CLOSERS.values(),
            )
            if self.turn.startswith(closer, after) and not comma_is_first:
                self._note("removed a trailing comma")
                self.position += 1

    def _mend(self, halt: Halt) -> bool:
        turn, at = self.turn, self.position
        if halt.problem is not None or "TEXT" in halt.expected:
            return False
        space = _SPACE.match(turn, at)
        if space is not None:
            self._note("removed whitespace")
            self.position = space.end()
            return True
        if "_START_CALL" in halt.expected:
            return self._skip_text(halt)
        if halt.expected >= _VALUES:
            for literal, terminal in (("True", "TRUE"), ("False", "FALSE")):
                word = _WORD.match(turn, at)
                if word is not None and word.group() == literal:
                    self._note(f"read {literal} as {literal.lower()}")
                    return self.feed(Token(terminal, literal.lower(), start_pos=at), len(literal))
        if "_END_CALL" in halt.expected and at == len(turn):
            self._note("added the missing end token")
            return self.feed(Token("_END_CALL", self._wire.end, start_pos=at), 0)
        return False

    def _skip_text(self, halt: Halt) -> bool:
        """Skip text around calls; never a control token, and never all of a turn without a call."""
        following = self.turn.find(self._wire.start, self.position)
        if following < 0 and halt.previous is None:
            return False
        end = following if following >= 0 else len(self.turn)
        gap = self.turn[self.position : end]
        # A second opener without its token is an attempt at a call, not text around one.
        if (
            not gap
            or any(control in gap for control in self._wire.controls)
            or self._wire.attempts_call(gap)
        ):
            return False
        self._note("removed text")
        self.position = end
        return True
