"""The data of the suite `selection`, read as JSON lines; its generator is not imported."""

import difflib
import re
from collections import Counter

import jsonschema
import pytest

from tests.suite.written import FILES, SUITES, read

HERE = SUITES / "selection"
ROWS = read("selection")
SPLITS = pytest.mark.parametrize("split", FILES)
SIZES = (4, 8, 16, 40)
DOMAINS = {path.stem for split in FILES for path in (HERE / split).glob("*.toml")}
KINDS = {"same_object", "same_verb", "shared_prefix", "decoy_word", "arguments_decide"}


def said(row):
    (message,) = row["messages"]
    assert message["role"] == "user"
    return message["content"]


def call_of(row):
    ((call,),) = row["expected"]
    return call


def right(row):
    (tool,) = [tool for tool in row["tools"] if tool["name"] == call_of(row)["name"]]
    return tool


def others(row):
    return [tool for tool in row["tools"] if tool["name"] != call_of(row)["name"]]


def position(row):
    return [tool["name"] for tool in row["tools"]].index(call_of(row)["name"])


def same_word(word, other):
    """Whether two words differ in their ending only; coarser than the generator's own rule."""
    stem = min(len(word), len(other), max(3, len(word) - 1))
    return word[:stem] == other[:stem] and abs(len(word) - len(other)) <= 4


@SPLITS
def test_tools_are_valid_schemas_and_expected_calls_are_valid_by_them(split):
    for row in ROWS[split]:
        for tool in row["tools"]:
            parameters = tool["parameters"]
            jsonschema.Draft202012Validator.check_schema(parameters)
            assert parameters["type"] == "object"
            assert set(parameters.get("required", [])) == set(parameters["properties"]), tool
            assert all(
                schema["type"] in {"string", "integer"} and schema["description"]
                for schema in parameters["properties"].values()
            )
            assert tool["description"]
        strict = {**right(row)["parameters"], "additionalProperties": False}
        jsonschema.Draft202012Validator(strict).validate(call_of(row)["arguments"])


@SPLITS
def test_every_value_but_an_enum_member_stands_in_the_request(split):
    for row in ROWS[split]:
        schemas = right(row)["parameters"]["properties"]
        for argument, value in call_of(row)["arguments"].items():
            if "enum" not in schemas[argument]:
                found = re.findall(rf"(?<![\w-]){re.escape(str(value))}(?!\w)", said(row))
                assert found, (row["id"], value)
                assert type(value) is {"string": str, "integer": int}[schemas[argument]["type"]]


@SPLITS
def test_integers_of_a_request_are_said_once_and_are_expected(split):
    """A second number that could be meant would be a test of arguments."""
    for row in ROWS[split]:
        rest = said(row)
        for value in call_of(row)["arguments"].values():
            if isinstance(value, str):
                rest = rest.replace(value, "")
        free = re.findall(r"(?<!\w)\d+(?!\w)", rest)
        expected = [str(v) for v in call_of(row)["arguments"].values() if isinstance(v, int)]
        assert sorted(free) == sorted(expected), row["id"]


@SPLITS
def test_tags_are_the_size_one_domain_and_the_kinds_of_confusion(split):
    for row in ROWS[split]:
        size, domain, *kinds = row["tags"]
        assert size == f"tools_{len(row['tools'])}"
        assert domain in DOMAINS
        assert set(kinds) <= KINDS
    counted = Counter(tag for row in ROWS[split] for tag in row["tags"])
    sizes = [counted[f"tools_{size}"] for size in SIZES]
    assert sum(sizes) == len(ROWS[split])
    assert max(sizes) - min(sizes) <= 1


def test_evaluation_has_many_domains_and_enough_of_each_kind_of_confusion():
    counted = Counter(tag for row in ROWS["eval"] for tag in row["tags"])
    assert len(ROWS["eval"]) >= 160
    assert sum(domain in counted for domain in DOMAINS) >= 8
    assert counted["shared_prefix"] >= 10
    assert all(counted[kind] >= 30 for kind in KINDS - {"shared_prefix"}), counted


@SPLITS
def test_kinds_of_confusion_are_true_of_the_tools_offered(split):
    for row in ROWS[split]:
        name, tags = call_of(row)["name"], row["tags"]
        verb, *objects = name.split("_")
        names = [tool["name"] for tool in others(row)]
        split_names = [n.split("_") for n in names]
        same_description = [t for t in others(row) if t["description"] == right(row)["description"]]
        assert ("arguments_decide" in tags) == bool(same_description)
        assert ("shared_prefix" in tags) == any(
            n.startswith(f"{name}_") or name.startswith(f"{n}_") for n in names
        )
        assert ("same_verb" in tags) == any(n.startswith(f"{verb}_") for n in names)
        if "same_object" in tags:
            assert any(
                other[0] != verb and any(same_word(a, b) for a in objects for b in other[1:])
                for other in split_names
            ), row["id"]
        if "decoy_word" in tags:
            words = re.findall(r"[a-z]+", said(row).lower())
            assert verb not in words
            assert any(same_word(n[0], word) for n in split_names for word in words), row["id"]


@SPLITS
def test_tools_of_one_description_take_different_arguments(split):
    for row in ROWS[split]:
        if "arguments_decide" in row["tags"]:
            for tool in others(row):
                if tool["description"] == right(row)["description"]:
                    mine, its = (set(t["parameters"]["required"]) for t in (right(row), tool))
                    assert not mine <= its
                    assert not its <= mine


@SPLITS
def test_no_two_tools_of_a_case_share_a_name_and_each_name_means_one_tool(split):
    declared = {}
    for row in ROWS[split]:
        assert len({tool["name"] for tool in row["tools"]}) == len(row["tools"])
        for tool in row["tools"]:
            assert declared.setdefault(tool["name"], tool) == tool


@SPLITS
def test_every_tool_is_the_right_one_at_least_once(split):
    """So a name alone never tells that a tool is there to mislead."""
    offered = {tool["name"] for row in ROWS[split] for tool in row["tools"]}
    assert offered == {call_of(row)["name"] for row in ROWS[split]}


@SPLITS
def test_the_right_tool_stands_anywhere_in_the_list_equally_often(split):
    for size in SIZES:
        found = Counter(position(row) for row in ROWS[split] if len(row["tools"]) == size)
        counts = [found[place] for place in range(size)]
        assert max(counts) - min(counts) <= 1, (size, counts)


def test_position_does_not_hang_on_the_order_of_the_cases():
    for size in SIZES:
        places = [position(row) for row in ROWS["eval"] if len(row["tools"]) == size]
        half = len(places) // 2
        first, second = (sum(p) / len(p) / (size - 1) for p in (places[:half], places[half:]))
        assert abs(first - second) < 0.25, (size, first, second)
        assert places != sorted(places)


@SPLITS
@pytest.mark.parametrize("read_description", [False, True])
def test_counting_common_words_does_not_find_the_right_tool(split, read_description):
    """A model that only looks for words of the request in the tools gets less than a third."""

    def words(text):
        return set(re.findall(r"[a-z]+", text.lower().replace("_", " ")))

    score = 0.0
    for row in ROWS[split]:
        common = {
            tool["name"]: len(
                words(said(row))
                & words(tool["name"] + (" " + tool["description"]) * read_description)
            )
            for tool in row["tools"]
        }
        best = [name for name, count in common.items() if count == max(common.values())]
        score += (call_of(row)["name"] in best) / len(best)
    assert score / len(ROWS[split]) < 1 / 3


def test_siblings_come_first():
    """With 4 or 8 tools all are of one domain, which is told by their cases as right tools."""
    home = {}
    for row in ROWS["eval"]:
        home[call_of(row)["name"]] = row["tags"][1]
    for row in ROWS["eval"]:
        strangers = [t["name"] for t in row["tools"] if home[t["name"]] != row["tags"][1]]
        assert bool(strangers) == (len(row["tools"]) > 8)


def test_evaluation_and_training_share_no_tool_no_description_and_no_string_value():
    def tools(split, field):
        return {tool[field] for row in ROWS[split] for tool in row["tools"]}

    def values(split):
        return {
            value
            for row in ROWS[split]
            for value in call_of(row)["arguments"].values()
            if isinstance(value, str)
        }

    for field in ("name", "description"):
        assert not tools("eval", field) & tools("train", field)
    assert not values("eval") & values("train")


def test_no_request_is_nearly_another():
    requests = [said(row) for rows in ROWS.values() for row in rows]
    for number, one in enumerate(requests):
        matcher = difflib.SequenceMatcher(None, autojunk=False)
        matcher.set_seq2(one)
        for other in requests[:number]:
            matcher.set_seq1(other)
            near = matcher.quick_ratio() > 0.8 and matcher.ratio() > 0.8
            assert not near, (one, other)
