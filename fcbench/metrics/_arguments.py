"""How many arguments of a sample are right, called and expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fcbench.types import Verdict


class Arguments(NamedTuple):
    """Counts over all calls of a sample, paired with those of the accepted answer it meets best."""

    n_equal: int
    n_called: int
    n_expected: int


def arguments_of(verdict: Verdict) -> Arguments | None:
    """Return the counts, or None where no call is expected or nobody said which.

    An argument of a call to another function is neither called rightly nor found. An optional
    argument that is rightly left out is in no count.
    """
    if verdict.arguments is None:
        return None
    n_equal = n_called = n_expected = 0
    for pair in verdict.pairs:
        called = {} if pair.called is None else verdict.parse.calls[pair.called].arguments
        for argument in pair.arguments:
            if argument.result == "equal":
                is_called = argument.path in called
                n_equal += is_called
                n_called += is_called
                n_expected += is_called
            else:
                n_called += argument.result != "missing"
                n_expected += argument.result != "extra"
    return Arguments(n_equal, n_called, n_expected)
