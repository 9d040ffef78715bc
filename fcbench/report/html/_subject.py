"""What a report is about: runs, in groups that may be compared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fcbench.report.comparison import letter
from fcbench.report.html._gather import Gathered, shown_cases
from fcbench.report.leaderboard import Row, row_of, rules_label
from fcbench.runs import RunFolder, Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.types import Json, Verdict

N_COLOURS = 8


class Subject(msgspec.Struct, frozen=True):
    """A scored run and what a report says of it.

    `number` is its place among all runs of the report; `prompts` are texts by their hash, of the
    answers that are shown, and so are its scores' verdicts. `gathered` is of all.
    `label` says in short which run it is, and no other of the report has the same; `model` and
    `notes` are what a wider place says.
    """

    number: int
    name: str
    label: str
    model: str
    notes: str
    row: Row
    scores: Scores
    gathered: Gathered
    prompts: dict[str, str]

    @property
    def letter(self) -> str:
        """What tables and charts call it."""
        return letter(self.number)

    @property
    def colour(self) -> int:
        """Which of the page's colours it has."""
        return self.number % N_COLOURS

    @property
    def manifest(self) -> dict[str, Json]:
        """Its manifest, empty for outputs made elsewhere."""
        return self.scores.manifest

    @property
    def verdicts(self) -> list[Verdict]:
        """Its verdicts that are shown, in the order of the cases and repeats."""
        return self.scores.verdicts


class Group(msgspec.Struct, frozen=True):
    """Runs over the same cases, judged by the same rules."""

    number: int
    title: str
    sha256: str
    subjects: list[Subject]
    case_ids: list[str]
    """The cases that are shown, in the suite's order."""

    @property
    def left_out(self) -> str:
        """What the case browser does not show, and why, in words; "" where it shows all."""
        n_cases = len(self.subjects[0].scores.tallies.cases)
        n_shown = sum(len(subject.verdicts) for subject in self.subjects)
        n_answers = sum(subject.scores.n_samples for subject in self.subjects)
        if n_shown == n_answers:
            return ""
        return (
            f"{self.title}: {n_shown:,} of {n_answers:,} answers are shown, to "
            f"{len(self.case_ids):,} of {n_cases:,} cases; those first in which something is wrong."
        )


def subjects_of(paths: Sequence[str], gathered: Sequence[Gathered]) -> list[Subject]:
    """Return the scored runs of a report, each with a label of its own, and no verdicts yet."""
    scored = [found.scores for found in gathered]
    rows = [_row(path, found) for path, found in zip(paths, gathered, strict=True)]
    models = [_model(row, scores) for row, scores in zip(rows, scored, strict=True)]
    labels = [
        f"{model} · {row.prompt}" if scores.manifest else model
        for model, row, scores in zip(models, rows, scored, strict=True)
    ]
    # What tells runs apart that are otherwise called the same: the folder's name, or its path.
    folders, times = Counter(row.run for row in rows), Counter(labels)
    found = []
    for i, (path, row, scores) in enumerate(zip(paths, rows, scored, strict=True)):
        apart = "" if times[labels[i]] == 1 else row.run if folders[row.run] == 1 else path
        label = f"{labels[i]} · {apart}" if apart else labels[i]
        notes = ", ".join(part for part in (_origin(scores), apart) if part)
        found.append(Subject(i, row.run, label, models[i], notes, row, scores, gathered[i], {}))
    return found


def groups_of(subjects: Sequence[Subject], paths: Sequence[str]) -> list[Group]:
    """Return the runs in groups over the same cases and rules, in the order they were given.

    From here on they have the verdicts and prompts that are shown. `paths` are the runs'.
    """
    kinds: dict[object, list[Subject]] = {}
    for subject in subjects:
        scores = subject.scores
        kind = scores.suite_sha256, frozenset(scores.tallies.cases), scores.matching
        kinds.setdefault(kind, []).append(subject)
    groups = []
    for i, members in enumerate(kinds.values()):
        case_ids = shown_cases([member.gathered for member in members])
        wanted = set(case_ids)
        seen = [_seeing(member, paths[member.number], wanted) for member in members]
        title = _title(members[0].row)
        groups.append(Group(i, title, members[0].scores.suite_sha256, seen, case_ids))
    return groups


def _seeing(subject: Subject, path: str, case_ids: set[str]) -> Subject:
    """Return a run with its verdicts on some cases, and the prompts of these."""
    verdicts = subject.gathered.see(case_ids)
    asked = {verdict.sample.prompt_sha256 for verdict in verdicts}
    prompts = RunFolder(Path(path)).prompts(asked) if subject.manifest else {}
    scores = msgspec.structs.replace(subject.scores, verdicts=verdicts)
    return msgspec.structs.replace(subject, scores=scores, prompts=prompts)


def _row(path: str, gathered: Gathered) -> Row:
    name, scores = Path(path).name or path, gathered.scores
    if scores.manifest:
        return row_of(name, scores, gathered.amounts["seconds"])
    return Row(
        run=name,
        suite=scores.suite,
        suite_sha256=scores.suite_sha256,
        selection="",
        rules=rules_label(scores.matching),
        model=name,
        prompt="outputs made elsewhere",
        n_cases=scores.n_cases,
        n_errors=scores.n_errors,
        metrics=scores.metrics,
        outcomes=scores.outcomes,
        seconds_per_case=None,
        started_at="",
    )


def _model(row: Row, scores: Scores) -> str:
    """Return model and adapter in short: the last parts of their names."""
    if not scores.manifest:
        return row.model
    model = scores.manifest["model"]
    parts = [str(model["name"]), *([str(model["adapter"]["name"])] if model.get("adapter") else [])]
    names = [part.rstrip("/").rpartition("/")[2] or part for part in parts]
    return " + ".join(names)


def _origin(scores: Scores) -> str:
    model = scores.manifest.get("model", {})
    return ", ".join(str(model[key]) for key in ("provenance", "dtype") if model.get(key))


def _title(row: Row) -> str:
    chosen = "; ".join(part for part in (row.selection, row.rules) if part)
    return f"{row.suite} ({chosen})" if chosen else row.suite
