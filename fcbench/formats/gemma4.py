"""Gemma 4's wire format: FunctionGemma's structure with other control tokens.

Source: the chat template of Gemma 4 and Google's function calling guide for it. The strict
language is grammars/gemma4.lark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.formats._braces import Builder, Renderer
from fcbench.formats._braces_quick import quick_reader
from fcbench.formats._braces_wire import BracesWire
from fcbench.formats._messages import system_first

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.types import Call, Json

__all__ = ["Builder", "quick_reader"]  # which parse finds here

START_CALL, END_CALL = "<|tool_call>", "<tool_call|>"
START_DECLARATION, END_DECLARATION = "<|tool>", "<tool|>"
START_RESPONSE, END_RESPONSE = "<|tool_response>", "<tool_response|>"
START_OF_TURN, END_OF_TURN = "<|turn>", "<turn|>"
QUOTE = '<|"|>'

TRIGGER = ""
"""No sentence makes this format call functions."""

STOP_TOKENS = ("<eos>", END_OF_TURN, START_RESPONSE)
"""Generation stops at these; END_CALL is not one of them: it would cut parallel calls."""

END_OF_CALLS, END_OF_WORDS = START_RESPONSE, END_OF_TURN
"""What ends a turn of calls, and a turn of words: the last token that training writes."""

CONTROL_TOKENS = (
    *("<pad>", "<eos>", "<bos>", START_OF_TURN, END_OF_TURN, "<|channel>", "<channel|>"),
    *("<|think|>", START_DECLARATION, END_DECLARATION, START_CALL, END_CALL),
    *(START_RESPONSE, END_RESPONSE, QUOTE),
)

WIRE = BracesWire(
    start=START_CALL,
    end=END_CALL,
    quote=QUOTE,
    declaration=START_DECLARATION,
    prefix="call:",
    stops=STOP_TOKENS,
    controls=CONTROL_TOKENS,
    padding=("<pad>", "<bos>"),
    openers=(START_CALL, END_CALL, START_DECLARATION, END_DECLARATION, QUOTE),
)
RENDERER = Renderer(WIRE)


def detect(chat_template: str) -> bool:
    """Whether a chat template writes calls in this format."""
    return START_CALL in chat_template


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls, without a stop token; FormatError as for functiongemma."""
    return "".join(RENDERER.each(calls))


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages whose developer turn is a system turn, as the format's template has it."""
    return system_first(messages)


def open_turn(role: str) -> str:
    """Return the beginning of a turn; the assistant is called model."""
    return f"{START_OF_TURN}{'model' if role == 'assistant' else role}\n"


def render_turn(role: str, text: str) -> str:
    """Return one whole turn."""
    return f"{open_turn(role)}{text}{END_OF_TURN}\n"
