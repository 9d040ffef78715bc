"""The pytest plugin: gates on models, as tests.

    def test_release(fcbench_run):
        scores = fcbench_run(model="./my-model", suite="mobile_actions", prompt="chat")
        scores.assert_at_least(syntax_validity=0.95, argument_exact_match=0.80)

    @pytest.mark.fcbench(suite="abstain", min_abstention=0.9, max_over_calling=0.05)
    def test_it_knows_when_not_to_call():
        pass

The fixture `fcbench_run` takes what fcbench.run takes and returns scores. The marker takes the same
and thresholds; a marked test may take the fixture `fcbench_scores`. A model and a suite that a test
does not name are those of `--fcbench-model` and `--fcbench-suite`, or of the ini file.

A run is made once in a session, however many tests and workers of pytest-xdist ask for it. Where
the machinery failed, and not the model, the test is an error and not a failure.

Nothing but pytest is imported until a test asks for a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from fcbench._pytest.rows import Row
    from fcbench._pytest.runs import Runs
    from fcbench.runs import Scores

MARKER, FIXTURES = "fcbench", {"fcbench_run", "fcbench_scores"}
OPTIONS = {
    "model": ("MODEL", "the model of tests that name none"),
    "suite": ("SUITE", "the suite of tests that name none"),
    "limit": ("N", "answer the first N cases of a suite at most, in every test"),
    "results": ("DIR", "keep the runs there (default: in pytest's folder of temporary files)"),
}
ASKED = pytest.StashKey[Any]()
MARKER_HELP = (
    "fcbench(model, suite, prompt, min_METRIC, max_METRIC, confidence, interval, per_tag, "
    "no_worse_than, metric, alpha, margin, **options of fcbench.run): "
    "fail unless the model reaches the thresholds over the suite."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Describe the options, each also one of the ini file: --fcbench-model and fcbench_model."""
    group = parser.getgroup("fcbench", "function-calling models")
    for name, (metavar, text) in OPTIONS.items():
        group.addoption(f"--fcbench-{name}", metavar=metavar, help=text)
        parser.addini(f"fcbench_{name}", f"{text} (as --fcbench-{name})", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER_HELP)
    config.pluginmanager.register(_Summary(), "fcbench-summary")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Give every marked test its scores, which are made with its other fixtures."""
    for item in items:
        names = getattr(item, "fixturenames", None)
        if names is not None and item.get_closest_marker(MARKER) and "fcbench_scores" not in names:
            # A list of its own: pytest's is that of all parameters of a function.
            item.fixturenames = [*names, "fcbench_scores"]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def fcbench_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Scores]:
    """Return a function that takes what fcbench.run takes and returns scores.

    A run is made once per session, however many tests ask for it. It raises where samples have no
    answer, and the test is an error then.
    """
    from fcbench._pytest.runs import Runs
    from fcbench._pytest.settings import settings_of

    folder = tmp_path_factory.getbasetemp()
    # A worker's own folder stands in that of the process which started it. Where it was started on
    # another machine that is one of many sessions, which the session's name tells apart.
    worker: dict[str, str] = getattr(request.config, "workerinput", {})
    folder = (
        folder.parent / f"fcbench-{worker['testrunuid'][:12]}" if worker else folder / "fcbench"
    )
    runs = Runs(settings_of(request.config), folder)
    request.config.pluginmanager.register(_Judged(runs))
    return runs


@pytest.fixture
def fcbench_scores(request: pytest.FixtureRequest, fcbench_run: Callable[..., Scores]) -> Scores:
    """Return the scores of the run that the test's marker describes."""
    __tracebackhide__ = True
    from fcbench._pytest.marker import asked_of
    from fcbench._pytest.reports import plainly

    with plainly():
        asked = asked_of(request.node)
        request.node.stash[ASKED] = asked
        return fcbench_run(**asked.run)


class _Judged:
    """The hooks of every test, from the first on that asks for a run: no other pays for them."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Test a marker's thresholds; where one is missed, the test itself is not run."""
        __tracebackhide__ = True
        asked = item.stash.get(ASKED, None)
        if asked is not None:
            from fcbench._pytest.reports import plainly

            with plainly():
                asked.require(item.funcargs["fcbench_scores"])  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Record a test's runs; make an error of what is none of the model's failures."""
        from fcbench._pytest.reports import as_error, rows_of, without_our_frames

        rows = rows_of(item, self.runs)
        is_ours = bool(FIXTURES & set(getattr(item, "fixturenames", ())))
        if is_ours:
            without_our_frames(call)
        report = yield
        report.fcbench = rows  # type: ignore[attr-defined]
        if is_ours:
            as_error(item, call, report)
        return report


class _Summary:
    """The table at the end; under pytest-xdist the workers' reports bring its rows."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, ...], Row] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for row in getattr(report, "fcbench", ()):
            self.rows[row["folder"], *row["cells"]] = row

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.rows:
            return
        from fcbench._pytest.rows import table

        terminalreporter.section("fcbench")
        terminalreporter.write_line(table(self.rows.values()))
