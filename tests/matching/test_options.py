"""What a suite may overlook, and the verdict on each argument."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcbench import Call, Case, Matching, Parse, Sample, Tool
from fcbench.errors import UsageError
from fcbench.matching import check_matching, judge
from fcbench.matching._assignment import assign

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "default": "celsius"},
        "days": {"type": "integer", "default": 1},
        "place": {"type": "object", "properties": {"country": {"type": "string", "default": "NO"}}},
        "stops": {
            "type": "array",
            "items": {"type": "object", "properties": {"wait": {"default": 0}}},
        },
    },
}


def verdict(expected, called, *, parameters=SCHEMA, **options):
    case = Case(
        "a",
        [{"role": "user", "content": "x"}],
        [Tool("f", "", parameters)],
        [[Call("f", expected)]],
    )
    return judge(
        case, Sample("a", text="…"), Parse("calls", [Call("f", called)]), Matching(**options)
    )


def results(expected, called, **options):
    (pair,) = verdict(expected, called, **options).pairs
    return {argument.path: argument.result for argument in pair.arguments}


@pytest.mark.parametrize(
    ("normalise", "expected", "called", "same"),
    [
        ((), "Oslo", "oslo", False),
        (("case",), "Oslo", "oslo", True),
        (("case",), "STRASSE", "straße", True),
        (("case",), "Oslo", " oslo", False),
        (("space",), "Oslo", " Oslo\n", True),
        (("space",), "New York", "New  York", False),
        (("case", "space"), "Oslo", " OSLO ", True),
        (("datetime",), "2026-01-20T15:00:00", "2026-01-20T15:00", True),
        (("datetime",), "2026-01-20T15:00:00", "2026-01-20 15:00:00", True),
        (("datetime",), "2026-01-20T15:00:00Z", "2026-01-20T16:00:00+01:00", True),
        (("datetime",), "2026-01-20T15:00:00", "2026-01-20T15:00:00Z", False),
        (("datetime",), "2026-01-20", "2026-01-20T00:00:00", False),
        # These are before the first year, and after the last one, in UTC.
        (("datetime",), "2026-01-20T15:00", "0001-01-01T00:00:00+05:00", False),
        (("datetime",), "2026-01-20T15:00", "9999-12-31T23:59:59-05:00", False),
        (("datetime",), "2026-01-20", "20260120", False),
        (("datetime",), "2026-01-20T15:00:00", "20260120T1500", True),
        (("datetime",), "Tuesday: noon", "tuesday: noon", False),
        (("datetime",), "2026-01-20T15:00:00", "2026-01-20T15:00:01", False),
        (("datetime", "case"), "2026-01-20T15:00:00Z", "2026-01-20t15:00:00z", True),
        (("datetime",), "15:00", "15:00:00", False),
        (("case",), {"$any": ["Oslo", "Bergen"]}, "BERGEN", True),
        (("case",), ["Oslo", {"k": "A"}], ["oslo", {"k": "a"}], True),
        (("case",), {"Key": "a"}, {"key": "a"}, False),
        (("case", "space", "datetime"), 1, "1", False),
        (("case", "space", "datetime"), "1", 1, False),
    ],
)
def test_what_is_overlooked_is_what_is_named(normalise, expected, called, same):
    assert verdict({"city": expected}, {"city": called}, normalise=normalise).arguments is same


@pytest.mark.parametrize(
    ("expected", "called", "strictly", "with_defaults"),
    [
        ({"city": "Oslo"}, {"city": "Oslo", "unit": "celsius"}, False, True),
        ({"city": "Oslo", "unit": "celsius"}, {"city": "Oslo"}, False, True),
        ({"city": "Oslo"}, {"city": "Oslo", "unit": "kelvin"}, False, False),
        ({"city": "Oslo", "unit": "kelvin"}, {"city": "Oslo"}, False, False),
        ({"city": "Oslo"}, {"city": "Oslo", "days": 1.0}, False, True),
        ({"city": "Oslo"}, {"city": "Oslo", "days": True}, False, False),
        ({"city": "Oslo"}, {"city": "Oslo", "other": "celsius"}, False, False),
        ({"unit": {"$any": ["celsius", "kelvin"]}}, {}, False, True),
        ({"place": {}}, {"place": {"country": "NO"}}, False, True),
        ({"stops": [{}]}, {"stops": [{"wait": 0}]}, False, True),
        ({"city": "Oslo"}, {}, False, False),
        ({"city": "Oslo"}, {"city": "Oslo", "unit": {"$any": ["celsius"]}}, False, False),
    ],
)
def test_defaults_equal_absence_only_where_asked(expected, called, strictly, with_defaults):
    assert verdict(expected, called).arguments is strictly
    assert verdict(expected, called, schema_defaults=True).arguments is with_defaults


def test_each_argument_has_its_verdict():
    expected = {"a": 1, "b": 1.5, "c": "x", "d": {"$any": [1, None]}, "e": True, "f": [1]}
    called = {"a": 1.0, "b": "1.5", "c": "y", "d": "1", "e": 1, "g": 0}
    assert results(expected, called) == {
        "a": "equal",
        "b": "wrong_type",
        "c": "different",
        "d": "wrong_type",
        "e": "wrong_type",
        "f": "missing",
        "g": "extra",
    }


def test_a_number_written_as_a_string_is_no_other_number():
    assert results({"x": 15}, {"x": "1.5"}) == {"x": "wrong_type"}
    assert results({"x": "15"}, {"x": "1.5"}) == {"x": "different"}


def test_an_argument_that_must_be_absent_is_extra():
    assert results({"x": {"$any": [], "$optional": True}}, {"x": ""}) == {"x": "extra"}
    assert results({"x": {"$any": [], "$optional": True}}, {}) == {"x": "equal"}


def test_calls_without_a_partner_have_their_arguments_told():
    case = Case(
        "a", [{"role": "user", "content": "x"}], [Tool("f"), Tool("g")], [[Call("f", {"x": 1})]]
    )
    found = judge(case, Sample("a", text="…"), Parse("calls", [Call("g", {"y": 2})]))
    (pair,) = found.pairs
    assert [(a.path, a.result) for a in pair.arguments] == [("x", "missing"), ("y", "extra")]


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"normalise": ("case", "spce")}, "no such normalisation: spce", "did you mean space"),
        ({"normalise": ("cases",)}, "no such normalisation: cases", "did you mean case"),
        ({"matcher": "exakt"}, "exakt", "did you mean exact"),
        (
            {"matcher": "bfcl", "normalise": ("case",)},
            "the matcher bfcl takes no normalise",
            "use the matcher exact",
        ),
        (
            {"matcher": "bfcl", "schema_defaults": True},
            "no schema_defaults",
            "use the matcher exact",
        ),
    ],
)
def test_an_unknown_rule_names_the_nearest(options, message, hint):
    for refuse in (lambda: verdict({}, {}, **options), lambda: check_matching(Matching(**options))):
        with pytest.raises(UsageError, match=message) as caught:
            refuse()
        assert hint in str(caught.value)


sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(
    sizes.flatmap(
        lambda s: st.lists(
            st.lists(st.floats(0, 1e9), min_size=s[1], max_size=s[1]), min_size=s[0], max_size=s[0]
        )
    )
)
def test_the_assignment_gains_what_scipys_gains(gains):
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.array(gains), maximize=True)
    best = sum(gains[r][c] for r, c in zip(rows, columns, strict=True))
    chosen = assign(gains)
    taken = [c for c in chosen if c is not None]
    assert len(set(taken)) == len(taken) == len(rows)
    assert sum(gains[r][c] for r, c in enumerate(chosen) if c is not None) == pytest.approx(best)
