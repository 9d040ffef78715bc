"""How fcbench's time grows with the number of cases, of tools, and with the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.benchmarks.generation.comparison import say
from tests.benchmarks.generation.prompts import figures, prompt_set
from tests.benchmarks.generation.worker import answered

if TYPE_CHECKING:
    from tests.benchmarks.generation.setting import Setting

CASES = (25, 50, 100, 200, 400)
TOOLS, TOOLS_CASES = (7, 14, 28, 70), 16
BATCHES, BATCHES_CASES = (1, 2, 4, 8, 16, 32), 32
UNDRAFTED = (1, 2, 4)


def growth(setting: Setting) -> list[dict[str, Any]]:
    """Return one row a measurement: what grew, in which set, and what it took."""
    rows = []
    for set_name in setting.sets:
        asked = [
            *(("cases", n, n, None, None, "fcbench") for n in CASES),
            *(("tools", n, TOOLS_CASES, n, None, "fcbench") for n in TOOLS),
            *(("batch", n, BATCHES_CASES, None, n, "fcbench") for n in BATCHES),
            *(
                ("batch without drafts", n, BATCHES_CASES, None, n, "fcbench-no-drafts")
                for n in UNDRAFTED
            ),
        ]
        for what, size, n_cases, n_tools, batch, contestant in asked:
            prompts = prompt_set(set_name, n_cases, n_tools)
            run = answered(contestant, setting.job(batch), prompts)
            say(f"{set_name}, {size} {what}: {run['seconds']:.1f} s")
            rows.append(
                {
                    "set": set_name,
                    "grown": what,
                    "size": size,
                    "cases": n_cases,
                    "mean_tokens": figures(prompts, setting.encode)["mean_tokens"],
                    "seconds": run["seconds"],
                    "cases_per_second": run["cases_per_second"],
                    "peak_mib": run["peak_mib"],
                    "answering_mib": run["answering_mib"],
                }
            )
    return rows
