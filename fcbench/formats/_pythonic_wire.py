"""How calls in Python are diagnosed: one list of calls with keyword arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from keyword import iskeyword, kwlist
from typing import TYPE_CHECKING, ClassVar

from fcbench.formats._kinds import LITERALS, QUOTES, touches
from fcbench.formats._wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lark import Token

    from fcbench.formats._walk import Halt
    from fcbench.types import FailureKind

# Identifiers and keywords, by the pattern that grammars/pythonic.lark explains.
_WORD = r"(?![0-9])(?:[0-9A-Za-z_]++|[^\x00-\x7f\s]++)++"
_NAME = rf"{_WORD}(?:\.{_WORD})*+"
# The beginning of a list of calls anywhere; a blank before the parenthesis only where a turn
# begins. [f()](url) is a link in Markdown.
_OPENER = re.compile(
    rf"(?:\A\s*+\[\s*+{_NAME}\s*+|\[\s*+{_NAME})\(\s*+(?:\)(?!\]\()|[\"']|{_WORD}\s*+=(?!=))"
)
# What no prose begins with: f(, [f(, [f-g(, [f{, [f[ or [(a=, and a whole turn that is [] or [f].
# After a comma, because lenient mode asks this of what follows a list of calls.
_OWN_OPENER = re.compile(
    rf"[\s,]*+(?:{_NAME}\(|\[\s*+(?:[^\s{{}}\[\]()<>,:\"'=]++\(|{_NAME}\s*+(?:[\[{{]|\]\s*+\Z)"
    rf"|\]\s*+\Z|\(\s*+(?:\)|{_WORD}\s*+=)))"
)
_WIDER_NAME = r"[^\x00-\-/:-@\[-^`{-\x7f]+"  # letters, digits, _ and . and all beyond ASCII
_WHOLE_WORD = re.compile(_WORD)
_BARE_CALL = re.compile(rf"{_NAME}\(")

_NO_NAME = (r"(?:.*\.)?[0-9].*", r".*[^\x00-\x7f].*", rf"(?:.*\.)?(?:{'|'.join(kwlist)})(?:\..*)?")

_BLANK = " \t\f\n\r"  # what Python takes for whitespace between brackets
_BLANKS = re.compile(f"[{_BLANK}]+")
_STUCK = re.compile(r"""[^\s{}\[\]()<>,:"'=]+""")  # what belongs to the word or number before it
_NEXT_ARGUMENT = re.compile(rf"{_WORD}[{_BLANK}]*+=(?!=)")

# A string as far as it is right, and one that the token limit may have cut.
_ESCAPE = (
    r"\\(?:[^\n\r\x00\ud800-\udfffNUux]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}"
    r"|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"
)
_STRING = "|".join(
    rf"{quote}(?:[^{quote}\\\n\r\x00\ud800-\udfff]++|{_ESCAPE})*+" for quote in "\"'"
)
_BEGUN_STRING = re.compile(_STRING)
_CUT_STRING = re.compile(
    rf"(?:{_STRING})(?:\\(?:x[0-9a-fA-F]?|u[0-9a-fA-F]{{0,3}}"
    r"|U(?:0(?:0(?:0[0-9a-fA-F]{0,4}|1(?:0[0-9a-fA-F]{0,3})?)?)?)?)?)?"
)
_QUOTED_KEY = re.compile(rf"(?:{_STRING})[\"'][{_BLANK}]*+[:=]")
_PREFIX = re.compile(r"[bBfFrRuU]{1,2}[\"']")

_DIGITS = "[0-9](?:_?[0-9])*+"
_CUT_NUMBER = re.compile(
    r"-?+(?:0[xX](?:_?[0-9a-fA-F])*+_?|0[oO](?:_?[0-7])*+_?|0[bB](?:_?[01])*+_?|"
    rf"{_DIGITS}_?|(?:{_DIGITS})?+\.(?:{_DIGITS}_?)?|"
    rf"(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})[eE][+-]?(?:{_DIGITS}_?)?)?"
)
_NUMBER_LIKE = re.compile(
    r"(?=[.+-]*+[0-9])[0-9_.eE+-]++[jJ]?|[+-]*+0[xXoObB][0-9a-fA-F_]*+|[+.-]+"
    r"|[+-]?(?:nan|NaN|NAN|inf|Inf|INF|Infinity)"
)

HINTS: dict[FailureKind, str] = {
    "missing_start_token": "calls stand in a list, which opens with [",
    "missing_end_token": "the list of calls closes with ]",
    "missing_name": "a function name stands before each (: identifiers joined by dots, no keywords",
    "missing_open_brace": "arguments open with ( even when there are none: f()",
    "missing_close_brace": "an argument list, list or dict is never closed",
    "missing_key": "each argument is name=value, the name an identifier and no keyword of "
    'Python; each item of a dict is "key": value',
    "missing_value": "a value stands after each = and : and between two commas",
    "missing_separator": "an argument's name and value are joined by =, a dict's key and "
    "value by :, and calls, arguments and items by ,",
    "wrong_bracket": "calls stand in one [], their arguments in (), lists in [] and dicts "
    "in {}; there are no tuples",
    "unterminated_string": "a string stands between two \" or two ' on one line, and its "
    "escapes are Python's without \\N",
    "bare_string": "a string stands between two \" or two '; True, False and None are the "
    "only words",
    "quoted_string": "a string stands between two \" or two ', without a prefix, and not "
    "in triple or other quotes",
    "json_arguments": "argument names are bare: f(name=value)",
    "bad_number": "a number is written as in Python, without a plus, and finite",
    "stray_whitespace": "whitespace is what Python takes for it: blanks, tabs, line ends",
    "text_after_call": "a call turn is one list and ends with its ]",
}


@dataclass(frozen=True)
class PythonicWire(Wire):
    """The tokens of a list of calls in Python."""

    values = frozenset({"STRING", "NUMBER", "TRUE", "FALSE", "NULL", "_LBRACE", "_LSQB"})

    # A number's digits in other bases, before and after the point, and of an exponent; a name's
    # words, up to eight.
    bounds: ClassVar[Mapping[str, Sequence[int]]] = {
        "NUMBER": (1, 1, 1, 13, 13, 13, 1, 13, 1, 13, 0),
        "NAME": (64, 1, 1, 7, 64, 1, 1),
    }

    # Names are ASCII words but keywords; a dict's key stands in double quotes with no escape.
    unsayable: ClassVar[Mapping[str, Sequence[str]]] = {
        "NAME": _NO_NAME,
        "KEY": _NO_NAME,
        "DICT_KEY": ("'.*", r".*\\.*"),
    }

    def next_call(self, turn: str, at: int) -> int:
        """Return where the next list of calls after a place begins, or -1."""
        found = _OPENER.search(turn, at)
        return -1 if found is None else found.start()

    @property
    def first(self) -> frozenset[str]:
        """The terminals that a turn can begin with."""
        return frozenset({"_LSQB"})

    def attempts_call(self, text: str) -> bool:
        """Whether a text holds the beginning of a list of calls with its first argument."""
        return _OPENER.search(text) is not None

    def attempts(self) -> list[str]:
        """Return a pattern of whatever attempts_call finds: a list, a word and a parenthesis."""
        return [rf"\[\s*{_WIDER_NAME}\s*\("]

    def begins_call(self, turn: str) -> bool:
        """Whether a turn begins as a list of calls does, or as a call without its list."""
        return _OWN_OPENER.match(turn) is not None

    def beginnings(self) -> list[str]:
        """Return patterns of whatever begins_call finds: any list, or a word with a parenthesis."""
        return [r"[\s,]*\[", rf"[\s,]*{_WIDER_NAME}\("]

    def missing_end(self, halt: Halt) -> str | None:
        """Return the terminal of the list's end, if nothing else is missing where a turn ends."""
        after_call = halt.previous is not None and halt.previous.type == "_RPAR"
        return "_RSQB" if after_call and "_RSQB" in halt.expected else None

    def names(self) -> Mapping[str, str]:
        """Return what each terminal is called in a message to a person, in the order to list."""
        return {
            "_WS": "whitespace",
            "NAME": "a function name",
            "KEY": "an argument name",
            "DICT_KEY": "a key in quotes",
            "STRING": "a string",
            "NUMBER": "a number",
            "TRUE": "True",
            "FALSE": "False",
            "NULL": "None",
            "_LPAR": "(",
            "_RPAR": ")",
            "_LBRACE": "{",
            "_RBRACE": "}",
            "_LSQB": "[",
            "_RSQB": "]",
            "_EQUAL": "=",
            "_COLON": ":",
            "_COMMA": ",",
            "$END": "the end of the turn",
        }

    def hints(self) -> Mapping[FailureKind, str]:
        """Return the hints that read otherwise than the shared ones."""
        return HINTS

    def begins_token(self, halt: Halt, turn: str) -> bool:
        """Whether what is left where the parse stopped begins a token that may stand there."""
        rest = turn[halt.position :]
        if halt.previous is not None and touches(halt.previous, halt) and _goes_on(halt, rest):
            return True
        rest = rest.lstrip(_BLANK)
        if not rest:
            return True
        if halt.expected & {"STRING", "DICT_KEY"} and _CUT_STRING.fullmatch(rest):
            return True
        # A keyword, or a name that stands already, may be the beginning of a longer one.
        if halt.expected & {"NAME", "KEY"}:
            return _WHOLE_WORD.fullmatch(rest) is not None
        if not halt.expected >= self.values:
            return False
        constants = any(word.startswith(rest) for word in ("True", "False", "None"))
        return constants or _CUT_NUMBER.fullmatch(rest) is not None

    def kind(self, halt: Halt, turn: str) -> tuple[FailureKind, int]:
        """Return the failure's kind and offset, by what was expected where the parse stopped."""
        at = halt.position
        if halt.problem is not None:
            return halt.problem, at  # type: ignore[return-value]  # the problems are kinds
        if halt.container is None:
            return _outside_list(self, halt, turn), at
        if halt.previous is not None and touches(halt.previous, halt):
            stuck = _stuck(halt.previous, turn, at)
            if stuck is not None:
                return stuck
        # Whitespace may stand here; what follows it may not.
        blanks = _BLANKS.match(turn, at)
        at = blanks.end() if blanks else at
        if turn[at : at + 1].isspace():
            return "stray_whitespace", at
        if halt.expected & {"STRING", "DICT_KEY"} and turn.startswith(('"', "'"), at):
            begun = _BEGUN_STRING.match(turn, at)
            return "unterminated_string", at if begun is None else begun.end()
        return _inside_list(self, halt, turn, at), at


def _goes_on(halt: Halt, rest: str) -> bool:
    """Whether the last token, a number or a dotted name, may be longer than the turn shows it."""
    previous = halt.previous
    if previous is None or not rest:
        return False
    if previous.type == "NUMBER":
        return _CUT_NUMBER.fullmatch(previous + rest) is not None
    return previous.type == "NAME" and rest[0] == "." and (rest == "." or iskeyword(rest[1:]))


def _outside_list(wire: PythonicWire, halt: Halt, turn: str) -> FailureKind:
    """Judge what stands before or after the list of calls."""
    at = halt.position
    before = "_LSQB" in halt.expected
    if before and _BARE_CALL.match(turn, at):
        return "missing_start_token"
    following = wire.next_call(turn, at) if before else -1
    if not (turn[at:following] if following >= 0 else turn[at:]).strip():
        return "stray_whitespace"
    return "text_before_call" if before else "text_after_call"


def _stuck(previous: Token, turn: str, at: int) -> tuple[FailureKind, int] | None:
    """Judge what sticks to the last token, as in 007, Trueish, get-weather or triple quotes."""
    start = previous.start_pos or 0
    if previous in ('""', "''"):
        return ("quoted_string", start) if turn.startswith(previous[0], at) else None
    stuck = _STUCK.match(turn, at)
    if stuck is None:
        return None
    if previous.type == "NAME":
        return "missing_name", at
    if previous.type == "KEY":
        return "missing_key", at
    if previous.type not in ("NUMBER", *LITERALS):
        return None
    if previous.type == "NUMBER" and _NEXT_ARGUMENT.match(turn, at):
        return "missing_separator", at
    number = previous.type == "NUMBER" and _NUMBER_LIKE.fullmatch(turn, start, stuck.end())
    return "bad_number" if number else "bare_string", start


def _inside_list(wire: PythonicWire, halt: Halt, turn: str, at: int) -> FailureKind:
    """Judge what stands within the list of calls and cannot go on with it."""
    expected, char = halt.expected, turn[at : at + 1]
    after_call = halt.previous is not None and halt.previous.type == "_RPAR"
    if after_call or expected & {"NAME", "_LPAR"}:
        return _outside_arguments(expected, char)
    if expected >= wire.values:
        return _instead_of_value(halt, turn, at)
    if not char:
        return "missing_close_brace"
    if "KEY" in expected:
        return _instead_of_argument(turn, at)
    if "DICT_KEY" in expected:
        return _instead_of_dict_key(char)
    if char in ")]}" and "_COMMA" in expected:
        return "wrong_bracket"
    return "missing_separator"


def _outside_arguments(expected: frozenset[str], char: str) -> FailureKind:
    if "NAME" in expected:
        if not char:
            return "missing_end_token" if "_RSQB" in expected else "missing_name"
        return "wrong_bracket" if char in "[{)}" else "missing_name"
    if "_LPAR" in expected:
        return "wrong_bracket" if char and char in "[{" else "missing_open_brace"
    if not char or char == "[":
        return "missing_end_token"
    return "wrong_bracket" if char in ")}" else "missing_separator"


def _instead_of_value(halt: Halt, turn: str, at: int) -> FailureKind:
    char = turn[at : at + 1]
    if not char or char in ")]},:=":
        if halt.previous is not None and halt.previous.type in ("_EQUAL", "_COLON"):
            return "missing_value"
        # In a list, which may close with or without a comma before.
        if not char:
            return "missing_close_brace"
        return "wrong_bracket" if char in ")}" else "missing_value"
    if char == "(":
        return "wrong_bracket"
    if char in QUOTES or _PREFIX.match(turn, at):
        return "quoted_string"
    word = _STUCK.match(turn, at)
    number = word is not None and _NUMBER_LIKE.fullmatch(word.group())
    return "bad_number" if number else "bare_string"


def _instead_of_argument(turn: str, at: int) -> FailureKind:
    if turn[at] in "]}":
        return "wrong_bracket"
    return "json_arguments" if _QUOTED_KEY.match(turn, at) else "missing_key"


def _instead_of_dict_key(char: str) -> FailureKind:
    if char in ")]":
        return "wrong_bracket"
    if char in QUOTES:
        return "quoted_string"
    return "bare_string" if char.isalnum() or char == "_" else "missing_key"
