"""What the models are asked: mobile_actions' own cases, and the same with all in common.

`as-is` are the cases as the suite has them: a date of their own stands before the declarations,
whose order changes, so that two prompts soon differ. `shared` are the same requests with one date
and one order of tools. How much prompts share is measured, not assumed.
"""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

from msgspec import structs

from fcbench import Case, Tool, load_suite, prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

AS_IS, SHARED = "as-is", "shared"
SETS = (AS_IS, SHARED)
SUITE = "mobile_actions"


def prompt_set(name: str, n_cases: int, n_tools: int | None = None) -> list[str]:
    """Return n distinct chat prompts of a set; with `n_tools`, each declares so many tools."""
    chosen = list(itertools.islice(distinct_cases(), n_cases))
    if len(chosen) < n_cases:
        raise ValueError(f"{SUITE} has {len(chosen)} different requests, not {n_cases}")
    if n_tools is not None:
        chosen = [with_tools(case, n_tools) for case in chosen]
    return _prompts(alike(chosen) if name == SHARED else chosen)


def warm_up_prompts(n: int = 2) -> list[str]:
    """Return prompts that share no more with either set than every two prompts do."""
    return _prompts(load_suite(SUITE).training_cases()[-n:])


def alike(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with the first one's date and tools, in its order."""
    first = cases[0]
    return [
        structs.replace(case, messages=[first.messages[0], *case.messages[1:]], tools=first.tools)
        for case in cases
    ]


def distinct_cases() -> Iterator[Case]:
    """Yield cases of different requests: the evaluation's, then training's for growing further."""
    suite = load_suite(SUITE)
    seen = set()
    for case in itertools.chain(suite.cases, suite.training_cases()):
        request = str(case.messages[1:])
        if request not in seen:
            seen.add(request)
            yield case


def _prompts(cases: Sequence[Case]) -> list[str]:
    return [request.prompt for request in prompts.requests(cases, "chat", prompts.Style())]


# Made-up tools

VERBS = ("find", "create", "update", "cancel", "share", "copy", "rate", "print", "archive")
NOUNS = ("order", "room", "alarm", "route", "note", "playlist", "invoice")
ARGUMENTS = ("name", "date", "comment")


def with_tools(case: Case, n: int) -> Case:
    """Return the case with made-up tools after its own, n in all, in an order of its own."""
    tools = [*case.tools, *made_up_tools()][:n]
    if len(tools) < n:
        raise ValueError(f"there are {len(tools)} tools, not {n}")
    if n > len(case.tools):
        random.Random(case.id).shuffle(tools)
    return structs.replace(case, tools=tools)


def made_up_tools() -> list[Tool]:
    """Return 63 tools of about the length of the suite's own."""
    return [
        _tool(verb, noun, ARGUMENTS[: 1 + i % len(ARGUMENTS)])
        for i, (verb, noun) in enumerate(itertools.product(VERBS, NOUNS))
    ]


def _tool(verb: str, noun: str, arguments: Sequence[str]) -> Tool:
    properties = {
        name: {"type": "string", "description": f"The {name} of the {noun} to {verb}."}
        for name in arguments
    }
    schema = {"type": "object", "properties": properties, "required": list(arguments[:1])}
    return Tool(f"{verb}_{noun}", f"Asks the phone to {verb} one {noun}.", schema)


# What prompts share


def shared_share(prompts_ids: Sequence[Sequence[int]]) -> float:
    """Return the share of their tokens that prompts have in common with the one before.

    Only a beginning in common counts, and the order is the best one: the sorted one, where each
    prompt stands beside those that it has most in common with.
    """
    ordered = sorted(map(tuple, prompts_ids))
    pairs = list(itertools.pairwise(ordered))
    return sum(common(a, b) for a, b in pairs) / sum(len(b) for _, b in pairs)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two prompts have in common at their beginning."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def figures(texts: Sequence[str], encode: Callable[[str], Sequence[int]]) -> dict[str, float | int]:
    """Return what there is to say of a set of prompts in tokens."""
    ids = [encode(text) for text in texts]
    return {
        "prompts": len(texts),
        "mean_tokens": sum(map(len, ids)) / len(ids),
        "shared_share": shared_share(ids),
    }
