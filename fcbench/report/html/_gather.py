"""What a report needs of all verdicts on a run: gathered one by one, and only some of them kept.

However many answers there are, a report is written in memory that does not grow with them, and can
be opened: of many, the case browser has those cases first in which something is wrong.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from fcbench.report.html._confusion import pairs_of
from fcbench.runs import Scores, outcome_of, score, verdicts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from fcbench.types import Verdict

MOST_ANSWERS = 10_000
"""Answers that the case browser has of a group of runs, however many there are."""
MOST_REPEATS = 100
"""Answers that it has of one case and run."""
MOST_PAIRS = 10_000
"""Pairs of functions that are told apart: a model can make up any number of names."""
OTHERS = "…"
AMOUNTS = ("output_tokens", "prompt_tokens", "seconds")


class Gathered:
    """A scored run: how often what came of its answers, and a way to see some of them.

    `counts` are of outcomes, with "1" or "0" for calls and abstentions that are right or wrong;
    `pairs` of an expected and a called function; `amounts` the values of AMOUNTS. `failing` are the
    cases in which some answer is wrong, or is none.
    """

    scores: Scores

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.amounts = {field: array("d") for field in AMOUNTS}
        self.failing: set[str] = set()
        self._kept: list[Verdict] | None = []
        self._recall: Callable[[Collection[str]], Iterable[Verdict]] | None = None

    def add(self, verdict: Verdict) -> None:
        """Gather what there is in a verdict."""
        outcome = outcome_of(verdict)
        judged = outcome in ("calls", "abstained")
        self.counts[outcome, str(int(verdict.is_right)) if judged else ""] += 1
        for expected, called in pairs_of(verdict):
            pair = expected, called
            is_new = pair not in self.pairs and len(self.pairs) >= MOST_PAIRS
            self.pairs[(expected, OTHERS) if is_new else pair] += 1
        for field, values in self.amounts.items():
            value = getattr(verdict.sample, field)
            if value is not None:
                values.append(value)
        if not verdict.is_right:
            self.failing.add(verdict.case.id)
        if self._kept is not None:
            self._kept.append(verdict)
            if len(self._kept) > MOST_ANSWERS and self._recall is not None:
                self._kept = None  # too many; those that are shown are judged once more

    def see(self, case_ids: Collection[str]) -> list[Verdict]:
        """Return the verdicts on some cases, in order; of each no more than MOST_REPEATS.

        Where there are more answers, those are left out that are right.
        """
        found: dict[str, tuple[list[Verdict], list[Verdict]]] = {}
        kept = self._kept
        if kept is None and self._recall is not None:
            known = self._recall(case_ids)
        else:
            known = (verdict for verdict in kept or () if verdict.case.id in case_ids)
        for verdict in known:
            part = found.setdefault(verdict.case.id, ([], []))[verdict.is_right]
            if len(part) < MOST_REPEATS:
                part.append(verdict)
        shown = [v for wrong, right in found.values() for v in [*wrong, *right][:MOST_REPEATS]]
        return sorted(shown, key=lambda verdict: self.scores.tallies.place_of(verdict.sample))


def gather(path: str, suite: str | None, format: str | None, **rules: Any) -> Gathered:
    """Return a run's folder, or a file of outputs, scored as fcbench.score does it."""
    found = Gathered()
    found._recall = lambda case_ids: verdicts_of(  # noqa: SLF001  its own
        path, case_ids, suite, format, found.scores.matching
    )
    found.scores = score(path, suite, format, **rules, keep_verdicts=False, watch=found.add)
    return found


def gathered_of(scores: Scores) -> Gathered:
    """Return what there is in scores whose verdicts were kept."""
    found = Gathered()
    found.scores = scores
    for verdict in scores.verdicts:
        found.add(verdict)
    return found


def shown_cases(members: Sequence[Gathered]) -> list[str]:
    """Return the cases of a group of runs that its browser shows, in their order.

    All, if they have no more than MOST_ANSWERS; else as many as have, and those first in which some
    run failed.
    """
    case_ids = list(members[0].scores.tallies.cases)
    each = sum(
        min(MOST_REPEATS, -(-member.scores.n_samples // len(case_ids))) for member in members
    )
    n = max(1, MOST_ANSWERS // each)
    if len(case_ids) <= n:
        return case_ids
    failing = {case_id for member in members for case_id in member.failing}
    ranked = sorted(case_ids, key=lambda case_id: case_id not in failing)
    chosen = set(ranked[:n])
    return [case_id for case_id in case_ids if case_id in chosen]
