"""fcbench beside the other ways to answer the same prompts, and the floor below them all."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

from tests.benchmarks.generation import floor
from tests.benchmarks.generation.contestants import CONTESTANTS, REFERENCE, absent, plain
from tests.benchmarks.generation.prompts import AS_IS, SHARED, figures, prompt_set
from tests.benchmarks.generation.worker import Failed, answered, measured_rates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.generation.setting import Setting

SWEEP_CASES = 32
LEAST_BATCH, MOST_BATCH = 1, 32
# What must be reached: of which set, how many times as fast as what.
GOALS = ((SHARED, "lm-eval", 6.0), (SHARED, REFERENCE, 12.0), (AS_IS, "lm-eval", 2.0))
WITHIN_FLOOR = 2.0


def compare(setting: Setting) -> dict[str, Any]:
    """Return how fast each contestant answers each set, how alike, and what the floor is."""
    rates = [measured_rates(setting.model, setting.dtype)]
    contestants, left_out = taking_part(setting.contestants)
    sets, made, sweeps = {}, {}, {}
    for set_name in setting.sets:
        prompts = prompt_set(set_name, setting.n_cases)
        sweeps[set_name] = swept(setting, contestants, set_name, sweeps, left_out)
        batches = {name: max(tried, key=tried.get) for name, tried in sweeps[set_name].items()}
        made[set_name] = rounds(setting, contestants, batches, prompts, left_out)
        sets[set_name] = figures(prompts, setting.encode)
    rates.append(measured_rates(setting.model, setting.dtype))
    best = floor.merged(rates)
    for set_name, runs in made.items():
        sets[set_name] |= {
            "contestants": judged(runs, setting.control_tokens),
            "floor": priced(
                setting, set_name, runs.get(REFERENCE) or next(iter(runs.values())), best
            ),
        }
    result = {"rates": best, "sweeps": sweeps, "left_out": left_out, "sets": sets}
    return result | {"goals": goals(result)}


def taking_part(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the contestants that can be had, and why the others cannot."""
    missing = {name: why for name in names if (why := absent(name)) is not None}
    return [name for name in names if name not in missing], missing


def swept(
    setting: Setting,
    contestants: Sequence[str],
    set_name: str,
    known: dict[str, dict[str, dict[int, float]]],
    left_out: dict[str, str],
) -> dict[str, dict[int, float]]:
    """Return cases a second by batch size for each contestant that has one to choose.

    Measured uphill from where the best is likely, on the first prompts of the set. What a
    contestant that shares nothing was found to do in another set is not measured again.
    """
    prompts = prompt_set(set_name, min(SWEEP_CASES, setting.n_cases))
    sweeps: dict[str, dict[int, float]] = {}
    for name in contestants:
        contestant = CONTESTANTS[name]
        if contestant.start is None or name in left_out:
            continue
        earlier = [each[name] for each in known.values() if name in each]
        if earlier and not contestant.shares:
            sweeps[name] = earlier[0]
            continue

        def speed(batch: int, name: str = name) -> float:
            measured = answered(name, setting.job(batch), prompts)["cases_per_second"]
            say(f"{name}: {measured:.2f} cases/s at batch {batch}")
            return measured

        try:
            sweeps[name] = climb(speed, contestant.start)
        except Failed as error:
            left_out[name] = str(error)
    return sweeps


def climb(speed: Callable[[int], float], start: int) -> dict[int, float]:
    """Return the speed of each batch size tried: doubled or halved for as long as that is faster."""
    seen = {start: speed(start)}
    for step in (lambda n: n * 2, lambda n: n // 2):
        at = start
        while LEAST_BATCH <= (following := step(at)) <= MOST_BATCH:
            seen[following] = speed(following)
            if seen[following] <= seen[at]:
                break
            at = following
        if at != start:
            break
    return seen


def rounds(
    setting: Setting,
    contestants: list[str],
    batches: dict[str, int],
    prompts: Sequence[str],
    left_out: dict[str, str],
) -> dict[str, list[dict[str, Any]]]:
    """Return each contestant's runs, one a round, in an order that rotates.

    One that fails is left out from then on, and why is noted in `left_out`.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for turn in range(setting.n_rounds):
        first = turn % max(1, len(contestants))
        for name in [*contestants[first:], *contestants[:first]]:
            if name in left_out:
                continue
            batch = batches.get(name)
            try:
                run = answered(name, setting.job(batch), prompts)
            except Failed as error:
                left_out[name] = str(error)
                continue
            say(f"{name}: {len(prompts)} cases in {run['seconds']:.1f} s")
            runs.setdefault(name, []).append({**run, "batch": batch})
    return {name: done for name, done in runs.items() if name not in left_out}


def judged(
    runs: dict[str, list[dict[str, Any]]], control_tokens: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return each contestant's figures: medians of its runs, and how its outputs compare."""
    texts = {
        name: [plain(text, control_tokens) for text in done[0]["texts"]]
        for name, done in runs.items()
    }
    reference = texts.get(REFERENCE)
    return {
        name: {
            "cases_per_second": statistics.median(run["cases_per_second"] for run in done),
            "rounds": [run["cases_per_second"] for run in done],
            "batch": done[0]["batch"],
            "seconds": statistics.median(run["seconds"] for run in done),
            "peak_mib": max(run["peak_mib"] for run in done),
            "answering_mib": done[0]["answering_mib"],
            "loading_seconds": done[0]["loading_seconds"],
            "identical": reference
            and sum(a == b for a, b in zip(texts[name], reference, strict=True)),
        }
        for name, done in runs.items()
    }


def priced(
    setting: Setting, set_name: str, runs: Sequence[dict[str, Any]], rate: dict[str, float]
) -> dict[str, Any]:
    """Return what the set costs at the least, for outputs as long as those of the runs."""
    prompts = [setting.encode(prompt) for prompt in prompt_set(set_name, setting.n_cases)]
    shapes = floor.shapes_of(setting.model)
    done = floor.work(shapes, prompts, runs[0]["tokens"])
    return {**done._asdict(), "seconds": floor.seconds(done, rate)}


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each goal with what was measured; those whose contestants were not run are absent.

    A ratio is the median over the rounds of each round's own.
    """
    found = []
    for set_name, other, needed in GOALS:
        measured = result["sets"].get(set_name, {}).get("contestants", {})
        if "fcbench" in measured and other in measured:
            pairs = zip(measured["fcbench"]["rounds"], measured[other]["rounds"], strict=True)
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            label = CONTESTANTS[other].label
            found.append(
                {
                    "goal": f"{set_name}: at least {needed:g} times as fast as {label}",
                    "measured": ratio,
                    "met": ratio >= needed,
                }
            )
    for set_name, each in result["sets"].items():
        if "fcbench" in each["contestants"]:
            multiple = each["contestants"]["fcbench"]["seconds"] / each["floor"]["seconds"]["floor"]
            found.append(
                {
                    "goal": f"{set_name}: within {WITHIN_FLOOR:g} times the floor",
                    "measured": multiple,
                    "met": multiple <= WITHIN_FLOOR,
                }
            )
    return found


def exact(setting: Setting) -> dict[str, Any]:
    """Return how many outputs equal the reference's; rounding has no say in float32."""
    contestants, left_out = taking_part(setting.contestants)
    sets = {}
    for set_name in setting.sets:
        prompts = prompt_set(set_name, setting.n_cases)
        batches = {name: 4 for name in contestants if CONTESTANTS[name].start is not None}
        runs = rounds(setting, contestants, batches, prompts, left_out)
        sets[set_name] = {
            name: {"identical": each["identical"], "seconds": each["seconds"]}
            for name, each in judged(runs, setting.control_tokens).items()
        }
    return {"prompts": setting.n_cases, "left_out": left_out, "sets": sets}


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
