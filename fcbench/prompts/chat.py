"""The model's chat template with tools: how the model was taught to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.errors import UsageError
from fcbench.prompts._case_text import DEVELOPER, example_messages, one_answer, openai_tools
from fcbench.prompts._jinja import OwnTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts._style import Style
    from fcbench.types import Case, Json


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return the rendered conversation; UsageError if the template refuses it."""
    template = style.template or OwnTemplate(style.bos, style.format)
    messages = style.wire.prepare_messages(_conversation(case, examples, style.wire.TRIGGER))
    try:
        return template(messages, openai_tools(case))
    except UsageError as error:
        raise UsageError(f"case {case.id}: {error.message}", error.hint) from error


def _conversation(case: Case, examples: Sequence[Case], trigger: str) -> list[dict[str, Json]]:
    opening = [m for m in case.messages[:1] if m["role"] in DEVELOPER]
    shown = [message for example in examples for message in _solved(example, trigger)]
    return [*opening, *shown, *case.messages[len(opening) :]]


def _solved(example: Case, trigger: str) -> list[dict[str, Json]]:
    """Return an example as a whole exchange: templates refuse calls without their results."""
    calls = one_answer(example)
    return [
        *example_messages(example, trigger),
        {
            "role": "assistant",
            "tool_calls": [
                {"type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                for c in calls
            ],
        },
        *({"role": "tool", "name": c.name, "content": '{"status": "done"}'} for c in calls),
        {"role": "assistant", "content": "Done."},
    ]
