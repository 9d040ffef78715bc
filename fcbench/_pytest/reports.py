"""What a test's report says of the runs behind it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fcbench
from fcbench._pytest.rows import Row, row_of
from fcbench.errors import FcbenchError
from fcbench.runs import Scores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from fcbench._pytest.runs import Runs


def rows_of(item: pytest.Item, runs: Runs) -> list[Row]:
    """Return the runs that a test has used since its last report, and record them as properties."""
    rows = []
    for scores in _used(item, runs):
        row = row_of(scores)
        known = [value for name, value in item.user_properties if name == "fcbench.run"]
        if row["folder"] not in known:
            item.user_properties.extend(row["properties"])
        rows.append(row)
    return rows


def _used(item: pytest.Item, runs: Runs) -> Iterator[Scores]:
    """Yield the scores that a test asked for, or got from a fixture of its own."""
    yield from runs.used
    runs.used.clear()
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, Scores) and value.manifest:
            yield value


PACKAGE = Path(fcbench.__file__).parent


class NoResult(pytest.fail.Exception):  # type: ignore[misc, name-defined]
    """That a marked test could not be judged, told without a traceback."""

    __module__ = "builtins"  # as pytest's own: its name stands alone in the summary


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what a marker finds into its words alone: no code of the user's stands behind it."""
    __tracebackhide__ = True
    told: BaseException
    try:
        yield
    except AssertionError as missed:
        told = pytest.fail.Exception(str(missed), pytrace=False)
    except FcbenchError as error:
        told = NoResult(f"{type(error).__name__}: {error}", pytrace=False)
    else:
        return
    raise told from None


def without_our_frames(call: pytest.CallInfo[None]) -> None:
    """Cut what an error came through in fcbench: it says itself what is wrong."""
    if call.excinfo is None or not isinstance(call.excinfo.value, FcbenchError):
        return
    frame: TracebackType | None = call.excinfo.tb
    while frame is not None:
        while frame.tb_next is not None and _is_ours(frame.tb_next):
            frame.tb_next = frame.tb_next.tb_next
        frame = frame.tb_next


def _is_ours(frame: TracebackType) -> bool:
    return PACKAGE in Path(frame.tb_frame.f_code.co_filename).parents


def as_error(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Make an error of a failure that is not the model's: no answers, or a test that cannot be.

    Nor is it what somebody expected who marked the test xfail, unless they named this error.
    """
    if call.excinfo is None or not isinstance(call.excinfo.value, FcbenchError | NoResult):
        return
    xfail = item.get_closest_marker("xfail")
    if hasattr(report, "wasxfail") and not (xfail and xfail.kwargs.get("raises")):
        del report.wasxfail
        report.outcome = "failed"
    if report.failed and report.when == "call":
        # Of setup, an error is what pytest calls it: in the terminal, in JUnit's XML, everywhere.
        report.when = "setup"
