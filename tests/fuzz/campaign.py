"""Fuzz a target for some seconds: guided by coverage with atheris, else with hypothesis."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import targets
from tests.fuzz.findings import Findings, read

GRACE = 120  # seconds after the last in which libFuzzer must have ended
TIMEOUT = 30  # seconds after which one input is a hang
N_KEPT, LONGEST_KEPT = 40, 400  # inputs of a target that are kept in tests/, and bytes of each


class Outcome(NamedTuple):
    """What a run did. `trouble` is the end of libFuzzer's own report if it ended badly.

    `corpus` are the inputs that reached what none before them had; only atheris knows.
    """

    tool: str
    n_inputs: int
    findings: list[dict[str, str]]
    trouble: str
    corpus: list[bytes]


def run(seconds: float, tool: str | None = None, name: str = "parser") -> Outcome:
    """Fuzz for so many seconds with "atheris" or "hypothesis", by default the first there is."""
    if tool is None:
        tool = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "findings.jsonl"
        file.touch()
        if tool == "hypothesis":
            return Outcome(tool, _with_hypothesis(seconds, file, name), read(file), "", [])
        n_inputs, trouble = _with_atheris(round(seconds), Path(folder), file, name)
        # libFuzzer calls what it found by its hash; what it began from has a number.
        corpus = [path.read_bytes() for path in (Path(folder) / "corpus").glob("?" * 40)]
        return Outcome(tool, n_inputs, read(file), trouble, corpus)


def keep(name: str, corpus: list[bytes], findings: list[dict[str, str]]) -> int:
    """Keep some of a run's inputs in tests/, for the next run and for the tests; return how many.

    Those that broke a rule, then short and long ones of the others.
    """
    found = [bytes.fromhex(row["data"]) for row in findings]
    others = {data for data in (*corpus, *targets.kept(name)) if len(data) <= LONGEST_KEPT}
    by_length = sorted(others - set(found), key=lambda data: (len(data), data))
    step = max(1, -(-len(by_length) // N_KEPT))
    chosen = [*found, *by_length[::step]]
    targets.CORPUS.mkdir(exist_ok=True)
    lines = "".join(f"{data.hex()}\n" for data in chosen)
    (targets.CORPUS / f"{name}.hex").write_text(lines, encoding="ascii")
    return len(chosen)


def _with_atheris(seconds: int, folder: Path, file: Path, name: str) -> tuple[int, str]:
    """Return how many inputs libFuzzer tried, and the end of what it said if it ended badly."""
    target = targets.load(name)
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, data in enumerate([*targets.kept(name), *target.first()]):
        (corpus / str(index)).write_bytes(data)
    words = folder / "words.dict"
    words.write_text("".join(map(_dictionary_line, target.words())), encoding="ascii")
    command = [
        *(sys.executable, "-m", "tests.fuzz.coverage_guided", name, str(file), str(corpus)),
        *(f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-dict={words}"),
        *("-max_len=2000", "-print_final_stats=1", f"-artifact_prefix={folder}/"),
        "-rss_limit_mb=3000",
    ]
    said, code = _libfuzzer(command, folder, seconds + GRACE)
    executed = re.search(r"stat::number_of_executed_units: *(\d+)", said)
    trouble = said[-3000:] if code else ""
    for artifact in (*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")):
        trouble += f"\n{artifact.name}: {artifact.read_bytes().hex()}"
    return int(executed.group(1)) if executed else 0, trouble


def _libfuzzer(command: list[str], folder: Path, seconds: float) -> tuple[str, int]:
    """Return what libFuzzer said and its exit code."""
    log = folder / "log"
    with log.open("wb") as output:
        code = subprocess.run(
            command, stdout=output, stderr=output, check=False, timeout=seconds
        ).returncode
    return log.read_text("utf-8", errors="replace"), code


def _dictionary_line(word: str) -> str:
    escaped = "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass"))
    return f'"{escaped}"\n' if escaped else ""


def _with_hypothesis(seconds: float, file: Path, name: str) -> int:
    """Return how many inputs hypothesis tried until the time was over."""
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st

    target = targets.load(name)
    findings = Findings(file, target)
    end = time.monotonic() + seconds
    for data in (*targets.kept(name), *target.first()):
        if time.monotonic() < end:
            findings.judge(data)

    def judge(data: bytes) -> None:
        if time.monotonic() < end:
            findings.judge(data)

    # Its own database would replay old failures, which findings.jsonl holds already.
    quick = settings(
        max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    round_number = 0
    while time.monotonic() < end:
        seed(round_number)(quick(given(st.binary(max_size=300))(judge)))()
        round_number += 1
    return findings.n_inputs
