"""What is learned is the answer, token by token, and only what the grammar accepts."""

import pytest

from fcbench import prompts
from fcbench.errors import ModelError, UsageError
from fcbench.train import Config
from fcbench.train._examples import (
    IGNORED,
    Example,
    check_mask,
    encode,
    fault_counts,
    valid_targets,
)
from fcbench.types import Call, Case, Tool
from tests import tiny

STYLE = prompts.Style()


@pytest.fixture(scope="module")
def loaded(tiny_folder):
    from fcbench.backends import ModelOptions
    from fcbench.backends.transformers import load

    return load(str(tiny_folder), ModelOptions(dtype="float32"))


def encoded(loaded, cases, mode="chat", style=STYLE):
    targets = prompts.targets(cases, mode, style)
    stops = {*loaded.eos_ids, *loaded.ids_of(style.wire.STOP_TOKENS)}
    return targets, encode(targets, mode, style, loaded.tokenizer, stops)


@pytest.mark.parametrize("mode", ["chat", "raw", "bare"])
def test_the_labels_are_the_answer_and_the_rest_is_the_prompt_that_the_backend_sends(loaded, mode):
    targets, examples = encoded(loaded, tiny.cases(), mode)
    requests = prompts.requests([t.case for t in targets], mode, STYLE)
    for target, example, request in zip(targets, examples, requests, strict=True):
        prompt = loaded.tokenizer.encode(request.prompt, add_special_tokens=False)
        assert example.input_ids[: len(prompt)] == prompt
        assert set(example.labels[: len(prompt)]) == {IGNORED}
        learned = example.labels[len(prompt) :]
        assert learned == example.input_ids[len(prompt) :]
        assert loaded.tokenizer.decode(learned, skip_special_tokens=False) == target.text
        assert learned[-1] in loaded.eos_ids


def test_a_mask_that_is_wrong_in_one_token_is_found(loaded):
    targets, examples = encoded(loaded, tiny.cases()[:1])
    (good,), (target,) = examples, targets
    first = good.labels.index(good.input_ids[good.labels.count(IGNORED)])
    wrong = {
        "a prompt token is learned": [
            *good.labels[: first - 1],
            good.input_ids[first - 1],
            *good.labels[first:],
        ],
        "the first answer token is not": [*good.labels[:first], IGNORED, *good.labels[first + 1 :]],
        "one in the middle is not": [*good.labels[:-3], IGNORED, *good.labels[-2:]],
        "the end is not": [*good.labels[:-1], IGNORED],
        "all are shifted": [*good.labels[1:], IGNORED],
        "another token": [*good.labels[:-1], 0],
        "all are learned": list(good.input_ids),
        "none is": [IGNORED] * len(good.labels),
        "one is missing": good.labels[:-1],
    }
    prompt = loaded.tokenizer.decode(good.input_ids[:first])
    check_mask(good, prompt, target.text, loaded.tokenizer)
    for labels in wrong.values():
        with pytest.raises(ModelError, match="what is learned is not the answer"):
            check_mask(Example("c", good.input_ids, labels), prompt, target.text, loaded.tokenizer)


def test_a_format_whose_end_the_tokenizer_does_not_have_is_refused(loaded):
    with pytest.raises(ModelError, match="<|im_end|> ends a turn of calls".replace("|", r"\|")):
        encoded(loaded, tiny.cases(), style=prompts.Style("hermes"))


def test_a_format_without_an_end_of_its_own_ends_as_the_model_does(loaded):
    _, examples = encoded(loaded, tiny.cases(), "bare", prompts.Style("json"))
    assert {e.input_ids[-1] for e in examples} == {loaded.tokenizer.eos_token_id}
    assert all(e.labels[-1] == e.input_ids[-1] for e in examples)


# Targets


def config(**fields):
    return Config(model="m", data=["d"], out="o", **fields)


SILENT = Case("silent", [{"role": "user", "content": "No."}], [Tool("f")], [[]])
UNSAYABLE = Case(
    "unsayable", [{"role": "user", "content": "No."}], [Tool("f")], [[Call("f", {"a:": 1})]]
)


def test_invalid_targets_are_listed_with_their_kind_and_refused():
    with pytest.raises(UsageError) as raised:
        valid_targets(config(format_style="raw"), tiny.cases(), STYLE)
    said = str(raised.value)
    assert "16 of 16 training targets are refused by the strict grammar" in said
    assert "stray_whitespace: 16, for example" in said
    assert "one-Oslo at character 21: '<start_function_call>\\ncall:show_map" in said
    assert "hint: --format-style chat, or mend the data; --allow-invalid-targets" in said


def test_cases_without_a_target_are_listed_apart_and_left_out_on_request():
    cases = [*tiny.cases(), SILENT, UNSAYABLE]
    counts = {"stray_whitespace": 16, "no_reply": 1, "inexpressible": 1}
    assert fault_counts(prompts.targets(cases, "raw", STYLE)) == counts
    with pytest.raises(UsageError) as raised:
        valid_targets(config(), cases, STYLE)
    said = str(raised.value)
    assert "for 2 of 18 training cases there is nothing to write" in said
    assert "refused by the strict grammar" not in said
    kept = valid_targets(config(skip_unwritable=True), cases, STYLE)
    assert [t.case.id for t in kept] == [c.id for c in tiny.cases()]


def test_allowing_invalid_targets_does_not_allow_missing_ones():
    with pytest.raises(UsageError, match="nothing to write"):
        valid_targets(config(allow_invalid_targets=True), [*tiny.cases(), SILENT], STYLE)
    kept = valid_targets(
        config(allow_invalid_targets=True, format_style="raw"), tiny.cases(), STYLE
    )
    assert len(kept) == 16


def test_nothing_to_learn_is_an_error_even_where_anything_is_allowed():
    with pytest.raises(UsageError, match="no training target is left"):
        valid_targets(config(skip_unwritable=True), [SILENT], STYLE)
