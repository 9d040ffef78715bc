"""The matcher bfcl says what bfcl-eval's own checker says; `make test-bfcl` fetches the latter."""

import json
from collections import Counter

import pytest
from jsonschema import Draft202012Validator

from fcbench import load_suite
from fcbench.lint import lint
from fcbench.suite._bfcl import ANSWERED
from fcbench.suite._bfcl_wheel import wheel_path
from tests.benchmarks import bfcl
from tests.bfcl import synthetic
from tests.bfcl.__main__ import as_markdown, by_entry, counts_of, differences
from tests.bfcl.differences import CLASSES, calls_of, classes_of, entry_of
from tests.bfcl.entries import entries
from tests.bfcl.limits import optional_though_required, unsatisfiable
from tests.bfcl.outputs import outputs
from tests.bfcl.parity import EXACT, compare, judged, verdict_of_theirs

pytestmark = [
    pytest.mark.bfcl,
    pytest.mark.skipif(
        not wheel_path().is_file(),
        reason="bfcl-eval is not here: python -m fcbench suites fetch bfcl",
    ),
    # CPython warns of what models write, such as "1 is not callable".
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
]


@pytest.fixture(scope="module")
def theirs():
    try:
        return bfcl.load()
    except bfcl.Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def found():
    return entries()


@pytest.fixture(scope="module")
def parity(found, theirs):
    return compare(found, theirs)


def test_every_output_of_every_entry_is_judged_as_bfcl_eval_judges_it(parity):
    assert parity.disagreements == []
    assert parity.entries == 2351
    assert parity.fewest_mistakes >= 20
    assert parity.right > 2351
    assert parity.wrong > 200_000
    assert parity.decoded > 30_000


def test_made_up_entries_are_judged_alike_except_where_theirs_raises(theirs):
    parity = compare(synthetic.entries(500, seed=1), theirs)
    assert parity.right > 1000
    assert len(parity.exceptions) >= 3
    assert len(parity.disagreements) < 10
    assert all(each.theirs_raises for each in parity.disagreements)


def test_outputs_follow_from_their_entry(found):
    for entry in found[::200]:
        assert outputs(entry) == outputs(entry)


def test_every_difference_between_exact_and_bfcl_is_of_a_known_class(parity):
    counts = Counter(
        name
        for entry, exact, ours in parity.differing
        for name in classes_of(entry.case, exact, ours)
    )
    assert set(counts) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_the_example_of_a_class_is_judged_as_it_says(name, theirs):
    entry, calls = entry_of(CLASSES[name].example), calls_of(CLASSES[name].example)
    exact, ours = judged(entry.case, calls, EXACT), judged(entry.case, calls)
    accepts = CLASSES[name].accepts
    assert (exact.arguments, ours.arguments) == (accepts == "exact", accepts == "bfcl")
    assert verdict_of_theirs(entry, calls, theirs) is ours.arguments
    assert classes_of(entry.case, exact, ours) == {name}


def test_four_entries_cannot_be_satisfied_and_fourteen_leave_out_what_is_required(found, theirs):
    assert len(by_entry(unsatisfiable(found, theirs))) == 4
    assert len(by_entry(optional_though_required(found))) == 14


def test_every_schema_is_valid_and_every_case_is_tagged():
    suite = load_suite("bfcl")
    assert len(suite.cases) == 3491
    assert len({case.id for case in suite.cases}) == 3491
    for case in suite.cases:
        assert len(case.tags) == 1
        for tool in case.tools:
            Draft202012Validator.check_schema(tool.parameters)


def test_the_report_is_written_from_what_was_counted(parity):
    counts = counts_of(parity)
    result = {
        "bfcl_eval": bfcl.VERSION,
        "bfcl": counts,
        "made_up": {"seed": 1, **counts},
        "exact_differs": differences(parity),
        "unsatisfiable": {"made_1": "1 × it is so"},
        "optional_though_required": {},
    }
    text = as_markdown(json.loads(json.dumps(result)))
    assert f"{parity.outputs:,}" in text
    assert "satisfies under BFCL's rules: 1" in text
    assert all(name in text for name in CLASSES)


def test_lint_finds_the_entries_that_their_checker_never_accepts_or_that_contradict_a_schema(
    found, theirs
):
    kinds: dict[str, set[str]] = {}
    for finding in lint(load_suite(f"bfcl:{','.join(ANSWERED)}")):
        kinds.setdefault(finding.kind, set()).add(finding.case_id)
    assert kinds["unsatisfiable"] == {limit.id for limit in unsatisfiable(found, theirs)}
    assert len(kinds["unsatisfiable"]) == 4
    assert kinds["required_optional"] == {limit.id for limit in optional_though_required(found)}
    assert len(kinds["required_optional"]) == 14
