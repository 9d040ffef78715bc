"""The reward of a completion: what it is worth, from 0 to 1."""

import json

import pytest

from fcbench.train import reward, reward_for

RIGHT = "<start_function_call>call:f{a:1}<end_function_call>"
EXPECTED = [[{"name": "f", "arguments": {"a": {"$any": [1, 2]}}}]]


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        (RIGHT, 1.0),
        (f"{RIGHT}<start_function_response>", 1.0),
        (RIGHT.replace("a:1", "a:3"), 0.5),
        (RIGHT.replace("call:f", "call:g"), 0.2),
        (RIGHT.replace("call:", ""), 0.0),
        ("I cannot.", 0.0),
        ("", 0.0),
    ],
)
def test_each_step_towards_the_right_call_is_worth_something(text, worth):
    assert reward([text], expected=[EXPECTED]) == [pytest.approx(worth)]


def test_where_no_call_is_right_words_are_and_an_attempt_is_not():
    completions = ["I cannot.", RIGHT, "<start_function_call>", ""]
    assert reward(completions, expected=[[[]]] * 4) == [1.0, 0.0, 0.0, 0.0]


def test_completions_keep_their_order_and_may_be_messages():
    completions = [
        [{"role": "assistant", "content": "No."}],
        [{"role": "assistant", "content": RIGHT}],
        [{"role": "assistant", "content": None}],
    ] * 5
    assert reward(completions, expected=[EXPECTED] * 15, prompts=["?"] * 15) == [0.0, 1.0, 0.0] * 5


def test_the_order_of_calls_counts_where_a_column_says_so():
    calls = [[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]]
    swapped = "<start_function_call>call:g{}<end_function_call><start_function_call>call:f{}<end_function_call>"
    found = reward([swapped] * 2, expected=[calls] * 2, ordered=[False, True])
    assert found == [1.0, pytest.approx(0.2)]


def test_another_format_is_named():
    text = '{"name": "f", "arguments": {"a": 2}}'
    assert reward([text], expected=[EXPECTED], format="json") == [1.0]


def test_columns_of_different_lengths_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        reward([RIGHT], expected=[])


def test_answers_as_json_survive_a_data_set_in_which_objects_would_not():
    from datasets import Dataset

    answers = [EXPECTED, [[{"name": "g", "arguments": {"b": True}}]], [[]]]
    texts = [RIGHT, "<start_function_call>call:g{b:true}<end_function_call>", "No."]
    column = Dataset.from_list([{"expected": json.dumps(a)} for a in answers])["expected"]
    assert reward(texts, expected=list(column)) == [1.0, 1.0, 1.0]


def test_calls_that_a_server_parsed_count_as_calls():
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    completions = [
        [{"role": "assistant", "content": None, "tool_calls": [call]}],
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 9}}}]}],
    ]
    assert reward(completions, expected=[EXPECTED] * 2) == [1.0, pytest.approx(0.5)]


def test_completions_decoded_without_their_tokens_are_read_from_their_ids(tiny_folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in (RIGHT, "No.")]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    columns = {"expected": [EXPECTED] * 2, "format": ["ignored"] * 2}
    assert reward(texts, expected=[EXPECTED] * 2) == [0.0, 0.0]
    function = reward_for(tokenizer)
    assert function.__name__ == "calls_reward"  # which trainers log it by
    assert function(texts, completion_ids=ids, prompts=["?"] * 2, **columns) == [1.0, 0.0]
