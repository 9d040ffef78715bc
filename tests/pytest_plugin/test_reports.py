"""The table at the end, JUnit's properties, texts of models in both, and what is imported when."""

import subprocess
import sys
import xml.etree.ElementTree as ET

HOSTILE = """
    import pytest

    def test_fixture(fcbench_run):
        scores = fcbench_run("python:gated_model:hostile", "original_experiment")
        scores.assert_at_least(syntax_validity=0.1)

    @pytest.mark.fcbench(
        model="python:gated_model:hostile", suite="original_experiment", min_name_match=0.1)
    def test_marker(): pass
"""


def test_texts_of_models_are_shown_and_do_nothing_else(project):
    project.makepyfile(HOSTILE)
    result = project.runpytest("--junit-xml=report.xml")
    result.assert_outcomes(failed=2)
    shown = result.stdout.str()
    assert len(shown) < 20_000  # the text of one answer alone is 100,000 characters
    assert not {"\x1b", "\x00", "\u202e", "\ud800"} & set(shown)
    result.stdout.fnmatch_lines(["*call:f{?ud800?x00?x1b?2J</failure>?u202exxx*", "*   ^"])
    cases = ET.parse(project.path / "report.xml").getroot()[0]
    assert [case.get("name") for case in cases] == ["test_fixture", "test_marker"]
    for case in cases:
        assert "</failure>" in case.find("failure").text
        assert r"\u202exxx" in case.find("failure").text


def test_the_table_has_a_row_for_each_run_and_is_absent_without_any(project):
    project.makepyfile(
        """
        def test_two(fcbench_run):
            for prompt in ("chat", "raw+0", "raw"):
                fcbench_run("python:gated_model:answer", "mobile_actions", prompt=prompt, limit=40)

        def test_none():
            pass
        """
    )
    result = project.runpytest("--junit-xml=report.xml")
    result.stdout.fnmatch_lines(
        [
            "*== fcbench ==*",
            "model * argument exact match    abstention       errors",
            "python:gated_model:answer  chat      mobile_actions (first 40)  40 * 100 ?90.8–100? of 38 *0 ?0–65.8? of 2  0",
            "python:gated_model:answer  raw       mobile_actions (first 40)  40 *",
        ]
    )
    two, none = ET.parse(project.path / "report.xml").getroot()[0]
    said = [(p.get("name"), p.get("value")) for p in two.iter("property")]
    assert [value for name, value in said if name == "fcbench.prompt"] == ["chat", "raw"]
    assert dict(said)["fcbench.abstention.high"] == "0.65762"
    assert list(none.iter("property")) == []
    result = project.runpytest("-k", "test_none")
    result.stdout.no_fnmatch_line("*fcbench ==*")


def test_the_marker_and_the_options_are_listed(project):
    project.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.fcbench(model, suite, *"])
    listed = project.runpytest("--help").stdout
    listed.fnmatch_lines(
        ["function-calling models:", "  --fcbench-model=MODEL*", "  --fcbench-results=DIR*"]
    )
    listed.fnmatch_lines(["  fcbench_limit (string):*"])
    project.runpytest("--fixtures").stdout.fnmatch_lines(
        ["fcbench_run ?session scope? -- *", "    Return a function that takes what fcbench.run *"]
    )


def test_a_session_that_asks_for_no_run_imports_pytest_and_nothing_of_ours(project):
    project.makepyfile(
        """
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.split(".")[0] == "fcbench"}
            assert ours == {"fcbench", "fcbench.pytest_plugin"}
            assert not {"msgspec", "filelock", "tabulate", "lark", "numpy", "pandas"} & set(sys.modules)
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:hypothesispytest"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout
