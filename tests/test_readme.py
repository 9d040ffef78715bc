"""README.md does what it says: its snippets run, its commands parse, its transcripts are true.

Everything happens in one folder with stand-ins for what a reader has: `my_module.py`, whose
`answer` solves nothing; `./my-model`, which solves every case, so that a release gate passes;
`mine.jsonl`, a suite of twelve cases; `outputs.jsonl` and `new-outputs.jsonl`, which answer all of
mobile_actions and of mine.jsonl; `train.jsonl`; `tuned/curves.jsonl`, and `results/RUN`,
`results/A`, `results/B`, a log of training and runs that are stored in this repository; and an
earlier run of `./my-model`. A snippet or a command that names anything else is wrong here,
or wants a stand-in. Commands that would load a model, train or fetch are parsed and not run.
"""

import importlib
import io
import json
import re
import shlex
import shutil
import types
from pathlib import Path

import numpy  # noqa: F401, ICN001  pytester forgets what is imported inside, and this imports once
import pandas  # noqa: F401, ICN001  likewise
import pytest

import fcbench
from fcbench import backends
from fcbench.cli import COMMANDS, main
from fcbench.prompts._case_text import one_answer

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
MODEL, BASELINE = "./my-model", "results/mobile_actions--my-model--chat"
STORED = {
    "RUN": "mobile_actions-40--gemma3-270m--mobile-actions-chat--chat",
    "A": "mobile_actions-40--gemma3-270m--mobile-actions-chat--raw",
    "B": "mobile_actions-40--gemma3-270m--mobile-actions-chat--chat",
}
NEED_NO_MODEL = {"parse", "score", "compare", "leaderboard", "lint", "report", "completion"}
TRAINER = types.SimpleNamespace(add_callback=lambda callback: callback.on_train_begin)
"""In the place of a reader's own transformers.Trainer."""


def snippets(text):
    """Return the fenced Python of a page."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(text):
    """Return the words behind each `python -m fcbench` of a page; its optional parts are in."""
    found = re.findall(r"`python -m fcbench ([^`]+)`", text)  # in a line, and perhaps in two
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found += [
        line.split("python -m fcbench ", 1)[1]
        for line in lines
        if re.search(r"^(    |\$ ).*python -m fcbench ", line)
    ]
    words = []
    for command in dict.fromkeys(found):
        plain = re.split(r"\s(?:[|>]|&&|2>)", f"{command} ")[0]
        # […] is what may be left out, and a bare … stands for more of the same.
        plain = re.sub(r"[\[\]]|(?<=\w)…| …", "", plain)
        words.append(shlex.split(plain, comments=True))
    return list(dict.fromkeys(map(tuple, words)))


def transcripts(text):
    """Return the words echoed, the words of the command, and what the page says it prints."""
    shown = re.findall(
        r"^    \$ echo (.+?) \| python -m fcbench (.+)\n((?:    .*\n|\n(?=    ))*)",
        text,
        re.MULTILINE,
    )
    return [(shlex.split(said)[0], shlex.split(command), re.sub(r"^    ", "", out, flags=re.MULTILINE)) for said, command, out in shown]  # fmt: skip


def solve(case):
    return fcbench.render(one_answer(case)) if case.expects_call else "I cannot do that."


class Solver:
    """What ./my-model is here: a model that knows every answer."""

    template, bos, has_answered = None, "<bos>", False

    def __init__(self):
        self.manifest = {"name": MODEL, "backend": "transformers", "dtype": "float32"}

    def answer(self, requests, decoding):
        for r in requests:
            yield fcbench.Sample(r.case.id, r.repeat, solve(r.case), prompt_sha256=r.prompt_sha256)


def typed_in(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder with the stand-ins, which is the current one."""
    answers_nothing = "def answer(prompts):\n    return ['I do not know.'] * len(prompts)\n"
    (tmp_path / "my_module.py").write_text(answers_nothing)
    parameters = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}  # fmt: skip
    tools = [{"name": "show_map", "description": "Shows a place.", "parameters": parameters}]
    places = ["Oslo", "Rome", "Paris", "Cairo", "Lima", "Quito", "Bern", "Minsk", "Accra", "Doha", "Seoul", "Sofia"]  # fmt: skip
    rows = [
        {"id": f"map-{i}", "messages": [{"role": "user", "content": f"Show me {place}."}], "tools": tools, "expected": [[{"name": "show_map", "arguments": {"query": place}}]], "tags": ["single"]}
        for i, place in enumerate(places)
    ]  # fmt: skip
    write_lines(tmp_path / "mine.jsonl", rows)
    for name in ("train.jsonl", "my-training.jsonl"):
        words = [{"role": "user", "content": "Where is Hanoi?"}]
        write_lines(tmp_path / name, [{**rows[0], "id": "t", "messages": words}])
    for name, suite in (("outputs", "mobile_actions"), ("new-outputs", tmp_path / "mine.jsonl")):
        cases = fcbench.load_suite(suite).cases
        write_lines(tmp_path / f"{name}.jsonl", [{"id": c.id, "text": solve(c)} for c in cases])
    for name, stored in STORED.items():
        shutil.copytree(ROOT / "results" / stored, tmp_path / "results" / name)
    (tmp_path / "tuned").mkdir()
    log = ROOT / "results" / "original_experiment" / "curves-chat.jsonl"
    shutil.copy(log, tmp_path / "tuned" / "curves.jsonl")
    usual = backends._module_and_target
    stand_in = types.SimpleNamespace(check_model=lambda *_: None, open_model=lambda *_: Solver())
    monkeypatch.setattr(
        backends, "_module_and_target", lambda n: (stand_in, n) if n == MODEL else usual(n)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    typed_in(monkeypatch, fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})]))
    return tmp_path


def run_snippet(source, pytester, capsys):
    """Run a snippet: one with tests in it as a reader's own pytest would."""
    if "def test_" not in source and "@pytest.mark" not in source:
        exec(compile(source, "README.md", "exec"), {"__name__": "readme", "trainer": TRAINER})
        return
    if BASELINE in source:
        assert Path(fcbench.run(MODEL, "mobile_actions", results="results").folder) == Path(
            BASELINE
        )
    path = pytester.makepyfile(f"import pytest\n\n{source}")
    result = pytester.runpytest_inprocess(path, "-p", "no:cacheprovider")
    assert result.ret == 0, result.stdout.str()
    assert result.parseoutcomes().get("passed")


def needs_no_model(words):
    """Whether a command does something here without weights and without a network."""
    command, *rest = words
    models = [rest[i + 1] for i, word in enumerate(rest[:-1]) if word == "--model"]
    if any(model != MODEL and not model.startswith(("python:", "replay:")) for model in models):
        return False
    if command == "run":
        return "--adapter" not in rest
    is_listing = command == "suites" and "fetch" not in rest
    is_card = command == "export" and "model-card" in rest
    return command in NEED_NO_MODEL or is_listing or is_card or (command == "inspect" and rest)


@pytest.mark.parametrize("source", snippets(TEXT), ids=range(len(snippets(TEXT))))
def test_a_snippet_runs(source, home, pytester, capsys, monkeypatch):
    monkeypatch.chdir(home)  # pytester goes elsewhere
    run_snippet(source, pytester, capsys)


@pytest.mark.parametrize("words", commands(TEXT), ids=" ".join)
def test_a_command_parses_and_what_needs_no_model_runs(words, home, monkeypatch, capsys):
    assert words[0] in COMMANDS
    if needs_no_model(words):
        expected = {0, 1} if "--fail-under" in words else {0}
        assert main(list(words)) in expected, capsys.readouterr().err
        return
    module = importlib.import_module(f"fcbench.cli.{words[0]}")
    parsed = []
    monkeypatch.setattr(module, "run", lambda args: parsed.append(args) or 0)
    assert main(list(words)) == 0, capsys.readouterr().err
    assert len(parsed) == 1


@pytest.mark.parametrize("transcript", transcripts(TEXT), ids=lambda found: " ".join(found[1]))
def test_a_transcript_is_what_is_printed(transcript, home, monkeypatch, capsys):
    said, words, printed = transcript
    typed_in(monkeypatch, f"{said}\n")
    main(words)
    assert capsys.readouterr().out.rstrip() == printed.rstrip()


def test_the_page_has_snippets_commands_and_transcripts_and_they_are_found():
    assert len(snippets(TEXT)) >= 3
    assert len(commands(TEXT)) >= 20
    assert len(transcripts(TEXT)) >= 1
    assert {words[0] for words in commands(TEXT)} <= set(COMMANDS)


def test_a_command_is_found_however_it_is_written():
    page = "See `python -m fcbench suites\nfetch bfcl`, or\n\n    python -m fcbench run --model A \\\n      --limit 3 [--adapter DIR] RUN…  # so\n    $ echo 'a | b' | python -m fcbench parse\n    python -m fcbench score x > y\n"
    assert commands(page) == [
        ("suites", "fetch", "bfcl"),
        ("run", "--model", "A", "--limit", "3", "--adapter", "DIR", "RUN"),
        ("parse",),
        ("score", "x"),
    ]


def test_a_snippet_that_is_wrong_fails(home, pytester, capsys):
    with pytest.raises(NameError):
        run_snippet("print(no_such_name)", pytester, capsys)
    with pytest.raises(AssertionError):
        run_snippet("def test_it(fcbench_run):\n    assert 0", pytester, capsys)
