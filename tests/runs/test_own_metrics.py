"""Metrics of one's own: as functions, as Metric, and by an entry point of another package."""

import subprocess
import sys

import pytest

import fcbench
from fcbench import registry
from fcbench.errors import UsageError
from fcbench.metrics import Metric, metric, metric_names, unit_of

RIGHT = fcbench.render([fcbench.Call("show_map", {"query": "Oslo"})])
WRONG = fcbench.render([fcbench.Call("show_map", {"query": "Bergen"})])


def right_place(verdict):
    """Return 1.0 if the place is Oslo, else 0.0; None where nothing is called."""
    calls = verdict.parse.calls
    return float(calls[0].arguments.get("query") == "Oslo") if calls else None


def n_words(verdict):
    return len(verdict.sample.text.split())


@pytest.fixture
def suite(write_lines, case_row):
    """Six cases, c0 to c5, of which the even ones have a tag."""
    rows = [case_row(id=f"c{i}", tags=["even"] if i % 2 == 0 else []) for i in range(6)]
    return write_lines(*rows)


def scores(suite, n_right=4, metrics=(right_place,), **options):
    texts = {f"c{i}": RIGHT if i < n_right else WRONG for i in range(6)}
    return fcbench.score(texts, suite, metrics=metrics, **options)


def test_a_function_is_a_metric_with_its_interval_by_tag_and_in_the_frame(suite):
    found = scores(suite)
    share = found.metrics["right_place"]
    assert share == found.metrics["argument_exact_match"]
    assert (share.value, share.n) == (pytest.approx(4 / 6), 6)
    assert found.by_tag["even"]["right_place"].n == 3
    assert found.to_pandas()["right_place"].tolist() == [1, 1, 1, 1, 0, 0]
    assert found.to_datasets()["right_place"][:] == [1, 1, 1, 1, 0, 0]
    assert "right_place" not in fcbench.score({"c0": RIGHT}, suite).metrics


def test_a_function_is_not_asked_where_the_machinery_failed(suite):
    def always(verdict):
        assert verdict.sample.error is None
        return 1.0

    rows = [{"id": "c0", "error": "timeout"}, {"id": "c1", "text": "No."}]
    assert fcbench.score(rows, suite, metrics=[always]).metrics["always"][::3] == (1.0, 1)


def test_an_amount_has_a_unit_and_no_threshold_and_may_be_negative(suite):
    def below(verdict):
        return -1.0 - n_words(verdict)

    amounts = [Metric(n_words, unit="words"), Metric(below, unit="points")]
    found = scores(suite, metrics=amounts)
    assert found.metrics["n_words"].value == 1
    assert found.metrics["below"].value == -2
    with pytest.raises(UsageError, match="n_words is no share"):
        found.assert_at_least(n_words=0.5)
    spread = fcbench.score({"c0": "a", "c1": "a b c"}, suite, metrics=amounts).metrics["below"]
    assert spread.low < spread.value < 0


def test_a_gate_takes_a_metric_of_ones_own(suite):
    found = scores(suite, 5)
    found.assert_at_least(right_place=0.3)
    with pytest.raises(AssertionError, match="right_place"):
        found.assert_at_least(right_place=0.9)
    worse = Metric(right_place, "wrong_place", lower_is_better=True)
    with pytest.raises(UsageError, match="less is better"):
        scores(suite, metrics=[worse]).assert_at_least(wrong_place=0.3)


def test_two_runs_are_compared_by_a_metric_of_ones_own(suite):
    found = fcbench.compare(scores(suite, 6), scores(suite, 2), "right_place")
    assert (found.table.only_a, found.unit) == (4, None)
    words = [Metric(n_words, unit="words")]
    amounts = fcbench.compare(scores(suite, 6, words), scores(suite, 2, words), "n_words")
    assert (amounts.unit, amounts.difference.value) == ("words", 0)


def test_runs_that_were_not_scored_with_one_metric_are_not_compared_by_it(suite):
    with pytest.raises(UsageError, match="only one of the runs was scored with right_place"):
        fcbench.compare(scores(suite), scores(suite, metrics=()), "right_place")
    other = Metric(lambda verdict: 0.0, "right_place")
    with pytest.raises(UsageError, match="two metrics that are both called right_place"):
        fcbench.compare(scores(suite), scores(suite, metrics=[other]), "right_place")
    with pytest.raises(UsageError, match="did you mean name_match"):
        fcbench.compare(scores(suite), scores(suite), "name_mach")


@pytest.mark.parametrize("taken", ["argument_exact_match", "seconds", "right_place", "text"])
def test_a_name_that_another_metric_has_is_refused(suite, taken):
    own = [right_place, Metric(n_words, taken, "words")]
    with pytest.raises(UsageError, match=f"{taken} is the name of another metric"):
        scores(suite, metrics=own)


@pytest.mark.parametrize("given", [lambda verdict: 1.0, "name_match", 3])
def test_what_has_no_name_or_is_no_function_is_refused(suite, given):
    with pytest.raises(UsageError, match="a metric is"):
        scores(suite, metrics=[given])


@pytest.mark.parametrize(
    ("value", "unit", "n"),
    [(True, None, 6), (None, None, 0), (1, None, 6), (1.5, "x", 6), (1.5, None, None), (-0.1, None, None), ("0.5", None, None), (float("nan"), "x", None), (float("inf"), "x", None), ([1], None, None), pytest.param(10**5000, "x", None, id="huge")],
)  # fmt: skip
def test_a_value_is_a_number_of_its_kind_or_an_error_that_says_where(suite, value, unit, n):
    given = Metric(lambda verdict: value, "mine", unit)
    if n is not None:
        assert scores(suite, metrics=[given]).metrics["mine"].n == n
        return
    with pytest.raises(UsageError, match=r"mine returned .* for the case c0: expected"):
        scores(suite, metrics=[given])


def test_what_a_metric_raises_is_its_callers(suite):
    def broken(verdict):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        scores(suite, metrics=[broken])


def test_the_numbers_are_the_same_where_verdicts_are_not_kept(suite):
    def odd_repeat(verdict):
        return float(verdict.sample.repeat % 2)

    rows = [{"id": "c0", "repeat": r, "text": RIGHT} for r in range(5)]
    kept, not_kept = (
        fcbench.score(rows, suite, metrics=[right_place, odd_repeat], keep_verdicts=keep).metrics
        for keep in (True, False)
    )
    assert kept == not_kept
    assert kept["odd_repeat"].value == pytest.approx(2 / 5)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a distribution: its entry points, and a module."""

    def installed(kind, name, value, source):
        folder = tmp_path / "site"
        info = folder / "polite_calls-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polite-calls\nVersion: 1.0\n")
        with (info / "entry_points.txt").open("a") as file:
            file.write(f"[fcbench.{kind}]\n{name} = {value}\n")
        (folder / "polite_calls.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        forget()
        return folder

    def forget():
        registry._modules.cache_clear()
        registry.load.cache_clear()
        sys.modules.pop("polite_calls", None)

    yield installed
    monkeypatch.undo()
    forget()


POLITE = '''
LOWER_IS_BETTER = True
def apologises(verdict):
    """Return 1.0 if the turn says sorry, else 0.0."""
    return float("sorry" in verdict.sample.text)
'''


def test_another_package_adds_a_metric_with_an_entry_point(install, suite):
    install("metrics", "apologises", "polite_calls", POLITE)
    assert "apologises" in metric_names()
    assert unit_of("apologises") is None
    assert metric("apologises").lower_is_better
    texts = dict.fromkeys((f"c{i}" for i in range(6)), RIGHT) | {"c0": "sorry"}
    found = fcbench.score(texts, suite)
    assert found.metrics["apologises"].value == pytest.approx(1 / 6)
    with pytest.raises(UsageError, match="of apologises less is better"):
        found.assert_at_least(apologises=0.5)


def test_the_command_line_shows_a_metric_of_another_package(install, suite, tmp_path):
    folder = install("metrics", "apologises", "polite_calls", POLITE)
    outputs = tmp_path / "outputs.jsonl"
    outputs.write_text("".join(f'{{"id": "c{i}", "text": "sorry"}}\n' for i in range(6)))
    command = [sys.executable, "-m", "fcbench", "score", str(outputs), "--suite", str(suite)]
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.argv = {command[2:]!r}; import runpy; runpy.run_module('fcbench', run_name='__main__', alter_sys=True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any("apologises" in line and "100 [" in line for line in done.stdout.splitlines())


def test_a_metric_of_ours_is_not_changed_by_another_package(install):
    install("metrics", "name_match", "polite_calls", "def name_match(verdict): return 1.0")
    assert metric("name_match").function.__module__ == "fcbench.metrics.name_match"


@pytest.mark.parametrize(
    ("value", "source", "said"),
    [
        ("polite_calls", "import no_such_module", "No module named 'no_such_module'"),
        ("polite_calls", "1 / 0", "ZeroDivisionError"),
        ("polite_calls:apologises", POLITE, "an entry point names a module"),
        ("polite_calls", "", "polite_calls holds no function apologises"),
    ],
)
def test_a_package_that_does_not_work_is_named(install, suite, value, source, said):
    install("metrics", "apologises", value, source)
    with pytest.raises(UsageError) as raised:
        fcbench.score({"c0": RIGHT}, suite)
    assert said in str(raised.value)
    assert "apologises" in str(raised.value)


BACKEND = """
import fcbench

class Echo:
    template, bos, has_answered = None, "", False

    def __init__(self, name):
        self.manifest = {"name": f"echo_2:{name}", "backend": "echo_2"}

    def answer(self, requests, decoding):
        for r in requests:
            yield fcbench.Sample(r.case.id, r.repeat, self.manifest["name"], prompt_sha256=r.prompt_sha256)

def check_model(name, options): pass
def open_model(name, options): return Echo(name)
"""


def test_another_package_adds_a_backend_with_an_entry_point(install, suite, tmp_path):
    install("backends", "echo_2", "polite_calls", BACKEND)
    run = fcbench.run("echo_2:loud", suite, results=tmp_path / "results")
    assert {sample.text for sample in run.samples} == {"echo_2:loud"}
    assert fcbench.score(run.folder).outcomes == {"abstained": 6}
    with pytest.raises(UsageError, match="echo_2"):
        fcbench.run("echo_3:loud", suite)
