"""The types suite's data, read as plain JSON lines: its generator is not imported."""

import difflib
import json
import re
from datetime import date, datetime
from itertools import chain

import pytest
from jsonschema import Draft202012Validator

from fcbench import load_suite, parse, render, score
from fcbench.prompts._case_text import one_answer
from tests.suite.written import FILES, SUITES, read

HERE = SUITES / "types"
ROWS = read("types")
FORMATS = ("functiongemma", "gemma4", "hermes", "mistral", "llama3", "pythonic", "json")
NUMERALS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WORDS = {word: number for number, word in enumerate(NUMERALS)} | {"fifteen": 15, "ninety": 90}
IMPLIED = {0: "no|off|ground|without", 1: "on"}
UNITS = {"cents": ("euros", 100), "milliseconds": ("seconds", 1000), "seconds": ("minutes", 60)}
UNDECLARED = {"description", "type", "properties", "required", "nullable"}

EACH = pytest.mark.parametrize("row", list(chain(*ROWS.values())), ids=lambda row: row["id"])


def said(row):
    return row["messages"][-1]["content"]


def call_of(row):
    ((call,),) = row["expected"]
    return call


def tool_of(row):
    return next(tool for tool in row["tools"] if tool["name"] == call_of(row)["name"])


def walk(schema, value, path=(), above=""):
    """Yield path, schema, value and all descriptions from the top, of every value."""
    above = f"{above} | {schema.get('description', '')}"
    yield path, schema, value, above
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(schema["properties"][key], item, (*path, key), above)
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from walk(schema["items"], item, (*path, i), above)


def values(row):
    return list(walk(tool_of(row)["parameters"], call_of(row)["arguments"]))[1:]


def types_of(schema):
    if "anyOf" in schema:
        return {option["type"] for option in schema["anyOf"]}
    return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])


def is_date(above):
    return "YYYY-MM-DD" in above


def free_strings(row):
    return [
        value
        for _, schema, value, above in values(row)
        if isinstance(value, str) and "enum" not in schema and not is_date(above)
    ]


def scalars(row):
    return [
        item
        for item in values(row)
        if isinstance(item[2], int | float) and not isinstance(item[2], bool)
    ]


def figures(text):
    """Return the numbers written in figures, with a comma between thousands or without."""
    text = re.sub(r"\d{4}-\d\d-\d\d", " ", text)
    found = re.findall(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", text)
    return {float(number.replace(",", "")) for number in found}


def how(row, path, value, above):
    """Return how the user says a number: figures, share, word, conversion, implied, or None."""
    text = said(row)
    given = figures(text)
    words = {WORDS[word] for word in re.findall(r"\w+", text.lower()) if word in WORDS}
    if value in given or (value < 0 and -value in given and re.search("south|west", text)):
        return "figures"
    if "from 0 to 1" in above and round(value * 100, 9) in given:
        return "percent"
    if value in words or (value < 0 and -value in words and "minus" in text):
        return "word"
    if path[-1] in UNITS:
        unit, factor = UNITS[path[-1]]
        if value / factor in given | words and unit in text:
            return "conversion"
    if re.search(rf"(?i)\b({IMPLIED.get(value, '$^')})\b", text):
        return "implied"
    return None


def moments(text):
    """Return the dates in a text, as ISO, and the times."""
    found = set(re.findall(r"\d{4}-\d\d-\d\d", text))
    for day, month, year in re.findall(r"(\d{1,2}) ([A-Z][a-z]+) (\d{4})", text):
        found.add(_iso(day, month, year))
    for month, day, year in re.findall(r"([A-Z][a-z]+) (\d{1,2}), (\d{4})", text):
        found.add(_iso(day, month, year))
    return found, set(re.findall(r"\d\d:\d\d", text))


def _iso(day, month, year):
    return datetime.strptime(f"{day} {month} {year} +0000", "%d %B %Y %z").date().isoformat()


@EACH
def test_every_free_string_stands_verbatim_in_the_users_words(row):
    for value in free_strings(row):
        assert re.search(rf"(?<![\w]){re.escape(value)}(?!\w)", said(row)), value


@EACH
def test_every_number_follows_from_the_users_words(row):
    for path, _, value, above in scalars(row):
        assert how(row, path, value, above), (path, value)


@EACH
def test_every_date_is_the_one_that_the_user_writes(row):
    for _, schema, value, above in values(row):
        if isinstance(value, str) and is_date(above) and "enum" not in schema:
            dates, times = moments(said(row))
            assert date.fromisoformat(value[:10]).isoformat() in dates
            if "T" in above.rpartition("YYYY-MM-DD")[2][:1]:
                assert re.fullmatch(r".{10}T(\d\d:\d\d):00Z", value)[1] in times
                assert "UTC" in said(row)
            else:
                assert len(value) == 10


@EACH
def test_values_have_the_declared_type_and_never_only_a_like_one(row):
    python = {
        "integer": lambda v: type(v) is int,
        "number": lambda v: type(v) in (int, float),
        "boolean": lambda v: type(v) is bool,
        "string": lambda v: type(v) is str,
        "null": lambda v: v is None,
        "array": lambda v: type(v) is list,
        "object": lambda v: type(v) is dict,
    }
    for path, schema, value, _ in values(row):
        assert any(python[kind](value) for kind in types_of(schema)), path


@EACH
def test_expected_calls_satisfy_the_schema_of_their_tool(row):
    parameters = tool_of(row)["parameters"]
    arguments = call_of(row)["arguments"]
    Draft202012Validator.check_schema(parameters)
    Draft202012Validator(parameters).validate(arguments)
    assert set(arguments) <= set(parameters["properties"])


@EACH
def test_tools_are_few_and_every_argument_is_described(row):
    assert 2 <= len(row["tools"]) <= 5
    assert len({tool["name"] for tool in row["tools"]}) == len(row["tools"])
    for tool in row["tools"]:
        assert tool["description"]
        properties = tool["parameters"]["properties"]
        assert all(schema.get("description") for schema in properties.values())
        assert not UNDECLARED & set(properties)


@EACH
def test_descriptions_say_in_words_what_null_and_integer_enums_mean(row):
    # FunctionGemma's declarations have room for neither.
    for tool in row["tools"]:
        required = tool["parameters"]["required"]
        for name, schema in tool["parameters"]["properties"].items():
            if "null" in types_of(schema):
                assert "null" in schema["description"]
                assert name in required
            if "enum" in schema and types_of(schema) == {"integer"}:
                ends = (str(schema["enum"][0]), str(schema["enum"][-1]))
                assert all(end in schema["description"] for end in ends)


def type_tags(path, schema, value, above):
    """Yield the tags that a value deserves by its schema."""
    kinds = types_of(schema)
    kind = (kinds - {"null"}).pop()
    if "null" in kinds:
        yield "null" if value is None else "nullable"
    if value is None:
        return
    if kind == "array":
        yield "array_of_objects" if schema["items"]["type"] == "object" else "array"
    elif kind == "object" and not isinstance(path[-1], int):
        yield "object"
    elif "enum" in schema:
        yield f"{kind}_enum"
    elif kind == "string" and re.search("YYYY-MM-DD|HH:MM", above):
        yield "date"
    elif kind == "string" and value.isdigit():
        yield "numeric_string"
    elif kind in ("integer", "number", "boolean"):
        yield kind
        if "from 0 to 1" in above or "percent" in above:
            yield "share" if "from 0 to 1" in above else "percent"


def wording_tags(row):
    """Yield the tags that a case deserves by how the user puts its numbers."""
    factors = {path: UNITS[path[-1]][1] for path, *_ in scalars(row) if path[-1] in UNITS}
    spelt = {WORDS[word] for word in re.findall(r"[a-z]+", said(row).lower()) if word in WORDS}
    for path, _, value, above in scalars(row):
        means = how(row, path, value, above)
        if means in ("conversion", "implied"):
            yield means
        if means == "word" or (means == "conversion" and value / factors[path] in spelt):
            yield "number_word"
        if value >= 1000 and re.search(r"\d,\d{3}", said(row)):
            yield "thousands"
    if call_of(row)["arguments"].get("mode") in ("0", "1"):
        yield "implied"


@EACH
def test_tags_are_what_the_schema_and_the_words_say(row):
    by_type = {tag for item in values(row) for tag in type_tags(*item)}
    assert set(row["tags"]) == by_type | set(wording_tags(row))


def test_every_tag_has_cases_in_both_files():
    for split, least in (("eval", 5), ("train", 1)):
        tags = [tag for row in ROWS[split] for tag in row["tags"]]
        assert all(tags.count(tag) >= least for tag in set(tags))
    assert {t for row in ROWS["eval"] for t in row["tags"]} == {
        t for row in ROWS["train"] for t in row["tags"]
    }


@pytest.mark.parametrize("split", FILES)
def test_there_are_enough_cases_with_one_user_turn_each(split):
    assert len(ROWS[split]) >= {"eval": 120, "train": 30}[split]
    assert len({row["id"] for row in ROWS[split]}) == len(ROWS[split])
    for row in ROWS[split]:
        assert [message["role"] for message in row["messages"]] == ["user"]
        assert said(row) == " ".join(said(row).split())


def test_both_answers_to_each_boolean_occur():
    for kind in (True, False):
        assert sum(value is kind for row in ROWS["eval"] for _, _, value, _ in values(row)) >= 20


def masked(row):
    text = said(row)
    for value in sorted(free_strings(row), key=len, reverse=True):
        text = text.replace(value, "_")
    return re.sub(r"\d[\d.,:-]*", "#", text)


def test_training_shares_no_free_string_with_evaluation():
    strings = {split: {v for row in ROWS[split] for v in free_strings(row)} for split in FILES}
    assert not strings["eval"] & strings["train"]


def is_telling(schema, value, above):
    """Whether a value says where it comes from: true, 3 and an enum's members have to recur."""
    if isinstance(value, str):
        return is_date(above)
    if type(value) in (int, float):
        return "enum" not in schema and (abs(value) > 99 or value != int(value))
    return isinstance(value, list | dict)


def test_training_shares_no_list_object_date_or_large_number_with_evaluation():
    telling = {
        split: {
            json.dumps(value)
            for row in rows
            for _, schema, value, above in values(row)
            if is_telling(schema, value, above)
        }
        for split, rows in ROWS.items()
    }
    assert telling["eval"] & telling["train"] == set()


def test_no_two_cases_are_phrased_nearly_alike():
    rows = [*ROWS["eval"], *ROWS["train"]]
    seen = [masked(row) for row in rows]
    for i, text in enumerate(seen):
        for other in seen[:i]:
            matcher = difflib.SequenceMatcher(None, text, other, autojunk=False)
            if matcher.real_quick_ratio() > 0.85 and matcher.quick_ratio() > 0.85:
                assert matcher.ratio() <= 0.85, (text, other)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_can_express_every_answer(format):
    suite = load_suite("types")
    for case in [*suite.cases, *suite.training_cases()]:
        calls = one_answer(case)
        assert parse(render(calls, format=format), format=format).calls == calls, case.id


@EACH
def test_a_value_of_another_type_is_never_right(row):
    """True for 1, "5" for 5 and "null" for null must cost the case."""
    swaps = {bool: int, int: str, float: str, str: lambda s: int(s) if s.isdecimal() else None}
    suite = load_suite("types" if row in ROWS["eval"] else HERE / "train.jsonl")
    case = next(case for case in suite.cases if case.id == row["id"])
    for key, value in call_of(row)["arguments"].items():
        if type(value) in swaps or value is None:
            wrong = "null" if value is None else swaps[type(value)](value)
            call = one_answer(case)[0]
            other = type(call)(call.name, {**call.arguments, key: wrong})
            one = type(suite)(name="one", cases=[case], sha256="", source="")
            verdict = score({case.id: render([other])}, suite=one).verdicts[0]
            assert verdict.arguments is False
