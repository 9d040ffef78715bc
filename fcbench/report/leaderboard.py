"""One row a run, one table a suite: printed, and written as Markdown, CSV and JSON.

Runs over different cases (another suite hash, another selection), and runs judged by different
rules, never share a table.
"""

from __future__ import annotations

import csv
import io
import json
from statistics import StatisticsError, fmean
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import FcbenchError, RunError
from fcbench.metrics import HEADLINE, unit_of
from fcbench.paths import within
from fcbench.report import page
from fcbench.report._safe import plain, table
from fcbench.runs import read_run, score
from fcbench.stats import Estimate
from fcbench.suite import MAX_NEW_TOKENS
from fcbench.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from fcbench.runs import Scores
    from fcbench.types import Json, Matching

DEFAULT_FORMAT = "functiongemma"
SHOWN = (*HEADLINE, "abstention")
MARKDOWN = "github"


class Row(msgspec.Struct, frozen=True):
    """What a leaderboard says of one run."""

    run: str
    suite: str
    suite_sha256: str
    selection: str
    rules: str
    model: str
    prompt: str
    n_cases: int
    n_errors: int
    metrics: dict[str, Estimate]
    outcomes: dict[str, int]
    seconds_per_case: float | None
    started_at: str


def row_of(run: str, scores: Scores, seconds: Iterable[float]) -> Row:
    """Return the row of a scored run; `run` is its folder's name."""
    manifest = scores.manifest
    suite, prompt, model = manifest["suite"], manifest["prompt"], manifest["model"]
    chosen = [*suite["tags"], *([f"first {suite['limit']}"] if suite["limit"] else [])]
    if suite.get("sample"):  # runs that began before there were samples do not say it
        chosen.append(f"{suite['sample']} drawn by seed {manifest['seed']}")
    shown_prompt = f"{prompt['file'] or prompt['mode']}"
    if prompt["few_shot"]:
        shown_prompt += f" + {prompt['few_shot']}-shot"
    shown_prompt = ", ".join([shown_prompt, *unusual(manifest)])
    return Row(
        # A manifest may be a stranger's: what it says must not move a cursor, or end a line.
        run=visible(run),
        suite=visible(suite["name"]),
        suite_sha256=visible(suite["sha256"]),
        selection=visible(", ".join(chosen)),
        rules=visible(rules_label(scores.matching)),
        model=visible(model_label(model)),
        prompt=visible(shown_prompt),
        n_cases=scores.n_cases,
        n_errors=scores.n_errors,
        metrics=scores.metrics,
        outcomes=scores.outcomes,
        seconds_per_case=_mean(seconds),
        started_at=visible(manifest["started_at"]),
    )


def _mean(seconds: Iterable[float]) -> float | None:
    """Return the mean of numbers that are read one by one, None of none."""
    try:
        return fmean(seconds)
    except StatisticsError:
        return None


def unusual(manifest: Mapping[str, Json]) -> list[str]:
    """Return how a run chose its tokens where that is not the default: rows that differ look so."""
    prompt, decoding = manifest["prompt"], manifest["decoding"]
    format_name = manifest["format"]["name"]
    temperature, repeats = decoding.get("temperature", 0.0), decoding.get("repeats", 1)
    said = []
    if manifest["seed"] and (prompt["few_shot"] or temperature):
        said.append(f"seed {manifest['seed']}")
    if decoding["mode"] not in ("greedy", "sample"):
        said.append(decoding["mode"])
    if temperature:
        said.append(f"temperature {temperature}".removesuffix(".0"))
    if repeats > 1:
        said.append(f"{repeats} repeats")
    if decoding["max_new_tokens"] != MAX_NEW_TOKENS:
        said.append(f"at most {decoding['max_new_tokens']} tokens")
    if format_name != DEFAULT_FORMAT:
        said.append(format_name)
    return said


def rules_label(matching: Matching) -> str:
    """Return how calls were matched, where that is not the default."""
    rules = [f"matcher {matching.matcher}"] if matching.matcher != "exact" else []
    rules += [f"{name} overlooked" for name in matching.normalise]
    rules += ["schema defaults equal absence"] if matching.schema_defaults else []
    return ", ".join(rules)


def model_label(model: dict[str, Json]) -> str:
    """Return how a table names a model, with its adapter, dtype and origin."""
    label = str(model["name"])
    if model.get("adapter"):
        label += f" + {model['adapter']['name']}"
    notes = [str(model[key]) for key in ("provenance", "dtype") if model.get(key)]
    return f"{label} ({', '.join(notes)})" if notes else label


def read_rows(results: Path, known: Iterable[Row] = ()) -> tuple[list[Row], list[str]]:
    """Return a row for the newest run of each kind, and a line for each run that is left out.

    A run is left out when it cannot be read or its suite has changed since. Those of which a row
    is known are not scored again. RunError when there is no row.
    """
    rows, left_out = [], []
    by_run = {row.run: row for row in known}
    for manifest in sorted(results.glob("*/run.json")):
        if manifest.parent.name in by_run:
            rows.append(by_run[manifest.parent.name])
            continue
        try:
            run = read_run(manifest.parent)
            seconds = (s.seconds for s in run.samples if s.seconds is not None)
            scores = score(run, keep_verdicts=False)
            rows.append(row_of(manifest.parent.name, scores, seconds))
        except FcbenchError as error:
            left_out.append(error.message)
    if not rows:
        raise RunError(
            f"{results}: holds no run that can be read",
            hint="; ".join(left_out) or "python -m fcbench run --results …",
        )
    return newest(rows), left_out


def newest(rows: Iterable[Row]) -> list[Row]:
    """Return the newest row of each kind: of the same cases, rules, model, prompt and decoding."""
    found: dict[tuple[str, ...], Row] = {}
    for row in rows:
        kind = (row.suite_sha256, row.selection, row.rules, row.model, row.prompt)
        if kind not in found or _rank_of_run(found[kind]) <= _rank_of_run(row):
            found[kind] = row
    return list(found.values())


def _rank_of_run(row: Row) -> tuple[bool, str]:
    # A run that was interrupted, or failed, does not take the place of a whole one.
    return row.n_errors == 0, row.started_at


def tables(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of each table by its title, best argument_exact_match first."""
    grouped: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        kind = row.suite, row.selection, row.rules, row.suite_sha256
        grouped.setdefault(kind, []).append(row)
    titled = {}
    for (suite, selection, rules, sha256), members in sorted(grouped.items()):
        chosen = "; ".join(part for part in (selection, rules) if part)
        title = f"{suite} ({chosen})" if chosen else suite
        titled[f"{title}, SHA-256 {sha256[:12]}"] = sorted(members, key=_rank)
    return titled


def _rank(row: Row) -> tuple[float, ...] | tuple[float | str, ...]:
    best_first = [-(row.metrics[name].value or 0.0) for name in reversed(HEADLINE)]
    return (*best_first, row.model, row.prompt)


def as_text(rows: Iterable[Row], style: str = "simple") -> str:
    """Return the tables, each with what the turns were; `style` is tabulate's.

    In Markdown ("github"), whose rows may be long, that is a column; else a table below.
    """
    parts = []
    for title, members in tables(rows).items():
        if style == MARKDOWN:
            parts += [f"### {plain(title)}", _whole_table(members)]
        else:
            parts += [title, _metrics_table(members, style), _outcomes_table(members, style)]
    return "\n\n".join([*parts, _FOOTNOTE]) + "\n"


_FOOTNOTE = (
    "Each cell: per cent [95 % Wilson interval] of n cases, the repeats of a case as one cluster.\n"
    "The first three metrics are over the cases that expect a call, abstention over those that\n"
    "expect none. Errors are samples where the machinery failed, and in no metric."
)


def _whole_table(rows: Sequence[Row]) -> str:
    """Return everything of each run in one line of Markdown."""
    body = [
        [plain(row.model), plain(row.prompt), *_metrics(row), plain(turns(row.outcomes))]
        for row in rows
    ]
    return table([*_HEADER, f"what the {_n_turns(rows)}turns were"], body)


def _metrics_table(rows: Sequence[Row], style: str) -> str:
    from tabulate import tabulate

    body = [[row.model, row.prompt, *_metrics(row)] for row in rows]
    widths = _widths(len(_HEADER))
    return tabulate(body, _HEADER, tablefmt=style, disable_numparse=True, maxcolwidths=widths)


def _outcomes_table(rows: Sequence[Row], style: str) -> str:
    from tabulate import tabulate

    body = [[row.model, row.prompt, turns(row.outcomes)] for row in rows]
    header = ["model", "prompt", f"what the {_n_turns(rows)}turns were"]
    return tabulate(body, header, tablefmt=style, maxcolwidths=_widths(len(header)))


_HEADER = ["model", "prompt", *(name.replace("_", " ") for name in SHOWN), "errors", "s/answer"]


def _metrics(row: Row) -> list[str]:
    seconds = "—" if row.seconds_per_case is None else f"{row.seconds_per_case:.2f}"
    cells = [cell(row.metrics[name]) for name in SHOWN]
    return [*cells, str(row.n_errors), seconds]


def turns(outcomes: Mapping[str, int]) -> str:
    """Return what a run's turns were, in the order of its scores: the most frequent first."""
    return ", ".join(f"{kind} {n}" for kind, n in outcomes.items())


def _n_turns(rows: Sequence[Row]) -> str:
    """Return how many turns each row has, "" where they have not all as many."""
    counts = {sum(row.outcomes.values()) for row in rows}
    return f"{counts.pop()} " if len(counts) == 1 else ""


def _widths(n_columns: int) -> list[int | None]:
    """Return where a terminal's table breaks lines: long model names."""
    return [28, *[None] * (n_columns - 1)]


def cell(estimate: Estimate) -> str:
    """Return an estimate as a table shows it."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "—"
    bounds = f"{_percent(estimate.low)}–{_percent(estimate.high)}"
    return f"{_percent(estimate.value)} [{bounds}] of {estimate.n}"


def quantity(name: str, estimate: Estimate) -> str:
    """Return the mean of a metric that is no share, with its unit."""
    if estimate.value is None:
        return "—"
    bounds = "" if estimate.low is None else f" [{estimate.low:.3g}–{estimate.high:.3g}]"
    return f"{estimate.value:.3g}{bounds} {unit_of(name)}, {estimate.n} cases"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def write(rows: Sequence[Row], results: Path) -> None:
    """Write leaderboard.md, .csv and .json, each whole or as it was. RunError if it cannot be.

    The results may be somebody else's: a link among them leads to no file of yours.
    """
    texts = {
        "md": "# Leaderboard\n\n" + as_text(rows, "github"),
        "csv": as_csv(rows),
        "json": as_json(rows),
    }
    for ending, text in texts.items():
        try:
            path = within(results, f"leaderboard.{ending}")
        except ValueError as error:
            raise RunError(f"{results}: {error}") from error
        page.write(path, text)


def as_json(rows: Iterable[Row]) -> str:
    """Return the rows of all tables as a JSON array."""
    ordered = [row for members in tables(rows).values() for row in members]
    return json.dumps([_plain(row) for row in ordered], indent=2) + "\n"


def _plain(row: Row) -> dict[str, Json]:
    plain: dict[str, Json] = msgspec.to_builtins(row)
    plain["metrics"] = {name: estimate._asdict() for name, estimate in row.metrics.items()}
    return plain


def as_csv(rows: Iterable[Row]) -> str:
    """Return the rows of all tables as CSV, four columns a metric."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    identity = [
        "suite",
        "suite_sha256",
        "selection",
        "rules",
        "model",
        "prompt",
        "run",
        "n_cases",
        "n_errors",
    ]
    parts = ["value", "low", "high", "n"]
    writer.writerow([*identity, *(f"{name}_{part}" for name in SHOWN for part in parts)])
    for members in tables(rows).values():
        for row in members:
            estimates = [getattr(row.metrics[name], part) for name in SHOWN for part in parts]
            writer.writerow([*(_no_formula(getattr(row, name)) for name in identity), *estimates])
    return file.getvalue()


def _no_formula(value: str | int) -> str | int:
    """Return a cell that no spreadsheet computes: a text that begins like a formula is quoted."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if is_formula else value
