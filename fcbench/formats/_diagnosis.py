"""From the place where a strict parse stops to the kind of failure.

The kind follows from what the grammar would have taken (the parser's state) and what stands
there instead. Source of the kinds and their precedence: the wire format notes of this project,
summarised in README.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fcbench.formats._grammar import Halt, Walk
from fcbench.types import Failure, FailureKind

if TYPE_CHECKING:
    from lark import Token

    from fcbench.formats._grammar import Grammar
    from fcbench.formats._wire import Wire

TAIL = 4096  # characters before the limit in which repetition is looked for
REPEATS, LEAST_REPEATED = 4, 48
SHOWN = 40  # characters of what was found that a message repeats
BRACKETS = "{}[]()"
QUOTES = "\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
WORD = re.compile(r"""[^\s{}\[\]()<>,:"']+""")
SPACE = re.compile(r"\s+")
_NUMBER_LIKE = re.compile(
    r"[0-9.eE+-]*[0-9][0-9.eE+-]*|[+.-]+|[+-]?(?:nan|NaN|NAN|inf|Infinity|INF)"
)
_NUMBER_RUN = re.compile(r"[0-9.eE+-]+")
_PARTIAL_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?)?")
_LITERALS = {"TRUE", "FALSE", "NULL"}
VALUES = frozenset({"_ESCAPE", "NUMBER", "TRUE", "FALSE", "NULL", "_LBRACE", "_LSQB"})


HINTS: dict[FailureKind, str] = {
    "empty_output": "the model wrote nothing: NaN logits (float16?), a wrong stop token?",
    "wrong_dialect": "the whole turn is valid in the format {dialect}: was the model trained on "
    "that one, or is --format wrong?",
    "repetition": "the model repeats itself until the limit: was it trained too little, or never "
    "on a stop token?",
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
    if limited:
        repeated_from = start_of_repetition(turn)
        if repeated_from is not None:
            at_repetition = Halt(repeated_from, frozenset({"$END"}), None, None)
            return failure(wire, "repetition", turn, at_repetition)
    if limited and _cut_short(wire, halt, turn):
        return failure(wire, "truncated", turn, Halt(len(turn), halt.expected, halt.previous, None))
    kind, at = _kind(wire, halt, turn)
    # A value judged together with what sticks to it is judged as a value, from its beginning.
    expected = halt.expected if at == halt.position else VALUES
    return failure(wire, kind, turn, halt._replace(position=at, expected=expected))


def wrong_dialect(wire: Wire, turn: str, dialect: str) -> Failure:
    """Return the failure of a turn that is valid in another format."""
    halt = Halt(0, frozenset({"_START_CALL"}), None, None)
    return failure(wire, "wrong_dialect", turn, halt, dialect)


def start_of_repetition(text: str) -> int | None:
    """Return where the same fragment begins to stand over and over up to the end, if it does.

    Four times at least, and LEAST_REPEATED characters; only the last TAIL characters are looked at.

    Source: the prefix function of Knuth, Morris and Pratt, here over the reversed text: n - pi[n]
    is the shortest period of the last n characters.
    """
    tail = text[-TAIL:][::-1]
    borders = [0] * len(tail)
    longest = 0
    for n in range(1, len(tail)):
        border = borders[n - 1]
        while border and tail[n] != tail[border]:
            border = borders[border - 1]
        borders[n] = border + (tail[n] == tail[border])
        if n + 1 >= REPEATS * (n + 1 - borders[n]):
            longest = n + 1
    return len(text) - longest if longest >= LEAST_REPEATED else None


def empty_output(wire: Wire, turn: str) -> Failure:
    """Return the failure of a turn that holds nothing but whitespace and padding."""
    return failure(wire, "empty_output", turn, Halt(0, frozenset({"_START_CALL"}), None, None))


def failure(wire: Wire, kind: FailureKind, turn: str, halt: Halt, dialect: str = "") -> Failure:
    """Return the record of a failure of a kind at a place."""
    offset = halt.position
    return Failure(
        kind=kind,
        offset=offset,
        byte_offset=len(turn[:offset].encode("utf-8", "surrogatepass")),
        expected=_expected(wire, halt.expected),
        found=_found(wire, turn, offset),
        hint=HINTS[kind].format(
            start=wire.start,
            end=wire.end,
            quote=wire.quote,
            prefix=wire.prefix,
            dialect=dialect,
        ),
    )


def _expected(wire: Wire, terminals: frozenset[str]) -> str:
    """Return what would have been right, in words, always in the same order."""
    words = ["a value"] if terminals >= VALUES else []
    others = terminals - VALUES if words else terminals
    words += [word for name, word in wire.names().items() if name in others]
    return " or ".join(words)


def _found(wire: Wire, turn: str, at: int) -> str:
    if at >= len(turn):
        return "the end of the turn"
    for control in wire.controls:
        if turn.startswith(control, at):
            return control
    run = SPACE.match(turn, at) or WORD.match(turn, at)
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
    if halt.expected >= VALUES:
        texts += ["true", "false", "None", "null"]
    if any(text.startswith(rest) for text in texts) or not rest:
        return True
    if halt.expected >= VALUES:
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
    if expected >= VALUES:
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
    word = WORD.match(turn, at)
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
    word = WORD.match(turn, at)
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
