"""Case -> prompt. One file a mode; a user's own Jinja file is a mode too.

A mode's module has `render(case, examples, style) -> str`; `examples` are solved
cases to show first. It may have `answer(calls, style) -> str`, what a model trained on such prompts
has to write; without it that is what the format's chat template writes. One whose module says
NATIVE writes no text but JSON for a chat endpoint, see fcbench.types.Request.

>>> from fcbench.types import Call, Case, Tool
>>> asked = [{"role": "user", "content": "Show me Oslo."}]
>>> case = Case("a", asked, [Tool("show_map")], [[Call("show_map", {"query": "Oslo"})]])
>>> print(requests([case], "bare", Style())[0].prompt)
<bos><start_of_turn>user
Show me Oslo.<end_of_turn>
<start_of_turn>model
<BLANKLINE>
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from fcbench import registry
from fcbench.errors import SuiteError
from fcbench.formats._jinja import own_template
from fcbench.prompts import _file
from fcbench.prompts._case_text import last_user_text, one_answer
from fcbench.prompts._requests import Requests
from fcbench.prompts._style import Style
from fcbench.prompts._target import WITHOUT_TEXT, Fault, Target, targets

__all__ = [
    "WITHOUT_TEXT",
    "Fault",
    "Requests",
    "Style",
    "Target",
    "check_file",
    "few_shot",
    "is_native",
    "one_answer",
    "own_template",
    "requests",
    "targets",
]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Case


def requests(
    cases: Sequence[Case],
    mode: str,
    style: Style,
    examples: Sequence[Case] = (),
    repeats: int = 1,
) -> Requests:
    """Return one request for each case and repeat, in order; a case's repeats share its prompt.

    Each prompt is rendered when it is read. It begins with at most one `bos`. `examples` are shown
    first as solved turns; see fcbench.prompts.few_shot. UsageError for an unknown mode or a prompt
    file that cannot be used, and when a prompt is read that cannot be rendered.
    """
    module = _file if style.prompt_file is not None else registry.load("prompts", mode)

    def render(case: Case) -> str:
        return _single_bos(module.render(case, examples, style), style.bos)

    return Requests(cases, render, repeats, native=is_native(mode, style.prompt_file))


def is_native(mode: str, prompt_file: str | None = None) -> bool:
    """Whether a mode leaves the prompt's text to a server. UsageError for an unknown mode."""
    return prompt_file is None and getattr(registry.load("prompts", mode), "NATIVE", False)


def check_file(path: str) -> None:
    """Raise UsageError unless a prompt file can be read and compiled."""
    _file.load(path)


def few_shot(training: Sequence[Case], cases: Sequence[Case], k: int, seed: int) -> list[Case]:
    """Return k training cases with one right answer each, drawn with a seed, in drawn order.

    None of them is an evaluation case, by id or by its user's words. SuiteError if the training
    file has fewer.
    """
    ids = {case.id for case in cases}
    words = {last_user_text(case) for case in cases}
    pool = [
        c
        for c in training
        if c.id not in ids and last_user_text(c) not in words and any(c.expected)
    ]
    if len(pool) < k:
        raise SuiteError(f"{k} examples were asked for, the training file has {len(pool)} that fit")
    return random.Random(seed).sample(pool, k)  # noqa: S311  a draw to repeat, not a secret


def _single_bos(prompt: str, bos: str) -> str:
    """Drop what a template and a habit both wrote: two <bos> put a model off its distribution."""
    while bos and prompt.startswith(bos + bos):
        prompt = prompt[len(bos) :]
    return prompt
