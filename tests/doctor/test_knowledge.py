"""What is known under one prompt and not another, and what was never learned, look different."""

import pytest

from fcbench.backends.transformers import wrap
from fcbench.doctor._finding import KINDS, found
from fcbench.doctor._knowledge import judged
from fcbench.doctor._subject import Subject
from fcbench.doctor._target import OPENING, Span, target_of
from fcbench.doctor._verdict import EVIDENCE, IRRELEVANT, ORDER, doubts, settled, verdict
from fcbench.types import Call, Sample
from tests import tiny


def knowledge(report):
    return next(f for f in report.findings if f.check == "knowledge")


def test_a_model_that_knows_calls_under_chat_alone_is_told_from_one_that_knows_none(
    knowing, untrained, examined
):
    mismatch = examined(knowing, prompt="raw")
    assert mismatch.causes[0].kind == "prompt_mismatch"
    assert "knows calls under the chat prompt, but not under raw" in mismatch.causes[0].words
    assert "apply_chat_template" in mismatch.causes[0].do
    opening = knowledge(mismatch).measures["opening"]
    assert opening["chat"] > 0.9
    assert max(opening["raw"], opening["bare"]) < 0.1

    never = examined(untrained)
    assert never.causes[0].kind == "never_learned"
    assert max(knowledge(never).measures["opening"].values()) < 0.1


def test_what_is_written_is_evidence_of_a_cause_and_none_itself(knowing, examined):
    report = examined(knowing, prompt="raw")
    assert [cause.kind for cause in report.causes] == ["prompt_mismatch"]
    assert "abstained 4" in report.causes[0].evidence[-1]


def test_probabilities_are_those_of_a_plain_pass_over_the_whole_text(knowing, examined):
    import torch

    report = examined(knowing, n_cases=1)
    parts = knowledge(report).measures["parts"]["chat"]
    (case_id,) = report.case_ids
    case = next(c for c in tiny.cases() if c.id == case_id)
    subject = Subject(knowing, "functiongemma", "chat", [case])
    text, _ = target_of(subject, case.expected[0])
    prompt, target = subject.encode(subject.ask(case, "chat")), subject.encode(text)
    with torch.inference_mode():
        logits = knowing.model(torch.tensor([prompt + target])).logits[0]
    probabilities = logits.softmax(dim=1)
    at = len(prompt) - 1
    for part, place in (("start", 0), ("stop", len(target) - 1)):
        expected = probabilities[at + place, target[place]].item()
        assert parts[part]["mean_probability"] == pytest.approx(expected, abs=1e-5)
        assert parts[part]["n"] == 1


@pytest.fixture
def taught(folder):
    """Return a function that trains the model a little more, on changed answers."""
    from transformers import AutoTokenizer, Gemma3ForCausalLM

    def run(change):
        model = Gemma3ForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        loaded = wrap(model, tokenizer, {"name": "tiny", "dtype": "float32"})
        tiny.train(loaded, tiny.lessons(change), steps=30)
        return loaded

    return run


def test_a_model_taught_to_leave_the_prefix_out_is_named(taught, examined):
    report = examined(taught(lambda text: text.replace("call:", "")))
    assert report.causes[0].kind == "skips_prefix"
    assert "rather than `call:`" in report.causes[0].evidence[0]
    assert "missing_call_prefix" in report.causes[0].evidence[1]


def test_a_model_taught_another_end_is_a_doubt(taught, examined):
    report = examined(taught(lambda text: text.replace("<start_function_response>", "<eos>")))
    assert report.causes == []
    (doubt,) = [f for f in report.doubts if f.check == "knowledge"]
    assert doubt.kind == "unsure_inside"
    assert doubt.seen.startswith("P(`<start_function_response>`) 0.")


def part(probability):
    return {"mean_probability": probability, "median_rank": 1, "share_first": 1.0, "instead": None}


def measures(**modes):
    return {
        mode: {"start": part(start), "prefix": part(prefix), "opening": part(start * prefix)}
        for mode, (start, prefix) in modes.items()
    }


@pytest.mark.parametrize(
    ("modes", "judgement"),
    [
        ({"chat": (0.9, 0.9), "raw": (0.0, 0.0)}, ("fine", "chat")),
        ({"chat": (0.9, 0.9), "raw": (0.99, 0.99)}, ("fine", "chat")),
        ({"chat": (0.1, 0.1), "raw": (0.9, 0.9)}, ("prompt_mismatch", "raw")),
        ({"chat": (0.01, 0.02), "raw": (0.0, 0.0)}, ("never_learned", "chat")),
        ({"chat": (0.9, 0.01), "raw": (0.0, 0.0)}, ("skips_prefix", "chat")),
        ({"chat": (0.0, 0.0), "raw": (0.9, 0.01)}, ("skips_prefix", "raw")),
        ({"chat": (0.01, 0.9), "raw": (0.0, 0.0)}, ("begins_no_call", "chat")),
        ({"chat": (0.6, 0.6), "raw": (0.0, 0.0)}, ("learned_weakly", "chat")),
        ({"chat": (0.7, 0.7), "raw": (0.72, 0.72)}, ("learned_weakly", "chat")),
        ({"chat": (0.49, 1.0), "raw": (0.99, 1.0)}, ("prompt_mismatch", "raw")),
    ],
)
def test_rules_of_knowledge(modes, judgement):
    assert judged(measures(**modes), "chat") == judgement


def test_few_cases_are_a_doubt_and_no_cause(knowing, examined):
    report = examined(knowing, prompt="raw", n_cases=7)
    assert (knowledge(report).kind, knowledge(report).severity) == ("prompt_mismatch", "warning")
    assert "n = 7" in knowledge(report).seen
    assert [cause.kind for cause in report.causes] == ["writes_no_calls"]


def test_whoever_writes_calls_knows_them():
    weak, writes = found("knowledge", "never_learned", "…"), found("writing", "fine", "calls 4")
    assert [f.severity for f in settled([weak, writes])] == ["warning", "fine"]
    silent = found("writing", "writes_no_calls", "abstained 4")
    assert [f.severity for f in settled([weak, silent])] == ["fault", "fault"]


def test_one_cause_that_two_checks_saw_is_told_once():
    findings = [found("template", "other_format", "a"), found("writing", "other_format", "b")]
    (cause,) = verdict([*findings, found("tokens", "split_control", "c")])
    assert cause.evidence == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("format", "parts"),
    [
        ("functiongemma", ["<start_function_call>", "call:", "f", "{", "<escape>", "<end_function_call>", "<start_function_response>"]),
        ("hermes", ["<tool_call>", '\n{"name": "', "f", '", "arguments": {', "</tool_call>", "<|im_end|>"]),
        ("json", ['{"name": "', "f", '", "arguments": {']),
        ("pythonic", ["[", "f", "(", "]"]),
    ],
)  # fmt: skip
def test_a_call_has_the_parts_of_its_format(knowing, format, parts):
    subject = Subject(knowing, format, "chat", [])
    text, spans = target_of(subject, [Call("f", {"a": "f"})])
    shown = [text[s.start : s.end] for s in spans if s.part != OPENING]
    assert list(dict.fromkeys(shown)) == parts
    assert spans[0] == Span(spans[0].part, 0, len(parts[0]))


# The verdict


def test_every_fault_has_its_place_in_the_order():
    faults = {kind for kind, known in KINDS.items() if known.severity == "fault"}
    assert faults == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)
    assert set(KINDS) >= set(EVIDENCE) | IRRELEVANT | {k for ks in EVIDENCE.values() for k in ks}


def test_causes_come_before_their_effects_in_any_order_of_findings():
    kinds = ["writes_no_calls", "never_learned", "split_control", "no_stop_of_calls"]
    for turn in range(len(kinds)):
        findings = [found("c", kind, kind) for kind in kinds[turn:] + kinds[:turn]]
        assert [cause.kind for cause in verdict(findings)] == [
            "split_control",
            "never_learned",
            "no_stop_of_calls",
        ]


def test_no_fault_is_no_cause_and_doubts_about_rows_are_settled_by_what_is_known():
    alike, bos = found("rows", "rows_alike", "…"), found("bos", "bos_added", "…")
    knows = found("knowledge", "fine", "P(opening of a call): 0.97")
    assert verdict([alike, bos, knows]) == []
    assert doubts([alike, bos, knows]) == [bos]
    assert doubts([alike, bos]) == [alike, bos]


# What it writes


def written(monkeypatch, *texts):
    samples = [Sample(f"c{i}", text=text) for i, text in enumerate(texts)]
    monkeypatch.setattr("fcbench.doctor._writing._write", lambda subject: samples)


CALL = "<start_function_call>call:f{}<end_function_call>"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ([CALL + "<start_function_response>response:f{}"] * 2, "fine"),
        ([CALL + "<start_function_response>", "I cannot.<end_of_turn>"], "writes_some_calls"),
        (["f{}<end_of_turn>", "call:f<end_of_turn>"], "writes_no_calls"),
        ([CALL + "\nDone. Done. Done."], "runs_on"),
    ],
)
def test_turns_are_judged_up_to_the_first_stop(knowing, examined, monkeypatch, texts, kind):
    written(monkeypatch, *texts)
    assert kind in {f.kind for f in examined(knowing).findings if f.check == "writing"}


def test_a_sample_that_failed_is_no_turn(knowing, examined, monkeypatch):
    failed = [Sample("c", error="out of memory")]
    monkeypatch.setattr("fcbench.doctor._writing._write", lambda subject: failed)
    (writing,) = [f for f in examined(knowing).findings if f.check == "writing"]
    assert (writing.severity, writing.seen) == ("failed", "1 of 1 turns: out of memory")
