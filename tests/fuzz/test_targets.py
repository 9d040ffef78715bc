"""What is fuzzed beside the parser holds for the inputs that are kept, and planted faults are found."""

import json
from types import SimpleNamespace

import pytest

from fcbench.errors import RunError, SuiteError
from fcbench.report import html
from fcbench.runs import _failures
from tests.fuzz import campaign, targets, values
from tests.fuzz.choices import FromBytes, Seeded
from tests.fuzz.coverage_guided import INSTRUMENTED
from tests.fuzz.targets import log, message, report, suite


@pytest.mark.parametrize("name", targets.NAMES)
def test_every_input_that_is_kept_holds_and_so_do_the_first_ones(name):
    target = targets.load(name)
    for data in (*targets.kept(name), *target.first()[:12]):
        target.check(data)


def test_the_kept_inputs_are_few_and_small():
    assert set(INSTRUMENTED) == set(targets.NAMES)
    for name in targets.NAMES:
        assert 10 < len(targets.kept(name)) < 100
        assert max(map(len, targets.kept(name))) <= campaign.LONGEST_KEPT
    size = sum(file.stat().st_size for file in targets.CORPUS.iterdir())
    assert size < 100_000


def inputs(n):
    choices = Seeded(1)
    return [bytes(choices.below(256) for _ in range(50)) for _ in range(n)]


def test_the_suites_that_are_fuzzed_are_both_read_and_refused():
    made = [suite.written(FromBytes(data)) for data in inputs(200)]
    assert len({one.cases for one in made}) > 150
    assert any(one.toml for one in made)
    assert any(one.is_array for one in made)


def first_rule(target, data):
    """The first rule that some inputs break, without the search for a short one."""
    return next(filter(None, (targets.rule_of(target, one) for one in data)), None)


# Planted faults: (target, what is replaced, by what, the rule that finds it)

PLANTED = {
    "a reader of suites that raises": (
        suite, suite, "load_suite", lambda real: lambda path: {}[path],
        "load_suite raises KeyError",
    ),
    "an error that names no file": (
        suite, suite, "load_suite", lambda real: lambda path: fail(SuiteError("no")),
        "an error that does not name the file",
    ),
    "a suite that drops a tag": (
        suite, suite, "load_suite", lambda real: lambda path: forgetful(real(path), path),
        "a case differs when it is written out",
    ),
    "a log that is read beyond its tear": (
        log, log, "read_run", lambda real: lambda path: SimpleNamespace(samples=[1] * 9, manifest=real(path).manifest),
        "a torn log is not read up to its tear",
    ),
    "a run that stops the leaderboard": (
        log, log.leaderboard, "read_rows", lambda real: lambda path: fail(RunError("no")),
        "the leaderboard raises RunError",
    ),
    "a name that is not escaped": (
        report, html, "shown", lambda real: html.Markup, None,
    ),
    "a data block that is not escaped": (
        report, html, "embedded", lambda real: lambda value: html.Markup(json.dumps(value)), None,
    ),
    "a policy that lets images in": (
        report, html, "_POLICY", lambda real: ("default-src 'none'", *real[1:], "img-src *"),
        "an unsafe policy",
    ),
    "a message that is not made visible": (
        message, _failures, "visible", lambda real: str, "a text that moves the cursor",
    ),
    "a message that is not shortened": (
        message, _failures, "shorten", lambda real: lambda text: text * 40, None,
    ),
}  # fmt: skip


def fail(error):
    raise error


def forgetful(loaded, path):
    import msgspec

    if path.name != "copy.jsonl":
        return loaded
    cases = [msgspec.structs.replace(case, id=f"{case.id}!") for case in loaded.cases]
    return msgspec.structs.replace(loaded, cases=cases)


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault, monkeypatch):
    target, module, name, change, rule = PLANTED[fault]
    monkeypatch.setattr(module, name, change(getattr(module, name)))
    if module is html:
        html._template.cache_clear()
    try:
        data = [*target.first()[:30], *inputs(120)]
        found = first_rule(target, data)
    finally:
        html._template.cache_clear()
    assert found is not None
    assert rule in (None, found)


def test_inputs_are_made_short_and_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "load_suite", lambda path: {}[path])
    text = suite.smallest(inputs(1)[0], "load_suite raises KeyError")
    assert text == ascii(suite.written(FromBytes(b"")))
    monkeypatch.setattr(targets, "CORPUS", tmp_path)
    found = [{"data": "ff" * 30}]
    corpus = [bytes([i]) * i for i in range(1, 100)] + [b"x" * 500]
    assert campaign.keep("suite", corpus, found) == 1 + 33
    kept = targets.kept("suite")
    assert kept[:3] == [b"\xff" * 30, b"\x01", b"\x04" * 4]
    assert campaign.keep("suite", corpus[:1], []) == 34


def test_json_is_written_as_python_reads_it():
    for data in inputs(100):
        choices = FromBytes(data)
        written = values.dumped(choices, values.mutated(choices, {"a": [1, "x"]}))
        try:
            json.loads(written)
        except (ValueError, RecursionError):  # too many digits or levels, or half a surrogate pair
            continue
