"""Turn markers and the user's words, no tools: what a plain text interface sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.prompts._case_text import one_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style
    from fcbench.types import Case


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return bos, the examples with their answers, what was said, and an open model turn."""
    wire = style.wire
    text = style.bos
    for example in examples:
        text += _said(example, style)
        text += wire.render_turn("assistant", wire.render(one_answer(example)))
    return text + _said(case, style) + str(wire.open_turn("assistant"))


def _said(case: Case, style: Style) -> str:
    """Return the words of a conversation, without calls and their results."""
    return "".join(
        style.wire.render_turn(message["role"], message["content"])
        for message in case.messages
        if message["role"] in ("user", "assistant") and message.get("content")
    )
