"""python -m fcbench doctor."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, MISSED, OK
from fcbench.text import shorten, visible

if TYPE_CHECKING:
    import argparse

    from fcbench.doctor import Finding, Report

WIDTH = 100
LABEL, INDENT, DRAWN = 9, 20, 6

EXAMPLES = (
    ("doctor gemma3-270m", "eleven checks, and the likeliest causes with what to do"),
    (
        "doctor ./base --adapter ./my-lora --train-data train.jsonl --format-style raw",
        "a fine-tune beside the data, and the prompt, that it was trained on",
    ),
)
EXITS = {1: "there is a fault", 3: "there is none, but checks could not be made"}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.description = "Say why a model emits no calls, check by check, and what to do about it."
    parser.add_argument("model", help="a hub name, a folder, or gemma3-270m")
    parser.add_argument("--adapter", metavar="DIR", help="a LoRA adapter on top")
    parser.add_argument(
        "--suite",
        default="mobile_actions",
        help="whose cases it is asked (default: mobile_actions)",
    )
    parser.add_argument(
        "--train-data",
        metavar="FILE",
        help="what it was trained on: a training file, a suite, or JSON lines with a `text` each",
    )
    parser.add_argument(
        "--format-style",
        choices=("chat", "raw", "bare"),
        help="the prompt it was shown in training (default: chat)",
    )
    parser.add_argument(
        "--format", default="auto", help="wire format (default: what the chat template writes)"
    )
    parser.add_argument("--prompt", default="chat", help="how it is asked (default: chat)")
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: auto)"
    )
    parser.add_argument(
        "--cases", type=int, default=12, metavar="N", help="cases it is asked (default: 12)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine a model and print what was found."""
    from fcbench.doctor import Options, examine

    options = Options(
        adapter=args.adapter,
        suite=args.suite,
        train_data=args.train_data,
        format_style=args.format_style,
        format=args.format,
        prompt=args.prompt,
        dtype=args.dtype,
        n_cases=args.cases,
    )
    report = examine(args.model, options, _told)
    sys.stdout.write(_as_json(report) if args.json else _as_text(report))
    if report.has_fault:
        return MISSED
    return ERRORS if report.failed else OK


def _told(check: str) -> None:
    sys.stderr.write(f"checking {check}\n")


def _as_json(report: Report) -> str:
    import msgspec

    plain = {
        **msgspec.to_builtins(report),
        "has_fault": report.has_fault,
        "failed": report.failed,
    }
    return json.dumps(plain, indent=2) + "\n"


def _as_text(report: Report) -> str:
    adapter = "" if report.adapter is None else f" with {report.adapter}"
    about = (
        f"{report.model}{adapter}, {report.dtype}: {len(report.case_ids)} cases of {report.suite}, "
        f"prompt {report.prompt}, calls in {report.format}"
    )
    lines = [*_wrapped(about, "", 0), ""]
    for finding in report.findings:
        lines += _finding(finding)
    return "\n".join([*lines, "", *_verdict(report)]) + "\n"


def _finding(finding: Finding) -> list[str]:
    head = f"{_label(finding):{LABEL}}{finding.check:{INDENT - LABEL}}"
    lines = _wrapped(finding.seen, head, INDENT)
    if finding.severity in ("fault", "warning"):
        lines += _wrapped(finding.means, f"{'':{LABEL}}{'means':{INDENT - LABEL}}", INDENT)
        lines += _wrapped(finding.do, f"{'':{LABEL}}{'do':{INDENT - LABEL}}", INDENT)
    return lines


def _label(finding: Finding) -> str:
    short = {"fault": "FAULT", "not applicable": "n/a", "failed": "FAILED"}
    return short.get(finding.severity, finding.severity)


def _verdict(report: Report) -> list[str]:
    lines = [_headline(report)]
    for number, cause in enumerate(report.causes, start=1):
        lines += _wrapped(_sentence(cause.words), f"{number}. ", 3)
        for seen in cause.evidence:
            lines += _wrapped(seen, "   seen: ", 9)
        lines += _wrapped(cause.do, "   do:   ", 9)
    if report.failed:
        lines += _wrapped(f"Could not be checked: {', '.join(report.failed)}.", "", 0)
    if report.doubts:
        kinds = ", ".join(dict.fromkeys(finding.check for finding in report.doubts))
        lines += _wrapped(f"Worth a look too: the warnings of {kinds}.", "", 0)
    return lines


def _headline(report: Report) -> str:
    n_failed = len(report.failed)
    if not report.causes and n_failed:
        checks = "1 check" if n_failed == 1 else f"{n_failed} checks"
        return f"VERDICT: no verdict: {checks} could not be made"
    if not report.causes:
        return "VERDICT: no fault found"
    writes = any(f.check == "writing" and f.severity == "fine" for f in report.findings)
    return f"VERDICT{': it writes calls, and yet' if writes else ', the likeliest cause first'}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def _wrapped(text: str, head: str, indent: int) -> list[str]:
    """Return a text in lines of at most WIDTH columns; what begins with blanks is not broken."""
    lines: list[str] = []
    for line in map(visible, text.split("\n")):
        if line.startswith("  "):
            lines.append(shorten(" " * DRAWN + line[2:], WIDTH))
            continue
        first = head if not lines else " " * indent
        lines += textwrap.wrap(
            line,
            WIDTH,
            initial_indent=first,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
    return lines
