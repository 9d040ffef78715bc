"""What is misspelt: one line that says what is wrong, one that says what was meant."""

import json

import pytest

from fcbench.cli._parser import unknown_option
from fcbench.errors import nearest

RUN = ("run", "--model", "python:standin:answer", "--suite", "original_experiment")

MISSPELT = {
    # what: (what is typed, what the hint names)
    "command": (("rnu",), "run"),
    "command, capitals": (("RUN",), "run"),
    "global option": (("--versoin",), "--version"),
    "option": ((*RUN, "--limt", "3"), "--limit"),
    "option with a value": ((*RUN, "--limt=3"), "--limit"),
    "option that is required": (("run", "--modle", "x"), "--model"),
    "option, one dash": (("run", "-model", "x"), "--model"),
    "option of a command below": (("export", "gguf", "m", "--out", "o", "--tpye", "f16"), "--type"),
    "command below": (("suites", "fecth", "bfcl"), "fetch"),
    "choice of an option": (("score", "x", "--interval", "wilsn"), "wilson"),
    "shell": (("completion", "bsah"), "bash"),
    "suite": (("run", "--model", "python:standin:answer", "--suite", "mobile_action"), "mobile_actions"),
    "suite, capitals": (("lint", "Mobile_Actions"), "mobile_actions"),
    "suite to fetch": (("suites", "fetch", "bfkl"), "bfcl"),
    "prompt": ((*RUN, "--prompt", "chat,rwa"), "raw"),
    "prompt with examples": ((*RUN, "--prompt", "rwa+3"), "raw"),
    "metric of a gate": ((*RUN, "--fail-under", "name_mach=1"), "name_match"),
    "metric to compare": (("compare", "a", "b", "--metric", "argument_exct_match"), "argument_exact_match"),
    "format": ((*RUN, "--format", "hermse"), "hermes"),
    "format to parse": (("parse", "turn.txt", "--format", "functiongema"), "functiongemma"),
    "mode of parsing": (("parse", "turn.txt", "--mode", "lenent"), "lenient"),
    "decoding": ((*RUN, "--decode", "constraind"), "constrained"),
    "tag": ((*RUN, "--tags", "singel"), "single"),
    "matcher": (("score", "out.jsonl", "--suite", "original_experiment", "--matcher", "exat"), "exact"),
    "normalise": (("score", "out.jsonl", "--suite", "original_experiment", "--normalise", "spce"), "space"),
    "case": (("inspect", "flashlight-and-evnt"), "flashlight-and-event"),
    "case, in part": (("inspect", "wifi", "--suite", "original_experiment"), "flashlight-and-wifi"),
    "case of outputs": (("score", "other.jsonl", "--suite", "original_experiment"), "email"),
    "kind of model": (("run", "--model", "opnai:http://x#m"), "openai"),
    "kind of model, capitals": (("run", "--model", "GGUF:m.gguf"), "gguf"),
    "server without its kind": (("run", "--model", "http://127.0.0.1:1/v1"), "openai:http://127.0.0.1:1/v1#MODEL"),
    "file without its kind": (("run", "--model", "m.gguf"), "gguf:m.gguf"),
    "outputs without their kind": (("run", "--model", "out.jsonl"), "replay:out.jsonl"),
    "module without its kind": (("run", "--model", "standin.py"), "python:standin:FUNCTION"),
    "packaged model": (("run", "--model", "gemma3-270"), "gemma3-270m"),
    "dtype": (("run", "--model", "./m", "--dtype", "bfloat"), "bfloat16"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def files(here):
    (here / "turn.txt").write_text("x", encoding="utf-8")
    line = json.dumps({"id": "map", "text": "x"})
    (here / "out.jsonl").write_text(f"{line}\n", encoding="utf-8")
    (here / "other.jsonl").write_text(json.dumps({"id": "emial", "text": "x"}) + "\n", "utf-8")


@pytest.mark.parametrize("what", MISSPELT)
def test_what_is_misspelt_is_told_what_was_meant(fcbench_cli, here, what):
    arguments, meant = MISSPELT[what]
    code, out, err = fcbench_cli(*arguments)
    assert (code, out) == (2, "")
    _, hint = err.splitlines()
    assert hint.startswith("hint: ")
    assert f"did you mean {meant}?" in hint or meant in hint.split(), err
    assert not (here / "results").exists()


def test_a_word_too_many_is_no_option(fcbench_cli):
    code, _, err = fcbench_cli("parse", "turn.txt", "more.txt")
    assert code == 2
    assert "unrecognized arguments: more.txt" in err


def test_what_was_typed_moves_no_cursor(fcbench_cli):
    for arguments in (("\x1b[2J",), ("run", "--\x1b[2J"), ("score", "x", "--interval", "\x1b[2J")):
        _, _, err = fcbench_cli(*arguments)
        assert "\x1b" not in err
        assert "\\x1b[2J" in err


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--limit", "3"], None),
        (["--lim", "3"], None),  # argparse takes what no other begins with
        (["--limit=3"], None),
        (["--limt"], "--limt"),
        (["--temperature", "-1"], None),
        (["--temperature", "-.5"], None),
        (["-"], None),
        (["--", "--limt"], None),
        (["a word -x"], None),
    ],
)
def test_an_option_is_told_from_a_value(arguments, wrong):
    assert unknown_option(arguments, ["--limit", "--temperature"]) == wrong


def test_a_hint_lists_few_names_and_counts_many():
    assert nearest("x", []) is None
    assert nearest("zzz", [f"case-{i:03}" for i in range(200)]).endswith("case-011, … (200 in all)")
    assert (
        nearest("case-1", ["case-1a", "case-1b", "other"], n=3)
        == "did you mean case-1b or case-1a?"
    )
