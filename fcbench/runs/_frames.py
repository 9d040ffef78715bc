"""Scores -> tables: one row a sample, or one row an argument."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args

from fcbench.errors import MissingExtra, UsageError, nearest
from fcbench.runs._reason import outcome_of, reason
from fcbench.text import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    import datasets
    import pandas as pd

    from fcbench.runs._scores import Scores
    from fcbench.types import Json, Verdict

By = Literal["case", "argument"]
Kind = Literal["str", "int", "float", "strs", "json"]
"""What a column holds; "json" is any value that a model, or a suite, may write."""

SAMPLE: dict[str, Kind] = {
    "case_id": "str",
    "repeat": "int",
    "tags": "strs",
    "text": "str",
    "outcome": "str",
    "offset": "int",
    "reason": "str",
    "error": "str",
}
ARGUMENT: dict[str, Kind] = {
    "case_id": "str",
    "repeat": "int",
    "call": "int",
    "expected_name": "str",
    "called_name": "str",
    "path": "str",
    "result": "str",
    "expected": "json",
    "called": "json",
}
NEVER_ABSENT = ("repeat", "call")


def columns_of(scores: Scores, by: By) -> dict[str, Kind]:
    """Return the columns of a table, and what they hold. UsageError for no such table."""
    if by == "argument":
        return ARGUMENT
    if by != "case":
        raise UsageError(f"no such rows: {by}", hint=nearest(by, get_args(By)))
    metrics: dict[str, Kind] = dict.fromkeys(scores.metrics, "float")
    return SAMPLE | metrics


def to_pandas(scores: Scores, by: By) -> pd.DataFrame:
    """Return a table as a frame. UsageError where the verdicts were not kept."""
    import pandas as pd

    columns = columns_of(scores, by)
    # Not the texts: pandas' own strings hold no lone surrogate, which a model may write.
    frame = pd.DataFrame(_rows(scores, by), columns=list(columns), dtype=object)
    kinds = {name: float for name, kind in columns.items() if kind == "float"}
    return frame.astype(kinds | {name: int for name in NEVER_ABSENT if name in columns})


def to_datasets(scores: Scores, by: By) -> datasets.Dataset:
    """Return a table as a dataset. MissingExtra without the package datasets."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hf") from error
    kinds = {
        "str": datasets.Value("string"),
        "int": datasets.Value("int64"),
        "float": datasets.Value("float64"),
        "strs": [datasets.Value("string")],
        "json": datasets.Value("string"),
    }
    columns = columns_of(scores, by)
    rows = list(_rows(scores, by))
    cells = {name: [_plain(row[name], kind) for row in rows] for name, kind in columns.items()}
    features = datasets.Features({name: kinds[kind] for name, kind in columns.items()})
    return datasets.Dataset.from_dict(cells, features=features)


def _rows(scores: Scores, by: By) -> Iterator[dict[str, Any]]:
    if by == "argument":
        return (row for verdict in scores.verdicts for row in _arguments(verdict))
    judged = {n: scores.tallies.metric(n) for n, found in scores.metrics.items() if found.n}
    return (
        _sample(verdict)
        | {name: judged[name](verdict) if name in judged else None for name in scores.metrics}
        for verdict in scores.verdicts
    )


def _sample(verdict: Verdict) -> dict[str, Any]:
    failure, error = verdict.parse.failure, verdict.sample.error
    return {
        "case_id": verdict.case.id,
        "repeat": verdict.sample.repeat,
        "tags": list(verdict.case.tags),
        "text": verdict.sample.text,
        "outcome": outcome_of(verdict),
        "offset": None if failure is None or error is not None else failure.offset,
        "reason": None if verdict.is_right else reason(verdict),
        "error": error,
    }


def _arguments(verdict: Verdict) -> Iterator[dict[str, Any]]:
    if verdict.sample.error is not None:
        return  # what the machinery failed at has no arguments, not missing ones
    for i, pair in enumerate(verdict.pairs):
        for argument in pair.arguments:
            yield {
                "case_id": verdict.case.id,
                "repeat": verdict.sample.repeat,
                "call": i,
                "expected_name": pair.expected_name,
                "called_name": pair.called_name,
                "path": argument.path,
                "result": argument.result,
                # The result tells an absent value from null.
                "expected": argument.expected,
                "called": argument.called,
            }


def _plain(value: Json, kind: Kind) -> Json:
    """Return a value as Arrow holds it: one type a column, and no lone surrogate in a text."""
    if kind == "json":
        return None if value is None else _as_json(value)
    if kind == "strs":
        return [_encodable(item) for item in value]
    return _encodable(value) if isinstance(value, str) else value


def _as_json(value: Json) -> str:
    try:
        return _encodable(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError):  # too many digits, too deep
        return show(value)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
