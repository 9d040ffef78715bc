"""The plugin's options, from the command line or the ini file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fcbench.errors import UsageError

if TYPE_CHECKING:
    import pytest


class Settings(NamedTuple):
    """What tests mean that do not name a model or a suite; a limit for all of them; a folder.

    `limit` is the most that any run answers, `results` the folder where runs are kept, None for
    one that pytest removes after some sessions.
    """

    model: str | None
    suite: str | None
    limit: int | None
    results: Path | None


def settings_of(config: pytest.Config) -> Settings:
    """Return the options of a session. UsageError for a limit that is none."""
    limit = config.getoption("fcbench_limit") or config.getini("fcbench_limit") or None
    try:
        n_cases = None if limit is None else int(limit)
    except ValueError:
        n_cases = 0
    if n_cases is not None and n_cases < 1:
        raise UsageError(f"fcbench_limit is a number of cases from 1 up, got {limit}")
    results = _named(config, "fcbench_results", must_exist=False)
    return Settings(
        model=_named(config, "fcbench_model"),
        suite=_named(config, "fcbench_suite"),
        limit=n_cases,
        results=None if results is None else Path(results),
    )


def _named(config: pytest.Config, name: str, *, must_exist: bool = True) -> str | None:
    given = config.getoption(name)
    if given:
        return str(given)
    said = str(config.getini(name) or "")
    return from_root(config, said, must_exist=must_exist) if said else None


def from_root(config: pytest.Config, path: str, *, must_exist: bool = True) -> str:
    """Return a path as it is, or that below the root folder if pytest was started elsewhere.

    What is no path, such as a model's name, stays what it is.
    """
    if config.rootpath == Path.cwd() or Path(path).exists():
        return path
    below = config.rootpath / path
    return str(below) if below.exists() or not must_exist else path
