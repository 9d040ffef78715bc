"""python -m fcbench export gguf, and export model-card."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.cli import ERRORS, MISSED, OK, _export_card
from fcbench.text import visible

if TYPE_CHECKING:
    import argparse

    from fcbench.train.export import ExportReport

EXAMPLES = (
    (
        "export gguf merged --out model.gguf --check",
        "a GGUF and an Ollama Modelfile, with three answers of llama.cpp beside transformers'",
    ),
    (
        "export gguf ./base --adapter ./my-lora --type q8_0 --out small.gguf",
        "merge first, and store weights in eight bits",
    ),
    (
        "export model-card results/RUN --license gemma --language en --out README.md",
        "a card for Hugging Face's hub, with the metrics of a run and their intervals",
    ),
)
EXITS = {
    1: "--check finds that llama.cpp makes other tokens of a prompt",
    3: "--check could not ask llama.cpp, or some samples of a card's runs are errors",
}


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    what = "write one GGUF for llama.cpp, and a Modelfile for Ollama, and check what was written"
    actions = parser.add_subparsers(dest="action", metavar="gguf|model-card", required=True)
    epilog = (
        "Exit code 1 when --check finds that llama.cpp makes other tokens of a prompt, 3 when it "
        "could not ask."
    )
    gguf = actions.add_parser("gguf", help=what, description=what, epilog=epilog)
    gguf.add_argument("model", help="a folder, or gemma3-270m")
    gguf.add_argument("--out", required=True, metavar="FILE.gguf", help="the file to write")
    gguf.add_argument(
        "--type", default="f32", help="of weights: f32 (default), f16 or q8_0 (a quarter of f32)"
    )
    gguf.add_argument("--adapter", metavar="DIR", help="an adapter to merge first")
    gguf.add_argument(
        "--format", help="wire format of calls (default: what the chat template writes)"
    )
    gguf.add_argument(
        "--check",
        action="store_true",
        help="answer three prompts by llama.cpp (xllamacpp) and by transformers",
    )
    places = gguf.add_mutually_exclusive_group()
    places.add_argument(
        "--modelfile", metavar="PATH", help="default: FILE.Modelfile beside FILE.gguf"
    )
    places.add_argument("--no-modelfile", action="store_true", help="write the GGUF alone")
    gguf.add_argument("--json", action="store_true", help="print the report as JSON")
    _export_card.add(actions)


def run(args: argparse.Namespace) -> int:
    """Export what was chosen."""
    return _export_card.run(args) if args.action == "model-card" else _gguf(args)


def _gguf(args: argparse.Namespace) -> int:
    """Export, and print what was found in the file."""
    from fcbench.train.export import check_modelfile, export_gguf, modelfile_of, write_modelfile

    modelfile = None
    if not args.no_modelfile:
        out = Path(args.out).expanduser()
        modelfile = Path(args.modelfile).expanduser() if args.modelfile else modelfile_of(out)
        check_modelfile(modelfile, out)  # before minutes of work
    report = export_gguf(
        args.model, args.out, args.type, args.adapter, args.format, check=args.check
    )
    if modelfile is not None:
        write_modelfile(report, modelfile)
    if args.json:
        import msgspec

        plain = {**msgspec.to_builtins(report), "modelfile": modelfile and str(modelfile)}
        sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    else:
        sys.stdout.write(as_text(report, modelfile))
    if report.check_error is not None:
        sys.stderr.write(visible(f"not checked: {report.check_error}") + "\n")
        return ERRORS
    # Texts may differ by rounding; tokens of one text may not.
    return OK if all(answer.same_tokens for answer in report.answers or []) else MISSED


def as_text(report: ExportReport, modelfile: Path | None) -> str:
    """Return the report for a terminal."""
    found = report.metadata
    tensors = ", ".join(f"{n} {kind}" for kind, n in found.n_tensors.items())
    tokenizer = visible(f"{found.tokenizer}, pre-tokenizer {found.pre}")
    lines = [
        f"{report.out}: {report.n_bytes / 1e6:.1f} MB, {report.seconds:.0f} s",
        f"  model          {visible(found.architecture)}, tensors: {tensors}",
        f"  vocabulary     {found.n_vocab} tokens; {tokenizer}",
        f"  bos            {'added by llama.cpp' if found.adds_bos else 'not added by llama.cpp'}",
        f"  chat template  {'the same' if report.has_chat_template else 'none, as the tokenizer'}",
        f"  calls          {report.format or 'in a format that the chat template does not tell'}",
    ]
    if report.shown:
        lines.append(
            f"  made visible   {visible(' '.join(report.shown))}\n"
            "                 (as control tokens llama.cpp's server and Ollama write them as "
            "nothing, and never stop at them)"
        )
    if report.type != "f32":
        lines.append(
            "  float16        "
            + (
                "holds no number"
                if found.largest_float16 is None
                else f"largest number stored {found.largest_float16:.4g} of 65504: none overflows"
            )
        )
    if report.merge is not None:
        stored = report.merge.stored
        lines.append(
            f"  merged         logits within {stored.largest:.2g} of base + adapter, the same "
            f"choice at {stored.n_same_choice}/{stored.n_positions} positions"
        )
    if report.check_error is not None:
        lines.append(f"  NOT CHECKED    {visible(report.check_error)}")
    lines += _answers(report)
    if modelfile is not None:
        command = shlex.join(["ollama", "create", "NAME", "-f", str(modelfile)])
        lines += [f"{modelfile}: for Ollama", f"next: {command}"]
    return "\n".join(lines) + "\n"


def _answers(report: ExportReport) -> list[str]:
    if report.answers is None:
        return []
    lines = [""]
    for answer in report.answers:
        text = "the same text" if answer.same_text else "ANOTHER TEXT"
        tokens = "the same tokens" if answer.same_tokens else "OTHER TOKENS"
        lines += [
            f"  {answer.case_id}: {text}; of the prompt, {tokens}",
            f"    transformers  {visible(answer.transformers)}",
        ]
        if not answer.same_text:
            lines.append(f"    llama.cpp     {visible(answer.llama)}")
    return [*lines, ""]
