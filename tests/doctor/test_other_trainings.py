"""A model of another format, and one that was trained by hand and is asked through the template."""

import pytest

from fcbench.backends.transformers import wrap
from fcbench.doctor._subject import Subject
from fcbench.doctor._target import OPENING, target_of
from fcbench.types import Call, Sample
from tests import tiny


def named(report, check):
    return next(f for f in report.findings if f.check == check)


def kinds(report):
    return [cause.kind for cause in report.causes]


# Trained on texts by hand


@pytest.fixture(scope="module")
def by_hand(folder):
    from transformers import AutoTokenizer, Gemma3ForCausalLM

    model = Gemma3ForCausalLM.from_pretrained(folder / "untrained")
    tokenizer = AutoTokenizer.from_pretrained(folder / "untrained")
    loaded = wrap(model, tokenizer, {"name": "tiny", "dtype": "float32"})
    tiny.train(loaded, tiny.lessons_by_hand(), steps=80)
    return loaded


def test_a_model_trained_by_hand_and_asked_through_the_template_is_told_so(by_hand, examined):
    report = examined(by_hand)
    assert kinds(report) == ["prompt_mismatch"]
    cause = report.causes[0]
    assert cause.words.startswith("it was trained otherwise than it is asked")
    assert "under the raw prompt" in cause.words
    assert cause.do.startswith("train on the chat prompt (--format-style chat)")
    knowledge = named(report, "knowledge")
    assert knowledge.measures["by_hand"] == ["raw"]
    opening = knowledge.measures["opening"]
    assert opening["raw"] > 0.9
    assert opening["chat"] < 0.1
    assert "raw (by hand)" in knowledge.seen
    assert "n = 8" in knowledge.seen


def test_with_the_training_data_that_training_comes_first(by_hand, examined, suite):
    report = examined(by_hand, train_data=suite, format_style="raw")
    assert kinds(report) == ["training_prompt_differs", "targets_malformed", "prompt_mismatch"]


def test_a_model_trained_by_hand_and_asked_so_writes_what_the_grammar_refuses(by_hand, examined):
    report = examined(by_hand, prompt="raw")
    assert kinds(report) == ["knows_by_hand"]
    assert "stray_whitespace 4" in report.causes[0].evidence[-1]


# The Hermes format


@pytest.fixture(scope="module")
def hermes():
    return tiny.hermes()


def test_a_model_that_writes_its_tags_in_pieces_has_no_fault(hermes, examined):
    report = examined(hermes)
    assert report.format == "hermes"
    assert kinds(report) == []
    tokens = named(report, "tokens")
    assert (tokens.kind, tokens.severity) == ("split_tags", "note")
    assert "<tool_call> is " in tokens.seen


def test_tags_in_pieces_are_worth_a_look_where_no_call_is_known(hermes, examined):
    def forget(model):
        for weight in model.parameters():
            weight.normal_(std=0.02)

    report = examined(tiny.changed(hermes_copy(hermes), model=forget))
    assert kinds(report) == ["never_learned"]
    assert named(report, "tokens").severity == "warning"
    assert any("in pieces" in seen for seen in report.causes[0].evidence)


def hermes_copy(loaded):
    return wrap(loaded.model, loaded.tokenizer, loaded.manifest)


def arguments_first(text):
    """Return Hermes calls with their keys in the other order."""
    import json

    def swapped(line):
        if not line.startswith("{"):
            return line
        call = json.loads(line)
        return json.dumps({"arguments": call["arguments"], "name": call["name"]})

    return "\n".join(map(swapped, text.split("\n")))


def test_another_right_order_of_keys_is_no_fault(examined):
    report = examined(tiny.hermes(arguments_first))
    assert named(report, "writing").kind == "fine"
    assert kinds(report) == []
    assert {f.kind for f in report.findings if f.check == "knowledge"} <= {"fine"}


def test_a_model_judged_by_another_format_is_told_its_own(hermes, examined, monkeypatch):
    turn = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user'
    samples = [Sample("a", text=turn), Sample("b", text="Hello.")]
    monkeypatch.setattr("fcbench.doctor._writing._write", lambda subject: samples)
    report = examined(hermes, format="functiongemma")
    assert kinds(report)[0] == "other_format"
    evidence = " ".join(report.causes[0].evidence)
    assert "it writes hermes" in evidence
    assert "1 of 2 turns are calls in hermes" in evidence
    assert "--format hermes" in report.causes[0].do
    assert "split_control" not in kinds(report)


def test_a_chat_template_without_tools_is_taken_for_the_format_of_its_turns(hermes, examined):
    plain = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    report = examined(tiny.changed(hermes, template=plain))
    assert report.format == "hermes"
    assert kinds(report)[:2] == ["unknown_format", "template_without_tools"]


# The parts of a call


def test_a_name_that_stands_elsewhere_too_is_found_where_it_is_the_name(knowing):
    for format, name in (("hermes", "a"), ("functiongemma", "call"), ("json", "name")):
        subject = Subject(knowing, format, "chat", [])
        text, spans = target_of(subject, [Call(name, {name: name}), Call(name)])
        places = [span.start for span in spans if span.part == "name"]
        assert len(places) == 2
        before = {"functiongemma": "call:"}.get(format, '"name": "')
        assert all(text[:at].endswith(before) for at in places)
        assert all(text.startswith(name, at) for at in places)


def test_every_control_token_of_a_turn_is_measured(knowing):
    subject = Subject(knowing, "functiongemma", "chat", [])
    text, spans = target_of(subject, [Call("f", {"a": "x", "b": "y"}), Call("g")])
    counts = {part: [s.part for s in spans].count(part) for part in ("quote", "end", "next")}
    assert counts == {"quote": 4, "end": 2, "next": 1}
    (later,) = [s for s in spans if s.part == "next"]
    assert text[later.start : later.end] == "<start_function_call>call:"


def test_targets_by_hand_have_the_same_parts(knowing):
    subject = Subject(knowing, "functiongemma", "chat", [])
    text, spans = target_of(subject, [Call("f", {"a": "x"})], "raw")
    parts = {s.part: text[s.start : s.end] for s in spans}
    assert parts[OPENING] == "<start_function_call>\ncall:"
    assert parts["stop"] == "<end_of_turn>"


# Longer answers


def test_an_answer_that_the_limit_cut_is_neither_right_nor_wrong(knowing, examined, monkeypatch):
    call = "<start_function_call>call:f{a:<escape>x"
    whole = call + "<escape>}<end_function_call><start_function_response>"
    for texts, kind in (([call, whole], "fine"), ([call, call], "cut_by_limit")):
        samples = [Sample(f"c{i}", text=text) for i, text in enumerate(texts)]
        monkeypatch.setattr("fcbench.doctor._writing._write", lambda subject, s=samples: s)
        writing = named(examined(knowing), "writing")
        assert writing.kind == kind
        assert writing.measures["n_cut"] == texts.count(call)


def test_answers_get_the_tokens_that_the_longest_right_one_takes(knowing):
    from fcbench.doctor._writing import _limit
    from fcbench.types import Case

    long = Case("long", [], tiny.TOOLS, [[Call("show_map", {"query": "Oslo " * 60})]])
    subject = Subject(knowing, "functiongemma", "chat", [long])
    n_needed = len(subject.encode(target_of(subject, long.expected[0])[0]))
    assert n_needed > 64
    assert _limit(subject) == n_needed + 48
    assert _limit(Subject(knowing, "functiongemma", "chat", [long], max_new_tokens=70)) == 70
