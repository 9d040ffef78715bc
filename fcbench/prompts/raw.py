"""What people write by hand: turn markers and the tools as lines of JSON in the user's turn.

No developer turn and no declaration tokens, so the model sees nothing that it was trained on but
the turn markers. This is the prompt of the original experiment.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fcbench.prompts._case_text import DEVELOPER, example_messages, one_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style
    from fcbench.types import Call, Case, Json


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return bos, the examples with their answers, the conversation and an open model turn."""
    wire = style.wire
    text = style.bos
    for example in examples:
        text += _conversation(example_messages(example, wire.TRIGGER), style)
        text += wire.render_turn("assistant", wire.render(one_answer(example)))
    text += _conversation(case.messages, style, _context(case))
    return text + str(wire.open_turn("assistant"))


def answer(calls: Sequence[Call], style: Style) -> str:
    """Return the turn of calls that a model trained on such prompts was shown.

    In FunctionGemma's format it is the original experiment's, which the strict grammar refuses.
    """
    by_hand = getattr(style.wire, "render_by_hand", None)
    if by_hand is None:
        return str(style.wire.render(calls) + style.wire.END_OF_CALLS)
    return str(by_hand(calls) + style.wire.END_OF_WORDS)


def _conversation(messages: Sequence[dict[str, Json]], style: Style, context: str = "") -> str:
    """Return the turns of a conversation, the first user's words after the context."""
    wire, text = style.wire, ""
    for message in messages:
        role, content = message["role"], str(message.get("content") or "")
        if role == "user":
            text += wire.render_turn("user", f"{context}{content}")
            context = ""
        elif role == "assistant":
            text += wire.render_turn("assistant", content + _calls(message, style))
        elif role == "tool":
            text += wire.render_turn("user", content)
    return text


def _context(case: Case) -> str:
    """Return what stands before the user's first words: the developer's text and the tools."""
    told = [
        str(m["content"]).strip()
        for m in case.messages
        if m["role"] in DEVELOPER and m.get("content")
    ]
    tools = [
        json.dumps(
            {"name": t.name, "description": t.description, "parameters": t.parameters},
            ensure_ascii=False,
        )
        for t in case.tools
    ]
    lines = [*told, *tools]
    return "\n".join(lines) + "\n\n" if lines else ""


def _calls(message: dict[str, Json], style: Style) -> str:
    from fcbench.types import Call

    calls = [
        Call(c["function"]["name"], c["function"]["arguments"])
        for c in message.get("tool_calls", [])
    ]
    return str(style.wire.render(calls)) if calls else ""
