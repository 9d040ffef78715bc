"""Runs of one model -> a model card: metadata as Hugging Face's hub reads it, and tables.

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md (`model-index`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import MissingExtra, UsageError
from fcbench.metrics import metric
from fcbench.report._safe import fenced, plain, table
from fcbench.report.leaderboard import SHOWN, Row, cell, quantity, row_of, turns
from fcbench.runs import Scores, command_of, score
from fcbench.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fcbench.stats import Estimate
    from fcbench.types import Json

CONFIDENCE = 0.95
DIGITS = 4
"""Of a share in the metadata; no run has cases for more."""
SAME_MODEL = ("name", "revision", "weights_sha256")
KEYS = {"name": "model", "adapter": "adapter"} | {
    f"{part}_sha256": f"{part}, SHA-256" for part in ("weights", "adapter", "tokenizer", "template")
}


class About(msgspec.Struct, frozen=True):
    """What a card says of a model that its runs do not know."""

    name: str | None = None
    license: str | None = None
    base_model: str | None = None
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ("function-calling", "tool-use")


class Measured(msgspec.Struct, frozen=True):
    """One run: its scores, and its row in a leaderboard."""

    scores: Scores
    row: Row

    @property
    def kind(self) -> tuple[str, str, str]:
        """What tells one result of a model from another: its cases, which of them, how asked."""
        how = "; ".join(part for part in (self.row.prompt, self.row.rules) if part)
        return self.row.suite_sha256, self.row.selection, how


def measure(runs: Sequence[str | Path]) -> list[Measured]:
    """Return the runs in some folders, scored. UsageError unless they are one model's, each once.

    RunError for a folder that holds no run.
    """
    found: list[Measured] = []
    for path in runs:
        scores = score(path, keep_verdicts=False)
        if not scores.manifest:
            raise UsageError(
                f"{path}: outputs alone do not say whose they are", hint="name a run's folder"
            )
        found.append(Measured(scores, row_of(Path(path).name, scores, [])))
        first, last = found[0], found[-1]
        if _identity(first) != _identity(last):
            raise UsageError(
                f"{first.row.run} and {last.row.run} are runs of different models",
                hint="a card is of one model: compare says how two differ",
            )
        if last.kind in [one.kind for one in found[:-1]]:
            raise UsageError(
                f"{last.row.run} asks what another of the runs asks, in the same way",
                hint="name one of them",
            )
    return found


def metadata(
    found: Sequence[Measured], about: About, metrics: Sequence[str] = SHOWN
) -> dict[str, Json]:
    """Return what stands above a card, as YAML has it. UsageError for a metric over no case."""
    results = [_result(one, metrics) for one in found]
    for name in metrics:
        if not any(m["type"] == name for result in results for m in result["metrics"]):
            if metrics is SHOWN:  # what no suite asks for is not missed unasked
                continue
            raise UsageError(f"no run has a case that {name} is over")
    data = {
        "license": about.license,
        "base_model": about.base_model,
        "language": list(about.languages) or None,
        "pipeline_tag": "text-generation",
        "tags": list(dict.fromkeys(about.tags)),
        "model-index": [{"name": _name(found, about), "results": results}],
    }
    return {key: _visible(value) for key, value in data.items() if value is not None}


def model_card(found: Sequence[Measured], about: About, metrics: Sequence[str] = SHOWN) -> str:
    """Return the card: metadata in YAML, then Markdown. MissingExtra without PyYAML."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("PyYAML", "card") from error
    data = metadata(found, about, metrics)
    head = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    n_errors = sum(one.scores.n_errors for one in found)
    parts = [
        f"---\n{head}---",
        f"# {plain(_name(found, about))}",
        "## Function calls",
        (
            "Measured with fcbench: per cent [95 % interval] of n cases, the repeats of a case as "
            "one cluster."
        ),
        _results(found, metrics),
        _meanings(metrics),
    ]
    if n_errors:
        parts.append(
            f"{n_errors} answers are errors, where the machinery failed and not the model: they "
            "are in no metric."
        )
    parts += ["## How it was asked", _identities(found), _asked(found)]
    parts += ["To repeat it:", fenced("\n".join(command_of(one.scores.manifest) for one in found))]
    return "\n\n".join(parts) + "\n"


def _identity(one: Measured) -> list[Json]:
    model = one.scores.manifest["model"]
    return [*(model.get(key) for key in SAME_MODEL), (model.get("adapter") or {}).get("sha256")]


def _name(found: Sequence[Measured], about: About) -> str:
    model = found[0].scores.manifest["model"]
    named = (model.get("adapter") or model)["name"]
    return about.name or Path(str(named)).name


def _result(one: Measured, metrics: Sequence[str]) -> dict[str, Any]:
    """Return one result of a model-index.

    The hub's own reader puts results together that have the same type, config, split and revision:
    here they are the suite, how it was asked, which cases, and the hash of the suite.
    """
    manifest, row = one.scores.manifest, one.row
    sha256, selection, how = one.kind
    source = str(manifest["suite"]["source"])
    return {
        "task": {"type": "text-generation", "name": "Function calling"},
        "dataset": {
            "name": f"{row.suite} ({selection})" if selection else row.suite,
            "type": source.removeprefix("hf:"),
            "config": how,
            "split": selection or "all",
            "revision": sha256,
            "args": {"n_cases": row.n_cases, "n_errors": row.n_errors},
        },
        "metrics": [
            _metric(name, one.scores.metrics[name])
            for name in metrics
            if one.scores.metrics[name].n
        ],
    }


def _metric(name: str, estimate: Estimate) -> dict[str, Any]:
    said = {
        "low": _rounded(estimate.low),
        "high": _rounded(estimate.high),
        "confidence": CONFIDENCE,
        "n": estimate.n,
        "unit": metric(name).unit,
    }
    return {
        "type": name,
        "name": name.replace("_", " "),
        "value": _rounded(estimate.value),
        "args": {key: value for key, value in said.items() if value is not None},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _visible(value: Json) -> Json:
    """Return metadata whose texts hold nothing that moves a cursor, or that UTF-8 cannot hold."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [_visible(item) for item in value]
    if isinstance(value, dict):
        return {key: _visible(item) for key, item in value.items()}
    return value


def _results(found: Sequence[Measured], metrics: Sequence[str]) -> str:
    head = ["suite", "prompt", *(name.replace("_", " ") for name in metrics), "errors"]
    body = []
    for one in found:
        _, selection, how = one.kind
        numbers = [_cell(name, one.scores.metrics[name]) for name in metrics]
        suite = f"{one.row.suite} ({selection})" if selection else one.row.suite
        said = plain(turns(one.row.outcomes))
        body.append([plain(suite), plain(how), *numbers, f"{one.row.n_errors}", said])
    return table([*head, "what the turns were"], body)


def _cell(name: str, estimate: Estimate) -> str:
    return cell(estimate) if metric(name).unit is None else quantity(name, estimate)


def _meanings(metrics: Sequence[str]) -> str:
    """Return what each metric is, as its own function says it."""
    lines = []
    for name in metrics:
        said = (metric(name).function.__doc__ or "").split("\n")[0].removeprefix("Return ")
        lines.append(f"- {name.replace('_', ' ')}: {plain(said)}")
    return "\n".join(lines)


def _identities(found: Sequence[Measured]) -> str:
    """Return what the model was: every hash that its runs know."""
    model: Mapping[str, Json] = found[0].scores.manifest["model"]
    adapter = model.get("adapter") or {}
    known = dict(model) | {"adapter": adapter.get("name"), "adapter_sha256": adapter.get("sha256")}
    rows = [[label, plain(str(known[key]))] for key, label in KEYS.items() if known.get(key)]
    return table(["", ""], rows)


def _asked(found: Sequence[Measured]) -> str:
    head = ["suite, SHA-256", "cases", "prompt, SHA-256", "format", "decoding", "dtype", "versions"]
    body = []
    for one in found:
        manifest = one.scores.manifest
        drawn, versions = manifest["decoding"], manifest.get("versions", {})
        decoding = (
            f"{drawn['mode']}, at most {drawn['max_new_tokens']} tokens, seed {manifest['seed']}"
        )
        said = [
            f"{one.row.suite} {one.row.suite_sha256}",
            f"{one.row.n_cases}",
            f"{one.row.prompt} {manifest['prompt'].get('sha256', '')}",
            str(manifest["format"]["name"]),
            decoding,
            str(manifest["model"].get("dtype", "—")),
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        ]
        body.append([plain(text) for text in said])
    return table(head, body)
