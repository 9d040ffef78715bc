"""What holds of fcbench.parse for every text, in every format, mode and stop."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, TypeVar

from fcbench import Call, Parse, parse, render
from fcbench.errors import FormatError
from tests.fuzz import reference
from tests.fuzz.notations import NOTATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fcbench.types import Failure

T = TypeVar("T", str, bytes)
MODES, STOPS = ("strict", "lenient"), (None, "token", "limit")
EXCUSED_BY_LIMIT = ("truncated", "repetition")


# Judged as a whole, or by rules beyond the grammar, wherever the grammar's first wrong token is.
ELSEWHERE = {
    *("wrong_dialect", "empty_output", "truncated", "repetition"),
    *("duplicate_key", "too_deep"),
}
# What may stand between a failure and the first wrong token behind it: a value that this token
# sticks to, the first two of three quotes, or a newline that only stands between two calls.
BEFORE = re.compile(r"""[-+]?[0-9.][0-9A-Za-z_.+-]*|true|false|null|True|False|None|''|""|\n""")
PYTHON_WORD = re.compile(r"(?:[0-9A-Za-z_.]|[^\x00-\x7f\s])+")


class Violation(Exception):
    """A property that does not hold. `rule` names it, in the same words for every text."""

    def __init__(self, rule: str, seen: object) -> None:
        super().__init__(f"{rule}: {shown(seen)}")
        self.rule, self.seen = rule, seen


def check(text: str, format: str) -> None:
    """Raise a Violation of the first property that a text does not have."""
    judged = {
        (mode, stop): _judge(text, format, mode, stop)
        for mode, stop in itertools.product(MODES, STOPS)
    }
    for (mode, stop), parsed in judged.items():
        _check_record(parsed, text, mode, stop)
    strict, lenient = judged["strict", None], judged["lenient", None]
    for mode in MODES:
        _same_turn_whatever_the_stop(*(judged[mode, stop] for stop in STOPS))
    if strict.outcome == "calls":
        hold(lenient == strict, "lenient mode changes what strict mode accepts", lenient)
    if strict.outcome == "abstained" or lenient.outcome == "abstained":
        hold(lenient == strict, "an abstention depends on the mode", (strict, lenient))
    if lenient.outcome == "calls":
        _check_round_trip(lenient.calls, format)
    _check_what_follows_a_stop(text, format, strict)
    if format in reference.BUILDERS:
        calls = reference.parse(text, format) or []
        hold(typed(calls) == typed(strict.calls), "the reference parser disagrees", calls)
        _check_place(text, format, strict.failure)


def _check_place(text: str, format: str, failure: Failure | None) -> None:
    """Check that a failure lies where plain Lark stops, or nearly."""
    if failure is None or failure.kind in ELSEWHERE:
        return
    place = reference.first_wrong(text, format)
    if place is None:
        return
    if failure.offset < place.offset:
        between = text[failure.offset : place.offset]
        word = PYTHON_WORD.match(text, failure.offset)
        # Whether a word is a name is no matter of the grammar in this format.
        unnamed = format == "pythonic" and word and not reference.is_python_name(word.group())
        ahead = BEFORE.fullmatch(between) or unnamed
        hold(ahead, "an offset before the first wrong token", failure)
        return
    if failure.kind != "unterminated_string":
        # The format's own whitespace may stand there; what comes after it is what is wrong.
        space = " \t\f\n\r" if format == "pythonic" else " \t\n\r"
        between = text[place.offset : failure.offset].strip(space)
        hold(not between, "an offset behind the first wrong token", failure)
    if failure.expected == "a value":
        hold(place.takes_value, "a value is expected where none may stand", failure)


def _judge(text: str, format: str, mode: str, stop: str | None) -> Parse:
    try:
        return parse(text, format, mode, stop)
    except Exception as error:
        raise Violation(f"parse raises {type(error).__name__}", error) from error


def hold(holds: object, rule: str, seen: object) -> None:
    """Raise a Violation of a rule unless it holds; `seen` is what a person needs to see."""
    if not holds:
        raise Violation(rule, seen)


def _check_record(parsed: Parse, text: str, mode: str, stop: str | None) -> None:
    """Check that a judgement agrees with itself and lies inside the text."""
    outcome, failure = parsed.outcome, parsed.failure
    hold(outcome in ("calls", "abstained", "malformed"), "an unknown outcome", outcome)
    hold((outcome == "calls") == bool(parsed.calls), "calls without their outcome", parsed)
    hold((outcome == "malformed") == (failure is not None), "failure without its outcome", parsed)
    if parsed.repairs:
        hold(mode == "lenient" and outcome == "calls", "repairs where none can be", parsed)
    if failure is None:
        return
    hold(0 <= failure.offset <= len(text), "an offset outside the text", failure)
    n_bytes = len(text[: failure.offset].encode("utf-8", "surrogatepass"))
    hold(failure.byte_offset == n_bytes, "a byte offset that is not the offset's", failure)
    hold(failure.expected and failure.found and failure.hint, "a failure unexplained", failure)
    if failure.kind in EXCUSED_BY_LIMIT:
        hold(stop == "limit", "a limit where none was", failure)


def _same_turn_whatever_the_stop(unknown: Parse, token: Parse, limit: Parse) -> None:
    """Check that what ended the generation changes the reason at most, and only at the limit."""
    hold(unknown == token, "stop=None differs from stop='token'", (unknown, token))
    if limit.failure is None or limit.failure.kind not in EXCUSED_BY_LIMIT:
        hold(limit == token, "the limit changes more than it may", (token, limit))
    else:
        hold(token.outcome == "malformed", "the limit breaks a turn", (token, limit))


def _check_round_trip(calls: Sequence[Call], format: str) -> None:
    try:
        text = render(calls, format)
    except FormatError as error:
        # JSON can spell a stop token inside a string, with \u003c; render never does, and refuses.
        strings = list(_strings(list(calls)))
        if any(stop in string for stop in _stops(format) for string in strings):
            return
        raise Violation("render refuses what parse gave", error) from error
    except Exception as error:
        raise Violation(f"render raises {type(error).__name__}", error) from error
    again = _judge(text, format, "strict", None)
    hold(again.outcome == "calls", "a rendered turn does not parse", (text, again))
    hold(typed(again.calls) == typed(calls), "a rendered turn says something else", text)


def _check_what_follows_a_stop(text: str, format: str, strict: Parse) -> None:
    stops = _stops(format)
    # What is valid as a whole in another format is judged as a whole, stop tokens included.
    if stops and (strict.failure is None or strict.failure.kind != "wrong_dialect"):
        followed = _judge(f"{text}{stops[0]} and so on", format, "strict", None)
        hold(followed == strict, "text after a stop token is judged", followed)


def _stops(format: str) -> Sequence[str]:
    return NOTATIONS[format].stops if format in NOTATIONS else ()


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in calls: names, keys and values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Call):
        yield from _strings([value.name, value.arguments])
    elif isinstance(value, dict):
        yield from _strings([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def shown(value: object) -> str:
    """Return the beginning of a value's text, for a person."""
    try:
        return str(value)[:300]
    except ValueError:  # CPython writes no integer of more than 4,300 digits
        return "something that holds a very long integer"


def typed(value: Any) -> Any:
    """Return what differs wherever JSON types differ: 1 from 1.0 and True, 0.0 from -0.0.

    The order of keys does not count; that of items and calls does.
    """
    if isinstance(value, Call):
        return value.name, typed(value.arguments)
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    # repr tells the two zeros apart, but refuses integers of thousands of digits.
    return (type(value), repr(value) if isinstance(value, float) else value)


def shortest(text: T, fails: Callable[[T], bool], attempts: int = 2000) -> T:
    """Return the shortest text, or bytes, found that still fails, by leaving out ever smaller pieces."""
    size = max(1, len(text) // 2)
    while size:
        at, before = 0, len(text)
        while at < len(text) and attempts:
            attempts -= 1
            without = text[:at] + text[at + size :]
            if fails(without):
                text = without
            else:
                at += size
        if len(text) == before or size > 1:
            size //= 2
        if not attempts:
            break
    return text
