"""Wire text <-> calls. One file a format, one grammar a format.

A format's module has `WIRE` (its tokens), `Builder` (values from a parse), `RENDERER`,
`STOP_TOKENS`, `END_OF_CALLS`, `END_OF_WORDS`, `render` and `detect`, and perhaps `quick_reader`
(calls of most valid turns, faster) and `render_by_hand` (what people write who have not seen the
chat template); its strict language is grammars/NAME.lark.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench import registry
from fcbench.errors import UsageError, nearest
from fcbench.paths import data_folder
from fcbench.types import Parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from fcbench.formats._format import Format
    from fcbench.formats._grammar import Grammar
    from fcbench.formats._wire import Wire
    from fcbench.types import Call, Mode, Stop

MODES = ("strict", "lenient")
UNREGISTERED = ("constraint",)
"""Modules of this package whose names are no formats."""


def parse(
    text: str,
    format: str = "functiongemma",
    mode: Mode = "strict",
    stop: Stop | None = None,
) -> Parse:
    """Return what a model's turn is: calls, an abstention, or a malformed attempt and why.

    `text` is what the model wrote, control tokens included; it ends at the first stop token.
    `format` is a format's name, or the path of your own variant of its grammar, named
    NAME.lark or NAME-anything.lark. `stop` says what ended the generation: "token", "limit"
    (then a turn that is right so far is `truncated`) or None, which counts as a stop token.
    "lenient" mends stray whitespace, text around calls, a missing last end token, True/False
    and one trailing comma, and lists each repair; it never guesses a value.

    No text raises. UsageError for an unknown format or mode, FormatError for a bad grammar file.

    >>> parse("<start_function_call>call:f{a:1}<end_function_call>").calls
    [Call(name='f', arguments={'a': 1})]
    >>> parse("<start_function_call>f{a:1}<end_function_call>").failure.kind
    'missing_call_prefix'
    """
    judge = format_of(format)
    if mode not in MODES:
        raise UsageError(f"no such mode: {mode}", hint=nearest(mode, MODES))
    wire = judge.wire
    turn = until_stop(wire.stops, text)
    found = judge.read(turn)
    if isinstance(found, list):
        return Parse("calls", found)
    walk, halt = found
    from fcbench.formats._diagnosis import diagnose, empty_output, wrong_dialect

    if not _without(wire.padding, turn).strip():
        return Parse("malformed", failure=empty_output(wire, turn))
    dialect = _dialect(turn, own=judge.name)
    attempts_call = partial(_attempts_call, own=wire)
    if dialect is None and not attempts_call(turn):
        return Parse("abstained")
    if mode == "lenient":
        from fcbench.formats._lenient import Repairing

        repairing = Repairing(walk, wire, attempts_call)
        mended = repairing.calls(halt)
        if mended is not None:
            return Parse("calls", mended, repairs=repairing.repairs)
    if dialect is not None:
        return Parse("malformed", failure=wrong_dialect(wire, turn, dialect))
    limited = stop == "limit" and len(turn) == len(text)
    return Parse("malformed", failure=diagnose(wire, turn, halt, limited=limited))


def render(calls: Sequence[Call], format: str = "functiongemma") -> str:
    """Return the wire text of calls, as the format's chat template writes it, without a stop token.

    parse(render(calls)) gives the same calls with the same types. Raises FormatError with the
    JSON path for what the format cannot express.

    >>> from fcbench.types import Call
    >>> render([Call("f", {"b": None, "a": "x"})])
    '<start_function_call>call:f{a:<escape>x<escape>,b:None}<end_function_call>'
    """
    text: str = module_of(format).render(calls)
    return text


def sorts_keys(format: str) -> bool:
    """Whether the format's chat template writes the keys of an object in sorted order."""
    return list(format_of(format).renderer.order(["b", "a"])) == ["a", "b"]


def module_of(format: str) -> ModuleType:
    """Return the module of a format, given its name or the path of a grammar variant."""
    return registry.load("formats", name_of(format))


def grammar_of(format: str) -> Grammar:
    """Return the compiled grammar of a format, given its name or the path of a variant."""
    return format_of(format).grammar


@cache
def format_of(format: str) -> Format:
    """Return a format ready to judge turns, given its name or the path of a grammar variant."""
    from fcbench.formats._format import Format
    from fcbench.formats._grammar import Grammar

    module = module_of(format)
    # A variant of one's own may hold other rules than those that the quick reader knows.
    quick = None if format.endswith(".lark") else getattr(module, "quick_reader", None)
    grammar = Grammar(_path_of(format), module.Builder())
    return Format(name_of(format), module.WIRE, grammar, module.RENDERER, quick)


def grammar_sha256(format: str) -> str:
    """Return the SHA-256 of a format's grammar and of what it imports, which a run records."""
    module_of(format)
    content = _path_of(format).read_bytes()
    for name in re.findall(rb"^%import \.(\w+)", content, flags=re.MULTILINE):
        content += (data_folder("grammars") / f"{name.decode()}.lark").read_bytes()
    return hashlib.sha256(content).hexdigest()


def name_of(format: str) -> str:
    """Return the name of a format, given that or the path of a grammar variant."""
    return re.split(r"[-.]", Path(format).name)[0] if format.endswith(".lark") else format


def _path_of(format: str) -> Path:
    return Path(format) if format.endswith(".lark") else data_folder("grammars") / f"{format}.lark"


def detect_format(chat_template: str) -> str | None:
    """Return the format that a chat template writes calls in, if it is a known one."""
    found = (n for n in registry.names("formats") if module_of(n).detect(chat_template))
    return next(found, None)


CHATML = "<|im_start|>"


def guess_format(chat_template: str) -> str | None:
    """Return the format that a chat template's model is to write calls in.

    Where the template writes none, its turns tell: those of ChatML are Hermes' too.

    >>> guess_format("{{ '<|im_start|>' + message['role'] }}")
    'hermes'
    """
    return detect_format(chat_template) or ("hermes" if CHATML in chat_template else None)


def dialect_of(turn: str, own: str) -> str | None:
    """Return another format than a turn's own in which it is valid as a whole, if there is one.

    >>> dialect_of('{"name": "f", "arguments": {}}', own="functiongemma")
    'json'
    """
    return _dialect(turn, name_of(own))


def _is_valid(text: str, format: str) -> bool:
    other = format_of(format)
    return isinstance(other.read(until_stop(other.wire.stops, text)), list)


def _dialect(turn: str, own: str) -> str | None:
    """Return another format in which the turn as a whole is valid, if there is one."""
    for name, wire in _wires().items():
        # Every valid turn holds an opener of its format, which is quick to look for.
        if name != own and wire.attempts_call(turn) and _is_valid(turn, name):
            return name
    return None


def _attempts_call(turn: str, own: Wire) -> bool:
    """Whether a turn holds the beginning of a call in any format, or begins as its own's do."""
    return own.begins_call(turn) or any(wire.attempts_call(turn) for wire in _wires().values())


def attempt_patterns() -> list[str]:
    """Return patterns that find an attempt at a call in any format, for a turn that makes none."""
    controls = {
        token
        for wire in _wires().values()
        for token in (*wire.controls, *wire.stops, *wire.padding)
    }
    found = {pattern for wire in _wires().values() for pattern in wire.attempts()}
    return sorted(found | set(map(re.escape, controls)))


@cache
def _wires() -> dict[str, Wire]:
    return {name: module_of(name).WIRE for name in registry.names("formats")}


def until_stop(stops: Sequence[str], text: str) -> str:
    """Return a text up to its first stop token.

    >>> until_stop(["<eos>"], "a<eos>b")
    'a'
    """
    found = [at for at in (text.find(token) for token in stops) if at >= 0]
    return text[: min(found)] if found else text


def _without(tokens: Sequence[str], text: str) -> str:
    for token in tokens:
        text = text.replace(token, "")
    return text
