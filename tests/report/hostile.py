"""Runs whose every text is an attack: what a report has to show as text, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import fcbench

if TYPE_CHECKING:
    from pathlib import Path

# Each sets window.attacked where it runs; the page's tests look for it.
ATTACKS = [
    "<script>window.attacked = 1</script>",
    '"><img src=x onerror="window.attacked = 1">',
    "</script><script>window.attacked = 1</script>",
    "<!--<script>",
    "]]><svg onload=window.attacked=1>",
    "javascript:window.attacked=1",
    "<a href='javascript:window.attacked=1'>click</a>",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content='0;url=https://attacker.example/'>",
    "<link rel=stylesheet href=https://attacker.example/x.css>",
    "<iframe srcdoc='<script>parent.attacked=1</script>'>",
    "{{ 7 * 7 }}{% raw %}${window.attacked=1}",
    "__proto__",
    "constructor",
    "\u202egnp.exe\u202c and \u2066isolated\u2069",
    "zero\u200bwidth \ufeff\u00ad\u2060 \u3164\u2800",
    "line\u2028separator\u2029paragraph\x85next",
    "\x00\x1b[2J\x07\x7f",
    "lone \ud800 surrogate \udfff",
    "'; window.attacked = 1; '",
    "&lt;script&gt; &amp; &#x3c;b&#x3e;",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d" * 40,
    "مرحبا 123 שלום",
    "<u>" * 200,
]
LONG = {
    "long": "A<b>" * 262_144,  # a megabyte
    "controls": "\x00\x01" * 131_072,  # no two neighbours are alike
}


def cases() -> list[dict[str, object]]:
    """Return a case an attack: as id, tag, words, function, argument and value; then long ones."""
    attacked = [
        {
            "id": f"{i} {attack}",
            "messages": [
                {"role": "system", "content": attack},
                {"role": "user", "content": attack},
            ],
            "tools": [{"name": attack, "description": attack, "parameters": {"type": "object"}}],
            "expected": [[{"name": attack, "arguments": {attack: attack, "n": 1}}]],
            "tags": [attack],
        }
        for i, attack in enumerate(ATTACKS)
    ]
    long = [
        {
            "id": name,
            "messages": [{"role": "user", "content": text}],
            "tools": [{"name": "f", "description": "", "parameters": {"type": "object"}}],
            "expected": [[{"name": "f", "arguments": {"a": text}}]],
        }
        for name, text in LONG.items()
    ]
    return [*attacked, *long]


def outputs(number: int) -> list[dict[str, object]]:
    """Return what a model writes: the attack itself, or calls full of it where a server reads them."""
    rows: list[dict[str, object]] = []
    for i, attack in enumerate(ATTACKS):
        text = attack if number else f"<start_function_call>call:f{{{attack}"
        row: dict[str, object] = {"id": f"{i} {attack}", "text": text}
        if (i + number) % 3 == 0:
            arguments = {attack: f"{attack}!", "n": True, "extra": [attack]}
            call = {"function": {"name": attack, "arguments": json.dumps(arguments)}}
            row["tool_calls"] = [call]
        rows.append(row)
    for name, text in LONG.items():
        call = {"function": {"name": "f", "arguments": json.dumps({"a": f"{text}!"})}}
        rows.append({"id": name, "text": text, **({"tool_calls": [call]} if number else {})})
    return rows


def write(folder: Path) -> tuple[Path, list[Path]]:
    """Write the suite and the outputs of two models as JSON lines; a file's name is an attack too."""
    suite = folder / "<img src=x onerror=attacked=1>.jsonl"
    files = [folder / "a\u202e<script>.jsonl", folder / "'onclick='.jsonl"]
    for path, rows in zip([suite, *files], [cases(), outputs(0), outputs(1)], strict=True):
        # ASCII: a lone surrogate has no UTF-8.
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return suite, files


def scored(folder: Path) -> tuple[list[str], list[fcbench.Scores]]:
    """Return the paths of two hostile files of outputs, and their scores."""
    suite, files = write(folder)
    return [str(file) for file in files], [fcbench.score(file, suite=suite) for file in files]
