"""The generation benchmark counts, judges and tells rightly; no model is loaded here."""

import json
import sys

import pytest

from tests.benchmarks.generation import __main__ as command
from tests.benchmarks.generation import comparison, floor, prompts
from tests.benchmarks.generation.contestants import CONTESTANTS, REFERENCE, absent, plain
from tests.benchmarks.generation.report import as_markdown
from tests.benchmarks.generation.setting import Setting


def characters(text):
    return list(text.encode())


# Prompts


def test_one_date_and_one_order_of_tools_make_prompts_alike():
    as_is, shared = (prompts.prompt_set(name, 30) for name in prompts.SETS)
    assert len(set(as_is)) == len(set(shared)) == 30
    told = [prompts.figures(texts, characters) for texts in (as_is, shared)]
    # The same lines in another order, but for the names of some days.
    assert told[0]["mean_tokens"] == pytest.approx(told[1]["mean_tokens"], abs=5)
    assert told[0]["shared_share"] < 0.15
    assert told[1]["shared_share"] > 0.85


def test_there_are_four_hundred_different_prompts_of_each_set():
    for name in prompts.SETS:
        made = prompts.prompt_set(name, 400)
        assert len(set(made)) == 400
        assert made[:10] == prompts.prompt_set(name, 10)
        # What warms a model up must not leave it a beginning of the set's.
        for warm in prompts.warm_up_prompts():
            assert all(prompts.common(warm, prompt) < len(prompt) / 3 for prompt in made)


def test_seventy_tools_are_declared_ten_times_as_often_as_seven():
    for name in prompts.SETS:
        few, many = (prompts.prompt_set(name, 5, n) for n in (7, 70))
        assert few == prompts.prompt_set(name, 5)
        for prompt, n in [*((p, 7) for p in few), *((p, 70) for p in many)]:
            assert prompt.count("<start_function_declaration>") == n
    with pytest.raises(ValueError, match="70 tools, not 71"):
        prompts.prompt_set(prompts.AS_IS, 1, 71)


def test_prompts_share_what_they_share_with_the_best_neighbour_whatever_their_order():
    given = [[1, 2, 3, 4], [9, 9], [1, 2, 3, 5], [9, 8]]
    # Sorted: 3 tokens in common, none, and 1; of 4 + 2 + 2 tokens.
    assert prompts.shared_share(given) == prompts.shared_share(given[::-1]) == 4 / 8


# The floor

SHAPES = floor.Shapes([(6, 4), (4, 6)], (100, 4), heads=2, head_size=3, windows=[3, None])


def counted_by_hand(texts, written):
    """Every token read, by the beginning that ends with it, so that a shared one counts once."""
    read = {tuple(t[: i + 1]) for t in texts for i in range(len(t))}
    places = [len(beginning) - 1 for beginning in read]
    again = [len(t) + i for t, n in zip(texts, written, strict=True) for i in range(n - 1)]
    flops = 0
    for place in (*places, *again):
        for outputs, inputs in SHAPES.decoder:
            flops += 2 * outputs * inputs
        for window in SHAPES.windows:
            for other in range(place + 1):
                visible = window is None or place - other < window
                flops += visible * 4 * SHAPES.heads * SHAPES.head_size
    return len(places), len(again), flops + sum(written) * 2 * 100 * 4


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        ([[1, 2, 3]], [1]),
        ([[1, 2, 3, 4, 5], [1, 2, 3, 7], [1, 2, 3, 4, 6, 6, 6], [8]], [4, 1, 2, 6]),
        ([[5, 5], [5, 5, 5, 5, 5, 5]], [3, 3]),
    ],
)
def test_the_floor_counts_each_beginning_once_as_a_count_by_hand_does(texts, written):
    done = floor.work(SHAPES, texts, written)
    assert (done.read, done.reread, done.flops) == counted_by_hand(texts, written)
    assert done.written == sum(written)


def test_the_floor_takes_the_better_of_two_measurements():
    one = dict.fromkeys(("reading_seconds", "writing_seconds", "output_seconds"), 1.0)
    rates = [one | {"large_flops_per_second": 100.0}, one | {"large_flops_per_second": 300.0}]
    best = floor.merged([rates[0], rates[1] | {"output_seconds": 0.5}])
    assert (best["large_flops_per_second"], best["output_seconds"], best["spread"]) == (300, 0.5, 1)
    done = floor.work(SHAPES, [[1, 2, 3]], [2])
    assert floor.seconds(done, best)["floor"] == done.flops / 300


# The comparison


def run(speed, texts=("a", "b"), batch=None):
    return {
        "texts": list(texts),
        "tokens": [3, 4],
        "seconds": 2 / speed,
        "cases_per_second": speed,
        "loading_seconds": 1.0,
        "peak_mib": 2000.0,
        "answering_mib": None,
        "batch": batch,
    }


def made_up_result(ours=(12.0, 14.0)):
    runs = {
        "fcbench": [run(speed) for speed in ours],
        REFERENCE: [run(1.0), run(1.0)],
        "lm-eval": [run(2.0, "ax", 8), run(2.0, "ax", 8)],
    }
    price = {"read": 1000, "written": 7, "seconds": {"floor": 0.1, "as_shaped": 0.125}}
    each = {"prompts": 2, "mean_tokens": 600.0, "shared_share": 0.94, "floor": price}
    sets = {prompts.SHARED: {**each, "contestants": comparison.judged(runs, [])}}
    rates = dict.fromkeys(("reading_seconds", "writing_seconds", "output_seconds"), 0.02)
    result = {
        "rates": rates | {"large_flops_per_second": 8e11, "spread": 0.02},
        "sweeps": {prompts.SHARED: {"lm-eval": {"8": 1.0, "16": 0.9}}},
        "left_out": {"llama": "no such package"},
        "sets": sets,
    }
    return result | {"goals": comparison.goals(result)}


def test_goals_are_judged_by_each_rounds_own_ratio():
    verdicts = {goal["goal"]: goal for goal in made_up_result()["goals"]}
    assert [(g["measured"], g["met"]) for g in verdicts.values()] == [
        (6.5, True),
        (13.0, True),
        (pytest.approx(2 / 13 * (13 / 12 + 13 / 14) / 2 / 0.1), True),
    ]
    verdicts = made_up_result(ours=(5.0, 5.0))["goals"]
    assert [goal["met"] for goal in verdicts] == [False, False, False]
    # Of a set that was not run, nothing is said.
    assert not any(prompts.AS_IS in goal["goal"] for goal in verdicts)


def test_outputs_are_compared_without_control_tokens():
    tokens = ["<escape>", "<end>"]
    assert plain("f{a:<escape>x<escape>}<end>", tokens) == "f{a:x}"
    runs = {REFERENCE: [run(1.0, ["<end>a", "b"])], "lm-eval": [run(1.0, ["a", "<b>"])]}
    assert comparison.judged(runs, tokens)["lm-eval"]["identical"] == 1
    del runs[REFERENCE]
    assert comparison.judged(runs, tokens)["lm-eval"]["identical"] is None


@pytest.mark.parametrize(
    ("speeds", "tried"),
    [
        ({8: 3, 16: 4, 32: 5}, {8, 16, 32}),
        ({8: 3, 16: 2, 4: 4, 2: 1}, {8, 16, 4, 2}),
        ({8: 3, 16: 2, 4: 2}, {8, 16, 4}),
    ],
)
def test_the_best_batch_size_is_climbed_to(speeds, tried):
    assert set(comparison.climb(speeds.__getitem__, 8)) == tried


def test_only_a_contestant_that_shares_beginnings_has_its_batch_size_looked_for_in_each_set(
    monkeypatch,
):
    asked = []

    def answered(name, job, texts):
        asked.append(name)
        return run(1.0)

    monkeypatch.setattr(comparison, "answered", answered)
    setting = Setting("", "bfloat16", 8, prompts.SETS, (), 2, 1, 1)
    names = ["fcbench", "lm-eval", "llama"]
    first = comparison.swept(setting, names, prompts.AS_IS, {}, {})
    assert set(asked) == {"lm-eval", "llama"} == set(first)
    asked.clear()
    comparison.swept(setting, names, prompts.SHARED, {prompts.AS_IS: first}, {})
    assert set(asked) == {"llama"}


def test_a_contestant_whose_package_is_absent_is_left_out_and_said_so(monkeypatch):
    llama = CONTESTANTS["llama"]._replace(package="no_such_package")
    monkeypatch.setitem(CONTESTANTS, "llama", llama)
    able, missing = comparison.taking_part(["fcbench", "llama"])
    assert able == ["fcbench"]
    assert missing == {"llama": absent("llama")}
    assert "no_such_package" in missing["llama"]


# The command


def test_a_section_that_is_run_again_leaves_the_others_as_they_were(tmp_path, monkeypatch, capsys):
    growth = {
        "set": "shared",
        "grown": "cases",
        "size": 25,
        "cases": 25,
        "mean_tokens": 600.0,
        "seconds": 3.0,
        "cases_per_second": 8.3,
        "peak_mib": 1e3,
        "answering_mib": 900.0,
    }
    exact = {
        "prompts": 2,
        "left_out": {},
        "sets": {"shared": {"fcbench": {"identical": 2, "seconds": 1.0}}},
    }
    made = {"comparison": made_up_result(), "exact": exact, "growth": [growth]}
    monkeypatch.setattr(command, "tuned_model", lambda: tmp_path / "tuned")
    for name, result in made.items():
        monkeypatch.setitem(command.SECTIONS, name, lambda _, result=result: result)
    monkeypatch.setattr(sys, "argv", ["generation", "--folder", str(tmp_path)])
    command.main()
    monkeypatch.setitem(command.SECTIONS, "growth", lambda _: [growth | {"seconds": 77.7}])
    again = [*sys.argv, "--only", "growth", "--dtype", "float32"]
    monkeypatch.setattr(sys, "argv", again)
    capsys.readouterr()
    command.main()
    stored = json.loads((tmp_path / "generation.json").read_text("utf-8"))
    assert stored["comparison"]["result"] == json.loads(json.dumps(made["comparison"]))
    stamps = {name: section["stamp"]["dtype"] for name, section in stored.items()}
    assert stamps == {"comparison": "bfloat16", "exact": "float32", "growth": "float32"}
    written = (tmp_path / "generation.md").read_text("utf-8")
    assert capsys.readouterr().out == written == as_markdown(stored)
    assert "77.7" in written
    assert "2 of 2" in written
    assert "Left out: (d) llama.cpp, xllamacpp: no such package." in written
    assert "at least 6 times as fast as (c) lm-eval, hf: 6.50, **met**" in written
    assert str(tmp_path) not in written + json.dumps(stored)


def test_an_unknown_contestant_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generation", "--contestants", "fcbench,vlm"])
    with pytest.raises(SystemExit):
        command.main()
    assert "vlm: not in fcbench, " in capsys.readouterr().err
