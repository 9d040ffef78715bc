"""Expected and called calls side by side, and how near they are to one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fcbench.matching._values import compare_objects
from fcbench.types import Call, CallPair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fcbench.types import ArgumentVerdict

    Compare = Callable[[Call, Call], list[ArgumentVerdict]]  # of two calls of one function

Table = list[list[CallPair]]  # (expected, called)


def table_of(answer: Sequence[Call], calls: Sequence[Call], compare: Compare) -> Table:
    """Return the pair of every expected call with every called one."""
    return [
        [_pair((i, wanted), (j, made), compare) for j, made in enumerate(calls)]
        for i, wanted in enumerate(answer)
    ]


def _pair(expected: tuple[int, Call], called: tuple[int, Call], compare: Compare) -> CallPair:
    (i, wanted), (j, made) = expected, called
    # The arguments of two functions are told where such a pair is laid out: few of them are.
    arguments = compare(wanted, made) if wanted.name == made.name else []
    return CallPair(i, j, wanted.name, made.name, arguments)


def is_equal(pair: CallPair) -> bool:
    """Whether a called call is an expected one."""
    if pair.expected_name != pair.called_name:
        return False
    for argument in pair.arguments:  # noqa: SIM110  a generator takes twice as long here
        if argument.result != "equal":
            return False
    return True


def gain(pair: CallPair) -> float:
    """Rank pairs: equal calls first, then the same function, then the most equal arguments."""
    if pair.expected_name != pair.called_name:
        return 0
    n_equal = sum(a.result == "equal" for a in pair.arguments)
    return (1e9 if is_equal(pair) else 0) + 1e6 + n_equal


def lay_out(
    table: Table, chosen: Sequence[int | None], answer: Sequence[Call], calls: Sequence[Call]
) -> list[CallPair]:
    """Return the pair of each expected call, then the called ones that no expected one has."""
    pairs = []
    for i, (j, wanted) in enumerate(zip(chosen, answer, strict=True)):
        if j is None:
            pair = CallPair(i, None, wanted.name, None, compare_objects(wanted.arguments, {}))
        elif (made := calls[j]).name == wanted.name:
            pair = table[i][j]
        else:  # no argument of another function is wanted
            arguments = compare_objects(wanted.arguments, {})
            arguments += compare_objects({}, made.arguments)
            pair = CallPair(i, j, wanted.name, made.name, arguments)
        pairs.append(pair)
    if len(calls) > len(answer) or None in chosen:
        pairs += [
            CallPair(None, j, None, made.name, compare_objects({}, made.arguments))
            for j, made in enumerate(calls)
            if j not in chosen
        ]
    return pairs


def nearness(pairs: Sequence[CallPair]) -> float:
    """Return how well an answer is met as a whole: what its pairs gain less what is spare."""
    gained = sum(gain(pair) for pair in pairs if None not in (pair.expected, pair.called))
    return gained - sum(pair.expected is None for pair in pairs)
