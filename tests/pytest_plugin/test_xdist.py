"""Workers of pytest-xdist share runs, and their reports say as much as those of one process."""

import xml.etree.ElementTree as ET

TESTS = """
    import pytest
    S = "original_experiment"

    @pytest.mark.parametrize("n", range(4))
    def test_good(fcbench_run, n):
        fcbench_run("python:gated_model:answer", S).assert_at_least(syntax_validity=0.5)

    @pytest.mark.fcbench(model="python:gated_model:hostile", suite=S, min_syntax_validity=0.1)
    @pytest.mark.parametrize("n", range(2))
    def test_bad(n): pass

    @pytest.mark.parametrize("n", range(4))
    def test_broken(fcbench_run, n):
        fcbench_run("python:gated_model:broken", S)

    @pytest.mark.parametrize("n", range(4))
    def test_no_model(fcbench_run, n):
        fcbench_run("python:no_such_module:f", S)
"""


def test_a_run_is_made_by_one_worker_and_told_by_all(project):
    project.makepyfile(TESTS)
    result = project.runpytest_subprocess("-n", "3", "--junit-xml=report.xml", timeout=120)
    result.assert_outcomes(passed=4, failed=2, errors=8)
    assert result.ret == 1
    assert sorted(project.asked()) == ["answer", "broken"]
    result.stdout.fnmatch_lines(
        [
            "*== fcbench ==*",
            "model * prompt * suite * cases * syntax validity * errors",
            "*---*",
        ]
    )
    lines = result.stdout.str().splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("python:gated_model:")]
    assert sorted(rows) == [f"python:gated_model:{n}" for n in ("answer", "broken", "hostile")]
    suite = ET.parse(project.path / "report.xml").getroot()[0]
    assert {name: suite.get(name) for name in ("errors", "failures", "tests")} == {
        "errors": "8", "failures": "2", "tests": "14",
    }  # fmt: skip
    for case in suite:
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        kind = case.get("name").partition("[")[0]
        if kind == "test_no_model":
            assert properties == {}
            continue
        assert properties["fcbench.suite"] == "original_experiment"
        assert properties["fcbench.cases"] == "5"
        if kind == "test_broken":
            assert properties["fcbench.errors"] == "5"
            assert "fcbench.name_match" not in properties
            assert "no server here" in case.find("error").text
        else:
            valid = "1" if kind == "test_good" else "0"
            assert properties["fcbench.syntax_validity"] == valid
            assert properties["fcbench.syntax_validity.n"] == "5"
    # Of the failures that only one worker saw, the others tell what it was.
    assert "No module named 'no_such_module'" in result.stdout.str()
    assert "failed before, and is not tried again: ModelError" in result.stdout.str()


def test_a_run_that_ends_its_process_is_not_tried_again_by_the_next(project):
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("n", range(4))
        def test_it(fcbench_run, n):
            fcbench_run("python:gated_model:fatal", "original_experiment")
        """
    )
    result = project.runpytest_subprocess("-n", "1", "--max-worker-restart=4", timeout=120)
    assert project.asked() == ["fatal"]
    result.assert_outcomes(failed=1, errors=3)  # xdist counts the crash as a failure
    result.stdout.fnmatch_lines(["*this run ended the process that made it, and is not tried ag*"])


def test_runs_that_are_kept_do_not_share_a_folder(project):
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("tokens", [10, 20, 30, 40])
        def test_it(fcbench_run, tokens):
            scores = fcbench_run(
                "python:gated_model:answer", "original_experiment", max_new_tokens=tokens)
            assert scores.manifest["decoding"]["max_new_tokens"] == tokens
        """
    )
    result = project.runpytest_subprocess("-n", "2", "--fcbench-results=kept", timeout=120)
    result.assert_outcomes(passed=4)
    folders = sorted((project.path / "kept").iterdir())
    assert len(folders) == 4
    assert all(len((f / "samples.jsonl").read_text().splitlines()) == 5 for f in folders)
