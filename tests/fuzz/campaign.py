"""Fuzz fcbench.parse for some seconds: guided by coverage with atheris, else with hypothesis."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from fcbench import registry
from fcbench.paths import data_folder
from tests.fuzz.choices import FromBytes, Seeded
from tests.fuzz.findings import Findings
from tests.fuzz.inputs import SOUP, turn

GRACE = 120  # seconds after the last in which libFuzzer must have ended
TIMEOUT = 30  # seconds after which one text is a hang
SEEDS = 300  # generated turns that a run begins from, beside the grammars' own examples


class Outcome(NamedTuple):
    """What a run did. `trouble` is the end of libFuzzer's own report if it ended badly."""

    tool: str
    n_texts: int
    findings: list[dict[str, str]]
    trouble: str


def run(seconds: int, tool: str | None = None) -> Outcome:
    """Fuzz for so many seconds with "atheris" or "hypothesis", by default the first there is."""
    if tool is None:
        tool = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "findings.jsonl"
        file.touch()
        if tool == "atheris":
            n_texts, trouble = _with_atheris(seconds, Path(folder), file)
        else:
            n_texts, trouble = _with_hypothesis(seconds, file), ""
        rows = [json.loads(line) for line in file.read_text("ascii").splitlines()]
    return Outcome(tool, n_texts, rows, trouble)


def _with_atheris(seconds: int, folder: Path, file: Path) -> tuple[int, str]:
    """Return how many texts libFuzzer tried, and the end of what it said if it ended badly."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, data in enumerate(_first_inputs()):
        (corpus / str(index)).write_bytes(data)
    words = folder / "words.dict"
    words.write_text("".join(map(_dictionary_line, _words())), encoding="ascii")
    command = [
        *(sys.executable, "-m", "tests.fuzz.coverage_guided", str(file), str(corpus)),
        *(f"-max_total_time={seconds}", f"-timeout={TIMEOUT}", f"-dict={words}"),
        *("-max_len=2000", "-print_final_stats=1", f"-artifact_prefix={folder}/"),
    ]
    log = folder / "log"
    with log.open("wb") as output:
        code = subprocess.run(
            command, stdout=output, stderr=output, check=False, timeout=seconds + GRACE
        ).returncode
    said = log.read_text("utf-8", errors="replace")
    executed = re.search(r"stat::number_of_executed_units: *(\d+)", said)
    trouble = said[-3000:] if code else ""
    for artifact in (*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")):
        formats = tuple(registry.names("formats"))
        trouble += f"\n{artifact.name}: {turn(FromBytes(artifact.read_bytes()), formats)!a}"
    return int(executed.group(1)) if executed else 0, trouble


def _first_inputs() -> list[bytes]:
    """Return bytes from which inputs.turn reads each grammar's examples, and some random bytes."""
    formats = registry.names("formats")
    inputs = []
    for index, name in enumerate(formats):
        grammar = (data_folder("grammars") / f"{name}.lark").read_text(encoding="utf-8")
        for example in re.findall(r"^//[+-] (.*)$", grammar, flags=re.MULTILINE):
            # Three decisions: this format, written in itself, and the text as it stands.
            text = example.replace(r"\n", "\n").encode("utf-8", "surrogatepass")
            inputs.append(bytes([index, 0, 0]) + text)
    choices = Seeded(0)
    inputs += [bytes(choices.below(256) for _ in range(100)) for _ in range(SEEDS)]
    return inputs


def _words() -> list[str]:
    return sorted({word for words in SOUP.values() for word in words})


def _dictionary_line(word: str) -> str:
    escaped = "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass"))
    return f'"{escaped}"\n'


def _with_hypothesis(seconds: float, file: Path) -> int:
    """Return how many texts hypothesis tried until the time was over."""
    from hypothesis import HealthCheck, given, seed, settings
    from hypothesis import strategies as st

    findings = Findings(file)
    formats = tuple(registry.names("formats"))
    end = time.monotonic() + seconds

    def judge(data: bytes) -> None:
        if time.monotonic() < end:
            findings.judge(*turn(FromBytes(data), formats))

    # Its own database would replay old failures, which findings.jsonl holds already.
    quick = settings(
        max_examples=100, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    round_number = 0
    while time.monotonic() < end:
        seed(round_number)(quick(given(st.binary(max_size=300))(judge)))()
        round_number += 1
    return findings.n_texts
