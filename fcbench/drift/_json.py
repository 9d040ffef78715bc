"""A drift for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from fcbench.report.comparison import letter

if TYPE_CHECKING:
    from fcbench.drift._records import Drift
    from fcbench.runs import Comparison
    from fcbench.types import Json


def as_json(drift: Drift) -> str:
    """Return everything but the samples as JSON."""
    rows = drift.rows
    plain: dict[str, Json] = {
        "suite": {"name": drift.suite, "sha256": drift.suite_sha256},
        "reference": letter(drift.reference),
        "rows": [_plain_row(drift, i) for i in range(len(rows))],
        "comparisons": [
            {"row": letter(i), **_plain_comparison(c)}
            for pairs in drift.comparisons.values()
            for i, c in pairs.items()
        ],
        "flips": [{**msgspec.to_builtins(flip), "row": letter(flip.row)} for flip in drift.flips],
        "prompts": msgspec.to_builtins(drift.prompts),
        "disagreements": [
            {**msgspec.to_builtins(d), "first": letter(d.first), "second": letter(d.second)}
            for d in drift.disagreements
        ],
        "notes": drift.notes,
        "not_run": msgspec.to_builtins(drift.not_run),
    }
    return json.dumps(plain, indent=2) + "\n"


def _plain_row(drift: Drift, i: int) -> dict[str, Json]:
    row = drift.rows[i]
    same, n = drift.same_answers[i]
    model = row.manifest["model"]
    return {
        "row": letter(i),
        "prompt": row.prompt,
        "dtype": row.dtype,
        "weights": row.weights,
        "decoding": list(row.decoding),
        "backend": row.backend,
        "model": model["name"],
        "adapter": (model.get("adapter") or {}).get("name"),
        "adapter_active": row.adapter_active,
        "run": row.run,
        "n_cases": row.scores.n_cases,
        "n_errors": row.scores.n_errors,
        "metrics": {name: row.scores.metrics[name]._asdict() for name in drift.metrics},
        "outcomes": row.scores.outcomes,
        "same_answers": {"n_same": same, "n": n},
    }


def _plain_comparison(c: Comparison) -> dict[str, Json]:
    plain: dict[str, Json] = msgspec.to_builtins(c)
    del plain["flips"]  # they stand by themselves, with their causes
    estimates = {name: getattr(c, name)._asdict() for name in ("a", "b", "difference")}
    return {**plain, **estimates}
