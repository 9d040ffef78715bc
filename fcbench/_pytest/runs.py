"""The runs of a test session: each is made once, by whichever test or worker asks first.

Workers of pytest-xdist share a folder. For each run it holds a lock, a note that it was begun, and
how it ended: where it is stored, or why it failed. A run that failed, or ended the process that
made it, is not tried again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fcbench.errors import FcbenchError, RunError, UsageError
from fcbench.runs import execute, make_folder, plan, read_run, run, score
from fcbench.runs._gate import refuse_errors

if TYPE_CHECKING:
    from fcbench._pytest.settings import Settings
    from fcbench.runs import Plan, Scores
    from fcbench.suite import Suite
    from fcbench.types import Backend, Json, Run


class _Wanted(NamedTuple):
    """One run that a test asks for; the key is the same where another test asks for the same.

    `name` is what every process calls the model, None for one that only this process has.
    """

    model: Any
    plan: Plan
    key: str
    name: str | None


class Runs:
    """The runs that were made so far, in this process or beside it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.used: list[Scores] = []
        """Those that were asked for since somebody emptied this list."""
        self._ended: dict[str, Scores | RunError] = {}
        self._kept_models: list[Any] = []
        self._loaded: tuple[object, Backend] | None = None

    def __repr__(self) -> str:
        return "<the runs of this session>"

    def __call__(
        self, model: Any = None, suite: Any = None, prompt: str = "chat", **options: Any
    ) -> Scores:
        """Return the scores of a run, which is made if nobody has made it yet.

        It takes what fcbench.run takes; a model and a suite that are not named are those of the
        command line or the ini file. RunError for one that failed before, and for one in which
        samples have no answer.
        """
        __tracebackhide__ = True
        try:
            wanted = self._wanted(model, suite, prompt, options)
            if wanted.key not in self._ended:
                self._ended[wanted.key] = self._end(wanted)
            ended = self._ended[wanted.key]
            if isinstance(ended, RunError):
                raise ended
            self.used.append(ended)
            refuse_errors(ended)
        except FcbenchError as error:
            # It says what and where itself: the frames that it came through say no more.
            raise error.with_traceback(None) from None
        return ended

    def _wanted(self, model: Any, suite: Any, prompt: str, options: dict[str, Any]) -> _Wanted:
        model = self.settings.model if model is None else model
        suite = self.settings.suite if suite is None else suite
        for what, given in (("model", model), ("suite", suite)):
            if given is None:
                raise UsageError(
                    f"which {what}?", hint=f"{what}=… in the test, or --fcbench-{what}"
                )
        made = _plan_of(model, suite, prompt, _limited(options, self.settings.limit))
        if made.results is None and self.settings.results is not None:
            made = msgspec.structs.replace(made, results=self.settings.results)
        name = _name_of(model)
        if name is None:
            self._kept_models.append(model)  # so that no other comes to have its id
        return _Wanted(model, made, _key_of(id(model) if name is None else name, made), name)

    def _end(self, wanted: _Wanted) -> Scores | RunError:
        """Make a run, or wait until another worker has, and return how it ended."""
        from filelock import FileLock

        make_folder(self.folder)
        try:
            if wanted.name is None:
                return score(self._make(wanted))
            with FileLock(self.folder / f"{wanted.key}.lock"):
                found = self._made_elsewhere(wanted) or self._noted(wanted)
            return found if isinstance(found, RunError) else score(found)
        # Whatever it was, the next test would only see it once more; this one sees all of it.
        except Exception as error:
            self._ended[wanted.key] = _again(*_told(error))
            raise

    def _made_elsewhere(self, wanted: _Wanted) -> Run | RunError | None:
        """Return a run that another worker made, or why it failed, or None if nobody tried."""
        ended = self.folder / f"{wanted.key}.json"
        if ended.exists():
            said = json.loads(ended.read_text(encoding="utf-8"))
            if "error" in said:
                return _again(*said["error"])
            return read_run(said["run"], wanted.plan.suite)
        if (self.folder / f"{wanted.key}.begun").exists():
            return RunError(
                "this run ended the process that made it, and is not tried again",
                hint="python -m fcbench run, with the same options, shows what happens",
            )
        return None

    def _noted(self, wanted: _Wanted) -> Run:
        """Make a run and leave a note of how it ended."""
        begun = self.folder / f"{wanted.key}.begun"
        begun.touch()
        ended = self.folder / f"{wanted.key}.json"
        try:
            made = self._make(wanted)
        except Exception as error:
            _write(ended, {"error": _told(error)})
            raise
        except BaseException:
            begun.unlink()  # interrupted by a person: the run has not failed
            raise
        _write(ended, {"run": str(Path(made.folder or "").absolute())})
        return made

    def _make(self, wanted: _Wanted) -> Run:
        """Answer the cases; where nobody says where to keep them, below the session's folder."""
        from filelock import FileLock

        made = wanted.plan
        if made.results is None:
            made = msgspec.structs.replace(made, results=self.folder / wanted.key)
        # Two plans may have one name, and two workers must not begin one folder.
        place = hashlib.sha256(f"{made.results}/{made.name}".encode()).hexdigest()[:16]
        with FileLock(self.folder / f"{place}.place.lock"):
            if isinstance(wanted.model, str):
                return execute(made, self._model(made))
            return run(wanted.model, made.suite, made.prompt, **_arguments(made))

    def _model(self, made: Plan) -> Backend:
        """Return a plan's model; the last one stays loaded."""
        from fcbench.executors import open_model

        wanted = made.model, made.model_options, made.where
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # before the next one takes its memory
            self._loaded = wanted, open_model(made.model, made.model_options, made.where)
        return self._loaded[1]


def _limited(options: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """Return a run's options with a number of cases that is no more than the session's limit."""
    name = "sample" if options.get("sample") is not None else "limit"
    numbers = [n for n in (options.get(name), limit) if n is not None]
    return {**options, name: min(numbers)} if numbers else options


def _plan_of(model: Any, suite: str | Path | Suite, prompt: str, options: dict[str, Any]) -> Plan:
    chosen = {"adapter": None, "decode": None, "results": None, **options}
    return plan(model if isinstance(model, str) else "", suite, prompt, **chosen)


def _name_of(model: Any) -> str | None:
    """Return what a model is called in every process, or None for one that only this one has."""
    if isinstance(model, str):
        return model
    module, name = getattr(model, "__module__", ""), getattr(model, "__qualname__", "")
    is_at_top = getattr(sys.modules.get(module), name, None) is model
    return f"{module}:{name}" if is_at_top else None


def _key_of(model: str | int, made: Plan) -> str:
    """Return what two tests have in common that ask for the same run."""
    same = {
        name: getattr(made, name)
        for name in made.__struct_fields__
        if name not in ("suite", "cases", "progress")
    }
    suite = made.suite
    same["model"] = model
    same["suite"] = [suite.name, suite.source, suite.sha256, suite.ordered, repr(suite.matching)]
    same["cases"] = [case.id for case in made.cases]
    return hashlib.sha256(json.dumps(same, default=repr).encode()).hexdigest()[:16]


def _arguments(made: Plan) -> dict[str, Any]:
    """Return a plan's options, as fcbench.run takes them."""
    left = ("model", "suite", "cases", "prompt")
    return {n: getattr(made, n) for n in made.__struct_fields__ if n not in left}


def _told(error: Exception) -> tuple[str, str, str | None]:
    """Return what kind of error it is, what it says, and its hint."""
    if isinstance(error, FcbenchError):
        return type(error).__name__, error.message, error.hint
    return type(error).__name__, str(error), None


def _again(kind: str, message: str, hint: str | None) -> RunError:
    """Return what a test is told whose run failed when another asked for it."""
    return RunError(f"this run failed before, and is not tried again: {kind}: {message}", hint)


def _write(path: Path, content: Json) -> None:
    # A kill in the middle leaves nothing that looks like an end.
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)
