"""python -m fcbench run --reproduce."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcbench.cli import ERRORS, MISSED, OK
from fcbench.cli._parser import actions_of
from fcbench.text import shorten, show, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.runs import FieldDifference, Reproduction, SampleDifference
    from fcbench.types import Run

PLACES = ("model", "adapter", "suite", "prompt_file")
"""Options that say where things are now, by another name than the manifest's."""
COMPUTED = {
    "dtype": "dtype",
    "allow_float16": "allow_float16",
    "trust_remote_code": "trust_remote_code",
    "batch_size": "batch_size",
    "prefix_memory": "prefix_memory",
    "timeout": "timeout_seconds",
    "retries": "retries",
    "executor": "executor",
    "workers": "workers",
    "ray_address": "ray_address",
    "cpus_per_worker": "cpus_per_worker",
    "gpus_per_worker": "gpus_per_worker",
    "resume": "resume",
}
"""Options that change no question, and what fcbench.run calls them."""
MOST_SHOWN = 20


def reproduce(args: argparse.Namespace) -> int:
    """Repeat a run, print what differs, and return 1 if a sample does, 3 if none was compared."""
    from fcbench.executors import open_model
    from fcbench.runs import command_of, differences, execute, make_folder, plan_again, read_run
    from fcbench.runs._place import place_of

    given = _given(args)
    plan = plan_again(args.reproduce, given)
    args.places = [(plan, place_of(plan))]  # for run.interrupted
    then = read_run(args.reproduce, plan.suite)
    sys.stderr.write(f"repeats {visible(command_of(then.manifest))}\n")
    make_folder(Path(args.results))
    now = execute(plan, open_model(plan.model, plan.model_options, plan.where), finishes=True)
    found = differences(then, now)
    if args.json:
        sys.stdout.write(_as_json(found, now))
    else:
        sys.stdout.write("\n".join(_as_text(args.reproduce, found, now)) + "\n")
    if found.samples:
        return MISSED
    return OK if found.n_same and not found.n_errors else ERRORS


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return what is said beside --reproduce. UsageError for what only the manifest may say."""
    from fcbench.cli.run import add
    from fcbench.errors import UsageError

    parser = argparse.ArgumentParser()
    add(parser)
    # What equals a default may have been typed, and then goes before what the manifest says.
    for action in actions_of(parser):
        action.default = argparse.SUPPRESS
    said = vars(parser.parse_args(args.typed))
    for name in said:
        if name not in (*PLACES, *COMPUTED, "reproduce", "results", "json"):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option}: a run that is repeated says itself what it asked",
                hint=f"leave out {option}, or leave out --reproduce",
            )
    given = {COMPUTED[name]: said[name] for name in COMPUTED if name in said}
    given |= {name: said[name] for name in PLACES if name in said}
    for name in ("model", "suite"):
        if name in given:
            if len(given[name]) > 1:
                raise UsageError(f"--reproduce repeats one run: say --{name} once")
            (given[name],) = given[name]
    if "prefix_memory" in given:
        given["prefix_memory"] = int(given["prefix_memory"] * 1e9)
    return {**given, "results": args.results, "progress": True}


def _as_json(found: Reproduction, now: Run) -> str:
    import json

    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(found)
    return json.dumps({"folder": now.folder, **fields}, indent=2) + "\n"


def _as_text(path: str, found: Reproduction, now: Run) -> Iterator[str]:
    n_differing, n_same = len(found.samples), found.n_same
    yield visible(f"{path} repeated in {now.folder}")
    counts = [f"{n_same} samples are the same", f"{n_differing} differ"]
    if found.n_unanswered:
        counts.append(f"{found.n_unanswered} were not answered then")
    if found.n_errors:
        counts.append(f"{found.n_errors} are errors now")
    yield ", ".join(counts)
    if found.manifest:
        yield "\nthe manifest:"
        yield from _table(found.manifest)
    if found.samples:
        yield "\nthe samples:"
    for differing in found.samples[:MOST_SHOWN]:
        yield from _sample(differing)
    if n_differing > MOST_SHOWN:
        yield f"… and {n_differing - MOST_SHOWN} others: --json shows all of them"


def _table(fields: list[FieldDifference]) -> Iterator[str]:
    widest = max(len(visible(f.field)) for f in fields)
    for f in fields:
        name = visible(f.field).ljust(widest)
        yield f"  {name}  {visible(_short(f.then))} -> {visible(_short(f.now))}"


def _sample(differing: SampleDifference) -> Iterator[str]:
    again = f", repeat {differing.repeat}" if differing.repeat else ""
    where = differing.field
    if differing.at is not None:
        where += f" from character {differing.at}"
    yield visible(f"  {differing.case_id}{again}: {where}")
    for name, value in (("then", differing.then), ("now ", differing.now)):
        yield f"    {name}  {visible(_short(value))}"


def _short(value: Any) -> str:
    return shorten(value if isinstance(value, str) else show(value))
