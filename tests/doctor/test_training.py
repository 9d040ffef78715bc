"""Training data is held against the prompt in use and the strict grammar."""

import json

import pytest

from fcbench import prompts
from fcbench.doctor import Options, examine
from fcbench.errors import SuiteError, UsageError
from tests import tiny

STYLE = prompts.Style()


def training(report):
    return {f.kind: f for f in report.findings if f.check == "training"}


def test_without_training_data_nothing_is_said_of_it(knowing, examined):
    (finding,) = training(examined(knowing)).values()
    assert finding.severity == "not applicable"


def test_cases_trained_as_they_are_asked_are_fine(knowing, examined, suite):
    report = examined(knowing, train_data=suite)
    assert report.causes == []
    assert "16 cases under chat" in training(report)["fine"].seen


def test_the_original_experiment_is_named_twice(knowing, examined, suite):
    report = examined(knowing, train_data=suite, format_style="raw")
    assert [cause.kind for cause in report.causes] == [
        "training_prompt_differs",
        "targets_malformed",
    ]
    found = training(report)
    differs = found["training_prompt_differs"]
    # <bos><start_of_turn> and then another role.
    assert differs.measures["place"] == 2
    assert ">>user<<" in differs.seen.replace(" ", "")
    assert ">>developer<<" in differs.seen.replace(" ", "")
    assert found["targets_malformed"].measures["kinds"] == {"stray_whitespace": 16}
    assert differs.do.startswith("train on the chat prompt (--format-style chat)")


def test_a_suite_without_training_cases_cannot_be_asked_for_them(knowing, examined):
    with pytest.raises(SuiteError, match="no training file"):
        examined(knowing, format_style="raw")


# Whole texts


def texts(mode="chat", change=str):
    found = []
    for case in tiny.cases():
        (request,) = prompts.requests([case], mode, STYLE)
        (target,) = prompts.targets([case], mode, STYLE)
        found.append(change(request.prompt + target.text))
    return found


@pytest.fixture
def from_texts(knowing, examined, tmp_path):
    """Return a function that examines the model with training texts; returns its findings."""

    def run(rows):
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows), "utf-8")
        report = examined(knowing, train_data=path)
        return training(report), [cause.kind for cause in report.causes]

    return run


def without_bos(text):
    return text.removeprefix("<bos>")


def test_texts_that_are_the_chat_prompt_are_fine(from_texts):
    found, causes = from_texts(texts(change=without_bos))
    assert set(found) == {"fine"}
    assert causes == []


def test_texts_with_a_beginning_that_the_tokenizer_adds_again_are_a_doubt(from_texts):
    found, causes = from_texts(texts())
    assert set(found) == {"text_doubles_bos"}
    assert causes == []


def test_texts_written_by_hand_are_told_from_the_prompt_in_use(from_texts):
    found, causes = from_texts(texts("raw", without_bos))
    assert causes == ["training_prompt_differs", "targets_malformed"]
    differs = found["training_prompt_differs"]
    assert differs.measures["trained"] == "raw"
    assert "nearest: raw" in differs.means
    assert found["targets_malformed"].measures["kinds"] == {"stray_whitespace": 16}


def test_texts_of_other_words_are_held_against_a_stand_in(from_texts):
    other = [text.replace("Show ", "Where is ") for text in texts("raw", without_bos)]
    found, _ = from_texts(other)
    assert "beside a case of other words" in found["training_prompt_differs"].seen
    same = [text.replace("Show ", "Where is ") for text in texts("chat", without_bos)]
    assert "training_prompt_differs" not in from_texts(same)[0]


def test_targets_without_the_prefix_are_named(from_texts):
    found, causes = from_texts([without_bos(t).replace("call:", "") for t in texts()])
    assert causes == ["targets_without_prefix"]
    assert found["targets_malformed"].measures["kinds"] == {"missing_call_prefix": 16}
    assert found["targets_without_prefix"].measures["n_without"] == 16


def test_texts_that_open_no_model_turn_are_named(from_texts):
    found, causes = from_texts(
        [f"User: {c.messages[0]['content']}\nCall: f()" for c in tiny.cases()]
    )
    assert causes == ["text_without_turn"]
    assert "16 of 16" in found["text_without_turn"].seen


def test_turns_that_no_stop_token_ends_are_a_doubt(from_texts):
    cut = [without_bos(text).removesuffix("<start_function_response>") for text in texts()]
    found, causes = from_texts(cut)
    assert (set(found), causes) == ({"text_without_stop"}, [])


def test_texts_have_a_style_of_their_own(knowing, suite, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "Hello."}\n', "utf-8")
    with pytest.raises(UsageError, match="whole texts"):
        examine(knowing, Options(suite=suite, train_data=path, format_style="raw"))


def test_a_bad_row_is_named_with_its_line(knowing, suite, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "Hello."}\n{"txt": 1}\n', "utf-8")
    with pytest.raises(SuiteError, match=r"texts.jsonl:2: \$.text"):
        examine(knowing, Options(suite=suite, train_data=path))


def test_texts_as_near_to_two_prompts_are_not_said_to_be_one(from_texts):
    text = (
        "<start_of_turn>user\nSo: Show Oslo.<end_of_turn>\n<start_of_turn>model\nNo.<end_of_turn>"
    )
    found, _ = from_texts([text])
    assert "nearest: raw or bare" in found["training_prompt_differs"].means
