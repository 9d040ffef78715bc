"""The syntax_stress suite's data, read as plain JSON lines: its generator is not imported."""

import difflib
import re
import unicodedata
from itertools import chain

import pytest
from jsonschema import Draft202012Validator

from fcbench import load_suite, parse, render
from fcbench.errors import FormatError
from fcbench.prompts._case_text import one_answer
from tests.suite.written import FILES, read

ROWS = read("syntax_stress")
FAMILIES = {
    "characters": {"brackets", "separators", "quotes", "backslashes", "line_breaks"},
    "snippets": {"json", "code", "shell", "regex", "markup", "table"},
    "unicode": {"emoji", "right_to_left", "combining", "cjk"},
    "size": {"empty", "long", "deep"},
    "numbers": {"extreme_number", "numeric_string"},
    "names": {"tool_name", "argument_key"},
}
KINDS = set().union(*FAMILIES.values()) | {"control_lookalike"}
FORMATS = ("functiongemma", "gemma4", "hermes", "mistral", "llama3", "pythonic", "json")
MATES = {'"': '"', "'": "'", "`": "`", "“": "”", "«": "»", "「": "」"}
# What real templates leave out of a declaration, or need for something else.
UNDECLARED = {"description", "type", "properties", "required", "nullable"}

EACH = pytest.mark.parametrize(
    "row", list(chain(*ROWS.values())), ids=lambda row: f"{row['id']}-{row['tags'][-1]}"
)


def kind(row):
    return row["tags"][-1]


def said(row):
    return row["messages"][-1]["content"]


def calls(row):
    return row["expected"][0]


def tool_of(row, call):
    return next(tool for tool in row["tools"] if tool["name"] == call["name"])


def leaves(value):
    """Yield what is not a list or an object, all of a $any's values included."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def strings(row):
    return [v for call in calls(row) for v in leaves(call["arguments"]) if isinstance(v, str)]


def numbers(row):
    found = [v for call in calls(row) for v in leaves(plain(call["arguments"]))]
    return [v for v in found if isinstance(v, int | float) and not isinstance(v, bool)]


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


def plain(value):
    if isinstance(value, dict) and "$any" in value:
        return plain(value["$any"][0])
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def enum_members(schema):
    if isinstance(schema, dict):
        yield from schema.get("enum", [])
        for part in schema.values():
            yield from enum_members(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from enum_members(part)


def keys_of(schema):
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        yield from properties
        for part in (*properties.values(), schema.get("items")):
            yield from keys_of(part)


def is_bounded(text, value):
    """Whether the value stands somewhere with a plain beginning and a plain end.

    Plain are: lines of its own; quotes of a kind that the value does not hold (or, where nothing
    follows but the end of a sentence, does not hold at its end); and blanks or punctuation around
    a value that neither begins nor ends in a blank.
    """
    for match in re.finditer(re.escape(value), text):
        before, after = text[: match.start()], text[match.end() :]
        own_lines = before.rpartition("\n")[2].strip() == "" and after[:1] in ("", "\n")
        mate = MATES.get(before[-1:])
        quoted = mate is not None and after[:1] == mate and mate not in value
        spaced = (not before or before[-1] in " \n(") and re.match(r"[.,:;!?)]*(\s|$)", after)
        bare = "\n" not in value and value[:1] not in MATES and not value[-1:].isspace()
        if own_lines or quoted or (spaced and bare and value[-1:] not in ".,:;!?"):
            return True
        if re.fullmatch(r"[\w./-]+", value) and re.match(r"(?!\w).|$", after, re.DOTALL):
            return True
    return False


@EACH
def test_every_expected_string_stands_verbatim_in_the_users_words(row):
    free = [
        value
        for call in calls(row)
        for value in leaves(call["arguments"])
        if isinstance(value, str) and value not in set(enum_members(tool_of(row, call)))
    ]
    assert all(value in said(row) for value in free)


@EACH
def test_the_users_words_show_where_a_value_begins_and_ends(row):
    for call in calls(row):
        for value in leaves(call["arguments"]):
            if isinstance(value, str) and value and value not in enum_members(tool_of(row, call)):
                assert is_bounded(said(row), value), value


@EACH
def test_every_expected_number_stands_in_the_users_words(row):
    words = re.sub(r"(?<=\d),(?=\d{3})", "", said(row))
    found = {
        part(word)
        for word in re.findall(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", words)
        for part in (float, lambda w: int(w) if re.fullmatch(r"-?\d+", w) else None)
    }
    for value in numbers(row):
        # A debit is negative by the tool's description, not by the user's words.
        spoken = -value if calls(row)[0]["name"] == "post_entry" and value < 0 else value
        wording = {2: "second", 1: "first", 3: "third"}
        assert spoken in found or wording.get(value, "\0") in said(row), value


@EACH
def test_expected_calls_satisfy_the_schema_of_their_tool(row):
    for call in calls(row):
        tool = tool_of(row, call)
        arguments = plain(call["arguments"])
        Draft202012Validator.check_schema(tool["parameters"])
        Draft202012Validator(tool["parameters"]).validate(arguments)
        assert set(arguments) <= set(tool["parameters"]["properties"])


@EACH
def test_tools_have_described_arguments_and_names_that_formats_can_express(row):
    assert 2 <= len(row["tools"]) <= 5
    assert len({tool["name"] for tool in row["tools"]}) == len(row["tools"])
    for tool in row["tools"]:
        assert not re.search(r"""[\s{}\[\]()<>,"']""", tool["name"])
        assert tool["description"]
        properties = tool["parameters"]["properties"]
        assert all(schema.get("description") for schema in properties.values())
        for key in keys_of(tool["parameters"]):
            assert not re.search(r"""[\s{}\[\]<>,:"']""", key)
            assert key not in UNDECLARED


@EACH
def test_there_is_one_user_turn_without_stray_whitespace(row):
    assert [message["role"] for message in row["messages"]] == ["user"]
    assert said(row) == said(row).strip("\n")
    assert not re.search(r"[ \t]$|\r", said(row), re.MULTILINE)
    assert "⟦" not in said(row)


def scripts(text):
    return {unicodedata.name(c, "?").split()[0].split("-")[0] for c in text if c.isalpha()}


def holds(pattern):
    return lambda row: any(re.search(pattern, value, re.DOTALL) for value in strings(row))


TRUE_OF = {
    "brackets": holds(r"[{}\[\]]|[(<]{2}"),
    "separators": holds(r"(?=.*,.*)(?=.*:).*"),
    "quotes": holds("[\"'“”„‘’‚]"),
    "backslashes": holds(r"\\"),
    "line_breaks": holds(r"[\n\t]"),
    "json": holds(r"""[{\[].*["'].*[:,]"""),
    "code": holds(r"SELECT|UPDATE|def |=>|let |print|:="),
    "shell": holds(r"\$|\||&&|curl"),
    "regex": holds(r"\\[dbswS1.{]|[*+?]|\^.*\$"),
    "markup": holds(r"</?\w+|\\\w+\{|\\oint|\*\*|^# "),
    "table": holds(r'[,;|\t].*[,;|\t"]'),
    "control_lookalike": holds(r"(?i)<\W?\w*|call:|\[TOOL_CALLS\]"),
    "emoji": holds("[\U0001f300-\U0001faff\u2615\u200d]"),
    "right_to_left": lambda row: any(
        unicodedata.bidirectional(c) in ("R", "AL") for v in strings(row) for c in v
    ),
    "combining": lambda row: any(
        unicodedata.category(c) in ("Mn", "Mc") for v in strings(row) for c in v
    ),
    "cjk": lambda row: (
        scripts("".join(strings(row))) & {"CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "HANGUL"}
    ),
    "empty": lambda row: "" in strings(row),
    "long": lambda row: 500 <= max(map(len, strings(row))) <= 2000,
    "deep": lambda row: max(depth(call["arguments"]) for call in calls(row)) >= 5,
    "extreme_number": lambda row: any(
        abs(v) > 2**53 or abs(v) < 1e-8 or v <= 0 for v in numbers(row)
    ),
    "numeric_string": holds(r"^(\+?-?[\d.]+(e\d+)?|0x[\dA-F]+|true|null)$"),
    "tool_name": lambda row: (
        not all(re.fullmatch(r"[a-z][a-z_]{1,40}", tool["name"]) for tool in row["tools"])
    ),
    "argument_key": lambda row: (
        not all(
            re.fullmatch(r"[a-z][a-z_]{0,40}", key)
            and key not in ("true", "false", "null", "class", "from", "import", "as", "call")
            for call in calls(row)
            for key in call["arguments"]
        )
    ),
}


@EACH
def test_a_case_has_one_kind_its_family_and_what_the_kind_says(row):
    family = [name for name, kinds in FAMILIES.items() if kind(row) in kinds]
    assert row["tags"] == [*family, kind(row)]
    assert TRUE_OF[kind(row)](row)


@pytest.mark.parametrize("split", FILES)
def test_every_kind_is_there_and_ids_are_unique(split):
    assert {kind(row) for row in ROWS[split]} == KINDS
    assert len({row["id"] for row in ROWS[split]}) == len(ROWS[split])
    assert len(ROWS[split]) >= {"eval": 120, "train": 30}[split]


def test_accepted_alternatives_are_the_same_number():
    choices = [
        value["$any"]
        for row in chain(*ROWS.values())
        for call in calls(row)
        for value in call["arguments"].values()
        if isinstance(value, dict) and "$any" in value
    ]
    assert choices
    assert all(len({float(value) for value in choice}) == 1 for choice in choices)


def test_numeric_strings_are_never_declared_as_numbers():
    for row in chain(*ROWS.values()):
        if kind(row) == "numeric_string":
            call = calls(row)[0]
            properties = tool_of(row, call)["parameters"]["properties"]
            assert all(properties[key]["type"] == "string" for key in call["arguments"])


def test_emoji_bring_skin_tones_joiners_keycaps_flags_and_tags():
    text = "".join(v for row in ROWS["eval"] if kind(row) == "emoji" for v in strings(row))
    for part in ("\U0001f3fd", "\u200d", "\ufe0f\u20e3", "\U0001f1f8\U0001f1ea", "\U000e007f"):
        assert part in text


def test_nesting_reaches_eight_levels():
    assert max(depth(c["arguments"]) for row in ROWS["eval"] for c in calls(row)) >= 8


def masked(row):
    """Return the user's words without the expected strings."""
    text = said(row)
    for value in sorted(filter(None, strings(row)), key=len, reverse=True):
        text = text.replace(value, "_")
    return text


def test_training_shares_no_value_with_evaluation():
    def values(split):
        free = {v for row in ROWS[split] for v in strings(row) if v}
        members = {m for row in ROWS[split] for t in row["tools"] for m in enum_members(t)}
        return free - members

    assert not values("eval") & values("train")
    for own in numbers_beyond_ten("eval"):
        assert own not in numbers_beyond_ten("train")


def numbers_beyond_ten(split):
    # Small numbers are levels and operands of nested arguments; they have to recur.
    return {
        v for row in ROWS[split] for v in numbers(row) if abs(v) > 10 or not float(v).is_integer()
    }


def test_no_two_cases_are_phrased_nearly_alike():
    rows = [*ROWS["eval"], *ROWS["train"]]
    seen = [masked(row) for row in rows]
    for i, text in enumerate(seen):
        for other in seen[:i]:
            matcher = difflib.SequenceMatcher(None, text, other, autojunk=False)
            if min(len(text), len(other)) > 12 and matcher.real_quick_ratio() > 0.9:
                assert matcher.quick_ratio() <= 0.9 or matcher.ratio() <= 0.9, (text, other)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_can_express_every_answer(format):
    # Python's syntax has room for neither such names nor such keys.
    suite = load_suite("syntax_stress")
    for case in [*suite.cases, *suite.training_cases()]:
        try:
            text = render(one_answer(case), format=format)
        except FormatError:
            assert format == "pythonic"
            assert "names" in case.tags
            continue
        assert parse(text, format=format).calls == one_answer(case), case.id
