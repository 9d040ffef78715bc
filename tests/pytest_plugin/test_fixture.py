"""The fixture fcbench_run, as a user's own test run sees it."""

import re


def test_a_gate_passes_and_fails_on_the_lower_bound(project):
    project.makepyfile(
        """
        def test_passes(fcbench_run):
            scores = fcbench_run(model="python:gated_model:answer", suite="original_experiment")
            scores.assert_at_least(syntax_validity=0.5)

        def test_fails(fcbench_run):
            scores = fcbench_run(model="python:gated_model:answer", suite="original_experiment")
            scores.assert_at_least(syntax_validity=0.5, argument_exact_match=0.9)
        """
    )
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            ">       scores.assert_at_least(syntax_validity=0.5, argument_exact_match=0.9)",
            "E       AssertionError: argument_exact_match 20.0% ?3.6%, 62.4%? of 5 is not at least 0.9 (lower bound); 5 cases cannot prove more than 56.6%",
            "E         python:gated_model:answer, chat, over 5 cases of original_experiment",
            "E         4 fall short (other functions 4), the first of them:",
            "E         flashlight-and-event: expected turn_on_flashlight, called show_map",
            "E         one case: python -m fcbench inspect flashlight-and-event --run *",
        ]
    )
    assert project.asked() == ["answer"]  # one run for both
    (folder,) = set(re.findall(r"the run: (\S+)", result.stdout.str()))
    assert (project.path / folder / "samples.jsonl").is_file()  # it is there to be looked at


def test_the_same_run_is_known_by_what_it_is_and_another_is_made(project):
    project.makepyfile(
        """
        import gated_model, pytest
        M, S = "python:gated_model:answer", "original_experiment"

        @pytest.mark.parametrize("options", [
            {}, {"prompt": "chat"}, {"limit": 5}, {"limit": 500}, {"few_shot": 0},
            {"temperature": 0}, {"progress": False},
        ])
        def test_the_same(fcbench_run, options):
            assert fcbench_run(model=M, suite=S, **options).n_cases == 5

        @pytest.mark.parametrize("options", [{"prompt": "raw"}, {"limit": 2}, {"seed": 1}])
        def test_another(fcbench_run, options):
            fcbench_run(M, S, **options)

        def test_a_function(fcbench_run):
            assert fcbench_run(gated_model.answer, S).metrics["syntax_validity"].value == 1
            fcbench_run(model=gated_model.answer, suite=S)
        """
    )
    project.runpytest().assert_outcomes(passed=11)
    assert project.asked() == ["answer"] * 5


def test_a_run_with_errors_is_an_error_and_is_not_tried_again(project):
    project.makepyfile(
        """
        import pytest
        M, S = "python:gated_model:broken", "original_experiment"

        def test_first(fcbench_run):
            fcbench_run(model=M, suite=S)

        def test_again(fcbench_run):
            fcbench_run(model=M, suite=S)

        @pytest.mark.xfail
        def test_xfail_expects_a_bad_model_and_not_a_bad_server(fcbench_run):
            fcbench_run(model=M, suite=S)

        @pytest.mark.xfail(raises=Exception)
        def test_xfail_that_names_the_error(fcbench_run):
            fcbench_run(model=M, suite=S)

        def test_no_model(fcbench_run):
            fcbench_run(model="python:no_such_module:f", suite=S)

        def test_no_model_again(fcbench_run):
            fcbench_run(model="python:no_such_module:f", suite=S)

        def test_no_metric(fcbench_run):
            fcbench_run("python:gated_model:answer", S).assert_at_least(name_macht=0.5)

        def test_a_failure_is_one(fcbench_run):
            fcbench_run("python:gated_model:answer", S).assert_at_least(name_match=0.5)

        def test_fcbench_errors_elsewhere_are_failures():
            import fcbench
            fcbench.load_suite("no_such_suite")
        """
    )
    result = project.runpytest()
    result.assert_outcomes(errors=6, failed=2, xfailed=1)
    assert project.asked() == ["broken", "answer"]
    result.stdout.fnmatch_lines(
        [
            ">       fcbench_run(model=M, suite=S)",
            "E       fcbench.errors.RunError: 5 of 5 samples have no answer: flashlight-and-event: OSError: no server here?x1b?31m ?ud800 *(the run: *",
            "E       fcbench.errors.ModelError: python:no_such_module:f: ModuleNotFoundError: *",
            "E       fcbench.errors.RunError: this run failed before, and is not tried again: ModelError: python:no_such_module:f: *",
            ">       fcbench_run(*).assert_at_least(name_macht=0.5)",
            "E       fcbench.errors.UsageError: no such metric: name_macht",
            "E       hint: did you mean name_match?",
        ]
    )
    result.stdout.no_fnmatch_line("*_pytest/runs.py*")  # what our own code looks like helps nobody
    result.stdout.no_fnmatch_line("*_gate.py*")


def test_what_a_test_does_not_name_are_the_options(project):
    project.makepyfile(
        """
        def test_options(fcbench_run):
            scores = fcbench_run()
            assert scores.n_cases == 3
            assert scores.manifest["model"]["name"] == "python:gated_model:answer"

        def test_the_limit_is_the_least(fcbench_run):
            assert fcbench_run(limit=2).n_cases == 2
            assert fcbench_run(limit=4).n_cases == 3
            assert fcbench_run(suite="mobile_actions").n_cases == 3
        """
    )
    named = ("--fcbench-model=python:gated_model:answer", "--fcbench-suite=original_experiment")
    kept = "--fcbench-results=kept"
    project.runpytest(*named, kept, "--fcbench-limit=3").assert_outcomes(passed=2)
    assert {path.name for path in (project.path / "kept").iterdir()} == {
        "mobile_actions-3--python-gated_model-answer--chat",
        "original_experiment-2--python-gated_model-answer--chat",
        "original_experiment-3--python-gated_model-answer--chat",
    }
    project.makeini(
        """
        [pytest]
        fcbench_model = python:gated_model:silent
        fcbench_suite = original_experiment
        fcbench_limit = 3
        fcbench_results = kept
        """
    )
    # The command line goes before the ini file; a run of another session is not gone on with.
    project.runpytest(named[0], "-k", "test_options").assert_outcomes(passed=1)
    assert (project.path / "kept/original_experiment-3--python-gated_model-answer--chat-2").is_dir()


def test_paths_of_the_ini_file_are_below_it(project):
    project.makeini("[pytest]\nfcbench_suite = mine.jsonl\nfcbench_results = kept\n")
    (project.path / "mine.jsonl").write_text(
        '{"id": "a", "messages": [{"role": "user", "content": "?"}], "tools": [{"name": "f"}],'
        ' "expected": [[{"name": "f", "arguments": {}}]]}\n',
        encoding="utf-8",
    )
    below = project.mkdir("below")
    (below / "test_below.py").write_text(
        "def test_below(fcbench_run):\n"
        "    assert fcbench_run(model='python:gated_model:silent').n_cases == 1\n",
        encoding="utf-8",
    )
    project.chdir()
    with project._monkeypatch.context() as patch:
        patch.chdir(below)
        project.runpytest("--rootdir", project.path).assert_outcomes(passed=1)
    assert [path.name for path in (project.path / "kept").iterdir()] == [
        "mine--python-gated_model-silent--chat"
    ]


def test_a_missing_model_and_a_limit_that_is_none_say_what_to_do(project):
    project.makepyfile(
        "def test_a(fcbench_run):\n    fcbench_run(suite='original_experiment')\n"
        "def test_b(fcbench_run):\n    fcbench_run(model='python:gated_model:answer')\n"
    )
    result = project.runpytest()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["E   * which model?", "E   * --fcbench-model", "E   * which suite?"], consecutive=False
    )
    result = project.runpytest("--fcbench-limit=0")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*fcbench_limit is a number of cases from 1 up, got 0"])


def test_fixtures_of_ones_own_may_ask_for_runs(project):
    project.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def scores(fcbench_run):
            return fcbench_run("python:gated_model:answer", "original_experiment")

        def test_a(scores):
            scores.assert_at_least(syntax_validity=0.5)

        def test_b(scores):
            scores.assert_at_least(name_match=0.5)
        """
    )
    result = project.runpytest("--junit-xml=report.xml")
    result.assert_outcomes(passed=1, failed=1)
    assert (project.path / "report.xml").read_text().count('name="fcbench.run"') == 2
