"""Whether calls that are learned are such that the tools beside them take; no grammar asks that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fcbench.lint import refused_calls
from fcbench.text import shorten, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Case

SHOWN = 5
log = logging.getLogger("fcbench")


def refused_by_tools(cases: Sequence[Case]) -> list[str]:
    """Return the ids of cases whose calls their own tools refuse, and warn of them."""
    found = [finding for case in cases for finding in refused_calls(case)]
    ids = list(dict.fromkeys(finding.case_id for finding in found))
    if ids:
        lines = [visible(f"{f.case_id} {f.where}: {shorten(f.what)}") for f in found[:SHOWN]]
        log.warning(
            "%d of %d training cases teach calls that their own tools refuse "
            "(python -m fcbench lint FILE lists them all):%s",
            len(ids),
            len(cases),
            "".join(f"\n  {line}" for line in lines),
        )
    return ids
