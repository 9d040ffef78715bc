"""Calls of Llama 3.1 and later: one JSON object a turn.

Source: Meta's prompt format page for Llama 3.1. The strict language is grammars/llama3.lark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import FormatError
from fcbench.formats._json import Builder, Renderer
from fcbench.formats._json_wire import JsonWire
from fcbench.formats._messages import system_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Call, Json

__all__ = ["Builder"]  # which parse finds here

TRIGGER = ""
"""No sentence makes this format call functions."""

STOP_TOKENS = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")

END_OF_CALLS, END_OF_WORDS = "<|eot_id|>", "<|eot_id|>"
"""What ends a turn of calls, and a turn of words: the last token that training writes."""

MAX_CALLS = 1
"""Calls in one turn."""

WIRE = JsonWire(
    start="",
    end="",
    quote='"',
    prefix="<|python_tag|>",
    stops=STOP_TOKENS,
    controls=(
        "<|python_tag|>",
        "<|begin_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end_of_text|>",
    ),
    padding=("<pad>", "<unk>", "<s>"),
    openers=("<|python_tag|>",),
    arguments="parameters",
    is_single=True,
)
RENDERER = Renderer(STOP_TOKENS, "parameters")


def detect(chat_template: str) -> bool:
    """Whether a chat template writes calls in this format."""
    return "<|start_header_id|>" in chat_template and '"parameters": ' in chat_template


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls, without a stop token.

    Raises FormatError with the JSON path for what JSON cannot express, or the turn cannot hold.
    """
    bodies = RENDERER.each(calls)
    if len(bodies) > MAX_CALLS:
        raise FormatError("$[1]: a turn holds one call in this format")
    return bodies[0]


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages whose developer turn is a system turn, as the format's templates have it."""
    return system_first(messages)


def open_turn(role: str) -> str:
    """Return the beginning of a turn."""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def render_turn(role: str, text: str) -> str:
    """Return one whole turn."""
    return f"{open_turn(role)}{text}<|eot_id|>"
