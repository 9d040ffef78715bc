"""run --dry-run: the prompt as it is sent, the plan, the time; and nothing is done."""

import json
import sys

import pytest

import fcbench
from fcbench.prompts import Style, requests
from fcbench.suite import load_suite

MODEL = "python:standin:answer"
RUN = ("run", "--model", MODEL, "--suite", "original_experiment")


def dry(fcbench_cli, *arguments):
    code, out, err = fcbench_cli(*RUN, *arguments, "--dry-run", "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def flat(text):
    return " ".join(text.split())


def test_the_prompt_is_the_one_that_is_sent(fcbench_cli, here):
    (planned,) = dry(fcbench_cli, "--prompt", "raw")
    made = fcbench.run(MODEL, "original_experiment", "raw", results="results")
    first = made.samples[0]
    assert planned["first_prompt"]["sha256"] == first.prompt_sha256
    assert planned["first_prompt"]["case_id"] == first.case_id
    stored = (here / made.folder / "prompts.jsonl").read_text("utf-8").splitlines()
    assert planned["first_prompt"]["text"] == json.loads(stored[0])["prompt"]
    assert planned["folder"] == made.folder


def test_nothing_is_written_and_no_model_is_asked(fcbench_cli, here, monkeypatch):
    import standin

    monkeypatch.setattr(standin, "answer", None.__class__)  # callable, and fails when it is called
    before = sorted(here.rglob("*"))
    code, out, _ = fcbench_cli(*RUN, "--dry-run")
    assert code == 0
    assert "Nothing was run" in out
    assert [path for path in sorted(here.rglob("*")) if "__pycache__" not in str(path)] == [
        path for path in before if "__pycache__" not in str(path)
    ]


def test_every_combination_is_planned(fcbench_cli, here):
    plans = dry(
        fcbench_cli, "--model", "python:standin:failing", "--suite", "types", "--prompt", "chat,bare",
        "--sample", "7", "--seed", "3", "--tags", "", "--repeats", "2",
    )  # fmt: skip
    assert len(plans) == 8
    assert {(p["model"], p["suite"], p["prompt"]) for p in plans} == {
        (model, suite, prompt)
        for model in (MODEL, "python:standin:failing")
        for suite in ("original_experiment", "types")
        for prompt in ("chat", "bare")
    }
    assert {p["n_cases"] for p in plans if p["suite"] == "types"} == {7}
    assert {p["n_answers"] for p in plans if p["suite"] == "types"} == {14}
    assert {p["repeats"] for p in plans} == {2}


def test_a_plan_is_told_in_words(fcbench_cli, here):
    code, out, _ = fcbench_cli(
        *RUN[:4], "mobile_actions", "--sample", "9", "--tags", "send_email", "--dry-run"
    )
    out = flat(out)
    assert code == 0
    assert "9 of the 200 of mobile_actions (with the tag send_email, drawn by seed 0)" in out
    assert "greedy, at most 256 tokens" in out
    assert (
        "results/mobile_actions-sample9--send_email--python-standin-answer--chat, a new run" in out
    )


def test_what_cannot_be_seen_in_a_prompt_is_written_out(fcbench_cli, here, write_lines, case_row):
    words = "Show\tme\u202e \x1b[2J\u200b Oslo."
    path = str(write_lines(case_row(messages=[{"role": "user", "content": words}])))
    code, out, _ = fcbench_cli(
        "run", "--model", MODEL, "--suite", path, "--prompt", "bare", "--dry-run"
    )
    assert code == 0
    assert "  Show\\tme\\u202e \\x1b[2J\\u200b Oslo.<end_of_turn>\n" in out
    assert "  <start_of_turn>model\\n\n" in out  # which ends with a newline
    assert not {"\t", "\u202e", "\x1b", "\u200b"} & set(out)


# Tokens


def test_a_folder_counts_with_its_own_tokenizer_and_loads_no_weights(
    fcbench_cli, here, tiny_model, monkeypatch
):
    import transformers

    def refuse(*_, **__):
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", refuse)
    code, out, _ = fcbench_cli(
        "run", "--model", str(tiny_model), "--suite", "original_experiment", "--dry-run", "--json"
    )
    assert code == 0
    (planned,) = json.loads(out)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    prompt = planned["first_prompt"]
    expected = len(tokenizer.encode(prompt["text"], add_special_tokens=False))
    assert (prompt["n_tokens"], prompt["counted_by"]) == (expected, "the model's own tokenizer")


def test_tokens_that_nobody_can_count_are_not_known(fcbench_cli, here):
    (planned,) = dry(fcbench_cli)
    assert planned["first_prompt"]["n_tokens"] is None
    _, out, _ = fcbench_cli(*RUN, "--dry-run")
    assert "tokens not known: models of this kind do not say" in flat(out)


def test_a_model_that_cannot_be_is_refused_as_by_a_run(fcbench_cli, here):
    code, out, err = fcbench_cli("run", "--model", "./nowhere", "--dry-run")
    assert (code, out) == (2, "")
    assert "./nowhere: no such model folder" in err


# Resuming


def test_an_earlier_run_is_named_and_how_far_it_is(fcbench_cli, here):
    made = fcbench.run(MODEL, "original_experiment", results="results")
    _, out, _ = fcbench_cli(*RUN, "--dry-run")
    assert f"{made.folder}-2, a new run ({made.folder} stays; --resume goes on with it)" in flat(
        out
    )
    samples = here / made.folder / "samples.jsonl"
    lines = samples.read_text("utf-8").splitlines()
    failed = json.dumps({**json.loads(lines[2]), "error": "timeout"})
    samples.write_text("\n".join([*lines[:2], failed]) + "\n{torn", encoding="utf-8")
    before = samples.read_bytes()
    _, out, _ = fcbench_cli(*RUN, "--dry-run", "--resume")
    told = f"{made.folder}, which goes on: 2 of 5 are answered, 1 errors are asked again"
    assert told in flat(out)
    assert samples.read_bytes() == before  # a torn line is not set aside by looking at it
    (planned,) = dry(fcbench_cli, "--resume")
    assert (planned["goes_on"], planned["n_answered"], planned["n_errors"]) == (True, 2, 1)


def test_what_could_not_be_resumed_is_refused(fcbench_cli, here):
    fcbench.run(MODEL, "original_experiment", results="results")
    code, _, err = fcbench_cli(*RUN, "--dry-run", "--resume", "--max-new-tokens", "9")
    assert code == 2
    assert "decoding.max_new_tokens differs" in err


def test_a_resume_of_nothing_is_a_new_run(fcbench_cli, here):
    _, out, _ = fcbench_cli(*RUN, "--dry-run", "--resume")
    assert "a new run (none to resume)" in flat(out)


# Time


@pytest.fixture
def stored(here):
    """Return a function that stores a run whose answers took some seconds each."""

    def store(seconds, suite="original_experiment", prompt="chat", **changed):
        options = {"max_new_tokens": changed.pop("limit", 256), "results": "results"}
        made = fcbench.run(MODEL, suite, prompt, **options)
        samples = here / made.folder / "samples.jsonl"
        rows = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
        rows = [{**row, "seconds": seconds, **changed} for row in rows]
        samples.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return made.folder

    return store


def test_an_estimate_is_scaled_from_a_run_of_the_same_model_and_prompt(fcbench_cli, stored):
    folder = stored(2.0)
    (planned,) = dry(fcbench_cli, "--repeats", "4")
    found = planned["forecast"]
    assert (found["seconds"], found["most_seconds"]) == (40.0, 40.0)
    assert (found["basis"], found["n_answers"], found["differences"]) == (folder, 5, [])
    _, out, _ = fcbench_cli(*RUN, "--repeats", "4", "--dry-run")
    told = "about 40 s for 20 answers, loading not counted: 2 s each of 5 in"
    assert f"{told} {folder}" in flat(out)


def test_another_prompt_or_model_tells_nothing(fcbench_cli, stored):
    stored(2.0, prompt="bare")
    (planned,) = dry(fcbench_cli)
    assert planned["forecast"] is None
    _, out, _ = fcbench_cli(*RUN, "--dry-run")
    assert "not known: results holds no run of this model and prompt" in flat(out)
    assert "--limit 5 makes one" in flat(out)
    code, out, _ = fcbench_cli(
        "run", "--model", "python:standin:failing", "--prompt", "bare", "--dry-run", "--json"
    )
    assert (code, json.loads(out)[0]["forecast"]) == (0, None)


def test_the_run_that_is_most_alike_tells(fcbench_cli, stored):
    alike = stored(3.0)
    stored(9.0, suite="types")  # newer, and of another suite
    (planned,) = dry(fcbench_cli)
    assert planned["forecast"]["basis"] == alike
    code, out, _ = fcbench_cli("run", "--model", MODEL, "--suite", "abstain", "--dry-run", "--json")
    assert code == 0
    (other,) = json.loads(out)
    assert other["forecast"]["differences"][0].startswith("over ")


def test_answers_that_were_cut_may_take_longer_and_shorter_limits_less(fcbench_cli, stored):
    stored(1.0, limit=64, stop="limit", output_tokens=64)
    (planned,) = dry(fcbench_cli)
    assert planned["forecast"]["seconds"] == 5.0
    assert planned["forecast"]["most_seconds"] == 20.0
    assert planned["forecast"]["differences"] == ["at most 64 tokens"]
    (planned,) = dry(fcbench_cli, "--max-new-tokens", "16")
    assert planned["forecast"]["seconds"] == planned["forecast"]["most_seconds"] == 1.25


def test_only_what_is_missing_takes_time(fcbench_cli, here, stored):
    folder = stored(2.0)
    samples = here / folder / "samples.jsonl"
    lines = samples.read_text("utf-8").splitlines(keepends=True)
    samples.write_text("".join(lines[:3]), encoding="utf-8")
    (planned,) = dry(fcbench_cli, "--resume")
    assert planned["forecast"]["seconds"] == 4.0
    samples.write_text("".join(lines), encoding="utf-8")
    _, out, _ = fcbench_cli(*RUN, "--resume", "--dry-run")
    assert "time none: all is answered" in flat(out)


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"model": 1, "prompt": 2}', '{"model": {"name": "x"}}']
)
def test_broken_runs_among_the_results_disturb_nobody(fcbench_cli, here, stored, content):
    folder = stored(2.0)
    (here / "results" / "broken").mkdir()
    (here / "results" / "broken" / "run.json").write_text(content, encoding="utf-8")
    (here / "results" / "odd").mkdir()
    whole = (here / folder / "run.json").read_text("utf-8")
    (here / "results" / "odd" / "run.json").write_text(whole, encoding="utf-8")
    (here / "results" / "odd" / "samples.jsonl").write_text("{\n", encoding="utf-8")
    (planned,) = dry(fcbench_cli)
    assert planned["forecast"]["basis"] == folder


def test_nothing_heavy_is_imported_for_a_function(here):
    import subprocess

    script = (
        "import sys; from fcbench.cli import main\n"
        f"main({[*RUN, '--dry-run']!r})\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'peft', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_few_shot_prompts_hold_the_examples_that_a_run_draws(fcbench_cli, here):
    (planned,) = dry(fcbench_cli, "--prompt", "raw+2", "--seed", "4")
    made = fcbench.run(MODEL, "original_experiment", "raw+2", seed=4)
    assert planned["first_prompt"]["sha256"] == made.samples[0].prompt_sha256
    plain = requests(load_suite("original_experiment").cases[:1], "raw", Style())
    assert planned["first_prompt"]["sha256"] != plain[0].prompt_sha256
