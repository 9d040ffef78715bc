"""Token ids of examples, and which of them are learned: those of the answer and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fcbench import prompts
from fcbench.errors import ModelError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.prompts import Target
    from fcbench.train._config import Config
    from fcbench.types import Case

IGNORED = -100
"""The label of a token that is not learned, as PyTorch's cross entropy has it."""
SHOWN_FAULTS = 5


class Example(NamedTuple):
    """One example: `input_ids` are the prompt's and then the answer's, `labels` as many.

    A label is the id at its place where that belongs to the answer, else IGNORED.
    """

    case_id: str
    input_ids: list[int]
    labels: list[int]


def valid_targets(config: Config, cases: Sequence[Case], style: prompts.Style) -> list[Target]:
    """Return what the model is to learn to write; UsageError that lists what it cannot or must not.

    Targets that the strict grammar refuses are kept where the configuration allows them, cases
    without a target are left out where it says so.
    """
    targets = prompts.targets(cases, config.format_style, style)
    untold = [t for t in targets if t.fault is not None and t.fault.kind in prompts.WITHOUT_TEXT]
    refused = [t for t in targets if t.fault is not None and t not in untold]
    if untold and not config.skip_unwritable:
        raise UsageError(
            f"for {len(untold)} of {len(targets)} training cases there is nothing to write\n"
            f"{listed(untold)}",
            hint='give them a "reply", or calls that the format can express; --skip-unwritable '
            "leaves them out",
        )
    if refused and not config.allow_invalid_targets:
        style_hint = "" if config.format_style == "chat" else "--format-style chat, or "
        raise UsageError(
            f"{len(refused)} of {len(targets)} training targets are refused by the strict "
            f"grammar: a model that learns them writes calls that do not work\n{listed(refused)}",
            hint=f"{style_hint}mend the data; --allow-invalid-targets trains on them all the same",
        )
    kept = [target for target in targets if target not in untold]
    if not kept:
        raise UsageError("no training target is left", hint=listed(targets))
    return kept


def fault_counts(targets: Sequence[Target]) -> dict[str, int]:
    """Return how many targets have each kind of fault, most first."""
    kinds = [target.fault.kind for target in targets if target.fault is not None]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds), key=lambda k: -kinds.count(k))}


def listed(targets: Sequence[Target]) -> str:
    """Return lines that say what is wrong with targets: the counts, and the first of each kind."""
    lines = []
    for kind, count in fault_counts(targets).items():
        of_kind = [t for t in targets if t.fault is not None and t.fault.kind == kind]
        lines.append(f"  {kind}: {count}, " + ("that is" if count == 1 else "for example"))
        for target in of_kind[:SHOWN_FAULTS]:
            fault = target.fault
            at = "" if fault is None or fault.offset is None else f" at character {fault.offset}"
            lines.append(f"    {target.case.id}{at}: {target.text[:100]!r}")
        if of_kind[0].fault is not None:
            lines.append(f"    {of_kind[0].fault.hint}")
    return "\n".join(lines)


def encode(
    targets: Sequence[Target], mode: str, style: prompts.Style, tokenizer: Any, stop_ids: set[int]
) -> list[Example]:
    """Return the examples of targets, each checked token by token.

    The prompt's ids are those that the backend asks with, the answer's follow them as the model
    would write them. ModelError if an answer does not end with a token that stops a turn.
    """
    requests = prompts.requests([target.case for target in targets], mode, style)
    examples = []
    for target, request in zip(targets, requests, strict=True):
        prompt = tokenizer.encode(request.prompt, add_special_tokens=False)
        answer = tokenizer.encode(target.text, add_special_tokens=False)
        if answer[-1] not in stop_ids:
            if target.text.endswith((style.wire.END_OF_CALLS, style.wire.END_OF_WORDS)) and (
                style.wire.END_OF_CALLS
            ):
                raise ModelError(
                    f"{style.wire.END_OF_CALLS} ends a turn of calls in this format, but is no "
                    "single token of this tokenizer that generation stops at",
                    hint="python -m fcbench doctor MODEL says which control tokens it has",
                )
            if tokenizer.eos_token_id is None:
                raise ModelError("neither the format nor the tokenizer says how a turn ends")
            answer.append(tokenizer.eos_token_id)  # the format leaves the end to the model
        ids = prompt + answer
        labels = [IGNORED] * len(prompt) + answer
        example = Example(target.case.id, ids, labels)
        check_mask(example, request.prompt, target.text, tokenizer)
        examples.append(example)
    return examples


def check_mask(example: Example, prompt: str, answer: str, tokenizer: Any) -> None:
    """Raise ModelError unless the labels are the answer's tokens, each at its own place.

    The first label stands behind a prompt without one; what is learned, read together, is the
    answer and at most the tokenizer's own end after it; and so is what follows the prompt when all
    is read together, where a tokenizer that begins each text with a blank shows it.
    """
    ids, labels = example.input_ids, example.labels
    first = next((i for i, label in enumerate(labels) if label != IGNORED), len(labels))
    is_placed = len(labels) == len(ids) and 0 < first < len(ids) and labels[first:] == ids[first:]
    written = _text([label for label in labels if label != IGNORED], tokenizer)
    is_written = written in (answer, f"{answer}{tokenizer.eos_token}")
    if not is_placed or not is_written or _text(ids, tokenizer) != f"{prompt}{written}":
        raise ModelError(
            f"{example.case_id}: what is learned is not the answer: {written!r}, not {answer!r}",
            hint="a tokenizer that does not give back what it was given cannot be trained on",
        )


def _text(ids: Sequence[int], tokenizer: Any) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
