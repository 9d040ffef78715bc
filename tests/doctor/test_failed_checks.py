"""A check that could not be made is no clean bill, and one refused prompt hides no other."""

import pytest

from fcbench.cli import main
from fcbench.types import Sample
from tests import tiny


@pytest.fixture
def told(monkeypatch, capsys, suite):
    """Return a function that runs the command on a model in memory: (exit code, verdict)."""

    def run(loaded, *arguments):
        monkeypatch.setattr("fcbench.doctor._load", lambda name, options: (loaded, None))
        code = main(["doctor", "some-model", "--suite", str(suite), "--cases", "8", *arguments])
        out = capsys.readouterr().out
        return code, out[out.index("VERDICT") :]

    return run


def named(report, check):
    return next(f for f in report.findings if f.check == check)


def out_of_memory(*args, **kwargs):
    raise MemoryError("out of memory")


def test_a_model_that_cannot_be_run_gets_no_verdict_and_exit_3(knowing, told, monkeypatch):
    broken = tiny.changed(knowing)
    monkeypatch.setattr(broken.model, "forward", out_of_memory)
    code, verdict = told(broken)
    assert code == 3
    assert verdict.startswith("VERDICT: no verdict: 3 checks could not be made\n")
    assert "Could not be checked: numbers, knowledge, writing." in verdict
    assert "no fault found" not in verdict


def test_a_fault_counts_more_than_a_check_that_could_not_be_made(knowing, told, monkeypatch):
    broken = tiny.changed(knowing, template=tiny.template().replace("tools or []", "[]"))
    monkeypatch.setattr(broken.model, "forward", out_of_memory)
    code, verdict = told(broken)
    assert code == 1
    assert "1. The chat template leaves the tools out" in verdict
    assert "Could not be checked: numbers, knowledge, writing." in verdict


def test_turns_that_the_machinery_failed_on_are_not_silent(knowing, examined, monkeypatch):
    samples = [Sample("a", error="out of memory"), Sample("b", text="Hello.<end_of_turn>")]
    monkeypatch.setattr("fcbench.doctor._writing._write", lambda subject: samples)
    report = examined(knowing)
    assert report.failed == ["writing"]
    assert "1 of 2 turns: out of memory" in named(report, "writing").seen


REFUSING = "{# <start_function_call> #}{{ raise_exception('roles must alternate') }}"


def test_a_template_that_refuses_leaves_the_other_prompts_measured(knowing, examined):
    broken = tiny.changed(knowing, template=REFUSING)
    report = examined(broken)
    assert report.causes[0].kind == "template_refuses"
    assert report.failed == ["knowledge", "writing"]
    assert "finite, and logits after 2 raw prompts" in named(report, "numbers").seen
    knowledge = named(report, "knowledge")
    assert "not measured under chat" in knowledge.seen
    assert "roles must alternate" in knowledge.seen
    assert set(knowledge.measures["parts"]["raw"]) >= {"opening", "start", "prefix"}
    assert knowledge.measures["parts"]["chat"] == {}


def test_a_refusing_template_is_no_fault_of_a_model_that_is_asked_otherwise(knowing, examined):
    broken = tiny.changed(knowing, template=REFUSING)
    report = examined(broken, prompt="raw")
    assert report.failed == []
    template = named(report, "template")
    assert (template.kind, template.severity) == ("template_refuses", "warning")
    assert named(report, "knowledge").measures["opening"].keys() == {"raw", "bare"}


def test_a_prompt_file_that_every_mode_refuses_leaves_the_numbers_to_a_short_text(
    knowing, examined, monkeypatch
):
    from fcbench.doctor._subject import Subject
    from fcbench.errors import UsageError

    def refuse(self, case, mode):
        raise UsageError("no prompt of this case")

    monkeypatch.setattr(Subject, "ask", refuse)
    assert "logits after a short text" in named(examined(knowing), "numbers").seen


def test_the_trigger_is_looked_for_in_the_prompt_in_use(knowing, examined):
    chat, raw = (named(examined(knowing, prompt=mode), "trigger") for mode in ("chat", "raw"))
    assert chat.seen == "8 of 8 chat prompts hold it"
    assert (raw.kind, raw.severity) == ("no_trigger", "warning")
    assert raw.seen.startswith("8 of 8 raw prompts lack it")
