"""Any text in Markdown: shown as it is, and never read as Markdown or as HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fcbench.text import visible, visible_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Markdown, GitHub's tables, mathematics and mentions, or HTML begin with. An underscore inside
# a word is only that.
_SPECIAL = re.compile(r"[\\`*\[\]<>&|~$@#!]|(?<![^\W_])_|_(?![^\W_])")


def plain(text: str) -> str:
    r"""Return a text for a line of words, or a cell of a table.

    What Markdown would read is written as an entity, which it never reads: a backslash does not
    keep a table's cell together in every dialect.

    >>> plain("a|b <i> mobile_actions")
    'a&#124;b &#60;i&#62; mobile_actions'
    """
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", visible(text))


def code(text: str) -> str:
    """Return a text as code inside a line; not for tables.

    >>> code("a`b")
    '``a`b``'
    """
    shown = visible(text)
    ticks = "`" * (_longest_run(shown) + 1)
    # A blank is taken away at each end where there is one at both, but not from blanks alone.
    at_ends = shown[:1] + shown[-1:]
    space = " " if shown.strip(" ") and ("`" in at_ends or " " in at_ends) else ""
    return f"{ticks}{space}{shown}{space}{ticks}"


def fenced(text: str) -> str:
    """Return a text of lines in a block of code, whose fence is longer than any in it."""
    shown = visible_lines(text)
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}text\n{shown}\n{fence}"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are safe already."""
    from tabulate import tabulate

    return tabulate(body, head, tablefmt="github", disable_numparse=True)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
