"""A user's own Jinja file as the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.errors import UsageError
from fcbench.formats._bounds import bounded
from fcbench.formats._jinja import compile_template
from fcbench.prompts._case_text import example_text, last_user_text, one_answer, openai_tools

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2

    from fcbench.prompts._style import Style
    from fcbench.types import Case


def load(path: str) -> jinja2.Template:
    """Return the compiled file. UsageError if it cannot be read or is not Jinja."""
    try:
        return compile_template(Path(path).read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def render(case: Case, examples: Sequence[Case], style: Style) -> str:
    """Return the rendered file.

    It sees `bos`, `messages`, `tools` (OpenAI's shape), `user` (the last user's words) and
    `examples` (each with `user` and `answer`, the right calls as text). UsageError for a file
    that cannot be read, is not Jinja, or fails on this case.
    """
    path = str(style.prompt_file)
    template = load(path)
    try:
        with bounded(path):
            return template.render(
                bos=style.bos,
                messages=style.wire.prepare_messages(case.messages),
                tools=openai_tools(case),
                user=last_user_text(case),
                examples=[
                    {
                        "user": example_text(e, style.wire.TRIGGER),
                        "answer": style.wire.render(one_answer(e)),
                    }
                    for e in examples
                ],
            )
    except UsageError:
        raise
    # The boundary to a user's template: an expression in it may raise anything.
    except Exception as error:
        raise UsageError(f"{path}: cannot render case {case.id}: {error}") from error
