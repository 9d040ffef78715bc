"""How the rows of a file are read."""

from __future__ import annotations

from typing import Literal, NamedTuple

Split = Literal["eval", "train"]


class Reading(NamedTuple):
    """How a file's rows are read.

    Rows of the mobile-actions schema whose `metadata` names another split are passed over.
    `schema` is a name of SCHEMAS or "" to tell by the row; `ordered` is what a row that leaves it
    open is taken for, None being the schema's own default.
    """

    split: Split = "eval"
    schema: str = ""
    ordered: bool | None = None
