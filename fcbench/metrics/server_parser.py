"""Turns that a server's own parser reads otherwise than the grammar does.

Source: this project's definition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fcbench.types import Verdict


LOWER_IS_BETTER = True


def server_parser(verdict: Verdict) -> float | None:
    """Return 1.0 if a server's own parser read other calls in a turn than the grammar, else 0.0.

    Lower is better. Over the answers to native prompts whose text is known as well; None for all
    others. 1 and 1.0 are equal; the order of calls counts.

    >>> native = verdict_of(expected=call("f"), native=[], text=render([call("f")]))
    >>> server_parser(native), native.name
    (1.0, False)
    >>> text = render([call("f")])
    >>> server_parser(verdict_of(expected=call("f"), native=[call("f")], text=text))
    0.0
    """
    if verdict.sample.error is not None or verdict.server_parser is None:
        return None
    return float(verdict.server_parser)
