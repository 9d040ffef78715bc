"""Tables of verdicts: a row a sample, a row an argument, in pandas and in datasets."""

import builtins

import pytest

import fcbench
from fcbench.errors import MissingExtra, UsageError

PLACE = {"name": "show_map", "arguments": {"query": "Oslo", "zoom": 3}}


@pytest.fixture
def suite(write_lines, case_row):
    """Cases that expect one call, two calls, and none."""
    tools = [{"name": "show_map"}, {"name": "turn_on_flashlight"}]
    light = {"name": "turn_on_flashlight"}
    return write_lines(
        case_row(id="one", tools=tools, expected=[[PLACE]], tags=["map"]),
        case_row(id="two", tools=tools, expected=[[PLACE, light]]),
        case_row(id="none", tools=tools, expected=[[]]),
    )


def rendered(*calls):
    return fcbench.render([fcbench.Call(name, arguments) for name, arguments in calls])


def rows(scores):
    return [tuple(row) for row in scores.to_pandas(by="argument").itertuples(index=False)]


def test_a_row_an_argument_says_which_call_it_stands_in_and_how_it_compares(suite):
    texts = {
        "one": rendered(("show_map", {"query": "Rome", "zoom": "3", "style": "dark"})),
        "two": rendered(
            ("turn_on_flashlight", {}),
            ("show_map", {"query": "Oslo"}),
            ("show_map", {"query": None}),
        ),
        "none": rendered(("show_map", {"query": None})),
    }
    assert rows(fcbench.score(texts, suite)) == [
        ("one", 0, 0, "show_map", "show_map", "query", "different", "Oslo", "Rome"),
        ("one", 0, 0, "show_map", "show_map", "zoom", "wrong_type", 3, "3"),
        ("one", 0, 0, "show_map", "show_map", "style", "extra", None, "dark"),
        ("two", 0, 0, "show_map", "show_map", "query", "equal", "Oslo", "Oslo"),
        ("two", 0, 0, "show_map", "show_map", "zoom", "missing", 3, None),
        ("two", 0, 2, None, "show_map", "query", "extra", None, None),
    ]


def test_arguments_of_a_malformed_turn_are_missing_and_those_of_an_error_are_none(suite):
    outputs = [
        {"id": "one", "text": "call:show_map{"},
        {"id": "two", "error": "timeout"},
        {"id": "none", "text": "No."},
    ]
    assert [row[:5] + row[6:7] for row in rows(fcbench.score(outputs, suite))] == [
        ("one", 0, 0, "show_map", None, "missing"),
        ("one", 0, 0, "show_map", None, "missing"),
    ]


def test_as_many_argument_rows_are_equal_as_the_recall_of_arguments_counts(suite):
    scores = fcbench.score({"one": rendered(("show_map", {"query": "Oslo", "zoom": 4}))}, suite)
    frame = scores.to_pandas(by="argument")
    expected = frame[frame["result"] != "extra"]
    assert (expected["result"] == "equal").mean() == scores.metrics["argument_recall"].value == 0.5


def test_a_table_without_rows_has_its_columns_all_the_same(suite):
    scores = fcbench.score([{"id": "none", "text": "No."}], suite)
    none = scores.to_pandas(by="argument")
    assert (len(none), none["call"].dtype, none["result"].dtype) == (0, int, object)
    assert scores.to_datasets(by="argument").features["call"].dtype == "int64"


def test_rows_of_another_kind_are_refused_with_the_nearest(suite):
    scores = fcbench.score({"one": "No."}, suite)
    for method in (scores.to_pandas, scores.to_datasets):
        with pytest.raises(UsageError, match="did you mean argument"):
            method(by="arguments")


def test_a_dataset_holds_what_the_frame_holds(suite):
    texts = {
        "one": rendered(("show_map", {"query": "Rome"})),
        "two": rendered(("show_map", {"query": "Oslo", "zoom": 3}), ("turn_on_flashlight", {})),
        "none": "No.",
    }
    scores = fcbench.score(texts, suite)
    frame, dataset = scores.to_pandas(), scores.to_datasets()
    assert dataset.column_names == list(frame.columns)
    assert dataset["case_id"][:] == ["one", "two", "none"]
    assert dataset["tags"][:] == [["map"], [], []]
    assert dataset["argument_exact_match"][:] == [0.0, 1.0, None]
    assert dataset["text"][:] == list(frame["text"])
    arguments = scores.to_datasets(by="argument")
    assert len(arguments) == len(scores.to_pandas(by="argument"))
    assert arguments["expected"][:2] == ['"Oslo"', "3"]
    assert arguments["result"][:2] == ["different", "missing"]
    assert arguments["called"][:2] == ['"Rome"', None]


def test_a_dataset_holds_whatever_a_model_writes(suite):
    huge = 10**5000
    lone = {"query": "\ud800\x00", "zoom": True}
    answers = [
        {"id": "one", "native_calls": [fcbench.Call("show_map", lone)]},
        {"id": "two", "native_calls": [fcbench.Call("show_map", {"query": [1, {"a": None}], "zoom": huge})]},
        {"id": "none", "text": "\udfff<script>"},
    ]  # fmt: skip
    scores = fcbench.score([fcbench.Sample(a.pop("id"), **a) for a in answers], suite)
    assert scores.to_datasets()["text"][2] == "\\udfff<script>"
    table = scores.to_datasets(by="argument").to_pandas().set_index(["case_id", "path"])["called"]
    assert table["one", "query"] == '"\\ud800\\u0000"'
    assert table["one", "zoom"] == "true"
    assert table["two", "query"] == '[1, {"a": null}]'
    assert table["two", "zoom"] == "a number too long to show"


def test_a_frame_refuses_where_verdicts_were_not_kept(suite):
    scores = fcbench.score({"one": "No."}, suite, keep_verdicts=False)
    for by in ("case", "argument"):
        with pytest.raises(UsageError, match="not kept"):
            scores.to_pandas(by=by)
        with pytest.raises(UsageError, match="not kept"):
            scores.to_datasets(by=by)


def test_without_the_package_datasets_the_extra_is_named(suite, monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "datasets":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"fcbench\[hf\]"):
        fcbench.score({"one": "No."}, suite).to_datasets()
