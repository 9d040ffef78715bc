"""Scored runs -> one HTML file that opens from the disk and asks no network for anything.

Tables and charts are drawn here and need no script; the case browser is built by the page's own
script from a block of JSON. Everything that a model, a suite or a folder's name says is hostile
text: Jinja escapes it, the script writes it as text nodes only, and the page's content security
policy lets nothing run but that one script, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from markupsafe import Markup

from fcbench.metrics import HEADLINE
from fcbench.report.html import _tables
from fcbench.report.html._compared import Compared, Flips, compared
from fcbench.report.html._confusion import Confusion, confusion
from fcbench.report.html._evidence import evidence
from fcbench.report.html._gather import Gathered, gather, gathered_of
from fcbench.report.html._logs import Log, figure, last, read_log
from fcbench.report.html._subject import Group, Subject, groups_of, subjects_of
from fcbench.report.html._text import embedded, plain, shown, written
from fcbench.report.leaderboard import SHOWN
from fcbench.text import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2

    from fcbench.runs import Scores
    from fcbench.types import Json

__all__ = ["Gathered", "Log", "gather", "read_log", "report"]

FOLDER = Path(__file__).parent
SCRIPTS = ("text.js", "answer.js", "search.js", "browser.js")
LONGEST_NAME = 80
BY_TAG = (*reversed(HEADLINE), "abstention")
_AMOUNTS = {
    "output_tokens": "Tokens written an answer",
    "prompt_tokens": "Tokens read a prompt",
    "seconds": "Seconds an answer",
}
_POLICY = (
    "default-src 'none'",
    "script-src 'sha256-{script}'",
    "style-src 'sha256-{style}'",
    "base-uri 'none'",
    "form-action 'none'",
    # Where a browser knows these, a string cannot become markup even by mistake.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)


class _View(msgspec.Struct, frozen=True):
    """Everything that is shown of a group."""

    group: Group
    board: list[_tables.Line]
    metrics: list[_tables.Named]
    tags: list[tuple[str, list[_tables.Named]]]
    outcomes: list[tuple[Subject, list[_tables.Count]]]
    confusions: list[tuple[Subject, Confusion]]
    amounts: list[tuple[str, list[tuple[Subject, _tables.Amounts]]]]
    compared: list[Compared]
    flips: list[Flips]


class _Curve(msgspec.Struct, frozen=True):
    """A training log as it is shown."""

    name: str
    last: list[tuple[str, str]]
    chart: Markup


def report(
    paths: Sequence[str],
    scored: Sequence[Scores | Gathered],
    logs: Sequence[Log] = (),
    title: str | None = None,
) -> str:
    """Return the report of scored runs as HTML, in the order given; `gather` scores large ones.

    `paths` are the runs' folders, whose prompts are read, or the files of outputs made elsewhere.
    Runs over the same cases, judged by the same rules, are shown together and compared.
    """
    gathered = [s if isinstance(s, Gathered) else gathered_of(s) for s in scored]
    subjects = subjects_of(paths, gathered)
    groups = groups_of(subjects, paths)
    views = [_view(group) for group in groups]
    style, script = _style(), _script()
    hashes = {"script": _sha256(script), "style": _sha256(style)}
    policy = Markup("; ".join(_POLICY)).format(**hashes)  # noqa: S704  our own
    named = title or f"fcbench: {', '.join(dict.fromkeys(group.title for group in groups))}"
    return _template().render(
        title=named,
        policy=policy,
        version=_version(),
        style=style,
        script=script,
        lead=_lead(groups),
        warnings=_warnings(subjects),
        sections=_sections(views, logs),
        several=len(groups) > 1,
        views=views,
        shown_metrics=[name.replace("_", " ") for name in SHOWN],
        logs=[_curve(log) for log in logs],
        left_out=[group.left_out for group in groups if group.left_out],
        data=embedded(evidence(groups)),
    )


def _view(group: Group) -> _View:
    subjects = group.subjects
    tables, flips = compared(group) if len(subjects) > 1 else ([], [])
    tagged = [(name.replace("_", " "), _tables.by_tag(group, name)) for name in BY_TAG]
    amounts = [
        (said, list(zip(subjects, _tables.amounts(group, field), strict=True)))
        for field, said in _AMOUNTS.items()
    ]
    return _View(
        group=group,
        board=_tables.leaderboard(group),
        metrics=_tables.all_metrics(group),
        tags=[(name, rows) for name, rows in tagged if rows],
        outcomes=_tables.outcomes(group),
        confusions=[(subject, confusion(subject)) for subject in subjects],
        amounts=[(said, rows) for said, rows in amounts if any(row.chart for _, row in rows)],
        compared=tables,
        flips=flips,
    )


def _curve(log: Log) -> _Curve:
    said = [
        (name.replace("_", " "), "—" if cell.value is None else f"{_tables.percent(cell.value)} %")
        for name, cell in last(log)
    ]
    return _Curve(log.name, said, figure(log))


def _lead(groups: Sequence[Group]) -> Markup:
    """Return in a sentence or two which run is best."""
    sentences = []
    for group in groups:
        best = _tables.leaderboard(group)[0].subject
        found = best.scores.metrics[HEADLINE[-1]]
        n = len(group.subjects)
        runs = "One run" if n == 1 else f"{n} runs"
        said = Markup("{} over {} cases of {}.").format(
            runs, best.scores.n_cases, shown(group.title)
        )
        if found.value:
            said += Markup(
                " {}{} has {} % argument exact match, with a 95 % interval from {} to {}."
            ).format(
                "" if n == 1 else "The best, ",
                shown(best.label) + ("" if n == 1 else ","),
                _tables.percent(found.value),
                _tables.percent(found.low or 0.0),
                _tables.percent(found.high or 1.0),
            )
        elif found.n:
            said += Markup(" No run made the right calls in any case.")
        sentences.append(said)
    return Markup(" ").join(sentences)


def _warnings(subjects: Sequence[Subject]) -> list[str]:
    return [
        f"{s.letter}, {s.label}: {s.scores.n_errors} of {s.scores.n_samples} samples have no "
        "answer, because the machinery failed. They are in no metric."
        for s in subjects
        if s.scores.n_errors
    ]


def _sections(views: Sequence[_View], logs: Sequence[Log]) -> list[tuple[str, str]]:
    named = {
        "leaderboard": ("Leaderboard", True),
        "turns": ("Turns", True),
        "training": ("Training", bool(logs)),
        "tags": ("Tags", any(view.tags for view in views)),
        "functions": ("Functions", True),
        "cost": ("Tokens and time", True),
        "comparisons": ("Comparisons", any(view.compared for view in views)),
        "cases": ("Cases", True),
        "made": ("How made", True),
    }
    return [(anchor, name) for anchor, (name, there) in named.items() if there]


def _facts(subject: Subject) -> list[tuple[str, str]]:
    """Return a run's manifest, one line a value."""
    if not subject.manifest:
        return [("file", subject.name)]
    return [("folder", subject.name), *_flat(subject.manifest, "")]


def _flat(value: Json, path: str) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        below = [_flat(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()]
        return [line for lines in below for line in lines]
    return [(path, value if isinstance(value, str) else written(value))]


@cache  # reading it takes ten times as long as a small page
def _template() -> jinja2.Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        # What no filter was thought of for has its invisible characters named all the same.
        finalize=lambda value: plain(value) if type(value) is str else value,
    )
    environment.filters.update(shown=shown, short=_short, facts=_facts)
    return environment.get_template("page.jinja")


def _short(text: str) -> Markup:
    # A name may break where its words end.
    return shown(shorten(text, LONGEST_NAME)).replace("_", Markup("_<wbr>"))


def _style() -> Markup:
    return Markup((FOLDER / "report.css").read_text(encoding="utf-8"))  # noqa: S704  our own file


def _script() -> Markup:
    parts = [(FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return Markup('(() => {\n"use strict";\n' + "".join(parts) + "})();")  # noqa: S704  likewise


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _version() -> str:
    from fcbench.runs import versions

    return versions(["fcbench"]).get("fcbench", "")
