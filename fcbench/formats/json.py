"""Calls as plain JSON, for models without call tokens, through a prompt of your own.

The strict language is grammars/json.lark.
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

STOP_TOKENS = ()

END_OF_CALLS, END_OF_WORDS = "", ""
"""The format belongs to no model, so that a turn ends as the model's own do."""

WIRE = JsonWire(
    start="",
    end="",
    quote='"',
    prefix="",
    stops=STOP_TOKENS,
    controls=(),
    padding=("<pad>", "<unk>", "<s>"),
    openers=(),
    arguments="arguments",
)
RENDERER = Renderer(STOP_TOKENS)


def detect(chat_template: str) -> bool:
    """Whether a chat template writes calls in this format."""
    del chat_template  # plain JSON is what a prompt asks for, not what a template writes
    return False


def render(calls: Sequence[Call]) -> str:
    """Return the wire text of calls, without a stop token.

    Raises FormatError with the JSON path for what JSON cannot express, or the turn cannot hold.
    """
    bodies = RENDERER.each(calls)
    return bodies[0] if len(bodies) == 1 else f"[{', '.join(bodies)}]"


def prepare_messages(messages: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return messages whose developer turn is a system turn, as the format's templates have it."""
    return system_first(messages)


def open_turn(role: str) -> str:
    """Return the beginning of a turn, in words: the format belongs to no model."""
    return f"{role.capitalize()}: "


def render_turn(role: str, text: str) -> str:
    """Return one whole turn."""
    return f"{open_turn(role)}{text}\n\n"
