"""What prompts depend on beside the case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fcbench.formats import module_of
from fcbench.types import ChatTemplate

if TYPE_CHECKING:
    from types import ModuleType


class Style(msgspec.Struct, frozen=True):
    """What prompts depend on beside the case.

    `template` is the model's chat template, or None for the project's own of the format; `bos` the
    token that each of the model's prompts begins with; `format` the wire format of calls;
    `prompt_file` the path of a Jinja file, which then makes the prompt.
    """

    format: str = "functiongemma"
    template: ChatTemplate | None = None
    bos: str = "<bos>"
    prompt_file: str | None = None

    @property
    def wire(self) -> ModuleType:
        """The module of the wire format."""
        return module_of(self.format)
