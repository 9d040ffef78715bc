"""The experiment that fcbench grew out of, done right: trained, measured, told.

    python -m tests.experiment               # every step that is not done yet, then the page
    python -m tests.experiment page          # the page alone, from what is stored
    python -m tests.experiment train:chat    # one step

Each step is skipped where its result is there, and goes on where it was interrupted. All of it
takes hours on 2 cores.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Literal

import msgspec

import fcbench
from fcbench.backends import ModelOptions, open_model
from fcbench.doctor import Options, examine
from fcbench.runs import execute, plan
from fcbench.train import fine_tune, read_config
from suites.mobile_actions.more import more, write
from tests.experiment import deployed, page
from tests.experiment.average import average
from tests.experiment.plan import (
    BASE,
    GOES,
    HELD_OUT,
    MODELS,
    N_HELD_OUT,
    PUBLISHED,
    ROOT,
    ROWS,
    RUNS,
    SECOND_BASE,
    SUITE,
    TRAINED,
    TRAININGS,
    adapter_of,
)
from tests.experiment.second_base import second_base

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.experiment.plan import Row

STYLES: dict[str, Literal["raw"]] = {"raw": "raw"}  # others were trained on chat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(steps()))
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a request
    for name in args.steps or steps():
        sys.stderr.write(f"== {name}\n")
        steps()[name]()


def steps() -> dict[str, Callable[[], None]]:
    """Name -> step, in the order of work."""
    found: dict[str, Callable[[], None]] = {"data": data}
    for training in TRAININGS:
        found[f"train:{training}"] = partial(train, training)
        if training not in GOES:  # of which their mean is asked
            found[f"ask:{training}"] = partial(ask, training)
    found["average"] = average
    found[f"ask:{PUBLISHED}"] = partial(ask, PUBLISHED)
    found["ask:base"] = partial(ask, None)
    for who in MODELS:
        found[f"doctor:{who or 'base'}"] = partial(doctor, who)
    found |= deployed.steps()
    found["page"] = page.write
    return found


def data() -> None:
    """Write the generated rows that are learned from, and those that are held out."""
    files = {name: TRAINED / f"{name}.jsonl" for name in GOES}
    if all(file.is_file() for file in (*files.values(), HELD_OUT)):
        return
    TRAINED.mkdir(exist_ok=True)
    write(files.pop("dates"), more(GOES["dates"], dates=True))
    rows = iter(more(sum(GOES[name] for name in files) + N_HELD_OUT))
    for name, file in files.items():
        write(file, list(islice(rows, GOES[name])))
        if name == "more":
            held_out = islice(rows, N_HELD_OUT)
            write(HELD_OUT, [{**row, "metadata": "eval"} for row in held_out])


def train(name: str) -> None:
    """Train, from the last checkpoint on, and keep the curves."""
    out = TRAINED / name
    if not (out / "README.md").is_file():  # which is written last
        config = read_config(ROOT / f"{name}.toml", {"model": model_of(name)})
        fine_tune(config, resume=True, progress=True)
    for kind in ("jsonl", "svg"):
        shutil.copyfile(out / f"curves.{kind}", ROOT / f"curves-{name}.{kind}")


def model_of(training: str | None) -> str:
    """Return what loads the model under a training."""
    return str(second_base()) if training == "hermes" else BASE


def ask(training: str | None) -> None:
    """Ask a model all cases in each of its ways; rows that are stored are left alone."""
    rows = [row for row in ROWS if row.training == training and not is_stored(row)]
    for base in dict.fromkeys(row.base for row in rows):
        of_base = [row for row in rows if row.base == base]
        model = str(second_base()) if base == SECOND_BASE else BASE
        options = ModelOptions(adapter=adapter_of(training), decode=of_base[0].decode)
        backend = open_model(model, options)
        # Where this machine keeps a prepared model is nobody else's concern.
        backend.manifest["name"] = base
        for row in of_base:
            todo = plan(
                base, SUITE, row.prompt, adapter_of(training), row.decode, RUNS,
                format=row.format, resume=True, progress=True,
            )  # fmt: skip
            scores = fcbench.score(execute(todo, backend))
            sys.stderr.write(f"{row}: {scores.metrics['argument_exact_match']}\n")


def is_stored(row: Row) -> bool:
    found = page.stored(row)
    return found is not None and len(found.samples) == len(fcbench.load_suite(SUITE).cases)


def doctor(training: str | None) -> None:
    """Keep what doctor says of a model under the prompt that it was trained with."""
    path = ROOT / f"doctor-{training or 'base'}.json"
    if path.is_file():
        return
    options = Options(
        adapter=adapter_of(training),
        train_data=None if training is None else SUITE,
        format_style=None if training is None else STYLES.get(training, "chat"),
        prompt="chat",
    )
    report = msgspec.to_builtins(examine(BASE, options))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


if __name__ == "__main__":
    main()
