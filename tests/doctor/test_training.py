"""Training data is held against the prompt in use and the strict grammar."""

import json

import pytest

from fcbench import prompts
from fcbench.doctor import Options, examine
from fcbench.errors import SuiteError, UsageError
from fcbench.prompts._case_text import openai_tools
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

    def run(rows, **options):
        path = tmp_path / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows), "utf-8")
        report = examined(knowing, train_data=path, **options)
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


def test_texts_in_a_foreign_layout_are_no_chat_prompts(from_texts):
    foreign = [
        f"System: call functions.\nQuestion {i}: where is it?\n<start_of_turn>model\n"
        "<start_function_call>call:f{}<end_function_call><start_function_response>"
        for i in range(8)
    ]
    found, causes = from_texts(foreign)
    assert causes == ["training_prompt_differs"]
    assert "nearest: another layout" in found["training_prompt_differs"].means


def test_texts_that_are_as_near_to_another_prompt_are_not_taken_for_the_one_in_use(from_texts):
    text = "<start_of_turn>user\nHello.<end_of_turn>\n<start_of_turn>model\nHi.<end_of_turn>"
    found, _ = from_texts([text], prompt="raw")
    assert "nearest: raw or bare" in found["training_prompt_differs"].means
    assert "training_prompt_differs" not in from_texts([text], prompt="bare")[0]


def test_texts_without_the_trigger_are_no_chat_prompts(from_texts):
    sentence = "You are a model that can do function calling with the following functions"
    plain = [without_bos(text).replace(sentence, "Be brief.") for text in texts()]
    found, _ = from_texts(plain)
    assert found["training_prompt_differs"].severity == "fault"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Show Oslo.", "Let us Go. Now show Oslo."),
        ("<start_of_turn>developer\n", "<start_of_turn>developer\nToday is Monday.\n"),
        ("declaration:show_map{", "declaration:show_a_map{"),
    ],
)
def test_other_words_another_date_and_other_tools_are_no_fault(from_texts, old, new):
    changed = [without_bos(text).replace(old, new) for text in texts()]
    assert set(from_texts(changed)[0]) == {"fine"}


def test_a_case_is_matched_by_all_that_was_said_last(knowing):
    from fcbench.doctor._subject import Subject
    from fcbench.doctor._texts import Turn, _case_of
    from fcbench.types import Call, Case

    go = Case("go", [{"role": "user", "content": "Go."}], tiny.TOOLS, [[Call("f")]])
    subject = Subject(knowing, "functiongemma", "chat", [go])
    close = "<end_of_turn>\n<start_of_turn>model\n"
    for said, case in (("Go.", go), ("[tools]\n\nGo.", go), ("Let us Go. Now.", None)):
        turn = Turn(f"<start_of_turn>user\n{said}{close}", "")
        assert _case_of(subject, turn) == case


def test_a_bad_target_among_many_is_a_doubt(from_texts):
    rows = texts(change=without_bos)
    rows[0] = rows[0].replace("call:", "")
    found, causes = from_texts(rows)
    assert causes == []
    assert {kind: f.severity for kind, f in found.items()} == {
        "targets_without_prefix": "warning",
        "targets_malformed": "warning",
    }


def test_a_line_end_that_only_python_knows_is_part_of_a_text(knowing, suite, tmp_path):
    path = tmp_path / "texts.jsonl"
    rows = [json.dumps({"text": f"a\u2028b\u0085 {text}"}, ensure_ascii=False) for text in texts()]
    path.write_text("\n".join(rows), "utf-8")
    report = examine(knowing, Options(suite=suite, train_data=path, n_cases=2))
    assert training(report)["training_prompt_differs"].measures["n_compared"] == 12


# Rows, as a trainer gives them to the chat template


@pytest.fixture
def from_rows(knowing, examined, tmp_path):
    """Return a function that examines a model with training rows; returns its findings."""

    def run(change=lambda row: None, loaded=knowing, n_changed=16):
        rows = [row_of(case) for case in tiny.cases()]
        for row in rows[:n_changed]:
            change(row)
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        report = examined(loaded, train_data=path)
        return training(report), [cause.kind for cause in report.causes]

    return run


def row_of(case):
    calls = [{"function": {"name": c.name, "arguments": c.arguments}} for c in case.expected[0]]
    tools = [
        {"name": t.name, "description": t.description, "parameters": t.parameters}
        for t in case.tools
    ]
    developer = "You are a model that can do function calling with the following functions"
    return {
        "id": case.id,
        "tools": [{"function": tool} for tool in tools],
        "messages": [
            {"role": "developer", "content": developer},
            *case.messages,
            {"role": "assistant", "tool_calls": calls},
        ],
    }


def other_developer(row):
    row["messages"][0]["content"] = "You are helpful."


def test_rows_that_the_template_renders_as_they_are_asked_are_fine(from_rows):
    found, causes = from_rows()
    assert set(found) == {"fine"}
    assert causes == []


def test_rows_whose_developer_says_no_trigger_are_named_and_shown(from_rows):
    found, causes = from_rows(other_developer)
    assert causes[0] == "training_prompt_differs"
    differs = found["training_prompt_differs"]
    assert "gives these rows to the chat template" in differs.means
    assert "You are a model that" in differs.seen
    assert differs.measures["n_different"] == differs.measures["n_compared"] == 12


def test_a_template_that_answers_otherwise_than_the_format_is_a_doubt(knowing, from_rows):
    ending = "{{ '<start_function_response>' }}"
    template = tiny.template().replace(ending, "{{ '<end_of_turn>' }}")
    found, causes = from_rows(loaded=tiny.changed(knowing, template=template))
    assert "training_prompt_differs" not in causes
    differs = found["training_answer_differs"]
    assert differs.severity == "warning"
    assert ">><start_function_response><<" in differs.seen.replace(" ", "")


def test_rows_are_rendered_with_what_stands_in_them_and_not_with_what_is_read(knowing, from_rows):
    def as_openai_has_them(row):
        row["messages"][0]["role"] = "system"
        for call in row["messages"][-1]["tool_calls"]:
            call["function"]["arguments"] = json.dumps(call["function"]["arguments"])

        row["tools"] = openai_tools(tiny.cases()[0])

    def as_mobile_actions_has_them(row):
        row["messages"][0]["role"] = "system"

    asked_as_hermes = tiny.changed(knowing, template=prompts.own_template("hermes"))
    found, _ = from_rows(as_openai_has_them, asked_as_hermes)
    assert "training_prompt_differs" not in found
    assert "training_answer_differs" in found
    found, _ = from_rows(as_mobile_actions_has_them, asked_as_hermes)
    assert found["training_prompt_differs"].severity == "warning"  # tools of another shape


def test_what_nobody_can_compare_is_said_to_be_assumed(knowing, examined, suite):
    for options in (
        {"prompt": "raw", "format_style": "raw"},
        {"prompt": "bare", "format_style": "bare"},
    ):
        found = training(examined(knowing, train_data=suite, **options))
        assert found["not_compared"].severity == "note"
        assert found["not_compared"].seen.startswith("assumed, not compared")
        assert "fine" not in found
    untold = tiny.changed(knowing, template=None)
    assert "not_compared" in training(examined(untold, train_data=suite))


def test_cases_without_anything_to_learn_are_a_note(from_rows):
    def says_nothing(row):
        row["messages"][-1] = {"role": "assistant", "content": ""}

    found, causes = from_rows(says_nothing, n_changed=4)
    assert causes == []
    assert set(found) == {"targets_without_text", "fine"}
    assert found["targets_without_text"].severity == "note"
    assert found["targets_without_text"].measures["kinds"] == {"no_reply": 4}


@pytest.mark.parametrize(("n_changed", "severity"), [(1, "warning"), (2, "fault")])
def test_from_a_tenth_of_bad_targets_on_they_are_a_fault(from_rows, n_changed, severity):
    def attempts(row):
        row["messages"][-1] = {"role": "assistant", "content": "<start_function_call>"}

    found, _ = from_rows(attempts, n_changed=n_changed)
    assert found["targets_malformed"].measures["kinds"] == {"attempts_call": n_changed}
    assert found["targets_malformed"].severity == severity


def test_rows_of_a_model_that_fcbench_trained_are_not_held_against_the_template(
    knowing, tmp_path, examined
):
    rows = [row_of(case) for case in tiny.cases()]
    for row in rows:
        other_developer(row)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ours = tiny.changed(knowing)
    ours.manifest["name"] = str(tmp_path)
    (tmp_path / "config.toml").write_text('format_style = "chat"\n', "utf-8")
    found = training(examined(ours, train_data=path))
    assert set(found) == {"not_compared"}
    assert "fcbench train made the prompts" in found["not_compared"].seen
