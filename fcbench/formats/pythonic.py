"""Calls as Python writes them: one list of calls with keyword arguments, `[f(a=1, b="x"), g()]`.

Source: Meta's prompt for zero-shot function calling with Llama 3.2 and 4, which vLLM's pythonic
tool templates repeat. The strict language is grammars/pythonic.lark.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fcbench.formats._messages import system_first
from fcbench.formats._pythonic import Builder, Renderer
from fcbench.formats._pythonic_wire import PythonicWire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Call, Json

__all__ = ["Builder"]  # which parse finds here

TRIGGER = ""
"""No sentence makes this format call functions."""

STOP_TOKENS = ()

END_OF_CALLS, END_OF_WORDS = "", ""
"""The format belongs to no model, so that a turn ends as the model's own do."""

WIRE = PythonicWire(
    start="[",
    end="]",
    quote='"',
    prefix="",
    stops=STOP_TOKENS,
    controls=(),
    padding=("<pad>", "<unk>", "<s>"),
    openers=(),
)
RENDERER = Renderer()

# Meta's words for Llama 3.2 are params_name1=, for Llama 4 param1=. After a tag, as in
# <TOOLCALL>[func_name1(…, they ask for another format.
_PROMPT = re.compile(r"(?<!>)\[func_name1\(param")


def detect(chat_template: str) -> bool:
    """Whether a chat template asks for calls in this format, in the words of Meta's prompt."""
    return _PROMPT.search(chat_template) is not None


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls.

    Raises FormatError with the JSON path for what Python cannot express: a function name that is
    no dotted name, an argument name that is no identifier, a number that is not finite.
    """
    return f"[{', '.join(RENDERER.each(calls))}]"


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages whose developer turn is a system turn, as the format's templates have it."""
    return system_first(messages)


def open_turn(role: str) -> str:
    """Return the beginning of a turn, in words: the format belongs to no model."""
    return f"{role.capitalize()}: "


def render_turn(role: str, text: str) -> str:
    """Return one whole turn."""
    return f"{open_turn(role)}{text}\n\n"
