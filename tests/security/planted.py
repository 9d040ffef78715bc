"""Run everything over answers and cases that hold code, commands and paths, and watch Python do it.

A program of its own, because an audit hook is never taken away again. It prints, as JSON, each
event of Python's own auditing (a file opened, a text compiled, a module imported, a program started,
an address connected to, …) that has a planted word among its arguments, and what the commands said.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

WORD = "PW" + "NED"  # so that this file, which Python opens and compiles, does not hold it
PAYLOADS = [
    f"__import__('os').system('touch {WORD}')",
    f"open('{WORD}', 'w')",
    f"$(touch {WORD})",
    f"`touch {WORD}`",
    f"'; touch {WORD} #",
    f"../../{WORD}",
    f"/tmp/{WORD}",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {WORD}') }}}}",
    f"{{% include '{WORD}' %}}",
    f"<script src='{WORD}'></script>",
    f"%({WORD})s %s {{{WORD}}} {{0.{WORD}}}",
    f"!!python/object/apply:os.system ['touch {WORD}']",
    f"hf:{WORD}/x",
    f"python:{WORD}:f",
    f"{WORD}.jsonl\0\ud800\x1b[2J",
    f'"{WORD}": [1, 2',
]
FORMATS = ("functiongemma", "gemma4", "hermes", "json", "llama3", "mistral", "pythonic")
seen: list[tuple[str, str]] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    """Note an event with a planted word; those that only say what a traceback shows are none."""
    if any(isinstance(a, (str, bytes)) and WORD in _text(a) for a in _flat(args)):
        seen.append((event, repr(args)[:200]))


def _flat(args: Any) -> list[Any]:
    if isinstance(args, (list, tuple)):
        return [leaf for item in args for leaf in _flat(item)]
    return [args]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def texts() -> list[str]:
    """Every payload as a turn, and as name, key and value of a call in every format."""
    found = list(PAYLOADS)
    for payload in PAYLOADS:
        found += [
            f"<start_function_call>call:{payload}{{}}<end_function_call>",
            f"<start_function_call>call:f{{{payload}:1}}<end_function_call>",
            f"<start_function_call>call:f{{a:<escape>{payload}<escape>}}<end_function_call>",
            f"[f(a={payload!r})]",
            f"[f(a={payload})]",
            f"[{payload}]",
            json.dumps({"name": payload, "arguments": {payload: payload}}),
            f"<tool_call>\n{json.dumps({'name': payload, 'arguments': {'a': payload}})}\n</tool_call>",
            f"[TOOL_CALLS]f[ARGS]{json.dumps({payload: payload})}",
        ]
    return found


ANSWERS = itertools.cycle(texts())


def hostile_case(number: int, payload: str) -> dict[str, Any]:
    """A case of a suite whose author is hostile too."""
    return {
        "id": f"{number} {payload}",
        "messages": [{"role": "user", "content": f"{number} {payload}"}],
        "tools": [
            {
                "name": "f",
                "description": payload,
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "string", "description": payload}},
                },
            }
        ],
        "expected": [[{"name": "f", "arguments": {"a": payload}}]],
        "tags": [payload],
    }


def write_suite(folder: Path) -> int:
    """Write a suite with one case for each text; return how many there are."""
    folder.mkdir()
    (folder / "suite.toml").write_text('name = "hostile"\n', "utf-8")
    n = len(texts())
    rows = [hostile_case(i, PAYLOADS[i % len(PAYLOADS)]) for i in range(n)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "cases.jsonl").write_text(lines, "utf-8")
    return n


def answer(prompts: list[str]) -> list[Any]:
    """Answer each prompt with the next text; a model that is a function."""
    return [next(ANSWERS) for _ in prompts]


def native(prompts: list[str]) -> list[Any]:
    """Answer with calls, as a server's own parser would have read them; every other one is right."""
    from fcbench import Call

    words = [PAYLOADS[i % len(PAYLOADS)] for i in range(len(prompts))]
    wrong = [[Call(word, {word: word, "a": [word, {word: word}]})] for word in words]
    return [[Call("f", {"a": w})] if i % 2 else wrong[i] for i, w in enumerate(words)]


def broken(prompts: list[str]) -> list[Any]:
    """Fail, with a planted word in what is said."""
    raise OSError(PAYLOADS[len(prompts) % len(PAYLOADS)])


GATE = """
def test_gate(fcbench_run):
    run = fcbench_run(model="python:tests.security.planted:answer", suite="suite")
    run.assert_at_least(argument_exact_match=0.99, per_tag=True)

def test_no_worse(fcbench_run):
    run = fcbench_run(model="python:tests.security.planted:native", suite="suite")
    run.assert_at_most(hallucinated_function=0.0)
"""


def main() -> None:
    """Do everything, in the current folder."""
    import pytest

    import fcbench.cli

    def do(*words: str) -> None:
        codes.append([" ".join(words[:2]), fcbench.cli.main(list(words))])

    codes: list[list[Any]] = []
    n = write_suite(Path("suite"))
    own = "python:tests.security.planted"
    sys.addaudithook(watch)
    for format in FORMATS:
        do("run", "--model", f"{own}:answer", "--suite", "suite", "--format", format)
    for name in ("native", "broken"):
        do("run", "--model", f"{own}:{name}", "--suite", "suite")
    Path("own.jinja").write_text("{{ bos }}{{ user }}{{ tools }}{{ messages }}", "utf-8")
    do("run", "--model", f"{own}:answer", "--suite", "suite", "--prompt-file", "own.jinja")
    do("run", "--model", f"{own}:answer", "--suite", "suite", "--prompt", "raw", "--dry-run")
    runs = [str(path.parent) for path in sorted(Path("results").glob("*/run.json"))]
    for run in runs:
        do("score", run)
    do("score", runs[0], "--matcher", "bfcl")
    do("score", runs[0], "--normalise", "case,space,datetime", "--schema-defaults")
    do("compare", runs[0], runs[-1], "-o", "comparison.md")
    do("report", *runs[-3:], "-o", "report.html")
    do("export", "model-card", runs[0], "--license", "mit", "--out", "card.md")
    do("inspect", f"0 {PAYLOADS[0]}", "--suite", "suite", "--run", runs[0])
    do("lint", "suite")
    do("leaderboard")
    Path("test_gate.py").write_text(GATE, "utf-8")
    codes.append(["pytest", int(pytest.main(["-q", "-p", "no:cacheprovider", "test_gate.py"]))])
    found = list(seen)
    seen.clear()
    compile(f"{WORD} = 1", "control", "exec")  # what is to be seen is seen
    said = {"seen": found, "control": len(seen), "codes": codes, "n_cases": n, "runs": len(runs)}
    Path("watched.json").write_text(json.dumps(said), "utf-8")


if __name__ == "__main__":
    main()
