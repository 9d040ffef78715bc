"""How often fcbench's intervals hold the truth: exactly where it can be summed, else simulated.

    python -m tests.benchmarks.coverage

Writes coverage.json and coverage.md, prints the latter.
"""

from __future__ import annotations

import argparse
import math
import platform
from functools import cache
from itertools import groupby
from pathlib import Path
from statistics import fmean

import numpy as np
from tabulate import tabulate

from fcbench.stats import Method, clustered, coverage, paired_bootstrap, wilson
from fcbench.stats._coverage import ends
from fcbench.stats._difference import _percentiles, score_interval
from tests.benchmarks.result import write_result

SIZES = (20, 100, 1000)
METHODS: tuple[Method, ...] = ("wilson", "clopper-pearson")
GRID = [i / 1000 for i in range(1, 1000)]
TAIL = [i / 100_000 for i in range(1, 1000)]
LEVELS = (0.93, 0.94, 0.95)
# Sums of probabilities are off in their last digits.
ROUNDING = 1e-9
REPEATS = 5
CORRELATIONS = (0.0, 0.3, 1.0)
# Rarer outcomes than this are left out of a sum over all.
RARE = 1e-9


def beside_ends(method: Method, n: int) -> list[float]:
    """Return the ends of all intervals and the numbers next to them, where coverage jumps.

    Between two ends the coverage rises and then falls, so that it is least beside an end.
    """
    found = {end for bounds in ends(method, n) for end in bounds if 0 < end < 1}
    return sorted(
        {p for end in found for p in (math.nextafter(end, 0), end, math.nextafter(end, 1))}
    )


def of_proportion(method: Method, n: int) -> dict[str, object]:
    """Return the exact coverage of one interval over all p."""
    on_grid = [coverage(method, n, p) for p in GRID]
    points = sorted({*GRID, *TAIL, *(1 - p for p in TAIL), *beside_ends(method, n)})
    covered = [(p, coverage(method, n, p)) for p in points]
    at, least = min(covered, key=lambda found: found[1])
    return {
        "method": method,
        "n": n,
        "mean": round(fmean(on_grid), 4),
        "minimum": round(least, 4),
        "at": round(min(at, 1 - at), 6),
        "share_below": {f"{level:g}": round(share_below(on_grid, level), 4) for level in LEVELS},
        # By symmetry the same again near 1.
        "short": {f"{level:g}": ranges_below(covered, level) for level in LEVELS[:2]},
    }


def share_below(found: list[float], level: float) -> float:
    return fmean(value < level - ROUNDING for value in found)


def ranges_below(covered: list[tuple[float, float]], level: float) -> list[tuple[float, float]]:
    """Return the ranges of p up to 1/2 in which the coverage is below a level."""
    half = [(p, value < level - ROUNDING) for p, value in covered if p <= 0.5]
    runs = [[p for p, _ in run] for below, run in groupby(half, key=lambda x: x[1]) if below]
    return [(round(run[0], 6), round(run[-1], 6)) for run in runs]


def of_clusters(n: int, p: float, correlation: float, simulations: int) -> dict[str, object]:
    """Return the simulated coverage over n cases with repeats, drawn from a beta-binomial."""
    rng = np.random.default_rng(0)
    if correlation == 0:
        chances = np.full((simulations, n), p)
    elif correlation == 1:
        chances = (rng.random((simulations, n)) < p).astype(float)
    else:
        scale = (1 - correlation) / correlation
        chances = rng.beta(p * scale, (1 - p) * scale, size=(simulations, n))
    right = rng.binomial(REPEATS, chances)
    held = dict.fromkeys((*METHODS, "as if independent"), 0)
    for row in right.tolist():
        values = [[1.0] * k + [0.0] * (REPEATS - k) for k in row]
        for method in METHODS:
            found = clustered(values, method=method)
            held[method] += found.low <= p <= found.high
        naive = wilson(sum(row), REPEATS * n)
        held["as if independent"] += naive.low <= p <= naive.high
    shares = {name: round(count / simulations, 4) for name, count in held.items()}
    return {"cases": n, "p": p, "correlation": correlation, **shares}


@cache
def difference_intervals(
    differences: tuple[float, ...], resamples: int
) -> dict[str, tuple[float, float]]:
    """Return the percentile interval, the score interval and their hull, which is what is used."""
    hull = paired_bootstrap(differences, resamples=resamples)
    if not any(differences):
        return {"percentile": (0.0, 0.0), "score": hull, "hull": hull}
    return {
        "percentile": _percentiles(differences, 0.95, resamples, 0),
        "score": score_interval(differences, 0.95),
        "hull": hull,
    }


def covers_difference(n: int, share: float, one_way: float, resamples: int) -> dict[str, float]:
    """Return the exact coverage of a difference when a share of n cases flips, so much one way."""
    shares = (share * one_way, share * (1 - one_way), 1 - share)
    true, covered = shares[0] - shares[1], dict.fromkeys(("percentile", "score", "hull"), 0.0)
    for gains in range(n + 1):
        for losses in range(n + 1 - gains):
            counts = (gains, losses, n - gains - losses)
            weight = multinomial_mass(counts, shares)
            if weight < RARE:
                continue
            outcome = (1.0,) * gains + (-1.0,) * losses + (0.0,) * counts[2]
            for name, (low, high) in difference_intervals(outcome, resamples).items():
                covered[name] += weight * (low - ROUNDING <= true <= high + ROUNDING)
    return covered


def multinomial_mass(counts: tuple[int, ...], shares: tuple[float, ...]) -> float:
    if any(count and not share for count, share in zip(counts, shares, strict=True)):
        return 0.0
    logs = math.lgamma(sum(counts) + 1)
    for count, share in zip(counts, shares, strict=True):
        logs += (count * math.log(share) if count else 0) - math.lgamma(count + 1)
    return math.exp(logs)


def of_other_differences(kind: str, n: int, simulations: int, resamples: int) -> dict[str, object]:
    """Return the simulated coverage for differences that are not -1, 0 or 1."""
    rng = np.random.default_rng(0)
    if kind == "of 5 repeats each":
        a, b = (rng.beta(2.8, 1.2, size=(simulations, n)) for _ in range(2))
        # Half of the cases are as hard for one as for the other.
        b = np.where(rng.random((simulations, n)) < 0.5, a, b)
        drawn, true = (rng.binomial(REPEATS, a) - rng.binomial(REPEATS, b)) / REPEATS, 0.0
    elif kind == "normal":
        drawn, true = rng.normal(1, 3, size=(simulations, n)), 1.0
    else:
        drawn, true = rng.lognormal(0, 1, size=(simulations, n)), math.exp(0.5)
    covered = dict.fromkeys(("percentile", "score", "hull"), 0)
    for row in drawn.tolist():
        for name, (low, high) in difference_intervals.__wrapped__(row, resamples).items():
            covered[name] += low <= true <= high
    shares = {name: round(count / simulations, 4) for name, count in covered.items()}
    return {"differences": kind, "cases": n, **shares}


def measure(simulations: int, resamples: int) -> dict[str, list[dict[str, object]]]:
    """Return a table of each kind."""
    differences = []
    for n in SIZES[:2]:
        for share in (0.02, 0.05, 0.1, 0.3, 0.6):
            for one_way in (0.5, 0.75, 1.0):
                found = covers_difference(n, share, one_way, resamples)
                rounded = {name: round(value, 4) for name, value in found.items()}
                differences.append({"cases": n, "flips": share, "one_way": one_way, **rounded})
    return {
        "proportions": [of_proportion(method, n) for method in METHODS for n in SIZES],
        "clusters": [
            of_clusters(n, p, correlation, simulations)
            for n in SIZES
            for correlation in CORRELATIONS
            for p in (0.5, 0.8, 0.95)
        ],
        "differences": differences,
        "other_differences": [
            of_other_differences(kind, n, simulations, resamples)
            for kind in ("of 5 repeats each", "normal", "lognormal")
            for n in SIZES[:2]
        ],
    }


def as_markdown(tables: dict[str, list[dict[str, object]]], simulations: int) -> str:
    """Return the tables with what they say in words."""
    return f"""# How often the intervals hold the truth

`make coverage` writes this and coverage.json. An interval of 95 % should hold the true value in
95 of 100 repetitions of the whole experiment.

## One answer a case

The coverage is exact: for each true share p of right answers, the probabilities of all outcomes
whose interval holds p are summed. Its mean is over p = 0.001 … 0.999, and so are the shares of p
where it is below a level. Its minimum is over all p: coverage jumps where an interval ends, and is
least beside such a jump; the numbers on both sides of each are in the sum. All of it is the same
for 1 - p.

{tabulate(list(map(proportion_row, tables["proportions"])), headers="keys", tablefmt="github")}

Wilson's interval is right on the mean and falls short in places, most of all where p is within a
fifth of a case of 0 or 1: one unlucky success is then enough to exclude it. It is below a level
only within these ranges, to the grid's precision, and their mirror images:

{tabulate(shortfalls(tables["proportions"]), headers="keys", tablefmt="github")}

The interval of Clopper and Pearson is never below 95 %, and pays for it by being wider. A gate that
must not be passed by luck takes that one.

## {REPEATS} answers a case

Simulated, {simulations:,} times each: every case has its own chance of a right answer, from a beta
distribution; `correlation` is that between answers of one case, 1 where all are alike. The last
column takes them for as many independent cases, as is often done.

{tabulate(tables["clusters"], headers="keys", tablefmt="github")}

## The difference between two models over the same cases

Exact up to the bootstrap's own draws: a share of cases `flips`, and so much of them one way. The
percentile interval of the bootstrap alone claims certainty where few flips were seen. `hull`, which
`paired_bootstrap` returns, is the hull of it and Tango's score interval.

{tabulate(tables["differences"], headers="keys", tablefmt="github")}

Simulated, {simulations:,} times each, for differences of other sizes: of shares of right answers,
and without bounds, as of seconds. Of a few lognormal ones none of the three holds the mean often
enough: the rare large differences that it depends on are mostly not among them.

{tabulate(tables["other_differences"], headers="keys", tablefmt="github")}
"""


def proportion_row(row: dict[str, object]) -> dict[str, object]:
    shares = {f"p below {float(k):.0%}": f"{v:.1%}" for k, v in row["share_below"].items()}
    return {
        "method": row["method"],
        "n": row["n"],
        "mean": f"{row['mean']:.2%}",
        "minimum": f"{row['minimum']:.2%}",
        "at p": f"{row['at']:.6f}",
        **shares,
    }


def shortfalls(rows: list[dict[str, object]], shown: int = 6) -> list[dict[str, object]]:
    """Return where the intervals fall short; of many ranges the first ones and the last."""
    found = []
    for row in rows:
        for level, ranges in row["short"].items():
            texts = [f"{low:.5f}–{high:.5f}" for low, high in ranges]
            if len(texts) > shown:
                texts = [*texts[: shown - 1], f"… {len(texts) - shown} more …", texts[-1]]
            if ranges:
                found.append(
                    {
                        "method": row["method"],
                        "n": row["n"],
                        "below": f"{float(level):.0%}",
                        "ranges of p": ", ".join(texts),
                    }
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=4000)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    args = parser.parse_args()
    tables = measure(args.simulations, args.resamples)
    facts = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "simulations": args.simulations,
        "resamples": args.resamples,
    }
    text = as_markdown(tables, args.simulations)
    write_result(args.folder, "coverage", {**facts, **tables}, text)


if __name__ == "__main__":
    main()
