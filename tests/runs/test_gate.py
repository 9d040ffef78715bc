"""Thresholds: which bound is tested, which are refused, and what is said of the cases that miss."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fcbench
from fcbench.errors import RunError, UsageError
from fcbench.metrics import Metric
from fcbench.runs._gate import reachable
from fcbench.types import Call

RUN = "results/mobile_actions-40--gemma3-270m--mobile-actions-chat"
RIGHT = "<start_function_call>call:show_map{query:<escape>Oslo<escape>}<end_function_call>"
WRONG = RIGHT.replace("Oslo", "oslo")
OTHER = "<start_function_call>call:go{}<end_function_call>"


@pytest.fixture(scope="module")
def bare():
    return fcbench.score(f"{RUN}--bare")


@pytest.fixture
def suite(write_lines, case_row):
    return write_lines(*(case_row(id=f"c{i}", tags=["a", f"t{i % 2}"]) for i in range(20)))


def scores_of(suite, *texts, **more):
    return fcbench.score({f"c{i}": text for i, text in enumerate(texts)}, suite, **more)


def missed(assertion, *args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        assertion(*args, **kwargs)
    return str(caught.value).splitlines()


@given(st.floats(0, 1))
def test_each_bound_is_tested_against_its_threshold(bare, threshold):
    scores = bare
    floor, ceiling = scores.metrics["argument_exact_match"], scores.metrics["over_calling"]
    for bound, asserts, wanted in (
        (floor.low, lambda: scores.assert_at_least(argument_exact_match=threshold), "least"),
        (floor.value, lambda: scores.assert_at_least(argument_exact_match=threshold, confidence="point"), "least"),
        (ceiling.high, lambda: scores.assert_at_most(over_calling=threshold), "most"),
        (ceiling.value, lambda: scores.assert_at_most(over_calling=threshold, confidence="point"), "most"),
    ):  # fmt: skip
        if bound >= threshold if wanted == "least" else bound <= threshold:
            asserts()
        else:
            assert f"is not at {wanted}" in missed(asserts)[0]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda s: s.assert_at_least(), "no threshold"),
        (lambda s: s.assert_at_most(), "no threshold"),
        (lambda s: s.assert_at_least(name_macht=0.5), "no such metric: name_macht"),
        (lambda s: s.assert_at_most(name_match=0.5), "nobody said that of name_match less is bet"),
        (lambda s: s.assert_at_least(over_calling=0.5), "less is better"),
        (lambda s: s.assert_at_most(over_calling=1.1), "a share from 0 to 1, got over_calling=1.1"),
        (lambda s: s.assert_at_most(over_calling=math.nan), "a share from 0 to 1"),
        (lambda s: s.assert_at_most(seconds=-1), "seconds from 0 up, got seconds=-1"),
        (lambda s: s.assert_at_most(seconds=math.inf), "seconds from 0 up"),
        (lambda s: s.assert_at_least(name_match="0.5"), "a share from 0 to 1, got name_match='0.5'"),
        (lambda s: s.assert_at_least(name_match=0.5, confidence="upper"), '"lower" or "point"'),
        (lambda s: s.assert_at_most(over_calling=0.5, confidence="lower"), '"upper" or "point"'),
        (lambda s: s.assert_at_least(name_match=0.5, per_tag=["send_mail"]), "did you mean send_em"),
        (lambda s: s.assert_at_least(name_match=0.5, interval="wald"), "no such interval: wald"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_is_refused(bare, ask, said):
    with pytest.raises(UsageError) as caught:
        ask(bare)
    assert said in str(caught.value)


def test_each_tag_has_to_reach_it_but_for_those_it_never_asks(suite):
    scores = scores_of(suite, *([RIGHT, WRONG] * 10))
    ask = {"argument_exact_match": 0.4, "confidence": "point"}
    scores.assert_at_least(**ask)
    scores.assert_at_least(**ask, per_tag=["a", "t0"])
    scores.assert_at_least(**ask, per_tag="t0")
    line, *rest = missed(scores.assert_at_least, **ask, per_tag=True)
    assert line.startswith(
        "argument_exact_match (tag t1) 0.0% [0.0%, 27.8%] of 10 is not at least 0.4"
    )
    assert rest[2] == "  10 fall short (other arguments 10), the first of them:"
    assert rest[3].startswith("  c1: show_map.query")
    # abstention is over no case of any tag: over none at all is a miss, and so is one that is named
    assert (
        len([m for m in missed(scores.assert_at_least, abstention=0, per_tag=True) if "(tag" in m])
        == 0
    )
    mixed = fcbench.score(f"{RUN}--chat")
    mixed.assert_at_least(argument_exact_match=0, abstention=0, per_tag=True)
    first = missed(mixed.assert_at_least, abstention=0, per_tag=["send_email"])[0]
    assert first.startswith("abstention (tag send_email) — (over no case) is not at least 0")


def test_a_metric_over_no_case_never_passes(suite):
    scores = scores_of(suite, *["No."] * 20)
    assert scores.metrics["hallucinated_function"].n == 0
    for confidence in ("upper", "point"):
        (line, *_) = missed(scores.assert_at_most, hallucinated_function=1.0, confidence=confidence)
        assert "(over no case) is not at most 1" in line
    for confidence in ("lower", "point"):
        missed(scores.assert_at_least, abstention=0.0, confidence=confidence)


def test_what_n_cases_cannot_prove_is_said(suite):
    scores = scores_of(suite, *[RIGHT] * 20)
    assert missed(scores.assert_at_least, name_match=0.99)[0].endswith(
        "20 cases cannot prove more than 83.9%"
    )
    assert missed(scores.assert_at_most, over_calling=0.01)[0].endswith(
        "20 cases cannot prove less than 16.1%"
    )
    scores.assert_at_least(name_match=reachable(20, "wilson"))
    assert "cannot prove" not in missed(scores.assert_at_least, abstention=0, confidence="point")[0]


def test_amounts_have_a_ceiling_and_the_largest_come_first(suite):
    rows = [{"id": f"c{i}", "text": RIGHT, "seconds": float(i)} for i in range(20)]
    scores = fcbench.score(rows, suite)
    scores.assert_at_most(seconds=13)
    line, _, _, title, *cases = missed(scores.assert_at_most, seconds=12)
    assert line == "seconds 9.5 [6.73, 12.3] of 20 is not at most 12 (upper bound)"
    assert title == "  the cases with the most seconds:"
    assert [c.partition(",")[0] for c in cases if c.startswith("  c")] == [
        f"  c{i}: {i} seconds" for i in (19, 18, 17, 16, 15)
    ]
    scores.assert_at_most(seconds=9.5, confidence="point")


def test_metrics_of_ones_own_are_gated_as_ours_are(suite):
    def short(verdict):
        """1 where the text is short."""
        return float(len(verdict.sample.text) < 50)

    n_characters = Metric(
        lambda v: len(v.sample.text), "n_characters", "characters", lower_is_better=True
    )
    scores = scores_of(suite, *["No.", RIGHT] * 10, metrics=[short, n_characters])
    scores.assert_at_least(short=0.2)
    scores.assert_at_most(n_characters=100)
    assert missed(scores.assert_at_least, short=0.6)[0].startswith("short 50.0%")
    assert " characters of 20 is not at most 9" in missed(scores.assert_at_most, n_characters=9)[0]


def test_one_case_has_no_interval_to_stand_on(write_lines, case_row):
    rows = [{"id": "a", "text": RIGHT, "seconds": 1.0}]
    scores = fcbench.score(rows, write_lines(case_row()))
    assert (
        missed(scores.assert_at_most, seconds=9)[0]
        == "seconds 1 of 1 is not at most 9 (upper bound)"
    )
    scores.assert_at_most(seconds=1, confidence="point")


def test_a_malformed_turn_is_shown_with_a_caret(bare):
    lines = missed(bare.assert_at_least, argument_exact_match=0.6)
    assert lines[1:4] == [
        "  gemma3-270m + results/adapters/mobile-actions-chat, bare, over 40 cases of mobile_actions",
        "  what the 40 turns were: stray_whitespace 26, calls 7, repetition 5, bad_number 1, abstained 1",
        "  32 fall short (stray_whitespace 25, repetition 5, other functions 1, bad_number 1), the first of them:",
    ]
    assert lines[4:10] == [
        "  eval-0001: stray_whitespace at character 26 (byte 26)",
        "    <start_function_call>call: show place name.<end_of_turn>",
        "                              ^",
        "    expected: a function name",
        "    found:     ",
        "    hint:     no whitespace between tokens: was the model trained on such calls?",
    ]
    named = [line for line in lines if line.startswith("  eval-")]
    assert [line.partition(":")[0].strip() for line in named] == [
        "eval-0001", "eval-0002", "eval-0003", "eval-0004", "eval-0006",
    ]  # fmt: skip
    folder = f"{RUN}--bare"
    assert lines[-4:] == [
        "  … and 27 more",
        f"  the run: {folder}",
        f"  one case: python -m fcbench inspect eval-0001 --run {folder}",
        f"  all cases: python -m fcbench report {folder} -o report.html",
    ]


def test_arguments_functions_and_silence_are_told_apart(suite):
    two = f"{RIGHT}{OTHER}"
    lines = missed(
        scores_of(suite, WRONG, OTHER, "No.", two, *[RIGHT] * 16).assert_at_least,
        argument_exact_match=0.9,
    )
    assert lines[2:-1] == [
        "  what the 20 turns were: calls 19, abstained 1",
        "  4 fall short (other functions 2, other arguments 1, abstained 1), the first of them:",
        "  c0: show_map.query is different",
        "    expected 'Oslo'",
        "    called   'oslo'",
        f"    text     {WRONG}",
        "  c1: expected show_map, called go",
        "    expected show_map {'query': 'Oslo'}",
        f"    text     {OTHER}",
        "  c2: no call was attempted",
        "    expected show_map {'query': 'Oslo'}",
        "    text     No.",
        "  c3: expected no further call, called go",
        "    expected show_map {'query': 'Oslo'}",
    ]  # fmt: skip
    # Calls that a function returned have no text.
    calls = [{"id": f"c{i}", "tool_calls": []} for i in range(19)]
    native = [
        *calls,
        {"id": "c19", "tool_calls": [{"function": {"name": "go", "arguments": "{}"}}]},
    ]
    told = missed(fcbench.score(native, suite).assert_at_least, name_match=0.9)
    assert "  c0: no call was attempted" in told
    assert fcbench.score(native, suite).verdicts[-1].sample.native_calls == [Call("go", {})]


def test_every_argument_that_differs_is_named_up_to_three(write_lines, case_row):
    arguments = {f"a{i}": i for i in range(6)}
    tool = {"name": "f", "parameters": {}}
    suite = write_lines(case_row(tools=[tool], expected=[[{"name": "f", "arguments": arguments}]]))
    called = {**arguments, "a1": "1", "a2": 7, "new": [1]}
    del called["a0"]
    scores = fcbench.score({"a": fcbench.render([Call("f", called)])}, suite)
    lines = missed(scores.assert_at_least, argument_exact_match=0.5)
    assert lines[4:12] == [
        "  a: f.a0 is missing",
        "    expected 0",
        "    f.a1 is of another type",
        "    expected 1",
        "    called   '1'",
        "    f.a2 is different",
        "    expected 2",
        "    called   7",
    ]
    assert lines[12] == "    … and 1 more arguments"


def test_repeats_are_named_and_a_model_without_calls_is_sent_to_the_doctor(suite):
    rows = [
        {"id": f"c{i}", "repeat": r, "text": RIGHT if r else WRONG}
        for i in range(20)
        for r in range(3)
    ]
    rows += [{"id": "c0", "repeat": 3, "text": OTHER}]
    lines = missed(fcbench.score(rows, suite).assert_at_least, name_match=1)
    assert "  c0 (repeat 3): expected show_map, called go" in lines
    base = fcbench.score("results/mobile_actions-40--gemma3-270m--chat")
    last = missed(base.assert_at_least, name_match=0.5)[-1]
    assert last == "  why no turn is a call: python -m fcbench doctor gemma3-270m"


def test_hostile_names_and_values_stay_on_their_lines(write_lines, case_row):
    bad = "\x1b[2J\u202e\n\x00"
    tool = {"name": "f", "parameters": {}}
    suite = write_lines(
        case_row(
            id=f"a{bad}",
            tools=[tool],
            tags=[f"tag{bad}"],
            expected=[[{"name": "f", "arguments": {"x": bad}}]],
        )
    )
    case_id = fcbench.load_suite(suite).cases[0].id
    text = fcbench.render([Call("f", {"x": f"\ud800{bad}", f"key{bad}": 1})], format="json")
    scores = fcbench.score({case_id: text}, suite, format="json")
    said = "\n".join(missed(scores.assert_at_least, argument_exact_match=0.5, per_tag=True))
    assert not {"\x1b", "\u202e", "\x00", "\ud800"} & set(said)
    assert len(said.splitlines()) < 20


def test_errors_are_not_judged_and_the_first_is_named(suite):
    scores = fcbench.score({"c1": RIGHT}, suite)
    for ask in (
        lambda: scores.assert_at_least(name_match=0),
        lambda: scores.assert_at_most(over_calling=1.0),
        lambda: scores.assert_no_worse_than(scores),
    ):
        with pytest.raises(RunError, match=r"19 of 20 samples have no answer: c0: no output"):
            ask()
