"""From the place where a strict parse stops to the kind of failure.

The kind follows from what the grammar would have taken (the parser's state) and what stands
there instead. Source of the kinds and their precedence: the wire format notes of this project,
summarised in README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.formats._kinds import SPACE, WORD
from fcbench.formats._walk import Halt
from fcbench.types import Failure, FailureKind

if TYPE_CHECKING:
    from fcbench.formats._wire import Wire

TAIL = 4096  # characters before the limit in which repetition is looked for
REPEATS, LEAST_REPEATED = 4, 48
SHOWN = 40  # characters of what was found that a message repeats

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


def diagnose(wire: Wire, turn: str, halt: Halt, *, limited: bool) -> Failure:
    """Return why a turn, whose strict parse stopped, is outside the strict language.

    `limited`: the token limit, not a stop token, ended the turn.
    """
    if limited:
        repeated_from = start_of_repetition(turn)
        if repeated_from is not None:
            at_repetition = Halt(repeated_from, frozenset({"$END"}), None, None)
            return failure(wire, "repetition", turn, at_repetition)
    # A key that stands already may be the beginning of a longer one.
    may_go_on = halt.problem in (None, "duplicate_key")
    if limited and may_go_on and wire.begins_token(halt, turn):
        return failure(wire, "truncated", turn, Halt(len(turn), halt.expected, halt.previous, None))
    kind, at = wire.kind(halt, turn)
    # A value judged together with what sticks to it is judged as a value, from its beginning.
    is_value = at < halt.position and halt.container is not None
    expected = wire.values if is_value else halt.expected
    return failure(wire, kind, turn, halt._replace(position=at, expected=expected))


def wrong_dialect(wire: Wire, turn: str, dialect: str) -> Failure:
    """Return the failure of a turn that is valid in another format."""
    halt = Halt(0, wire.first, None, None)
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
    return failure(wire, "empty_output", turn, Halt(0, wire.first, None, None))


def failure(wire: Wire, kind: FailureKind, turn: str, halt: Halt, dialect: str = "") -> Failure:
    """Return the record of a failure of a kind at a place."""
    offset = halt.position
    hint = wire.hints().get(kind) or HINTS[kind].format(
        start=wire.start, end=wire.end, quote=wire.quote, prefix=wire.prefix, dialect=dialect
    )
    return Failure(
        kind=kind,
        offset=offset,
        byte_offset=len(turn[:offset].encode("utf-8", "surrogatepass")),
        expected=_expected(wire, halt.expected),
        found=_found(wire, turn, offset),
        hint=hint,
    )


def _expected(wire: Wire, terminals: frozenset[str]) -> str:
    """Return what would have been right, in words, always in the same order."""
    words = ["a value"] if terminals >= wire.values else []
    others = terminals - wire.values if words else terminals
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
