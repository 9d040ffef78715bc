"""What a check finds, and what each kind of finding means."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from fcbench.types import Json, Record

Severity = Literal["fault", "warning", "note", "fine", "not applicable", "failed"]
"""A fault explains missing calls; what `failed` could not be checked, which says nothing at all."""


class Kind(NamedTuple):
    """How bad a kind of finding is, what it means, and what to do about it."""

    severity: Severity
    means: str
    do: str = ""


FINE, NOT_APPLICABLE, FAILED = "fine", "not_applicable", "check_failed"

KINDS: dict[str, Kind] = {
    FINE: Kind("fine", ""),
    NOT_APPLICABLE: Kind("not applicable", ""),
    FAILED: Kind("failed", ""),
    # tokens
    "split_control": Kind(
        "fault",
        "control tokens of the format are no tokens of this tokenizer: calls come in pieces that "
        "no model of the format was trained on",
        "take the tokenizer that the format was made for, or add the tokens, resize the "
        "embedding and train their rows",
    ),
    "split_tags": Kind(
        "note",
        "the tags around calls are no tokens of this tokenizer; a model can learn to write them in "
        "pieces, and has to",
        "train longer, or add the tags as tokens and train their rows",
    ),
    "absent_control": Kind(
        "warning",
        "tokens that a call does not need are missing; a conversation that holds them is read "
        "otherwise than the format means it",
        "take the tokenizer that the format was made for",
    ),
    # rows
    "rows_missing": Kind(
        "fault",
        "the tokenizer writes ids that the model has no row for",
        "model.resize_token_embeddings(len(tokenizer)), and train the new rows",
    ),
    "rows_differ": Kind(
        "fault",
        "the model reads more or fewer tokens than it can write",
        "resize both with model.resize_token_embeddings, or take the model's own configuration",
    ),
    "rows_identical": Kind(
        "fault",
        "control tokens share one row, so the model cannot tell them apart: nothing trained them",
        "train these rows: full fine-tuning, or LoRA with trainable_token_indices of their ids",
    ),
    "rows_faint": Kind(
        "warning",
        "rows of control tokens are far from the others' size, as rows are that were added and "
        "never trained",
        "if their probabilities are low too: train these rows (trainable_token_indices)",
    ),
    "rows_alike": Kind(
        "warning",
        "rows of control tokens are nearly those of other tokens, as rows are that pretraining "
        "never used; fine-tuning may need to move them only a little, so the probabilities decide",
        "if their probabilities are low too: train these rows (trainable_token_indices)",
    ),
    # numbers
    "weights_not_finite": Kind(
        "fault",
        "the weights hold NaN or infinity: every answer is made of them",
        "take an earlier checkpoint; train with a lower learning rate, or in bfloat16 rather "
        "than float16",
    ),
    "logits_not_finite": Kind(
        "fault",
        "the model computes NaN or infinity in this dtype, so no token is chosen by it",
        "--dtype bfloat16 or float32",
    ),
    # adapter
    "adapter_misfit": Kind(
        "fault",
        "the adapter belongs to another model; all other checks are of the base model without it",
        "name the base model that adapter_config.json names",
    ),
    "adapter_inactive": Kind(
        "fault",
        "the adapter changes nothing: this is the base model (an adapter that was saved before "
        "it was trained, or whose layers were not trained)",
        "look at the training run: trainable parameters, learning rate, and what was saved",
    ),
    "adapter_other_base": Kind(
        "warning",
        "the adapter says that it was trained on another base model",
        "if that is not the same model under another name: load it on its own base",
    ),
    "adapter_leaves_rows": Kind(
        "warning",
        "the adapter trains no row of the control tokens, and those of the base look untrained",
        "LoRA with trainable_token_indices of the control tokens' ids",
    ),
    # template
    "no_template": Kind(
        "fault",
        "the tokenizer has no chat template: whoever prompts through it shows the model no tools "
        "(fcbench takes its own template)",
        "tokenizer.chat_template = the model's template, and save the tokenizer",
    ),
    "template_refuses": Kind(
        "fault",
        "the chat template raises an error on a conversation with tools",
        "repair the template, or take the one that the model came with",
    ),
    "template_without_tools": Kind(
        "fault",
        "the chat template leaves the tools out: the model is never told of any function",
        "take a template that renders `tools`",
    ),
    "other_format": Kind(
        "fault",
        "the chat template writes calls in another format than the one that answers are judged by",
        "--format auto, or a template of the format",
    ),
    "unknown_format": Kind(
        "fault",
        "the chat template does not write calls in this format: it is no tool template",
        "--format with what the model was trained to write, or train it with a tool template",
    ),
    "template_round_trip": Kind(
        "fault",
        "what the chat template writes for a call is not that call in the strict grammar, so a "
        "model that learned the template well is malformed",
        "repair how the template writes tool_calls, then train again",
    ),
    "template_reopens": Kind(
        "warning",
        "the rendered answer does not go on from the rendered prompt: a model trained on the "
        "one is asked with another",
        "train on the prompt with add_generation_prompt=True and the answer after it",
    ),
    # trigger
    "no_trigger": Kind(
        "fault",
        "the sentence that makes the model call functions is not in the prompt",
        "put it into the developer message, and take a template that renders that message",
    ),
    # bos
    "two_bos_written": Kind(
        "fault",
        "the template writes the beginning-of-text token twice: a prompt that no training showed",
        "take bos_token out of the template once",
    ),
    "bos_added": Kind(
        "warning",
        "who renders the template to text and encodes that as usual gets two beginnings of text "
        "(fcbench does not)",
        "tokenizer(prompt, add_special_tokens=False), or apply_chat_template(tokenize=True)",
    ),
    "no_bos": Kind(
        "warning",
        "the tokenizer begins a text with a token that the template does not write",
        "write bos_token first in the template, unless the model was trained without it",
    ),
    # stops
    "stop_cuts_calls": Kind(
        "fault",
        "the end of one call is configured as a stop: parallel calls are cut after the first, and "
        "what drops the stop from the text makes every call malformed",
        "take it out of eos_token_id in generation_config.json and the tokenizer",
    ),
    "no_stop_of_calls": Kind(
        "fault",
        "what stops at the model's own stop tokens does not stop after calls: it runs on into "
        "invented results (fcbench run stops at the format's own)",
        "add it to eos_token_id in generation_config.json",
    ),
    "no_stop_of_words": Kind(
        "warning",
        "what stops at the model's own stop tokens runs on after an answer in words",
        "add it to eos_token_id in generation_config.json",
    ),
    "stop_outside": Kind(
        "fault",
        "a configured stop is no token of the model, so it never comes",
        "set eos_token_id in generation_config.json to ids of this tokenizer",
    ),
    # training
    "training_prompt_differs": Kind(
        "fault",
        "the model was trained on other prompts than it is asked with",
        "train with the prompt that is asked with, or ask with the one that was trained",
    ),
    "training_answer_differs": Kind(
        "warning",
        "a trainer that gives these rows to the chat template trains on other answers than the "
        "format writes",
        "repair how the template writes the assistant's turn",
    ),
    "not_compared": Kind("note", "nobody can say from the cases alone how they were rendered"),
    "targets_without_text": Kind(
        "note", "cases that say no words, or calls that the format cannot write: nothing to learn"
    ),
    "targets_malformed": Kind(
        "fault",
        "the training targets are no valid calls: a model that learns them well is malformed",
        "train on the targets that the chat template writes (--format-style chat)",
    ),
    "targets_without_prefix": Kind(
        "fault",
        "the training targets lack what comes before a function's name, so the model learns to "
        "leave it out",
        "write it after the start token in every target",
    ),
    "text_without_turn": Kind(
        "fault",
        "the training texts open no model turn as the format does: nothing in them says where "
        "the model begins to answer",
        "write the texts with the chat template",
    ),
    "text_without_stop": Kind(
        "warning",
        "the training texts do not end with a stop token: the model does not learn to end a turn",
        "end every model turn as the chat template does",
    ),
    "text_doubles_bos": Kind(
        "warning",
        "the training texts hold the beginning-of-text token and the tokenizer adds one: a "
        "trainer that encodes them as usual trains with two",
        "leave it out of the texts, or encode them with add_special_tokens=False",
    ),
    # knowledge
    "never_learned": Kind(
        "fault",
        "it never learned to write calls: they are unlikely under every prompt tried",
        "fine-tune it on calls, the rows of the control tokens included; meanwhile "
        "run --decode constrained holds it to the grammar",
    ),
    "knows_by_hand": Kind(
        "fault",
        "it knows calls as training texts by hand write them, which the strict grammar refuses",
        "train on the targets that the chat template writes (--format-style chat)",
    ),
    "prompt_mismatch": Kind("fault", "it knows calls, but not under the prompt that is in use"),
    "skips_prefix": Kind(
        "fault",
        "it begins calls, but does not go on as the format does",
        "look at what the training targets hold after the start token (--train-data)",
    ),
    "begins_no_call": Kind(
        "fault",
        "it would go on rightly after the start of a call, but it does not begin one",
        "more training cases that expect a call; run --decode constrained shows what it can do",
    ),
    "learned_weakly": Kind(
        "warning",
        "it is not sure of how a call begins under the prompt in use",
        "train longer, or on more varied requests",
    ),
    "unsure_inside": Kind(
        "warning",
        "it opens calls, but is not sure of how they go on or end",
        "look at what the training targets hold there (--train-data)",
    ),
    # writing
    "writes_no_calls": Kind(
        "fault",
        "what it writes holds no valid call",
        "the checks above say why; python -m fcbench parse shows where a text goes wrong",
    ),
    "writes_some_calls": Kind(
        "warning",
        "some of what it writes is no valid call",
        "python -m fcbench run counts the failures over a whole suite",
    ),
    "cut_by_limit": Kind(
        "warning",
        "every turn was right as far as it went when the token limit cut it: nothing is known of "
        "whole calls",
        "python -m fcbench run with a larger --max-new-tokens",
    ),
    "stop_cuts_writing": Kind(
        "fault",
        "a stop token of the model's own configuration ends a turn before its calls are whole",
        "take it out of eos_token_id in generation_config.json and the tokenizer",
    ),
    "runs_on": Kind(
        "warning",
        "it does not end its turn after calls",
        "end every training target with the stop token of the format",
    ),
}
"""Kind -> what it means and what to do, unless a finding says it better."""


class Finding(Record, frozen=True):
    """One thing that a check found: what was seen, what it means, what to do.

    `measures` are the numbers behind it, which the verdict's rules read.
    """

    check: str
    kind: str
    severity: Severity
    seen: str
    means: str = ""
    do: str = ""
    measures: dict[str, Json] = msgspec.field(default_factory=dict)


def found(
    check: str, kind: str, seen: str, *, means: str = "", do: str = "", **measures: Json
) -> Finding:
    """Return a finding of a kind, with that kind's words unless others are given."""
    known = KINDS[kind]
    return Finding(
        check, kind, known.severity, seen, means or known.means, do or known.do, measures
    )


def as_warning(finding: Finding) -> Finding:
    """Return a finding that is no fault, because something else settles it or too little was seen.

    >>> as_warning(found("stops", "stop_outside", "id 9 of 4 tokens")).severity
    'warning'
    """
    if finding.severity != "fault":
        return finding
    return msgspec.structs.replace(finding, severity="warning")


FEW = 0.1
"""The share of training rows below which what is wrong with them cannot explain a whole model."""


def by_share(finding: Finding, n_wrong: int, n: int) -> Finding:
    """Return a finding about some of n rows: a warning where they are few."""
    return finding if n_wrong >= FEW * n else as_warning(finding)
