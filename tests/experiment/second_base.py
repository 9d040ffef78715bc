"""SmolLM2 135M Instruct, asked in the Hermes format: with a chat template that shows the tools."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from fcbench.prompts import own_template
from tests.backends.real_models import SMOLLM, folder_of

if TYPE_CHECKING:
    from pathlib import Path


def second_base() -> Path:
    """Return the model's folder with the project's Hermes template in place of its own.

    Its own template leaves the tools out, as `python -m fcbench doctor` says of it: nobody could
    call what they are not told of.
    """
    source = folder_of(SMOLLM)
    folder = source.with_name(f"{source.name}-hermes")
    template = own_template("hermes")
    kept = folder / "chat_template.jinja"
    if kept.is_file() and kept.read_text(encoding="utf-8") == template:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("chat_template.jinja"))
    kept.write_text(template, encoding="utf-8")
    return folder
