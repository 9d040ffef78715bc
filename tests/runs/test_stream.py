"""Outputs are judged one by one: what is not kept changes no number."""

import json
import random
import tracemalloc
from collections import Counter
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fcbench
from fcbench import Call
from fcbench.backends import _recorded
from fcbench.cli import main
from fcbench.errors import RunError, UsageError
from fcbench.metrics import metric, metric_names, unit_of
from fcbench.runs import _score, outcome_of
from fcbench.runs._judge import judge_sample
from fcbench.runs._tally import UNITS, Marks, tallies_of
from fcbench.stats import clustered, mean, pass_at_k, pass_hat_k

RIGHT = fcbench.render([Call("show_map", {"query": "Oslo", "zoom": 3})])
TEXTS = [
    RIGHT,
    fcbench.render([Call("show_map", {"query": "Oslo", "zoom": 4})]),
    fcbench.render([Call("show_map", {"zoom": 3, "query": "Oslo", "x": [1], "y": 2})]),
    fcbench.render([Call("hide_map", {"query": "Oslo"})]),
    f"Sure! {RIGHT}",
    "call:show_map{",
    "I cannot do that.",
    "",
]
ARGUMENTS = ['{"query": "Oslo", "zoom": 3}', {"query": "Oslo", "zoom": 3.0}, "{", None, {"a": 1}]


@pytest.fixture
def suite(write_lines, case_row):
    answer = [[{"name": "show_map", "arguments": {"query": "Oslo", "zoom": 3}}]]
    rows = [
        case_row(id=f"c{i}", expected=[[]] if i % 4 == 3 else answer, tags=[f"of{i % 3}"])
        for i in range(12)
    ]
    return fcbench.load_suite(write_lines(*rows))


def random_outputs(choose: random.Random) -> list[dict]:
    """Outputs of every kind, at most a dozen for a case and none for some."""
    rows = []
    for i in range(12):
        repeats = choose.sample(range(40), choose.choice([0, 1, 1, 5, 12]))
        for repeat in repeats:
            row: dict = {"id": f"c{i}", "repeat": repeat}
            kind = choose.choice(["text", "text", "calls", "both", "error"])
            if kind == "error":
                row["error"] = choose.choice(["timeout", "out of memory"])
            if kind in ("text", "both"):
                row["text"] = choose.choice(TEXTS)
            if kind in ("calls", "both"):
                function = {"name": "show_map", "arguments": choose.choice(ARGUMENTS)}
                row["tool_calls"] = [{"type": "function", "function": function}] * choose.randrange(
                    3
                )
            if choose.random() < 0.7:
                row["seconds"] = choose.choice([choose.random(), 1e-9 * choose.random(), 3e17])
                row["output_tokens"] = choose.randrange(300)
            rows.append(row)
    choose.shuffle(rows)
    return rows


def by_hand(name, verdicts):
    """An estimate from the list of all values, as the statistics are defined."""
    values: dict[str, list[float]] = {}
    for verdict in verdicts:
        value = metric(name)(verdict)
        if value is not None:
            values.setdefault(verdict.case.id, []).append(value)
    if unit_of(name) is None:
        return clustered(list(values.values()))
    found = mean(list(values.values()))
    return found if found.low is None else found._replace(low=max(0.0, found.low))


def passes_by_hand(verdicts, sign, k):
    right: dict[str, list[bool]] = {}
    for verdict in verdicts:
        if verdict.sample.error is None:
            right.setdefault(verdict.case.id, []).append(verdict.is_right)
    estimator = pass_at_k if sign == "@" else pass_hat_k
    return clustered([[estimator(len(r), sum(r), k)] for r in right.values() if len(r) >= k])


@pytest.mark.parametrize("seed", range(12))
def test_numbers_of_shuffled_outputs_are_to_the_last_bit_those_of_all_verdicts_in_order(
    suite, write_lines, seed
):
    rows = random_outputs(random.Random(seed))
    path = write_lines(*rows, name="outputs.jsonl")
    streamed = fcbench.score(path, suite, keep_verdicts=False)
    kept = fcbench.score(iter(rows), suite)
    verdicts = kept.verdicts
    order = [case.id for case in suite.cases]
    assert verdicts == sorted(verdicts, key=lambda v: (order.index(v.case.id), v.sample.repeat))
    for name in metric_names():
        assert kept.metrics[name] == by_hand(name, verdicts), name
        for tag, found in kept.by_tag.items():
            assert found[name] == by_hand(name, [v for v in verdicts if tag in v.case.tags])
    assert list(kept.outcomes.items()) == Counter(map(outcome_of, verdicts)).most_common()
    assert kept.passes
    for name, found in kept.passes.items():
        assert found == passes_by_hand(verdicts, name[4], int(name[5:])), name
    errors = [v for v in verdicts if v.sample.error is not None]
    assert (kept.n_samples, kept.n_errors) == (len(verdicts), len(errors))
    what = ("metrics", "by_tag", "passes", "n_samples", "n_errors", "n_cases", "tallies")
    assert {w: getattr(streamed, w) for w in what} == {w: getattr(kept, w) for w in what}
    assert list(streamed.outcomes.items()) == list(kept.outcomes.items())
    gates = {"argument_exact_match": 0.99}
    assert streamed.missed(gates, "clopper-pearson") == kept.missed(gates, "clopper-pearson")
    with pytest.raises(RunError) as of_kept:
        kept.assert_at_least(**gates)
    with pytest.raises(RunError) as of_streamed:
        streamed.assert_at_least(**gates)
    assert str(of_streamed.value) == str(of_kept.value)
    assert f"{errors[0].case.id}: {errors[0].sample.error}" in str(of_kept.value)


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=50), st.randoms())
def test_a_mean_is_rounded_once_whatever_the_order(values, choose):
    case = fcbench.Case("c", [], [], [[]])
    tallies = tallies_of([case], [])
    seconds = list(tallies.metrics).index("seconds")
    for value in choose.sample(values, len(values)):
        above, below = value.as_integer_ratio()
        marks = Marks("calls", is_right=True, values=[(seconds, above * (UNITS // below))])
        tallies.add(fcbench.Sample("c"), marks)
    assert list(tallies.means("seconds")) == [(fmean(values), len(values))]


def test_what_is_remembered_is_forgotten_in_time_and_changes_nothing(suite, monkeypatch):
    rows = random_outputs(random.Random(1))
    found = fcbench.score(rows, suite, keep_verdicts=False)
    monkeypatch.setattr(_score, "MOST_REMEMBERED", 2)
    assert fcbench.score(rows, suite, keep_verdicts=False).metrics == found.metrics
    monkeypatch.setattr(_score, "LONGEST_REMEMBERED", 0)
    assert fcbench.score(rows, suite, keep_verdicts=False).metrics == found.metrics


def test_what_repeats_is_judged_once_and_what_took_its_own_time_is_not_looked_up(
    suite, monkeypatch
):
    judged, looked_up = [], []

    def judge(case, sample, *rules):
        judged.append(sample)
        return judge_sample(case, sample, *rules)

    monkeypatch.setattr(_score, "judge_sample", judge)
    monkeypatch.setattr(fcbench.Sample, "__repr__", lambda s: looked_up.append(s) or s.text)
    samples = [fcbench.Sample("c0", repeat, "no") for repeat in range(9)]
    fcbench.score(samples, suite, keep_verdicts=False)
    assert sum(sample.error is None for sample in judged) == 1
    judged.clear()
    looked_up.clear()
    timed = [msgspec.structs.replace(sample, seconds=0.5) for sample in samples]
    found = fcbench.score(timed, suite, keep_verdicts=False)
    assert sum(sample.error is None for sample in judged) == 9
    assert all(sample.error is not None for sample in looked_up)
    assert found.metrics["seconds"].value == 0.5


def test_answers_that_differ_only_in_the_type_of_a_number_are_not_taken_for_each_other(suite):
    def scored(*values):
        rows = [
            {"id": "c0", "repeat": i, "tool_calls": [
                {"function": {"name": "show_map", "arguments": {"query": "Oslo", "zoom": value}}}
            ]}
            for i, value in enumerate(values)
        ]  # fmt: skip
        return fcbench.score(rows, suite, keep_verdicts=False).metrics["argument_exact_match"].value

    assert scored(3, 3.0, 3) == 1
    assert scored(3, "3") == 0.5
    assert scored(3.0, "3", [3], 3) == 0.5


def test_memory_does_not_grow_with_the_lines(suite, tmp_path):
    path = tmp_path / "outputs.jsonl"

    def peak(n_lines):
        with path.open("w", encoding="utf-8") as file:
            for i in range(n_lines):
                case, repeat = i % 12, i // 12
                file.write(json.dumps({"id": f"c{case}", "repeat": repeat, "text": RIGHT}) + "\n")
        tracemalloc.start()
        scores = fcbench.score(path, suite, keep_verdicts=False)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert scores.n_samples == n_lines
        return most

    peak(120)  # what is loaded once
    few, many = peak(600), peak(6000)
    # A kept line is 500 bytes and more.
    assert many - few < 20 * (6000 - 600)


def test_what_needs_verdicts_says_that_they_were_not_kept(suite):
    scores = fcbench.score({f"c{i}": RIGHT for i in range(12)}, suite, keep_verdicts=False)
    kept = fcbench.score({f"c{i}": RIGHT for i in range(12)}, suite)
    for needs in (
        scores.to_pandas,
        lambda: list(scores.verdicts),
        lambda: len(scores.verdicts),
        lambda: scores.verdicts[0],
        lambda: fcbench.compare(kept, scores),
        lambda: fcbench.compare(scores, kept),
    ):
        with pytest.raises(UsageError, match=r"were not kept\nhint: .*keep_verdicts=True"):
            needs()


def test_gates_need_no_verdicts_but_name_no_cases_without_them(suite):
    outputs = {f"c{i}": RIGHT if i % 4 < 3 else "I cannot." for i in range(12)}
    scores = fcbench.score(outputs, suite, keep_verdicts=False)
    scores.assert_at_least(argument_exact_match=0.6)
    assert scores.missed({"argument_exact_match": 0.7}, "clopper-pearson")
    with pytest.raises(AssertionError, match=r"(?s)cannot prove more than.*\n.*were not kept"):
        scores.assert_at_least(argument_exact_match=0.9)


def test_of_many_repeats_not_each_number_of_tries_makes_a_line(suite):
    rows = [{"id": "c0", "repeat": i, "text": RIGHT} for i in range(30)]
    ks = [*range(1, 11), 20, 30]
    assert list(fcbench.score(rows, suite).passes) == [f"pass{s}{k}" for s in "@^" for k in ks]
    rows = [{"id": "c0", "repeat": i, "text": RIGHT} for i in range(3000)]
    ks = [*range(1, 11), 20, 50, 100]
    found = fcbench.score(rows, suite, keep_verdicts=False).passes
    assert list(found) == [f"pass{s}{k}" for s in "@^" for k in ks]


# The file


def lines(tmp_path, content: bytes):
    path = tmp_path / "outputs.jsonl"
    path.write_bytes(content)
    return path


def test_a_last_line_needs_no_end_and_any_end_is_one(suite, tmp_path):
    content = b'{"id": "c0", "text": "a"}\r\n\n  \n{"id": "c1", "text": "b"}'
    assert fcbench.score(lines(tmp_path, content), suite).n_samples == 12
    assert fcbench.score(lines(tmp_path, content), suite).n_errors == 10


def test_a_line_of_a_megabyte_is_read_and_a_file_without_line_ends_is_not(
    suite, tmp_path, monkeypatch
):
    long = json.dumps({"id": "c0", "text": "x" * 2**20}).encode()
    assert fcbench.score(lines(tmp_path, long), suite).n_errors == 11
    monkeypatch.setattr(_recorded, "MOST_BYTES", 2**19)
    with pytest.raises(UsageError, match=r"outputs.jsonl:2: longer than 524,288 bytes"):
        fcbench.score(lines(tmp_path, b"\n" + long), suite)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "c0", "text": ', r":2: not JSON: .* at column 21"),
        ('{"id": "c0", "seconds": NaN, "text": ""}', ":2: not JSON: NaN is no JSON value"),
        ('{"id": "c0", "tool_calls": {}}', r":2: \$.tool_calls: expected array, got dict"),
        ('{"id": "c0", "tool_calls": [{}]}', r":2: \$.tool_calls\[0\]: expected an object"),
        ('{"id": "c0", "tool_calls": null}', r":2: \$.text: missing"),
        ('{"id": "c0", "tool_calls": [], "native_calls": []}', ":2: tool_calls and native_calls"),
        ('{"id": "c0", "text": "", "repeat": "1"}', ":2: Expected `int`, got `str`"),
        ('{"id": "c0x", "text": ""}', ":2: the suite .* has no case c0x\nhint: did you mean c0"),
        ("[" * 100_000, ":2: nested too deep"),
    ],
)
def test_a_broken_line_is_named(suite, tmp_path, line, message):
    path = lines(tmp_path, f'{{"id": "c1", "text": "a"}}\n{line}\n'.encode())
    with pytest.raises(UsageError, match=f"outputs.jsonl{message}"):
        fcbench.score(path, suite, keep_verdicts=False)


def test_text_that_is_no_utf_8_is_named(suite, tmp_path):
    path = lines(tmp_path, b'{"id": "c1", "text": "a"}\n{"id": "c2", "text": "caf\xe9"}')
    with pytest.raises(UsageError, match=r"outputs.jsonl: cannot be read: line 2: 'utf-8' codec"):
        fcbench.score(path, suite)


def test_a_second_answer_to_a_case_and_repeat_is_refused_however_far_from_the_first(
    suite, write_lines
):
    rows = [{"id": f"c{i % 12}", "repeat": i // 12, "text": ""} for i in range(3000)]
    path = write_lines(*rows, rows[5], name="outputs.jsonl")
    with pytest.raises(
        UsageError, match=r"outputs.jsonl:3001: c5 was answered in .*outputs.jsonl:6 already\nhint"
    ):
        fcbench.score(path, suite, keep_verdicts=False)
    with pytest.raises(UsageError, match="output 3001: c5 was answered in output 6 already"):
        fcbench.score([*rows, rows[5]], suite, keep_verdicts=False)
    # What comes only once cannot be looked through again.
    with pytest.raises(UsageError, match="output 3001: c5 was answered in an earlier one already"):
        fcbench.score(iter([*rows, rows[5], *rows[:9]]), suite, keep_verdicts=False)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-9000, 9000) | st.integers())))
def test_what_was_answered_is_known_exactly(keys):
    answered, seen = _recorded.Answered(), set()
    for key in keys:
        assert answered.add(*key) == (key not in seen)
        seen.add(key)


def test_the_command_prints_of_a_file_what_its_scores_are(suite, write_lines, tmp_path, capsys):
    rows = random_outputs(random.Random(7))
    path = write_lines(*rows, name="outputs.jsonl")
    cases = str(tmp_path / "cases.jsonl")
    code = main(["score", str(path), "--suite", cases, "--json"])
    printed, err = capsys.readouterr()
    scores = fcbench.score(rows, cases)
    assert code == 3
    assert err == f"{scores.n_errors} of {len(scores.verdicts)} samples have no answer\n"
    shown = json.loads(printed)
    assert shown["outcomes"] == scores.outcomes
    assert shown["metrics"] == {name: e._asdict() for name, e in scores.metrics.items()}
    assert shown["passes"] == {name: e._asdict() for name, e in scores.passes.items()}
