"""Turn markers and the user's words, no tools: what a plain text interface sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.prompts._case_text import last_user_text, one_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style
    from fcbench.types import Case


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return bos, the examples as pairs of turns, what was said, and an open model turn."""
    wire = style.wire
    text = style.bos
    for example in examples:
        text += wire.render_turn("user", last_user_text(example))
        text += wire.render_turn("assistant", wire.render(one_answer(example)))
    for message in case.messages:
        if message["role"] in ("user", "assistant") and message.get("content"):
            text += wire.render_turn(message["role"], message["content"])
    return text + str(wire.open_turn("assistant"))
