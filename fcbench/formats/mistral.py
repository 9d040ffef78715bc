"""Calls of Mistral models from tokenizer v3 on: one JSON array after its token.

Source: mistral-common. The strict language is grammars/mistral.lark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.formats._json import Builder, Renderer
from fcbench.formats._json_wire import JsonWire
from fcbench.formats._messages import system_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Call, Json

__all__ = ["Builder"]  # which parse finds here

TRIGGER = ""
"""No sentence makes this format call functions."""

STOP_TOKENS = ("</s>",)

END_OF_CALLS, END_OF_WORDS = "</s>", "</s>"
"""What ends a turn of calls, and a turn of words: the last token that training writes."""

WIRE = JsonWire(
    start="[TOOL_CALLS]",
    end="",
    quote='"',
    prefix="",
    stops=STOP_TOKENS,
    controls=(
        "[TOOL_CALLS]",
        "[INST]",
        "[/INST]",
        "[AVAILABLE_TOOLS]",
        "[/AVAILABLE_TOOLS]",
        "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]",
        "<s>",
        "</s>",
    ),
    padding=("<pad>", "<unk>", "<s>"),
    openers=("[TOOL_CALLS]",),
    arguments="arguments",
    optional=("id",),
)
RENDERER = Renderer(STOP_TOKENS)


def detect(chat_template: str) -> bool:
    """Whether a chat template writes calls in this format."""
    return "[TOOL_CALLS]" in chat_template


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls, without a stop token.

    Raises FormatError with the JSON path for what JSON cannot express, or the turn cannot hold.
    """
    return f"[TOOL_CALLS] [{', '.join(RENDERER.each(calls))}]"


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages whose developer turn is a system turn, as the format's templates have it."""
    return system_first(messages)


def open_turn(role: str) -> str:
    """Return the beginning of a turn; the assistant's has no token of its own."""
    return "" if role == "assistant" else "[INST] "


def render_turn(role: str, text: str) -> str:
    """Return one whole turn."""
    return f"{text}</s>" if role == "assistant" else f"{open_turn(role)}{text}[/INST]"
