"""A run is repeated from its manifest, and what differs is said."""

import json
import shlex
from pathlib import Path

import msgspec
import pytest

import fcbench
from fcbench import Call
from fcbench.cli import main
from fcbench.runs import _manifest, command_of, differences, execute, plan, plan_again, read_run
from fcbench.runs._generate import latest
from fcbench.types import Run, Sample

RESULTS = Path(__file__).parent.parent.parent / "results"
MODEL = '''
"""Models whose answers depend on the prompt, and on a word in the environment."""
import hashlib, os

def steady(prompts):
    return [hashlib.sha256(prompt.encode()).hexdigest() for prompt in prompts]

def moody(prompts):
    mood = os.environ.get("MOOD", "")
    if mood == "broken":
        raise RuntimeError(mood)
    return [f"Coit Tower is {mood} here." if "Coit" in prompt else "" for prompt in prompts]
'''
STEADY, MOODY = "python:models:steady", "python:models:moody"


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    (tmp_path / "models.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def stored(model=STEADY, suite="original_experiment", **options):
    return fcbench.run(model, suite, results="results", **options)


def again(made, *extra):
    """Run the command and return its exit code."""
    return main(["run", "--reproduce", made.folder, *extra])


def test_a_run_that_is_repeated_gives_the_same_samples_in_a_new_folder(capsys):
    made = stored()
    before = {path: path.read_bytes() for path in Path(made.folder).iterdir()}
    assert again(made, "--model", STEADY) == 0
    said, progress = capsys.readouterr()
    assert "5 samples are the same, 0 differ" in said
    assert "the manifest:" not in said
    assert command_of(made.manifest) in progress
    assert {path: path.read_bytes() for path in Path(made.folder).iterdir()} == before
    assert read_run(f"{made.folder}-2").samples == latest(
        read_run(f"{made.folder}-2").samples, made.cases
    )
    assert not Path("results/leaderboard.md").exists()


def test_a_sample_that_differs_is_shown_from_its_first_character_and_the_exit_code_is_1(
    monkeypatch, capsys
):
    monkeypatch.setenv("MOOD", "sunny")
    made = stored(MOODY)
    monkeypatch.setenv("MOOD", "sultry\x1b[2J")
    assert again(made, "--model", MOODY, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["n_same"], said["n_errors"], len(said["samples"])) == (4, 0, 1)
    (differing,) = said["samples"]
    assert (differing["case_id"], differing["field"], differing["at"]) == ("map", "text", 16)
    assert differing["then"] == "Coit Tower is sunny here."
    assert again(made, "--model", MOODY) == 1
    text = capsys.readouterr().out
    assert "map: text from character 16\n    then  Coit Tower is sunny here." in text
    assert "\x1b" not in text


def test_an_error_is_neither_the_same_nor_different(monkeypatch, capsys):
    made = stored(MOODY)
    monkeypatch.setenv("MOOD", "broken")
    assert again(made, "--model", MOODY) == 3
    assert "0 samples are the same, 0 differ, 5 are errors now" in capsys.readouterr().out
    broken = stored(MOODY)
    monkeypatch.setenv("MOOD", "")
    assert again(broken, "--model", MOODY) == 3, "nothing was compared"
    assert "0 samples are the same, 0 differ, 5 were not answered then" in capsys.readouterr().out


def test_an_unfinished_run_is_repeated_whole_and_compared_where_it_was_answered(capsys):
    made = stored()
    log = Path(made.folder) / "samples.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[3], lines[1], lines[4][:20]]))
    assert again(made, "--model", STEADY) == 0
    assert "2 samples are the same, 0 differ, 3 were not answered then" in capsys.readouterr().out


def test_versions_machine_and_hashes_that_differ_are_named(capsys):
    made = stored()
    path = Path(made.folder) / "run.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["versions"]["lark"] = "0.0.1"
    manifest["machine"]["n_cpus"] = 4096
    manifest["format"]["grammar_sha256"] = "\u202e0"
    del manifest["computed"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert again(made, "--model", STEADY) == 0
    said = capsys.readouterr().out
    assert "versions.lark             0.0.1 -> " in said
    assert "machine.n_cpus            4096 -> " in said
    assert "format.grammar_sha256     \\u202e0 -> " in said
    assert "computed.retries          (not said) -> 4" in said


OPTIONS = [
    {},
    {"suite": "mobile_actions", "limit": 7, "prompt": "raw", "few_shot": 2, "seed": 3},
    {"suite": "mobile_actions", "sample": 6, "seed": 5, "tags": ("single",)},
    {"prompt": "bare", "max_new_tokens": 9, "format": "hermes", "batch_size": 2},
    {"prompt": "file", "prompt_file": "mine.jinja", "few_shot": 0, "retries": 0},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_plan_of_a_manifest_is_the_plan_that_it_was_made_by(options):
    Path("mine.jinja").write_text("{{ messages[-1]['content'] }}", encoding="utf-8")
    if "single" in options.get("tags", ()):
        options = {**options, "tags": fcbench.load_suite("mobile_actions").cases[0].tags[:1]}
    told = {"model": STEADY, "suite": "original_experiment", "prompt": "chat", **options}
    wanted = plan(**told, adapter=None, decode=None, results=None)
    made = execute(msgspec.structs.replace(wanted, results=Path("results")))
    named = {name: options[name] for name in options if name == "prompt_file"}
    assert plan_again(made.folder, {"model": STEADY, **named}) == wanted


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in RESULTS.glob("*/run.json")), ids=lambda p: p.name
)
def test_every_published_run_says_all_that_repeating_it_needs(folder, monkeypatch):
    monkeypatch.chdir(RESULTS.parent)
    made = plan_again(folder, {})
    manifest = read_run(folder).manifest
    assert (made.model, made.dtype) == (manifest["model"]["name"], manifest["model"]["dtype"])
    assert (made.adapter is None) == (manifest["model"].get("adapter") is None)
    assert len(made.cases) == manifest["suite"]["n_cases"]
    assert made.few_shot == manifest["prompt"]["few_shot"]
    # As the command says that a model card prints.
    words = shlex.split(command_of(manifest))
    assert words[words.index("--suite") + 1] == made.suite.source
    assert int(words[words.index("--max-new-tokens") + 1]) == made.max_new_tokens


# What a manifest is not trusted with


@pytest.mark.parametrize(
    "model",
    [
        STEADY,
        "openai:http://attacker.example/v1#m",
        "ollama:m",
        "vllm:http://attacker.example#m",
        "mine:x",
    ],
)
def test_a_manifest_alone_runs_no_code_and_asks_no_server(model, capsys):
    made = stored()
    path = Path(made.folder) / "run.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["model"] = {"name": model, "backend": "transformers"}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert again(made) == 2
    said = capsys.readouterr().err
    assert f"its model is {model}: a manifest alone runs no code and asks no server" in said
    assert f"--reproduce {made.folder} --model {model}" in said
    assert not Path(f"{made.folder}-2").exists()


def test_a_manifest_alone_makes_no_prompts_of_a_file(capsys):
    Path("mine.jinja").write_text("{{ messages[-1]['content'] }}", encoding="utf-8")
    Path("outputs.jsonl").write_text(
        "".join(json.dumps({"id": c.id, "text": ""}) + "\n" for c in stored().cases), "utf-8"
    )
    made = stored("replay:outputs.jsonl", prompt_file="mine.jinja")
    path = Path(made.folder) / "run.json"
    path.write_text(path.read_text("utf-8").replace("mine.jinja", "secret.env"), encoding="utf-8")
    Path("secret.env").write_text("KEY=hunter2", encoding="utf-8")
    assert again(made) == 2
    said = capsys.readouterr().err
    assert "its prompts are made of the file secret.env: a manifest alone reads none" in said
    assert "--prompt-file secret.env" in said
    assert not Path(f"{made.folder}-2").exists()
    assert again(made, "--prompt-file", "mine.jinja") == 0
    assert "5 samples are the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("secret.env", "KEY=hunter2"),
        ("secret.json", '{"key": "hunter2", "id": 1}'),
        ("secret.json", '["hunter2"]'),
        ("secret/suite.toml", 'key = "hunter2"'),
        ("secret/suite.toml", "key = hunter2"),
    ],
)
def test_a_file_that_a_manifest_calls_its_suite_is_not_shown(name, content, capsys):
    made = stored()
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    manifest = json.loads((Path(made.folder) / "run.json").read_text("utf-8"))
    manifest["suite"]["source"] = name.removesuffix("/suite.toml")
    (Path(made.folder) / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert again(made, "--model", STEADY) == 2
    said = capsys.readouterr()
    assert "secret" in said.err
    assert "hunter2" not in said.out + said.err


def test_what_a_manifest_says_of_remote_code_is_not_believed():
    made = stored()
    path = Path(made.folder) / "run.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["computed"]["trust_remote_code"] = True
    manifest["model"] = {"name": "some/model", "backend": "transformers", "trust_remote_code": True}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    assert plan_again(made.folder, {}).trust_remote_code is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model.adapter", {"name": 7}),
        ("model.adapter", "x"),
        ("model.dtype", []),
        ("computed.retries", "many"),
        ("batch_size", "x"),
        ("batch_size", 0),
        ("computed", None),
        ("suite.tags", ["no such tag"]),
        ("format.name", "../../etc/passwd"),
        ("prompt.mode", "../x"),
        ("prompt.file", "nowhere.jinja"),
        ("decoding.mode", "greedily"),
        ("decoding.repeats", 0),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused_with_a_reason(field, value):
    made = stored()
    path = Path(made.folder) / "run.json"
    manifest = json.loads(path.read_text("utf-8"))
    at = manifest
    *above, last = field.split(".")
    for key in above:
        at = at[key]
    at[last] = value
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(fcbench.FcbenchError):
        plan_again(made.folder, {"model": STEADY})


# Options beside --reproduce


@pytest.mark.parametrize(
    "option",
    [
        ["--prompt", "raw"], ["--limit", "2"], ["--seed", "1"], ["--few-shot", "1"], ["--dry-run"],
        ["--max-new-tokens", "5"], ["--fail-under", "name_match=1"], ["--repeats", "2"],
        ["--format", "hermes"], ["--temperature", "1"], ["--tags", "x"], ["--decode", "sample"],
        ["--seed", "0"], ["--repeats", "1"], ["--interval", "wilson"],
    ],
)  # fmt: skip
def test_what_was_asked_cannot_be_said_again(option, capsys):
    assert again(stored(), "--model", STEADY, *option) == 2
    said = capsys.readouterr().err
    assert f"{option[0]}: a run that is repeated says itself what it asked" in said


def test_what_is_typed_goes_before_the_manifest_also_where_it_is_the_default():
    made = stored(timeout_seconds=60, retries=1, dtype="float32")
    typed = ["--timeout", "600", "--retries=4", "--dtype", "auto"]
    assert again(made, "--model", STEADY, *typed) == 0
    name = Path(made.folder).name.replace("--float32", "")
    computed = read_run(f"results/{name}").manifest["computed"]
    assert [computed[field] for field in ("timeout_seconds", "retries", "dtype")] == [
        600,
        4,
        "auto",
    ]


def test_one_model_and_one_suite_are_repeated(capsys):
    made = stored()
    assert again(made, "--model", STEADY, "--model", MOODY) == 2
    assert "say --model once" in capsys.readouterr().err
    assert again(made, "--model", STEADY, "--adapter", "x") == 2
    assert "it had no adapter" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert "run needs a --model" in capsys.readouterr().err
    assert main(["run", "--reproduce", "nowhere"]) == 2
    assert "nowhere: no run stands here" in capsys.readouterr().err


def test_a_suite_that_stands_elsewhere_now_is_named_and_one_that_changed_is_refused(
    write_lines, case_row, capsys
):
    suite = write_lines(case_row(), case_row(id="b"), name="first.jsonl")
    made = stored(suite=str(suite))
    suite.rename("moved.jsonl")
    assert again(made, "--model", STEADY) == 2
    capsys.readouterr()
    assert again(made, "--model", STEADY, "--suite", "moved.jsonl") == 0
    said = capsys.readouterr().out
    assert "2 samples are the same" in said
    assert "suite.source" in said
    Path("moved.jsonl").write_text(json.dumps(case_row()) + "\n", encoding="utf-8")
    assert again(made, "--model", STEADY, "--suite", "moved.jsonl") == 2
    assert "has another SHA-256 now" in capsys.readouterr().err


@pytest.mark.parametrize("as_given", [str, Path, fcbench.load_suite])
def test_a_plan_is_made_again_over_a_suite_however_it_is_named(write_lines, case_row, as_given):
    suite = write_lines(case_row(), name="first.jsonl")
    made = stored(suite=str(suite))
    suite.rename("moved.jsonl")
    again = plan_again(made.folder, {"model": STEADY, "suite": as_given("moved.jsonl")})
    assert again.suite == fcbench.load_suite("moved.jsonl")


def test_resume_goes_on_with_a_repetition_and_never_with_the_original(capsys):
    made = stored()
    assert again(made, "--model", STEADY, "--resume") == 0
    copy = Path(f"{made.folder}-2")
    log = copy / "samples.jsonl"
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    assert again(made, "--model", STEADY, "--resume") == 0
    assert len(log.read_bytes().splitlines()) == 5
    assert not Path(f"{made.folder}-3").exists()
    assert capsys.readouterr().out.count("5 samples are the same") == 2


# Differences of samples


def of(*samples, cases=("a", "b", "c")):
    listed = [fcbench.Case(name, [], [], [[]]) for name in cases]
    return Run({}, listed, list(samples))


@pytest.mark.parametrize(
    ("then", "now", "field"),
    [
        (Sample("a", text="x"), Sample("a", text="x", seconds=3.0), None),
        (Sample("a", text="x"), Sample("a", text="y"), "text"),
        (Sample("a", prompt_sha256="x"), Sample("a", prompt_sha256="y", text="z"), "prompt_sha256"),
        (Sample("a", stop="limit"), Sample("a", stop="token"), "stop"),
        (Sample("a", output_tokens=1), Sample("a", output_tokens=2), "output_tokens"),
        (Sample("a", native_calls=[Call("f", {"x": 1})]), Sample("a", native_calls=[Call("f", {"x": 1})]), None),
        (Sample("a", native_calls=[Call("f", {"x": 1})]), Sample("a", native_calls=[Call("f", {"x": True})]), "native_calls"),
        (Sample("a", native_calls=[Call("f", {"x": 1})]), Sample("a", native_calls=[Call("f", {"x": 1.0})]), "native_calls"),
        (Sample("a", native_calls=[Call("f", {"x": float("nan")})]), Sample("a", native_calls=[Call("f", {"x": float("nan")})]), None),
        (Sample("a", native_calls=[Call("f", {"x": 10**5000})]), Sample("a", native_calls=[Call("f", {"x": 10**5000 + 1})]), "native_calls"),
        (Sample("a", native_calls=[]), Sample("a", native_calls=None), "native_calls"),
    ],
)  # fmt: skip
def test_samples_are_compared_in_all_but_their_timing(then, now, field):
    found = differences(of(then), of(now))
    assert [one.field for one in found.samples] == ([field] if field else [])
    assert found.n_same == (field is None)


def test_samples_are_paired_by_case_and_repeat_whichever_are_missing():
    then = of(Sample("a", 1, "x"), Sample("b", 0, "y"), Sample("gone", 0, "z"))
    now = of(Sample("a", 0, "n"), Sample("a", 1, "x"), Sample("b", 0, "y"), Sample("c", 0, "n"))
    found = differences(then, now)
    assert (found.n_same, found.n_unanswered, found.samples) == (2, 2, [])


# Determinism


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_one_manifest_gives_the_same_samples_whatever_the_batch_size(batch_size):
    first, second = stored(batch_size=2), stored(batch_size=batch_size)
    found = differences(first, second)
    assert (found.n_same, found.samples) == (5, [])
    assert {f.field for f in found.manifest} <= {"batch_size"}


@pytest.mark.parametrize(
    "sampling", [{}, {"temperature": 1.3, "repeats": 2}], ids=["greedy", "drawn"]
)
def test_a_model_in_float32_answers_alike_in_any_company(tiny_model, sampling, one_thread, capsys):
    options = {"dtype": "float32", "max_new_tokens": 12, "limit": 6, **sampling}
    made = stored(str(tiny_model), "mobile_actions", batch_size=1, **options)
    for extra in (["--batch-size", "5"], ["--prefix-memory", "0", "--batch-size", "3"]):
        assert again(made, *extra) == 0
        said = capsys.readouterr().out
        assert f"{len(made.samples)} samples are the same, 0 differ" in said
        assert "model." not in said


@pytest.mark.ray
def test_one_manifest_gives_the_same_samples_on_any_number_of_workers(capsys):
    made = stored(suite="mobile_actions", limit=40, batch_size=3)
    assert again(made, "--model", STEADY, "--executor", "ray", "--workers", "2") == 0
    said = capsys.readouterr().out
    assert "40 samples are the same, 0 differ" in said
    assert "executor.workers" in said


def test_a_manifest_says_by_what_code_and_on_how_many_threads(tiny_model, tmp_path, monkeypatch):
    import torch

    made = stored(str(tiny_model), limit=1, max_new_tokens=1)
    assert made.manifest["machine"]["n_threads"] == torch.get_num_threads()
    assert made.manifest["machine"]["instructions"]
    assert made.manifest["versions"]["fcbench_sha256"] == _manifest._code_sha256()
    package = tmp_path / "package"
    (package / "below").mkdir(parents=True)
    hashes = set()
    for text in ("a = 1", "a = 2"):
        (package / "below" / "x.py").write_text(text)
        monkeypatch.setattr(_manifest, "PACKAGE", package)
        hashes.add(_manifest._code_sha256.__wrapped__())
    assert len(hashes) == 2


@pytest.mark.model
def test_the_real_model_in_float32_is_repeated_sample_by_sample(capsys):
    options = {"dtype": "float32", "max_new_tokens": 32, "limit": 8}
    made = stored("gemma3-270m", "mobile_actions", batch_size=1, **options)
    assert again(made, "--batch-size", "5") == 0
    assert "8 samples are the same, 0 differ" in capsys.readouterr().out
