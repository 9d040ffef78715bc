"""Where fcbench's time goes while it answers a set of prompts.

    python -m tests.benchmarks.generation.profile

Prints PyTorch's operations by their own share of the time, after a run that is not profiled.
"""

from __future__ import annotations

import argparse
import sys
import time

from tabulate import tabulate
from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.generation.contestants import Job, fcbench
from tests.benchmarks.generation.prompts import SETS, SHARED, prompt_set
from tests.benchmarks.generation.tuned import tuned_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--set", choices=SETS, default=SHARED)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--limit", type=int, default=64, help="new tokens after a prompt")
    parser.add_argument("--rows", type=int, default=12)
    args = parser.parse_args()
    answer = fcbench(Job(str(tuned_model()), args.dtype, args.limit))
    prompts = prompt_set(args.set, args.cases)
    answer(prompts)
    started = time.perf_counter()
    answer(prompts)
    plain = time.perf_counter() - started
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        answer(prompts)
    events = sorted(profiled.key_averages(), key=lambda event: -event.self_cpu_time_total)
    rows = [
        [event.key, f"{event.self_cpu_time_total / 1e6:.2f}", f"{event.count:,}"]
        for event in events[: args.rows]
    ]
    total = sum(event.self_cpu_time_total for event in events) / 1e6
    sys.stdout.write(
        f"{args.set}, {args.cases} prompts: {plain:.1f} s; profiled, operations take {total:.1f} s\n"
        f"{tabulate(rows, ['operation', 'seconds', 'calls'], disable_numparse=True)}\n"
    )


if __name__ == "__main__":
    main()
