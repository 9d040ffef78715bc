"""Why a case flipped: each cause planted, in stored runs and under real tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from msgspec import structs

import fcbench
from fcbench.backends import ModelOptions
from fcbench.backends import python as python_backend
from fcbench.backends.python import PythonBackend
from fcbench.backends.transformers import load
from fcbench.drift import Ways, drift, drift_of_runs
from fcbench.drift import _gauge as gauge_module
from fcbench.drift._causes import Pair, cause
from fcbench.drift._gauge import Gap, Gauge, near_tie
from fcbench.drift._stored import rows_of
from fcbench.types import Sample
from tests.backends import architectures
from tests.drift.planted import RIGHT, WRONG, changed, install, stored_run, write_suite

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def suite(tmp_path):
    return write_suite(tmp_path / "calls.jsonl", 6, [[{"name": "f", "arguments": {}}]])


@pytest.fixture
def run(tmp_path, suite, monkeypatch):
    return stored_run(monkeypatch, suite, tmp_path)


def only_flip(*runs):
    (flip,) = drift_of_runs(runs).flips
    return flip


def test_another_text_of_the_same_prompt_is_the_prompts_fault(tmp_path, run):
    other = changed(run, tmp_path / "other", text=WRONG)
    asked = other / "prompts.jsonl"
    text = asked.read_text("utf-8").replace("You are a model", "You are my model")
    asked.write_text(text.replace('"sha256": "', '"sha256": "x'), encoding="utf-8")
    log = other / "samples.jsonl"
    text = log.read_text("utf-8").replace('"prompt_sha256": "', '"prompt_sha256": "x')
    log.write_text(text, encoding="utf-8")
    found = drift_of_runs([run, other])
    assert {flip.cause.kind for flip in found.flips} == {"prompt"}
    assert "another text of the same prompt mode chat" in found.flips[0].cause.detail
    assert "'my model" in found.flips[0].cause.detail
    (disagreement,) = found.disagreements
    assert (disagreement.what, disagreement.n, disagreement.n_cases) == ("text", 6, 6)
    assert disagreement.example[2].startswith("my model")


def test_another_prompt_mode_is_named(tmp_path, run, suite, monkeypatch):
    other = changed(
        stored_run(monkeypatch, suite, tmp_path, "raw"), tmp_path / "raw", text=WRONG, only=2
    )
    flip = only_flip(run, other)
    assert (flip.case_id, flip.cause.kind) == ("c2", "prompt")
    assert flip.cause.detail.startswith("asked with raw, not chat: from character ")
    assert (flip.lost, flip.gained) == (["name_match", "argument_exact_match"], [])


def test_as_many_characters_of_other_tokens_are_a_tokenisation(tmp_path, run):
    other = changed(run, tmp_path / "other", only=1, text=WRONG, prompt_tokens=10)
    found = drift_of_runs([run, other])
    (flip,) = found.flips
    assert flip.cause.kind == "tokenisation"
    assert "10 prompt tokens here, 9 in the reference" in flip.cause.detail
    (disagreement,) = found.disagreements
    assert (disagreement.what, disagreement.n, disagreement.example) == (
        "tokens",
        1,
        ("c1", "9", "10"),
    )


@pytest.mark.parametrize("reference_fails", [False, True])
def test_an_error_is_the_machinerys_and_no_flip_of_a_metric(tmp_path, run, reference_fails):
    failed = changed(run, tmp_path / "failed", only=3, text="", error="out of memory", stop=None)
    rows = (failed, run) if reference_fails else (run, failed)
    found = drift_of_runs(rows)
    (flip,) = found.flips
    assert (flip.cause.kind, flip.lost, flip.gained) == ("machinery", [], [])
    where = "in the reference" if reference_fails else "here"
    assert flip.cause.detail == f"no answer {where}: out of memory"
    assert found.n_errors == 1
    assert all(
        not c.flips and c.n == 5 for pairs in found.comparisons.values() for c in pairs.values()
    )
    assert found.same_answers[1] == (5, 5)


def test_the_same_words_cut_by_the_limit_are_a_stop(tmp_path, run):
    part = "<start_function_call>call:f{"
    cut = changed(run, tmp_path / "cut", only=0, text=part, stop="limit", output_tokens=4)
    flip = only_flip(run, cut)
    assert flip.cause.kind == "stop"
    assert flip.cause.detail.startswith("cut by the limit after 4 tokens here, ended by itself")


def test_an_answer_that_goes_on_where_the_reference_ended_was_not_cut(tmp_path, run):
    longer = changed(run, tmp_path / "on", only=0, text=f"{RIGHT} And", stop="limit")
    flip = only_flip(run, longer)
    assert (flip.cause.kind, flip.cause.at) == ("text", len(RIGHT))
    assert f"at character {len(RIGHT) + 1} ' And', not the end" in flip.cause.detail


def test_both_cut_but_one_later_are_a_stop(tmp_path, run):
    part = "<start_function_call>call:f{"
    cut = changed(run, tmp_path / "cut", text=part, stop="limit")
    later = changed(run, tmp_path / "later", text=f"{part}a:1", stop="limit", output_tokens=9)
    found = drift_of_runs([changed(later, tmp_path / "whole", text=RIGHT), cut])
    assert {flip.cause.kind for flip in found.flips} == {"stop"}
    detail = found.flips[0].cause.detail
    assert detail == "cut by the limit here, cut by the limit after 9 tokens in the reference"


@pytest.mark.parametrize("stop", ["<end_of_turn>", "<start_function_response>", "<eos>more"])
def test_a_stop_token_that_only_one_backend_keeps_is_no_difference(tmp_path, run, stop):
    kept = changed(run, tmp_path / "kept", text=f"{RIGHT}{stop}")
    found = drift_of_runs([run, kept])
    assert found.same_answers[1] == (6, 6)
    assert found.flips == []
    cut = changed(run, tmp_path / "cut", only=0, text=RIGHT[:30], stop="limit")
    assert only_flip(kept, cut).cause.kind == "stop"
    assert only_flip(cut, kept).cause.kind == "stop"


def test_of_repeats_the_one_that_flips_is_shown_and_explained(tmp_path, suite, monkeypatch):
    monkeypatch.setattr(python_backend, "check_model", lambda *_: None)
    model = install(monkeypatch, "several", lambda prompt: RIGHT)
    options = {"temperature": 0.5, "repeats": 3, "results": tmp_path}
    run = fcbench.run(model, suite, **options).folder
    other = changed(run, tmp_path / "other", only=4, text=WRONG)  # c1's second
    found = drift_of_runs([run, other])
    (flip,) = found.flips
    assert (flip.case_id, flip.cause.kind, flip.lost[-1]) == ("c1", "text", "argument_exact_match")
    assert (flip.reference.text, flip.reference.reason) == (RIGHT, None)
    assert flip.answer.text == WRONG
    assert flip.answer.reason is not None
    assert found.same_answers[1] == (17, 18)
    lacking = changed(other, tmp_path / "lacking", only=4, error="gone", text="")
    failed = drift_of_runs([other, lacking]).flips
    assert [flip.cause.kind for flip in failed] == ["machinery"]
    assert "lacks some of the repeats" in failed[0].cause.detail


def test_other_words_of_stored_runs_say_where_they_part(tmp_path, run):
    flip = only_flip(run, changed(run, tmp_path / "other", only=0, text=WRONG))
    assert (flip.cause.kind, flip.cause.at, flip.cause.gap) == ("text", WRONG.index("g{}"), None)
    assert "no gap without a reference that transformers runs" in flip.cause.detail


def test_the_same_words_under_another_format_are_a_matter_of_judging(tmp_path, run):
    other = changed(run, tmp_path / "other")
    manifest = json.loads((other / "run.json").read_text("utf-8"))
    manifest["format"]["name"] = "hermes"
    (other / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = drift_of_runs([run, other])
    assert {flip.cause.kind for flip in found.flips} == {"judging"}
    assert len(found.flips) == 6


def test_base_against_adapter_is_a_matter_of_weights(tmp_path, run):
    record = {"name": "m", "adapter": {"name": "a", "active": True}}
    adapted = changed(run, tmp_path / "adapted", model=record)
    base = changed(run, tmp_path / "base", only=0, text=WRONG, model={"name": "m"})
    flip = only_flip(base, adapted)
    assert flip.cause.kind == "weights"
    assert flip.cause.detail.startswith("base weights, not adapter")
    idle = changed(
        run, tmp_path / "idle", model={**record, "adapter": {"name": "a", "active": False}}
    )
    found = drift_of_runs([idle, base])
    assert found.flips[0].cause.kind == "text"
    assert found.notes == [
        "the adapter is not active, it changes no logit; these rows are the base model's: chat,adapter"
    ]


# With logits


class FakeGauge:
    dtype = "float32"
    is_tired = False

    def __init__(self, value):
        self.value = value

    def gap(self, prompt, first, second):
        return Gap(3, "f", "g", self.value, 40.0)


A, B = {"weights_sha256": "a"}, {"weights_sha256": "b"}
LORA = {"adapter": {"name": "l", "sha256": "l", "active": True}}
IDLE = {"adapter": {"name": "l", "sha256": "l", "active": False}}


@pytest.mark.parametrize(
    ("reference", "other", "gap", "dtype", "kind"),
    [
        (A, A, 0.3, "bfloat16", "rounding"),  # steps of 0.25 at 40
        (A, A, 0.9, "bfloat16", "arithmetic"),
        (A, A, 0.001, "float32", "arithmetic"),
        (A, A, 0.00001, "float32", "rounding"),
        (A, B, 0.9, "bfloat16", "weights"),
        (A, B, 0.3, "bfloat16", "rounding"),
        (A, {}, 0.9, "bfloat16", "weights"),
        (A | LORA, A | LORA, 0.9, "bfloat16", "arithmetic"),
        (A | LORA, A, 0.00001, "float32", "weights"),
        (A | IDLE, A, 0.9, "bfloat16", "arithmetic"),
    ],
)
def test_a_near_tie_scales_with_the_logits_and_the_same_weights_are_not_blamed(  # noqa: PLR0913  a table
    tmp_path, run, reference, other, gap, dtype, kind
):
    first = changed(run, tmp_path / "a", model={"name": "m", "dtype": "float32", **reference})
    second = {"name": "m", "dtype": dtype, **other}
    second = changed(run, tmp_path / "b", text=WRONG, model=second)
    rows, _ = rows_of([first, second], None)
    own, theirs = (row.scores.verdicts[0].sample for row in rows)
    if LORA.items() <= reference.items() and not other.get("adapter"):
        rows[1] = structs.replace(rows[1], weights="base")
    found = cause(Pair(*rows, own, theirs), FakeGauge(gap))
    assert found.kind == kind
    assert ("weights" in found.detail) == (kind in ("weights", "arithmetic"))
    assert "weights differ" not in found.detail or kind == "weights"


@pytest.fixture(scope="module")
def loaded(model):
    return load(str(model), ModelOptions(dtype="float32"))


@torch.inference_mode()
def logits_after(loaded, text):
    ids = loaded.tokenizer.encode(text, add_special_tokens=False)
    return loaded.model(torch.tensor([ids])).logits[0, -1]


class Fork(NamedTuple):
    """Where an answer could have taken another token: by how much it did not, and after what."""

    gap: float
    n_tokens: int
    alike: str
    letter: str
    prompt: str
    size: float


def forks(loaded, prompt, text):
    """Return a fork for each other letter at each place of an answer."""
    tokenizer, letters = loaded.tokenizer, architectures.LETTERS
    own = tokenizer.encode(text, add_special_tokens=False)
    for n, token in enumerate(own):
        alike = tokenizer.decode(own[:n])
        logits = logits_after(loaded, prompt + alike)
        gaps = logits[token] - logits[tokenizer.convert_tokens_to_ids(list(letters))]
        for letter, gap in zip(letters, gaps.tolist(), strict=True):
            if letter != tokenizer.decode([token]):
                yield Fork(gap, n, alike, letter, prompt, float(logits.abs().max()))


@pytest.mark.parametrize("kind", ["rounding", "weights"])
def test_a_near_tie_is_rounding_and_a_clear_choice_is_not(
    tmp_path, model, loaded, monkeypatch, kind
):
    suite = write_suite(tmp_path / "words.jsonl", 4, [[]])
    monkeypatch.setattr(PythonBackend, "bos", loaded.bos)  # what the tiny tokenizer begins with
    options = {"max_new_tokens": 12}
    run = fcbench.run(str(model), suite, "bare", dtype="float32", results=tmp_path, **options)
    lines = (Path(run.folder) / "prompts.jsonl").read_text("utf-8").splitlines()
    asked = {row["sha256"]: row["prompt"] for row in map(json.loads, lines)}
    written = {asked[s.prompt_sha256]: s.text for s in run.samples}
    every = sorted(fork for pair in written.items() for fork in forks(loaded, *pair))
    fork = every[0 if kind == "rounding" else -1]
    assert (fork.gap < near_tie(fork.size, ["bfloat16"])) == (kind == "rounding")
    # What comes after the fork makes an abstention a malformed call.
    written[fork.prompt] = f"{fork.alike}{fork.letter}call:f{{"
    other = install(monkeypatch, "forked", written.__getitem__)
    ways = Ways(also=(other,), prompts=("bare",), dtypes=("float32",))
    found = drift(str(model), suite, ways, **options)
    assert [row.weights for row in found.rows] == ["base", "python:forked:answer"]
    assert found.metrics == ["abstention"]
    (flip,) = found.flips
    assert (flip.cause.kind, flip.lost, flip.cause.at) == (kind, ["abstention"], len(fork.alike))
    assert flip.cause.gap == pytest.approx(fork.gap, abs=1e-4)
    assert f"at token {fork.n_tokens + 1} {fork.letter!r}" in flip.cause.detail


def test_an_answer_that_ends_parts_at_its_likeliest_stop(loaded):
    gauge = Gauge(loaded, architectures.STOPS)
    whole = Sample("a", text="ab", stop="token", output_tokens=3)
    longer = Sample("a", text="abc", stop="limit", output_tokens=3)
    found = gauge.gap("<bos>Hi", whole, longer)
    logits = logits_after(loaded, "<bos>Hiab")
    ids = loaded.ids_of([*architectures.STOPS, architectures.EOS])
    third = loaded.tokenizer.convert_tokens_to_ids("c")
    assert (found.n_alike, found.second) == (2, "c")
    assert found.value == pytest.approx(float(logits[ids].max() - logits[third]), abs=1e-5)
    assert gauge.gap("<bos>Hi", longer, whole).value == -found.value
    # With the stop token in the text, as transformers keeps it, where another row ended too.
    kept = Sample("a", text=f"ab{architectures.STOPS[0]}", stop="token", output_tokens=3)
    assert gauge.gap("<bos>Hi", kept, longer) == found


def test_without_a_known_stop_there_is_no_gap_to_the_end(loaded, monkeypatch):
    gauge = Gauge(structs.replace(loaded, eos_ids=[]), ())
    whole = Sample("a", text="ab", stop="token", output_tokens=2)
    longer = Sample("a", text="abc", stop="limit", output_tokens=3)
    assert gauge.gap("<bos>Hi", whole, longer) is None


def test_a_model_that_computes_all_logits_at_once_is_measured_all_the_same(loaded, monkeypatch):
    first, second = (Sample("a", text=text, stop="limit", output_tokens=2) for text in ("ab", "ac"))
    expected = Gauge(loaded, ()).gap("<bos>Hi", first, second)
    inner = loaded.model.forward
    monkeypatch.setattr(loaded.model, "forward", lambda input_ids, use_cache: inner(input_ids))
    assert Gauge(loaded, ()).gap("<bos>Hi", first, second) == expected
    monkeypatch.setattr(loaded.model, "get_output_embeddings", lambda: None)
    assert Gauge(loaded, ()).gap("<bos>Hi", first, second).value == pytest.approx(expected.value)


def test_what_no_gap_was_measured_of_says_so(tmp_path, run):
    rows, _ = rows_of([run, changed(run, tmp_path / "b", text=WRONG)], None)
    own, theirs = (row.scores.verdicts[0].sample for row in rows)
    tired = FakeGauge(0.0)
    tired.is_tired = True
    assert "its gap was not measured" in cause(Pair(*rows, own, theirs), tired).detail
    rows[1].manifest["decoding"]["temperature"] = 0.5
    found = cause(Pair(*rows, own, theirs), FakeGauge(0.0))
    assert (found.kind, found.gap) == ("text", None)
    assert "tokens were drawn" in found.detail


def test_a_gauge_tires_of_measuring(loaded, monkeypatch):
    monkeypatch.setattr(gauge_module, "MOST", 1)
    gauge = Gauge(loaded, ())
    assert not gauge.is_tired
    first, second = (Sample("a", text=text, stop="limit", output_tokens=2) for text in ("ab", "ac"))
    gauge.gap("<bos>Hi", first, second)
    gauge.gap("<bos>Hi", second, first)  # the same place
    assert gauge.is_tired


def test_a_text_of_unknown_tokens_has_no_gap(loaded):
    gauge = Gauge(loaded, ())
    made = Sample("a", text="abd", stop="token", output_tokens=4)
    for other in (
        Sample("a", text="abc", stop="token", output_tokens=2),  # some token was two characters
        Sample("a", text="ab", stop="limit", output_tokens=2),  # cut: nobody knows what follows
    ):
        assert gauge.gap("<bos>Hi", made, other) is None
        assert gauge.gap("<bos>Hi", other, made) is None


def test_a_servers_parser_that_reads_no_call_in_the_same_words_is_the_cause(tmp_path, run):
    flip = only_flip(run, changed(run, tmp_path / "other", only=0, native_calls=[]))
    assert flip.cause.kind == "judging"
    assert "a server's own parser read here" in flip.cause.detail
    assert flip.answer.outcome == "server_parser"
    assert flip.answer.reason.startswith("the server's parser reads no call, the grammar reads f")
