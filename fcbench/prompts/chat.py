"""The model's chat template with tools: how the model was taught to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import UsageError
from fcbench.formats._jinja import OwnTemplate
from fcbench.prompts._case_text import conversation, openai_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style
    from fcbench.types import Case


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return the rendered conversation; UsageError if the template refuses it."""
    template = style.template or OwnTemplate(style.bos, style.format)
    messages = style.wire.prepare_messages(conversation(case, examples, style.wire.TRIGGER))
    try:
        return template(messages, openai_tools(case))
    except UsageError as error:
        raise UsageError(f"case {case.id}: {error.message}", error.hint) from error
