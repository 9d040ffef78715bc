"""Training rows as a trainer renders them, held against what the model is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fcbench import prompts
from fcbench.formats._bounds import bounded
from fcbench.formats._jinja import MODELS_OWN
from fcbench.prompts._case_text import one_answer, openai_tools

if TYPE_CHECKING:
    from fcbench.doctor._subject import Subject
    from fcbench.types import Case, Json


class Pair(NamedTuple):
    """A training row rendered whole, and what the model is asked and should answer for it."""

    case: Case
    trained: str
    prompt: str
    answer: str

    @property
    def is_same(self) -> bool:
        """Whether training shows what is asked and answered, and perhaps something after it."""
        return self.trained.startswith(self.prompt + self.answer)

    @property
    def asks_the_same(self) -> bool:
        """Whether training shows the prompt that is in use, whatever follows."""
        return self.trained.startswith(self.prompt)


def pair_of(subject: Subject, case: Case, row: dict[str, Json] | None) -> Pair | None:
    """Return a row under the chat template, or None where there is nothing to compare.

    Trainers give a row's own messages and tools to the template, and do not prepare them.
    UsageError where the template refuses the prompt in use.
    """
    (target,) = prompts.targets([case], subject.prompt, subject.style)
    if row is None or (target.fault is not None and target.fault.kind in prompts.WITHOUT_TEXT):
        return None
    trained = _whole(subject, case, row)
    return (
        None
        if trained is None
        else Pair(case, trained, subject.ask(case, subject.prompt), target.text)
    )


def _whole(subject: Subject, case: Case, row: dict[str, Json]) -> str | None:
    """Return a whole conversation; with calls and tools as fcbench reads them if it must be."""
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        return None
    is_answered = messages[-1].get("role") == "assistant"
    own = messages if is_answered else [*messages, _answer(case)]
    return _render(subject, own, row.get("tools")) or _render(
        subject, [*case.messages, _answer(case)], openai_tools(case)
    )


def _answer(case: Case) -> dict[str, Json]:
    if not case.expects_call:
        return {"role": "assistant", "content": case.reply}
    calls = [
        {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in one_answer(case)
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def _render(subject: Subject, messages: list[Json], tools: Json) -> str | None:
    """Return what the template makes of a conversation, None where it refuses."""
    try:
        with bounded(MODELS_OWN):
            rendered = subject.tokenizer.apply_chat_template(
                messages, tools=tools or None, tokenize=False, add_generation_prompt=False
            )
    # The boundary to the model's own template: what it refuses nobody was trained on.
    except Exception:  # noqa: BLE001
        return None
    return str(rendered)
