"""Each check names what was broken in a model, first of all causes, and only there."""

import shutil

import msgspec
import pytest
from transformers import AutoTokenizer

from fcbench.doctor import CHECKS, KINDS
from tests import tiny

ids = tiny.SPECIAL.index
START, END = ids("<start_function_call>"), ids("<end_function_call>")


def kinds(report):
    return {f.kind for f in report.findings if f.severity in ("fault", "warning")}


def finding(report, kind):
    (found,) = [f for f in report.findings if f.kind == kind]
    return found


def first_cause(report):
    return report.causes[0].kind


def test_a_model_that_calls_has_no_fault(knowing, examined):
    report = examined(knowing)
    assert report.causes == []
    assert not report.has_fault
    # Gemma's tokenizers begin every text, and its templates too.
    assert kinds(report) == {"bos_added"}
    assert [f.check for f in report.findings] == list(CHECKS)


# The tokenizer


def forget(token):
    def change(plain):
        plain["added_tokens"] = [t for t in plain["added_tokens"] if t["content"] != token]

    return change


def test_a_control_token_that_is_split_is_named(knowing, examined):
    report = examined(tiny.changed(knowing, tokens=forget("<start_function_call>")))
    assert first_cause(report) == "split_control"
    assert "<start_function_call> is " in report.causes[0].evidence[0]
    assert "1 of 9" in report.causes[0].evidence[0]


def know_few_words(plain):
    forget("<escape>")(plain)
    plain["pre_tokenizer"] = None
    vocabulary = {t["content"]: t["id"] for t in plain["added_tokens"]}
    plain["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<pad>"}


def test_an_unknown_control_token_is_named(knowing, examined):
    broken = tiny.changed(knowing, tokens=know_few_words)
    broken.tokenizer.unk_token = "<pad>"
    report = examined(broken)
    assert first_cause(report) == "split_control"
    assert "<escape> is unknown" in report.causes[0].evidence[0]


def test_a_control_token_that_stands_for_the_unknown_is_one_all_the_same(knowing, examined):
    same = tiny.changed(knowing)
    same.tokenizer.unk_token = "<eos>"
    assert "split_control" not in kinds(examined(same))


def test_a_control_token_that_no_call_needs_is_a_doubt(knowing, examined):
    report = examined(tiny.changed(knowing, tokens=forget("<end_function_response>")))
    assert report.causes == []
    assert "absent_control" in {f.kind for f in report.doubts}


# The rows


def embedding(model):
    return model.get_input_embeddings().weight


def share_a_row(model):
    for token in ("<end_function_call>", "<escape>", "<start_function_declaration>"):
        embedding(model)[ids(token)] = embedding(model)[START]


def test_control_tokens_that_share_a_row_are_named(knowing, examined):
    report = examined(tiny.changed(knowing, model=share_a_row))
    assert first_cause(report) == "rows_identical"
    assert "6 pairs" in report.causes[0].evidence[0]


def shrink_rows(model):
    embedding(model)[START] *= 0.01


def test_a_faint_row_is_told_as_evidence_of_what_was_not_learned(untrained, examined):
    report = examined(tiny.changed(untrained, model=shrink_rows))
    assert "rows_faint" in kinds(report)
    assert first_cause(report) == "never_learned"
    assert any("norms of rows: <start_function_call>" in e for e in report.causes[0].evidence)


def imitate_rows(model):
    rows = embedding(model)
    for i in range(3, len(tiny.SPECIAL)):
        rows[i] = rows[100 + i] + 0.05 * rows[i]


def test_rows_like_those_of_other_tokens_count_only_where_nothing_is_known(untrained, examined):
    report = examined(tiny.changed(untrained, model=imitate_rows))
    assert "rows_alike" in kinds(report)
    assert "rows_alike" not in kinds(examined(untrained))
    assert any("nearly equal to another" in e for e in report.causes[0].evidence)


def test_too_few_rows_are_named_and_stop_no_other_check(knowing, examined):
    broken = tiny.changed(knowing, model=lambda model: model.resize_token_embeddings(20))
    report = examined(broken)
    assert first_cause(report) == "rows_missing"
    assert {f.check for f in report.findings} == set(CHECKS)


def with_more_tokens(loaded):
    """Return a model whose tokenizer has tokens beyond the embedding."""
    larger = tiny.changed(loaded)
    larger.tokenizer.add_tokens(["<unused_one>", "<unused_two>"])
    return larger


def test_tokens_without_a_row_that_nobody_writes_are_a_doubt(knowing, examined):
    report = examined(with_more_tokens(knowing))
    assert report.causes == []
    doubt = finding(report, "rows_missing")
    assert doubt.severity == "warning"
    assert "none of the tokens beyond is in the prompts and answers of" in doubt.seen


def test_a_token_without_a_row_that_a_prompt_holds_is_named(knowing, examined):
    larger = with_more_tokens(knowing)
    larger.tokenizer.chat_template = tiny.template().replace(
        "<start_of_turn>developer\\n", "<start_of_turn>developer\\n<unused_two>"
    )
    report = examined(larger)
    assert first_cause(report) == "rows_missing"
    assert "holds `<unused_two>`" in report.causes[0].evidence[0]


def test_tokens_without_a_row_are_told_of_a_model_by_its_folder_too(folder, examined, tmp_path):
    copied = tmp_path / "model"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("untrained"))
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.add_tokens(["<unused_one>"])
    tokenizer.save_pretrained(copied)
    assert finding(examined(str(copied)), "rows_missing").severity == "warning"


def cut_output(model):
    import torch

    model.lm_head = torch.nn.Linear(48, 300, bias=False)


def test_an_output_layer_of_another_size_is_named(knowing, examined):
    report = examined(tiny.changed(knowing, model=cut_output))
    assert first_cause(report) == "rows_differ"


# The numbers


def break_weight(model):
    model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")


def overflow(model):
    model.model.norm.weight.fill_(3e38)


def test_a_weight_that_is_no_number_comes_before_all_else(knowing, examined):
    report = examined(tiny.changed(knowing, model=break_weight))
    assert first_cause(report) == "weights_not_finite"
    assert "model.layers.0.mlp.up_proj.weight" in report.causes[0].evidence[0]


def test_logits_that_overflow_are_named_and_measured_no_further(knowing, examined):
    report = examined(tiny.changed(knowing, model=overflow))
    assert first_cause(report) == "logits_not_finite"
    (knowledge,) = [f for f in report.findings if f.check == "knowledge"]
    assert (knowledge.severity, "not finite" in knowledge.seen) == ("failed", True)


# The template


def edited(*pairs):
    text = tiny.template()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("template", "kind", "told"),
    [
        (None, "no_template", "empty"),
        ("{{ raise_exception('no tools, please') }}", "template_refuses", "no tools, please"),
        (
            edited(("{{ '<start_function_call>call:'", "{{ '<start_function_call>\\ncall:'")),
            "template_round_trip",
            "stray_whitespace at character 21",
        ),
        (
            edited(("{{ '<start_function_call>call:'", "{{ '<start_function_call>'")),
            "template_round_trip",
            "missing_call_prefix at character 21",
        ),
        (
            edited(("for tool in tools or []", "for tool in []")),
            "template_without_tools",
            "the same with its 2 tools and without",
        ),
        (
            edited(("for tool in tools or []", "for tool in (tools or [])[:1]")),
            "template_without_tools",
            "1 of 2 tools are not named: turn_on_flashlight",
        ),
        (
            edited(("<start_of_turn>developer\\n' ~ developer", "<start_of_turn>developer\\n'")),
            "no_trigger",
            "8 of 8 chat prompts lack it",
        ),
        (
            edited(("{{ bos_token }}", "{{ bos_token ~ bos_token }}")),
            "two_bos_written",
            "2 `<bos>`",
        ),
        (
            edited(("message['tool_calls'] or []", "[]")),
            "template_round_trip",
            "empty_output at character 0",
        ),
        (
            edited(("pairs(function['arguments'] or {})", "pairs({})")),
            "template_round_trip",
            "other calls than it was given",
        ),
        (edited(("<start_function_call>", "<tool_call>")), "other_format", "it writes hermes"),
        (edited(("<start_function_call>", "<call>")), "unknown_format", "<start_function_call>"),
    ],
)
def test_a_broken_template_is_named(knowing, examined, template, kind, told):
    report = examined(tiny.changed(knowing, template=template), format="functiongemma")
    assert first_cause(report) == kind
    assert told in report.causes[0].evidence[0]


def test_an_answer_that_does_not_go_on_from_the_prompt_is_a_doubt(knowing, examined):
    thinking = edited(
        ("{{ '<start_of_turn>model\\n' }}", "{{ '<start_of_turn>model\\n' ~ 'Well: ' }}")
    )
    assert "template_reopens" in kinds(examined(tiny.changed(knowing, template=thinking)))


def test_a_template_without_the_beginning_of_text_is_a_doubt(knowing, examined):
    report = examined(tiny.changed(knowing, template=edited(("{{ bos_token }}", ""))))
    assert {"no_bos", "bos_added"} & kinds(report) == {"no_bos"}


def test_a_tokenizer_that_adds_nothing_adds_no_second_beginning(knowing, examined):
    plain = tiny.changed(knowing, tokens=lambda t: t.update(post_processor=None))
    assert kinds(examined(plain)) & {"bos_added", "two_bos_written", "no_bos"} == set()


# The stop tokens


@pytest.mark.parametrize(
    ("stops", "kind"),
    [
        (["<eos>", "<end_of_turn>", "<start_function_response>", "<end_function_call>"], None),
        (["<eos>", "<end_of_turn>"], "no_stop_of_calls"),
        ([], "no_stop_of_calls"),
    ],
)
def test_stop_tokens_that_cut_or_lack_are_named(knowing, examined, stops, kind):
    report = examined(msgspec.structs.replace(knowing, eos_ids=[ids(s) for s in stops]))
    if kind is not None:
        assert first_cause(report) == kind
        return
    (cause,) = report.causes
    assert cause.kind == "stop_cuts_calls"
    assert "leaves missing_end_token" in cause.evidence[1]


def test_a_stop_of_words_that_lacks_is_a_doubt(knowing, examined):
    stops = [ids("<eos>"), ids("<start_function_response>")]
    report = examined(msgspec.structs.replace(knowing, eos_ids=stops))
    assert report.causes == []
    assert "no_stop_of_words" in kinds(report)


def test_a_stop_that_is_no_token_is_named(knowing, examined):
    report = examined(msgspec.structs.replace(knowing, eos_ids=[*knowing.eos_ids, 50_000]))
    assert first_cause(report) == "stop_outside"
    assert "50000" in report.causes[0].evidence[0]


def test_any_token_that_ends_a_call_too_early_is_found_in_what_is_written(knowing, examined):
    brace = knowing.tokenizer.encode("{", add_special_tokens=False)
    report = examined(msgspec.structs.replace(knowing, eos_ids=[*knowing.eos_ids, *brace]))
    assert first_cause(report) == "stop_cuts_writing"


# What goes wrong in a check


def test_a_model_that_raises_stops_no_other_check(knowing, examined, monkeypatch):
    broken = tiny.changed(knowing)
    monkeypatch.setattr(broken.model, "forward", lambda *args, **kwargs: 1 / 0)
    report = examined(broken)
    assert {f.check for f in report.findings} == set(CHECKS)
    failed = {f.check for f in report.findings if "ZeroDivisionError" in f.seen}
    assert {"numbers", "knowledge"} <= failed
    assert all(f.severity == "failed" for f in report.findings if f.check in failed)


def test_every_kind_says_what_it_means_and_what_to_do():
    for kind, (severity, means, do) in KINDS.items():
        if severity in ("fault", "warning"):
            assert means, kind
            assert do or kind == "prompt_mismatch", kind
