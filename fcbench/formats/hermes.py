"""Calls of Hermes-2-Pro and Qwen 2.5 / 3: JSON between tags, in ChatML turns.

Source: the model card of NousResearch/Hermes-2-Pro-Mistral-7B and the chat template of Qwen 2.5.
The strict language is grammars/hermes.lark.
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

STOP_TOKENS = ("<|im_end|>", "<|endoftext|>")

END_OF_CALLS, END_OF_WORDS = "<|im_end|>", "<|im_end|>"
"""What ends a turn of calls, and a turn of words: the last token that training writes."""

WIRE = JsonWire(
    start="<tool_call>",
    end="</tool_call>",
    quote='"',
    prefix="",
    stops=STOP_TOKENS,
    controls=("<tool_call>", "</tool_call>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    padding=("<pad>", "<unk>", "<s>"),
    openers=("<tool_call>", "</tool_call>"),
    arguments="arguments",
)
RENDERER = Renderer(STOP_TOKENS)


def detect(chat_template: str) -> bool:
    """Whether a chat template writes calls in this format."""
    return "<tool_call>" in chat_template


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls, without a stop token.

    Raises FormatError with the JSON path for what JSON cannot express, or the turn cannot hold.
    """
    return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in RENDERER.each(calls))


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages whose developer turn is a system turn, as the format's templates have it."""
    return system_first(messages)


def open_turn(role: str) -> str:
    """Return the beginning of a turn."""
    return f"<|im_start|>{role}\n"


def render_turn(role: str, text: str) -> str:
    """Return one whole turn."""
    return f"{open_turn(role)}{text}<|im_end|>\n"
