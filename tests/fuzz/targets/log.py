"""The reader of stored runs: run.json, prompts.jsonl and samples.jsonl, hostile, broken and torn."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fcbench
from fcbench.errors import FcbenchError
from fcbench.report import leaderboard
from fcbench.runs import RunFolder, command_of, plan_again, read_run
from tests.fuzz import targets, values
from tests.fuzz.choices import FromBytes
from tests.fuzz.properties import Violation, hold

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.choices import Choices

CALL = "<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"
NATIVE = [{"name": "show_map", "arguments": {"query": "Coit Tower"}}]
N_CASES = 5


class Folder(NamedTuple):
    """The files of a run, None where there is none. `n_whole` samples are whole where it is torn."""

    run: bytes
    samples: bytes | None
    prompts: bytes | None
    n_whole: int | None


def answer(prompts: list[str]) -> list[str]:
    """A model that says what was asked."""
    return [prompt[-20:] for prompt in prompts]


@cache
def suite() -> str:
    """Return the path of a small suite, which stays as long as this process."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tool = {"name": "show_map", "parameters": {"properties": {"query": {"type": "string"}}}}
    rows = [
        {
            "id": f"case-{i}",
            "messages": [{"role": "user", "content": f"Show me Coit Tower, {i}."}],
            "tools": [tool],
            "expected": [NATIVE],
        }
        for i in range(N_CASES)
    ]
    path = Path(folder) / "cases.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


@cache
def whole() -> tuple[dict[str, Any], list[bytes], bytes]:
    """Return the manifest, the log's lines and the prompts of a run that nothing happened to."""
    with targets.scratch() as folder:
        made = fcbench.run(answer, suite(), results=folder)
        files = Path(str(made.folder))
        lines = (files / "samples.jsonl").read_bytes().splitlines(keepends=True)
        return made.manifest, lines, (files / "prompts.jsonl").read_bytes()


def written(choices: Choices) -> Folder:
    """Return a run's folder that is mostly right."""
    manifest, lines, prompts = whole()
    way = choices.below(4)
    if way == 0:  # torn at any byte, and nothing else
        log = b"".join(lines)
        at = choices.below(len(log) + 1)
        return Folder(_plain(manifest), log[:at], prompts, log[:at].count(b"\n"))
    run = _plain(manifest)
    if way == 1:
        run = values.damaged(choices, values.dumped(choices, values.mutated(choices, manifest)))
    rows = [_sample(choices, lines) for _ in range(choices.below(values.MOST_ROWS))]
    log = values.damaged(choices, b"\n".join(rows) + (b"" if choices.once_in(4) else b"\n"))
    if choices.once_in(6):
        prompts = values.damaged(choices, prompts)
    return Folder(
        run, None if choices.once_in(9) else log, None if choices.once_in(9) else prompts, None
    )


def _plain(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest).encode()


def _sample(choices: Choices, lines: list[bytes]) -> bytes:
    row = json.loads(choices.pick(lines))
    row["text"] = values.name(choices, CALL)
    if choices.once_in(4):
        row["native_calls"] = values.mutated(choices, NATIVE)
    if choices.once_in(5):
        row["error"] = values.text(choices)
    row["repeat"] = choices.pick((0, 0, 0, 1, 2**31, 10**25, -1))
    return values.dumped(choices, values.mutated(choices, row) if choices.once_in(3) else row)


def check(data: bytes) -> None:
    """Raise a Violation of the first property that reading the run does not have."""
    made = written(FromBytes(data))
    with targets.scratch() as results:
        path = Path(results) / "a-run"
        path.mkdir()
        (path / "run.json").write_bytes(made.run)
        for name, content in (("samples.jsonl", made.samples), ("prompts.jsonl", made.prompts)):
            if content is not None:
                (path / name).write_bytes(content)
        run = _explained("read_run", lambda: read_run(path))
        if run is not None:
            _explained("reading samples", lambda: list(run.samples))
            _explained("command_of", lambda: command_of(run.manifest))
        scores = _explained("score", lambda: fcbench.score(path))
        _explained("prompts", lambda: dict(RunFolder(path).prompts()))
        _explained("plan_again", lambda: plan_again(path, {}))
        _check_board(Path(results), is_readable=scores is not None)
        if made.samples is not None:
            # A log's lines are records of outputs as well.
            outputs = Path(results) / "outputs.jsonl"
            outputs.write_bytes(made.samples)
            _explained("scoring outputs", lambda: fcbench.score(outputs, suite=suite()))
        if made.n_whole is not None:
            _check_torn(path, made.n_whole)


def _explained(what: str, do: Callable[[], Any]) -> Any:
    """Return what comes of it, None where it is refused with a reason."""
    try:
        return do()
    except FcbenchError as error:
        hold(str(error).strip(), f"{what} is refused without a word", error)
        return None
    except Exception as error:
        raise Violation(f"{what} raises {type(error).__name__}", error) from error


def _check_board(results: Path, *, is_readable: bool) -> None:
    """Check that a run is in the leaderboard or left out with a reason, and stops no other."""
    manifest, lines, _ = whole()
    good = results / "another-run"
    good.mkdir()
    other = {**manifest, "model": {"name": "python:other:model"}}  # of two alike one is shown
    (good / "run.json").write_bytes(_plain(other))
    (good / "samples.jsonl").write_bytes(b"".join(lines))
    try:
        rows, left_out = leaderboard.read_rows(results)
        table, *_ = leaderboard.as_text(rows), leaderboard.as_json(rows), leaderboard.as_csv(rows)
    except Exception as error:
        raise Violation(f"the leaderboard raises {type(error).__name__}", error) from error
    hold(len(rows) + len(left_out) == 2, "a run is neither in the leaderboard nor left out", rows)
    hold(len(rows) == 1 + is_readable, "only what can be scored has a row", rows)
    controls = [c for c in table if not c.isprintable() and c != "\n"]
    hold(not controls, "a table moves the cursor", controls)


def _check_torn(path: Path, n_whole: int) -> None:
    """Check that a torn log reads up to the tear, and that a run goes on behind it."""
    read = list(read_run(path).samples)
    hold(len(read) == n_whole, "a torn log is not read up to its tear", len(read))
    made = fcbench.run(answer, suite(), results=path.parent / "again")
    folder = Path(str(made.folder))
    whole_log = list(made.samples)
    (folder / "samples.jsonl").write_bytes((path / "samples.jsonl").read_bytes())
    fcbench.run(answer, suite(), results=path.parent / "again", resume=True)
    resumed = [_untimed(sample) for sample in read_run(folder).samples]
    hold(resumed == [_untimed(s) for s in whole_log], "a torn run resumes to others", resumed)
    lines = (folder / "samples.jsonl").read_bytes()
    hold(lines.count(b"\n") == len(whole_log), "a sample is asked again that was whole", lines)


def _untimed(sample: fcbench.Sample) -> tuple[object, ...]:
    return tuple(getattr(sample, f) for f in sample.__struct_fields__ if f != "seconds")


def smallest(data: bytes, rule: str) -> str:
    """Return the files of a small input that breaks the rule."""
    return ascii(written(FromBytes(targets.shrunk(check, data, rule))))


def first() -> list[bytes]:
    """Return a torn log, a broken manifest, and some random bytes."""
    return [bytes([0, 0, 90]), bytes([1, 1, 3, 9, 200, 40]), *targets.seeded(60, 60)]


def words() -> list[str]:
    """Return the fields of samples and manifests."""
    return [*fcbench.Sample.__struct_fields__, *whole()[0], "log_version", "NaN", "1e999"]
