"""Runs: stored once, resumed after any interruption, scored without the model."""

import itertools
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import fcbench
from fcbench import Call, Sample
from fcbench.backends.python import PythonBackend
from fcbench.errors import BackendError, RunError, SuiteError, UsageError
from fcbench.runs import execute, plan, read_run, score
from fcbench.runs._folder import RunFolder
from fcbench.runs._writer import Writer

RIGHT = "<start_function_call>call:show_map{query:<escape>Coit Tower<escape>}<end_function_call>"

MODEL = '''
"""Stand-in models that tests name on the command line."""
import hashlib, os, time

def slow(prompts):
    """Deterministic answers, slowly enough to be killed in the middle."""
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
    return ["<start_function_call>call:f{h:<escape>%s<escape>}<end_function_call>"
            % hashlib.sha256(p.encode()).hexdigest() for p in prompts]

def failing(prompts):
    raise RuntimeError("out of memory")

def silent(prompts):
    return ["I cannot help with that." for _ in prompts]

def undecided(prompts):
    """Another answer each time."""
    return [str(os.urandom(8)) for _ in prompts]
'''


@pytest.fixture(autouse=True)
def stand_in(tmp_path, monkeypatch):
    (tmp_path / "stand_in.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def by_case(folder: Path) -> dict[tuple[str, int], dict]:
    """Samples by case and repeat, without the timing that differs from run to run."""
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
    keyed = {(row["case_id"], row["repeat"]): row for row in rows}
    assert len(keyed) == len(rows), "a sample stands twice"
    return {key: {k: v for k, v in row.items() if k != "seconds"} for key, row in keyed.items()}


def command(*extra: str) -> list[str]:
    return [
        sys.executable, "-m", "fcbench", "run", "--model", "python:stand_in:slow", "--suite",
        "mobile_actions", "--limit", "60", "--batch-size", "4", *extra,
    ]  # fmt: skip


def test_a_run_that_is_killed_twice_resumes_to_the_same_samples(tmp_path, monkeypatch):
    subprocess.run(command("--results", "whole"), check=True, capture_output=True)
    (whole,) = (tmp_path / "whole").glob("*/samples.jsonl")
    monkeypatch.setenv("STAND_IN_SECONDS", "0.2")
    log = tmp_path / "killed" / whole.parent.name / "samples.jsonl"
    n_kills = 0
    while n_kills < 2:
        process = subprocess.Popen(
            command("--results", "killed", "--resume"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        had = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (not log.exists() or log.stat().st_size <= had):
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
        n_kills += 1
    # A kill in the middle of a write leaves a torn line; a whole file system buffer hides it here.
    with log.open("ab") as file:
        file.write(b'{"case_id": "eval-00')
    assert 0 < len(log.read_bytes().split(b"\n")) - 1 < 60
    subprocess.run(command("--results", "killed", "--resume"), check=True, capture_output=True)
    assert by_case(log.parent) == by_case(whole.parent)
    assert b"eval-00" in (log.parent / "samples.torn").read_bytes()


@pytest.mark.parametrize("sampling", [[], ["--temperature", "1.3", "--repeats", "3"]])
def test_a_killed_run_of_a_real_model_resumes_to_the_same_samples(
    tmp_path, tiny_model, monkeypatch, sampling
):
    # In float32, because the second half is answered in other company than in the whole run.
    # Tiny matrices: on a busy machine two threads wait for each other thirty times as long.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    n_repeats = 3 if sampling else 1
    arguments = [
        sys.executable, "-m", "fcbench", "run", "--model", str(tiny_model), "--suite",
        "mobile_actions", "--limit", str(24 // n_repeats), "--batch-size", "3", "--max-new-tokens",
        "48", "--resume", "--dtype", "float32", *sampling,
    ]  # fmt: skip
    subprocess.run([*arguments, "--results", "whole"], check=True, capture_output=True)
    (whole,) = (tmp_path / "whole").glob("*/samples.jsonl")
    log = tmp_path / "killed" / whole.parent.name / "samples.jsonl"
    process = subprocess.Popen([*arguments, "--results", "killed"], stdout=-3, stderr=-3)
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    assert 0 < len(by_case(log.parent)) < 24
    subprocess.run([*arguments, "--results", "killed"], check=True, capture_output=True)
    assert by_case(log.parent) == by_case(whole.parent)
    repeats = {(row["case_id"], row["repeat"]) for row in by_case(log.parent).values()}
    assert repeats == {(case_id, r) for case_id, _ in repeats for r in range(n_repeats)}
    assert len(repeats) == 24


def run(model="python:stand_in:slow", suite="original_experiment", **options):
    return fcbench.run(model, suite, **options)


def test_nothing_is_written_without_results(tmp_path):
    before = set(tmp_path.iterdir())
    made = run()
    assert len(made.samples) == 5
    assert made.folder is None
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == before


def test_a_second_run_begins_anew_and_resume_goes_on(tmp_path):
    first, second = run(results="r"), run(results="r")
    assert second.folder == f"{first.folder}-2"
    logs = [Path(made.folder) / "samples.jsonl" for made in (first, second)]
    lines = logs[1].read_bytes().splitlines(keepends=True)
    logs[1].write_bytes(b"".join(lines[:2]))
    before = logs[0].read_bytes()
    resumed = run(results="r", resume=True)  # the newest run, not the finished first one
    assert resumed.folder == second.folder
    assert len(logs[1].read_bytes().splitlines()) == 5
    assert logs[0].read_bytes() == before


def test_the_log_is_plain_and_each_prompt_stands_once():
    folder = Path(run(results="r").folder)
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
    assert all({"case_id", "text"} <= set(row) for row in rows)
    prompts = [
        json.loads(line) for line in (folder / "prompts.jsonl").read_text("utf-8").splitlines()
    ]
    assert {row["prompt_sha256"] for row in rows} == {row["sha256"] for row in prompts}
    manifest = json.loads((folder / "run.json").read_text("utf-8"))
    assert manifest["suite"]["sha256"] == fcbench.load_suite("original_experiment").sha256


def test_resume_refuses_a_run_of_another_suite(write_lines, case_row):
    path = write_lines(case_row())
    run(suite=path, results="r")
    write_lines(case_row(id="b"))
    with pytest.raises(RunError, match=r"a run of another suite \(suite.sha256 differs\)"):
        run(suite=path, results="r", resume=True)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ({"max_new_tokens": 7}, "decoding.max_new_tokens"),
        ({"seed": 1}, "seed"),
    ],
)
def test_resume_refuses_what_would_change_the_samples(option, named):
    run(results="r")
    with pytest.raises(RunError, match=rf"\({named} differs\)"):
        run(results="r", resume=True, **option)


# Repeats


def test_repeats_ask_each_case_again_with_one_prompt_and_keep_every_answer():
    made = run("python:stand_in:undecided", results="r", repeats=3)
    drawn = [(s.case_id, s.repeat) for s in made.samples]
    assert drawn == [(case.id, repeat) for case in made.cases for repeat in range(3)]
    assert len({sample.text for sample in made.samples}) == 15
    assert len((Path(made.folder) / "prompts.jsonl").read_bytes().splitlines()) == 5
    assert made.manifest["prompt"] == run().manifest["prompt"]
    assert (made.manifest["decoding"]["temperature"], made.manifest["decoding"]["repeats"]) == (
        0,
        3,
    )
    read = read_run(made.folder)
    assert (read.samples, read.cases) == (made.samples, made.cases)
    scores = score(read)
    assert (scores.n_cases, len(scores.verdicts), scores.n_errors) == (5, 15, 0)


def test_only_the_repeats_that_are_missing_are_drawn_again(tmp_path):
    made = run("python:stand_in:undecided", results="r", repeats=3, batch_size=4)
    log = Path(made.folder) / "samples.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    kept = [line for i, line in enumerate(lines) if i not in (1, 9)]
    log.write_bytes(b"".join(kept))
    before = by_case(log.parent)
    resumed = run("python:stand_in:undecided", results="r", repeats=3, batch_size=4, resume=True)
    assert len(resumed.samples) == 15
    after = by_case(log.parent)
    assert len(after) == 15
    assert {key: after[key] for key in before} == before
    assert log.read_bytes().startswith(b"".join(kept))


@pytest.mark.parametrize("n_kept", [0, 2])
def test_a_run_that_is_older_than_repeats_goes_on_and_is_scored(n_kept):
    made = run(results="r")
    folder = Path(made.folder)
    manifest = json.loads((folder / "run.json").read_text("utf-8"))
    manifest["decoding"] = {"mode": "greedy", "max_new_tokens": 256}
    del manifest["matching"]
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    lines = (folder / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "samples.jsonl").write_bytes(b"".join(lines[:n_kept]))
    assert score(folder).n_errors == 5 - n_kept
    resumed = run(results="r", resume=True)
    assert resumed.folder == made.folder
    assert score(folder).metrics["syntax_validity"] == score(made).metrics["syntax_validity"]
    manifest["decoding"]["repeats"] = 2
    (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RunError, match=r"\(decoding.repeats differs\)"):
        run(results="r", resume=True)


def test_plans_that_sample_differently_have_different_names():
    options = [
        {},
        {"decode": "sample"},
        {"temperature": 0.7},
        {"temperature": 0.70000001},
        {"temperature": 0.7, "repeats": 5},
        {"temperature": 0.7, "repeats": 6},
        {"temperature": 0.7, "decode": "constrained"},
        {"decode": "constrained"},
    ]
    names = [
        plan("m", "original_experiment", "chat", None, each.pop("decode", None), "r", **each).name
        for each in options
    ]
    assert len(set(names)) == len(names)
    assert names[0] == "original_experiment--m--chat"
    assert names[1] == "original_experiment--m--chat--sample--t1"
    assert names[4] == "original_experiment--m--chat--sample--t0.7--x5"


@pytest.mark.parametrize(
    ("decode", "temperature", "meant"),
    [
        (None, None, ("greedy", 0)),
        (None, 0, ("greedy", 0)),
        (None, 1, ("sample", 1)),
        ("sample", None, ("sample", 1)),
        ("sample", 0.3, ("sample", 0.3)),
        ("constrained", None, ("constrained", 0)),
        ("constrained", 0.3, ("constrained", 0.3)),
    ],
)
def test_a_decoding_and_a_temperature_say_each_other(decode, temperature, meant):
    made = plan("m", "original_experiment", "chat", None, decode, None, temperature=temperature)
    assert (made.decode, made.temperature) == meant


# Failures of the machinery


def test_a_failure_of_the_machinery_is_not_an_answer():
    scores = score(run("python:stand_in:failing"))
    assert scores.n_errors == 5
    assert scores.outcomes == {"error": 5}
    assert scores.metrics["syntax_validity"] == (None, None, None, 0)
    with pytest.raises(RunError, match="RuntimeError: out of memory"):
        scores.assert_at_least(syntax_validity=0.0)


def test_resume_draws_errors_again(tmp_path):
    made = run(results="r")
    log = Path(made.folder) / "samples.jsonl"
    lines = log.read_text("utf-8").splitlines()
    broken = {**json.loads(lines[2]), "text": "", "error": "timeout"}
    log.write_text("\n".join([*lines[:2], json.dumps(broken), *lines[3:]]) + "\n", encoding="utf-8")
    resumed = run(results="r", resume=True)
    assert [s.error for s in resumed.samples] == [None] * 5
    assert len(log.read_text("utf-8").splitlines()) == 6


def test_a_run_of_errors_alone_may_go_on_over_an_edited_suite(write_lines, case_row):
    def answer(prompts):
        if is_down:
            raise BackendError("the server went away")
        return ["No."] * len(prompts)

    def go_on(*names):
        suite = write_lines(*[case_row(id=name) for name in names])
        made = plan("x", suite, "bare", None, "greedy", "r", resume=True)
        return execute(made, PythonBackend(answer, "x", 2))

    is_down = True
    assert score(go_on("a", "b")).n_errors == 2
    is_down = False
    made = go_on("b", "c")
    assert [(s.case_id, s.error) for s in made.samples] == [("b", None), ("c", None)]
    assert score(made.folder).n_errors == 0


def test_a_backend_of_another_package_may_raise_a_backend_error():
    class Remote(PythonBackend):
        def answer(self, batch, decoding):
            raise BackendError("the server went away")

    made = execute(
        plan("x", "original_experiment", "chat", None, "greedy", None), Remote(list, "x", 2)
    )
    assert {sample.error for sample in made.samples} == {"the server went away"}


@pytest.mark.parametrize(
    "call",
    [
        Call("f", {"x": object()}),
        Call(5),
        Call("f", {"x": 10**5000}),
        Call("f", {"x": float("nan")}),
        Call("f", [1]),
    ],
)
def test_calls_that_cannot_be_stored_are_errors(call):
    backend = PythonBackend(lambda p: [[call]] * len(p), "x", 16)
    made = execute(plan("x", "original_experiment", "chat", None, "greedy", "r"), backend)
    assert all(
        "not calls of JSON values" in sample.error for sample in read_run(made.folder).samples
    )


@pytest.mark.parametrize("answer", [lambda p: [1] * len(p), lambda p: [], lambda p: [[1]] * len(p)])
def test_answers_of_the_wrong_kind_are_errors(answer):
    backend = PythonBackend(answer, "x", 16)
    made = execute(plan("x", "original_experiment", "chat", None, "greedy", None), backend)
    assert all(sample.error for sample in made.samples)


@pytest.mark.parametrize(
    ("template", "format"),
    [
        ("{{ '<|tool_call>call:' }}", "gemma4"),
        ("{{ bos_token }}", "functiongemma"),
        (None, "functiongemma"),
    ],
)
def test_format_auto_takes_what_the_chat_template_writes_and_says_so(template, format, caplog):
    class Templated(PythonBackend):
        class template:  # noqa: N801
            source = template

            def __new__(cls, messages, tools):
                return "prompt"

    backend = Templated(lambda p: ["<|tool_call>call:show_map{}<tool_call|>"] * len(p), "x", 16)
    if template is None:
        backend.template = None
    made_plan = plan("x", "original_experiment", "chat", None, "greedy", None, format="auto")
    with caplog.at_level("INFO", logger="fcbench"):
        made = execute(made_plan, backend)
    assert made.manifest["format"]["name"] == format
    assert format in caplog.text
    assert score(made).metrics["syntax_validity"].value == (1.0 if format == "gemma4" else 0.0)


@pytest.mark.parametrize(("told", "is_warned"), [("", True), ("show_map", False)])
def test_a_chat_template_that_tells_no_tools_is_warned_of(told, is_warned, caplog):
    class Deaf(PythonBackend):
        class template:  # noqa: N801
            source = ""

            def __new__(cls, messages, tools):
                return "prompt" + told

    execute(
        plan("x", "original_experiment", "chat", None, "greedy", None, limit=1),
        Deaf(lambda prompts: [""] * len(prompts), "x", 16),
    )
    assert ("the model is told of none" in caplog.text) is is_warned


def test_native_calls_of_a_function_are_matched_but_have_no_syntax():
    backend = PythonBackend(
        lambda p: [[Call("show_map", {"query": "Coit Tower"})]] * len(p), "x", 16
    )
    scores = score(execute(plan("x", "original_experiment", "chat", None, "greedy", None), backend))
    assert scores.metrics["syntax_validity"].value is None
    assert scores.metrics["argument_exact_match"].value == pytest.approx(1 / 5)


def test_shuffling_cases_changes_no_score():
    made = run()
    shuffled = fcbench.Run(made.manifest, made.cases[::-1], made.samples[2:] + made.samples[:2])
    assert score(shuffled).metrics == score(made).metrics


# Scoring outputs made elsewhere


def test_outputs_are_scored_from_a_mapping_from_records_and_from_a_folder():
    outputs = {case.id: RIGHT for case in fcbench.load_suite("original_experiment").cases}
    scores = score(outputs, suite="original_experiment")
    assert scores.metrics["syntax_validity"].value == 1
    assert scores.metrics["argument_exact_match"] == pytest.approx(
        (0.2, 0.0362, 0.6245, 5), abs=1e-3
    )
    records = [{"id": case_id, "text": text} for case_id, text in outputs.items()]
    assert score(records, suite="original_experiment").metrics == scores.metrics
    samples = [Sample(case_id, text=text) for case_id, text in outputs.items()]
    assert score(samples, suite="original_experiment").metrics == scores.metrics
    assert score(run(results="r").folder).n_cases == 5


def test_a_case_without_an_output_is_an_error_not_a_wrong_answer():
    scores = score({"map": RIGHT}, suite="original_experiment")
    assert scores.n_errors == 4
    assert scores.metrics["argument_exact_match"].n == 1


def test_an_output_for_no_case_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean map"):
        score({"mapp": RIGHT}, suite="original_experiment")
    with pytest.raises(UsageError, match="suite="):
        score({"map": RIGHT})


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([{"id": "map"}], r"output 1: \$.text: missing"),
        (
            [{"id": "map", "text": "a"}, {"id": "map", "text": "b"}],
            "output 2: map was answered in output 1 already",
        ),
        ([{"id": "map", "text": "a", "foo": 1}], "output 1: .*unknown field `foo`"),
        ([3], r"output 1: \$: expected object, got int"),
        ({"map": None}, r"output 1: \$.text: missing"),
    ],
)
def test_an_output_that_is_none_is_named(outputs, message):
    with pytest.raises(UsageError, match=message):
        score(outputs, suite="original_experiment")


def test_outputs_in_a_file_are_named_with_their_line(tmp_path):
    path = tmp_path / "outputs.jsonl"
    path.write_text('\n{"id": "map", "text": "a"}\n{"id": "map", "text": "b"}\n', encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"outputs.jsonl:3: map was answered in .*outputs.jsonl:2 already"
    ):
        score(path, suite="original_experiment")


def test_metrics_are_over_the_cases_that_they_are_about():
    scores = score(run("python:stand_in:silent", "mobile_actions"))
    assert scores.metrics["abstention"][0::3] == (1.0, 20)
    assert scores.metrics["syntax_validity"][0::3] == (0.0, 180)
    assert scores.by_tag["no_call"]["name_match"] == (None, None, None, 0)
    assert scores.outcomes == {"abstained": 200}


def test_to_pandas_has_a_row_a_case():
    frame = score({"map": RIGHT}, suite="original_experiment").to_pandas()
    assert list(frame["case_id"]) == [c.id for c in fcbench.load_suite("original_experiment").cases]
    assert frame.set_index("case_id").loc["map", "argument_exact_match"] == 1.0
    wrong = score({"map": RIGHT.replace("Coit", "Eiffel")}, suite="original_experiment").to_pandas()
    reasons = wrong.set_index("case_id")["reason"]
    assert (
        reasons["map"] == "show_map.query: different: expected 'Coit Tower', called 'Eiffel Tower'"
    )
    assert reasons["email"] == "no answer: no output was given"


def test_a_threshold_that_n_cases_cannot_prove_says_so():
    scores = score({"map": RIGHT}, suite="original_experiment")
    (line,) = scores.missed({"argument_exact_match": 0.9})
    assert line.endswith("; 1 case cannot prove more than 20.7%")


def test_pydoc_shows_the_public_names():
    script = (
        "import pydoc, fcbench; [pydoc.render_doc(getattr(fcbench, n)) for n in fcbench.__all__]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_assert_at_least_is_about_the_lower_bound_and_shows_failing_cases():
    scores = score(run("python:stand_in:silent", "mobile_actions"))
    scores.assert_at_least(abstention=0.8)
    with pytest.raises(AssertionError) as caught:
        scores.assert_at_least(abstention=0.9, name_match=0.5)
    message = str(caught.value)
    assert "abstention 100.0% [83.9%, 100.0%] of 20 is not at least 0.9" in message
    assert "name_match 0.0%" in message
    assert "no call was attempted" in message
    assert "… and 175 more" in message
    with pytest.raises(UsageError, match="did you mean name_match"):
        scores.assert_at_least(name_mtch=1)


# Plans


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "raw+x"}, "not a prompt"),
        ({"limit": 0}, "limit is at least 1"),
        ({"batch_size": 0}, "batch_size is at least 1"),
        ({"prefix_memory": -1}, "prefix_memory is at least 0"),
        ({"tags": ("singel",)}, "did you mean single"),
        ({"decode": "greddy"}, "did you mean greedy"),
        ({"limt": 3}, "did you mean limit"),
        ({"repeats": 0}, "repeats is at least 1"),
        ({"repeats": 10**6}, "repeats is at most 100,000"),
        ({"temperature": -0.1}, "temperature is a number from 0 up, got -0.1"),
        ({"temperature": float("nan")}, "temperature is a number from 0 up, got nan"),
        ({"temperature": float("inf")}, "temperature is a number from 0 up, got inf"),
        ({"temperature": 0.5, "decode": "greedy"}, "greedy decoding has no temperature, got 0.5"),
        ({"temperature": 0, "decode": "sample"}, "sampling at temperature 0 draws nothing"),
        ({"temperature": 0.5}, "a function chooses its words: no --temperature here"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        run(**options)


def test_a_changed_suite_is_noticed_when_a_run_is_read(write_lines, case_row):
    path = write_lines(case_row())
    made = run(suite=path, results="r")
    write_lines(case_row(id="b"))
    with pytest.raises(RunError, match="another SHA-256"):
        read_run(made.folder)


def test_a_run_whose_suite_has_moved_is_read_with_it(write_lines, case_row):
    suite = write_lines(case_row())
    folder = run(results="r", suite=str(suite)).folder
    moved = suite.rename("moved.jsonl")
    with pytest.raises(RunError, match=r"its suite .*cases\.jsonl is not here") as refused:
        score(folder)
    assert "--suite FILE" in refused.value.hint
    assert score(folder, suite=str(moved)).n_cases == 1
    moved.write_text(moved.read_text().replace("Oslo", "Rome"))
    with pytest.raises(RunError, match="has another SHA-256 now"):
        score(folder, suite=str(moved))


def test_few_shot_needs_a_training_file(write_lines, case_row):
    with pytest.raises(SuiteError, match="no training file"):
        run(suite=write_lines(case_row()), prompt="raw+2")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("run.json", "{}"),
        ("run.json", '{"suite": []}'),
        ("run.json", '{"suite": {"source": 5}}'),
        ("samples.jsonl", "{}\n"),
        ("samples.jsonl", "x\n"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(file, content):
    folder = Path(run(results="r").folder)
    (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=file):
        read_run(folder)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_was_answered_before_an_interruption_is_kept_and_not_asked_again(error):
    class Interrupted(PythonBackend):
        def answer(self, requests, decoding):
            yield from itertools.islice(super().answer(requests, decoding), 3)
            raise error

    asked = []

    def function(prompts):
        asked.extend(prompts)
        return [f"answer {len(asked)}"] * len(prompts)

    made = plan("x", "original_experiment", "bare", None, "greedy", "r")
    with pytest.raises(error):
        execute(made, Interrupted(function, "x", 1))
    (folder,) = Path("r").glob("*")
    kept = by_case(folder)
    assert len(kept) == 3
    asked.clear()
    resumed = execute(
        plan("x", "original_experiment", "bare", None, "greedy", "r", resume=True),
        PythonBackend(function, "x", 1),
    )
    assert len(asked) == 2
    assert by_case(folder).items() >= kept.items()
    assert len(by_case(folder)) == len(resumed.samples) == 5


def test_a_backend_that_fails_on_the_way_leaves_what_it_answered_and_errors_for_the_rest():
    class Remote(PythonBackend):
        def answer(self, requests, decoding):
            answered = super().answer(requests[::-1], decoding)  # any order is one
            yield next(answered)
            yield next(answered)
            raise BackendError("the server went away")

    made = execute(
        plan("x", "original_experiment", "chat", None, "greedy", "r"), Remote(list, "x", 2)
    )
    errors = {sample.case_id: sample.error for sample in made.samples}
    assert list(errors) == [case.id for case in made.cases]
    assert list(errors.values()) == ["the server went away"] * 3 + [None] * 2
    assert {s.case_id: s.error for s in read_run(made.folder).samples} == errors


def test_of_a_batch_every_answer_is_stored_before_the_next_is_asked():
    """A kill while the second batch is answered costs none of the first."""
    stored = []

    def answer(prompts):
        stored.append(sum(len(log.read_bytes().splitlines()) for log in Path("r").glob("*/s*")))
        return ["No."] * len(prompts)

    execute(
        plan("x", "mobile_actions", "chat", None, "greedy", "r"), PythonBackend(answer, "x", 16)
    )
    assert stored == list(range(0, 16 * len(stored), 16))
    assert len(stored) > 2


def test_a_log_is_flushed_to_the_disk_twice_a_second_and_at_its_end(monkeypatch, tmp_path):
    now, flushed = [0.0], []
    monkeypatch.setattr("fcbench.runs._writer.time", SimpleNamespace(monotonic=lambda: now[0]))
    with Writer(RunFolder(tmp_path)) as writer:
        monkeypatch.setattr("os.fsync", lambda file: flushed.append(now[0]))
        flushed.clear()
        for now[0] in (0.1, 0.3, 0.6, 0.7, 1.0, 1.2, 1.3):
            writer.append(Sample("a", text="x"))
        flushed.append("closed")
    assert flushed[-5:] == [0.1, 0.6, 1.2, "closed", 1.3]


def test_what_no_log_can_hold_is_an_error_and_costs_no_other_answer():
    class Own(PythonBackend):
        def answer(self, requests, decoding):
            odd = {1: {"native_calls": [Call("f", {"x": 10**5000})]}, 2: {"output_tokens": 10**300}}
            for i, request in enumerate(requests):
                yield Sample(request.case.id, request.repeat, **odd.get(i, {}))

    made = execute(plan("x", "original_experiment", "chat", None, "greedy", "r"), Own(list, "x", 2))
    errors = [sample.error for sample in made.samples]
    assert errors[1].startswith("cannot be stored: Exceeds the limit")
    assert errors[2].startswith("cannot be stored: Expected `int` <= 9007199254740992")
    assert errors[:1] + errors[3:] == [None] * 3


def test_a_run_folder_never_leaves_the_results(tmp_path):
    name = plan("../../x", "original_experiment", "chat", "../a", "greedy", "r").name
    assert "/" not in name
    assert not name.startswith(".")


def test_a_lone_surrogate_survives_the_log(tmp_path):
    backend = PythonBackend(lambda p: ["\ud800 é"] * len(p), "x", 16)
    made = execute(plan("x", "original_experiment", "chat", None, "greedy", "r"), backend)
    assert {sample.text for sample in read_run(made.folder).samples} == {"\ud800 é"}


def test_batches_of_the_python_backend_keep_order():
    backend = PythonBackend(list, "x", 2)
    made = execute(plan("x", "original_experiment", "bare", None, "greedy", None), backend)
    assert [s.case_id for s in made.samples] == [c.id for c in made.cases]
