"""The chat template that a file holds or a server tells."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fcbench.errors import UsageError
from fcbench.formats._jinja import GivenTemplate

if TYPE_CHECKING:
    from fcbench.types import ChatTemplate

log = logging.getLogger("fcbench")


def template_of(source: str | None, bos: str, eos: str, name: str) -> ChatTemplate | None:
    """Return a template; None where there is none, and with a warning where it is not Jinja."""
    if source is None:
        return None
    try:
        return GivenTemplate(source, bos, eos)
    except UsageError as error:
        log.warning("%s: %s; fcbench's own of the format is taken", name, error.message)
        return None
