"""The packaged suite's data, read as plain JSON and TOML: nothing of fcbench is imported."""

import difflib
import hashlib
import json
import re
import tomllib
import unicodedata
from collections import Counter
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import pytest

from suites.mobile_actions.more import more

SUITES = Path(__file__).resolve().parents[2] / "suites"
HERE = SUITES / "mobile_actions"
ORIGINAL = SUITES / "original_experiment"
FILES = {"eval": "cases.jsonl", "train": "train.jsonl"}
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
SEVEN = {
    "turn_on_flashlight": (set(), set()),
    "turn_off_flashlight": (set(), set()),
    "open_wifi_settings": (set(), set()),
    "show_map": ({"query"}, set()),
    "send_email": ({"to", "subject"}, {"body"}),
    "create_calendar_event": ({"title", "datetime"}, set()),
    "create_contact": ({"first_name", "last_name"}, {"phone_number", "email"}),
}
FREE = {"query", "title", "subject", "body", "first_name", "last_name"}
CONTROL = re.compile(
    r"<(/?(start|end)_(function_\w+|of_turn)|escape|bos|eos|pad|unused\d+|\|.*?\|)>"
)
SPLITS = pytest.mark.parametrize("split", FILES)
# What is trained on: the committed rows, and those that more.py writes on demand.
TRAINED = ("train", "more")
ROW_SETS = pytest.mark.parametrize("split", ["eval", *TRAINED])


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def entries(block):
    return [line.replace("\\n", "\n") for line in block.splitlines() if line]


ROWS = {split: read(HERE / name) for split, name in FILES.items()} | {"more": more(400)}
PHRASINGS, WORDS = (
    {s: tomllib.loads((HERE / f"{kind}_{s}.toml").read_text("utf-8")) for s in ROWS}
    for kind in ("phrasings", "words")
)


def user(row):
    return row["messages"][1]["content"]


def now_of(row):
    return datetime.fromisoformat(re.search(r"format: (\S+)", row["messages"][0]["content"])[1])


def calls(row):
    return [call["function"] for call in row["messages"][2].get("tool_calls", [])]


def arguments(split, *names):
    return [
        value
        for row in ROWS[split]
        for call in calls(row)
        for name, value in call["arguments"].items()
        if name in names
    ]


def templates(split, *, of=None, parts=("sentences", "clauses")):
    groups = [of] if of else SEVEN
    return [t for g in groups for p in parts for t in entries(PHRASINGS[split][g][p])]


def joiners(split):
    return [t for block in PHRASINGS[split]["joiners"].values() for t in entries(block)]


def requests_without_call(split):
    blocks = PHRASINGS[split]["no_call"].values()
    return [line.split(" => ")[0] for block in blocks for line in entries(block)]


def normal(template):
    masked = re.sub(r"\{\w+\}", "§", template.lower())
    return " ".join(re.sub(r"[^\w\s§]", " ", masked).split())


def pool(split, name):
    block = WORDS[split][name]
    blocks = block.values() if isinstance(block, dict) else [block]
    return [entry for b in blocks for entry in entries(b)]


def name_parts(split):
    latin = pool(split, "first_names") + pool(split, "last_names")
    other = [n for line in pool(split, "non_latin_names") for n in line.strip("* ").split(" | ")]
    return latin + other


def pattern_of(template):
    # A slot may hold anything, the words around it must be there, in this order.
    words = re.split(r"\{\w+\}", template)
    return re.compile(".+?".join(map(re.escape, words)), re.IGNORECASE | re.DOTALL)


@SPLITS
def test_hashes_in_suite_toml_are_those_of_the_files(split):
    suite = tomllib.loads((HERE / "suite.toml").read_text("utf-8"))
    key = {"eval": "cases", "train": "train"}[split]
    assert suite[key] == FILES[split]
    digest = hashlib.sha256((HERE / suite[key]).read_bytes()).hexdigest()
    assert suite[f"{key}_sha256"] == digest
    assert digest in (HERE / "README.md").read_text("utf-8")


def test_suite_toml_has_the_agreed_keys_only():
    suite = tomllib.loads((HERE / "suite.toml").read_text("utf-8"))
    expected = "name description licence schema cases cases_sha256 train train_sha256"
    assert list(suite) == expected.split()
    assert (suite["name"], suite["schema"]) == ("mobile_actions", "mobile-actions")


def test_evaluation_has_the_promised_cases_of_each_kind():
    counts = Counter(tag for row in ROWS["eval"] for tag in row["tags"])
    assert len(ROWS["eval"]) == 200
    assert counts["no_call"] == 20
    assert 110 <= counts["single"] <= 120
    assert 43 <= counts["parallel_2"] <= 47
    assert 18 <= counts["parallel_3"] <= 22
    assert counts["relative_date"] >= 35
    for tag in ("punctuation", "quotes", "braces", "non_latin"):
        assert counts[tag] >= 15, tag
    for tag in (*SEVEN, "optional_present", "optional_absent"):
        assert counts[tag] >= 20, tag


def test_training_has_similar_proportions():
    counts = Counter(tag for row in ROWS["train"] for tag in row["tags"])
    assert len(ROWS["train"]) == 900
    assert 0.07 <= counts["no_call"] / 900 <= 0.09
    assert 0.55 <= counts["single"] / 900 <= 0.6
    assert 0.2 <= counts["parallel_2"] / 900 <= 0.25
    assert 0.08 <= counts["parallel_3"] / 900 <= 0.12
    for name in SEVEN:
        assert counts[name] >= 90, name


@ROW_SETS
def test_structure_tags_count_the_calls(split):
    kinds = {0: "no_call", 1: "single", 2: "parallel_2", 3: "parallel_3"}
    for row in ROWS[split]:
        assert set(row["tags"]) & set(kinds.values()) == {kinds[len(calls(row))]}, row["id"]
        reasons = [tag for tag in row["tags"] if tag.startswith("no_call_")]
        assert len(reasons) == (not calls(row)), row["id"]


@ROW_SETS
def test_tags_of_values_say_what_the_values_hold(split):
    for row in ROWS[split]:
        text = "\n".join(v for c in calls(row) for k, v in c["arguments"].items() if k in FREE)
        names = [
            unicodedata.name(c, "") for c in text if c.isalpha() or unicodedata.category(c) == "So"
        ]
        optional = [
            bool(call["arguments"].keys() & SEVEN[call["name"]][1])
            for call in calls(row)
            if SEVEN[call["name"]][1]
        ]
        holds = {
            "punctuation": any(c in text for c in ",'’:;&#()"),
            "quotes": '"' in text or bool(re.search(r"\B'[^'\n]+'\B", text)),
            "braces": any(c in text for c in "{}[]<>"),
            "non_latin": not all(name.startswith("LATIN ") for name in names),
            "optional_present": any(optional),
            "optional_absent": not all(optional),
        } | {name: name in {c["name"] for c in calls(row)} for name in SEVEN}
        dated = any("datetime" in c["arguments"] for c in calls(row))
        assert dated == bool({"relative_date", "absolute_date"} & set(row["tags"])), row["id"]
        assert {tag: tag in row["tags"] for tag in holds} == holds, row["id"]


@ROW_SETS
def test_dates_tagged_absolute_have_their_year_in_the_text_and_relative_ones_have_not(split):
    for row in ROWS[split]:
        moments = [datetime.fromisoformat(c["arguments"]["datetime"]) for c in calls(row)
                   if "datetime" in c["arguments"]]  # fmt: skip
        text = words_around_values(row)
        absolute = len(re.findall(r"\b202[5-9]\b", text))
        relative = len(moments) - absolute
        tags = [t for t in ("relative_date", "absolute_date") if t in row["tags"]]
        assert tags == ["relative_date"] * (relative > 0) + ["absolute_date"] * (absolute > 0)


def test_every_tag_is_documented_in_the_card():
    card = (HERE / "README.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \|", card, re.MULTILINE))
    used = {tag for rows in ROWS.values() for row in rows for tag in row["tags"]}
    assert used == documented


def test_card_counts_are_those_of_the_files():
    card = (HERE / "README.md").read_text("utf-8")
    for tag, cases, train in re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \|", card, re.MULTILINE):
        found = [sum(tag in row["tags"] for row in ROWS[split]) for split in FILES]
        assert found == [int(cases), int(train)], tag


@pytest.mark.parametrize("name", SEVEN)
def test_each_function_has_enough_templates(name):
    for split, sentences in (("train", 25), ("eval", 10)):
        found = {normal(t) for t in templates(split, of=name, parts=["sentences"])}
        assert len(found) >= sentences, split
    assert len({normal(t) for t in templates("train", of=name)}) >= 35


@SPLITS
def test_every_template_is_used(split):
    texts = {
        name: [user(row) for row in ROWS[split] if name in row["tags"]]
        for name in (*SEVEN, "single", "parallel_2", "parallel_3", "no_call")
    }
    unused = [
        t
        for name in SEVEN
        for t in templates(split, of=name)
        if not any(pattern_of(t).search(text) for text in texts[name])
    ]
    for count, block in zip(("2", "3"), PHRASINGS[split]["joiners"].values(), strict=True):
        several = texts[f"parallel_{count}"]
        unused += [
            t for t in entries(block) if not any(pattern_of(t).fullmatch(x) for x in several)
        ]
    unused += [t for t in requests_without_call(split) if t not in texts["no_call"]]
    for around in ("openers", "closers"):
        found = entries(PHRASINGS[split][around])
        unused += [t for t in found if not any(t in text for text in texts["single"])]
    assert unused == []


@pytest.mark.parametrize("splits", [["eval"], TRAINED])
def test_no_template_stands_twice(splits):
    kinds = (templates, joiners, requests_without_call)
    every = [t for split in splits for kind in kinds for t in kind(split)]
    # "- {A}" and "1. {A}" are one phrasing without their punctuation.
    twice = [t for t, n in Counter(map(str.lower, every)).items() if n > 1]
    assert twice == []


@pytest.mark.parametrize("split", TRAINED)
def test_splits_share_no_template(split):
    for group in (templates, joiners, requests_without_call):
        assert {normal(t) for t in group("eval")}.isdisjoint(normal(t) for t in group(split))
    for around in ("openers", "closers"):
        held, trained = (
            {normal(t) for t in entries(PHRASINGS[s][around])} for s in ("eval", split)
        )
        assert held.isdisjoint(trained)


@pytest.mark.parametrize("split", TRAINED)
def test_no_evaluation_template_is_nearly_a_training_one(split):
    near = []
    kinds = (templates, requests_without_call, joiners)
    trained = [normal(t) for t in chain.from_iterable(kind(split) for kind in kinds)]
    for held in (normal(t) for t in chain.from_iterable(kind("eval") for kind in kinds)):
        matcher = difflib.SequenceMatcher(b=held, autojunk=False)
        for other in trained:
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() > 0.9 and matcher.quick_ratio() > 0.9:
                near += [(held, other)] * (matcher.ratio() > 0.9)
    assert near == []


@pytest.mark.parametrize("name", sorted(WORDS["train"]))
def test_splits_share_no_word_of_a_pool(name):
    held, trained = (
        Counter(w.casefold() for split in splits for w in pool(split, name))
        for splits in (["eval"], TRAINED)
    )
    assert {*held.values(), *trained.values()} == {1}
    assert held.keys().isdisjoint(trained)


def test_splits_have_the_same_pools():
    assert sorted(WORDS["train"]) == sorted(WORDS["eval"]) == sorted(WORDS["more"])


@pytest.mark.parametrize(
    ("name", "trained", "held"),
    [
        ("first_names", 120, 50),
        ("last_names", 120, 50),
        ("places", 120, 50),
        ("titles", 120, 50),
        ("subjects", 80, 50),
        ("bodies", 80, 50),
    ],
)
def test_word_pools_are_large(name, trained, held):
    assert len(pool("train", name)) >= trained
    assert len(pool("eval", name)) >= held


@pytest.mark.parametrize("split", TRAINED)
@pytest.mark.parametrize("name", ["query", "title", "subject", "body", "phone_number", "to email"])
def test_splits_share_no_expected_value(name, split):
    assert set(arguments("eval", *name.split())).isdisjoint(arguments(split, *name.split()))


@pytest.mark.parametrize("split", TRAINED)
def test_splits_share_no_mail_domain(split):
    held, trained = (
        {address.split("@")[1] for address in arguments(s, "to", "email")} for s in ("eval", split)
    )
    assert held
    assert held.isdisjoint(trained)


@pytest.mark.parametrize("trained", TRAINED)
def test_names_of_one_split_occur_in_no_text_of_the_other(trained):
    for split, other in (("eval", trained), (trained, "eval")):
        texts = [user(row) for row in ROWS[other]]
        if other == "more":  # of which the rows here are a sample
            texts += [p.read_text("utf-8") for p in HERE.glob("*_more.toml")]
        words = {w for text in texts for w in re.findall(r"[\w'-]+", text.casefold())}
        words |= {w.removesuffix("'s") for w in words}
        assert {name.casefold() for name in name_parts(split)} & words == set()


def test_mail_domains_are_reserved_for_examples():
    for address in chain.from_iterable(arguments(split, "to", "email") for split in ROWS):
        assert re.fullmatch(
            r"[a-z0-9._+]+@([a-z-]+\.)+(example\.(com|org|net)|example|test)"
            r"|[a-z0-9._+]+@[a-z-]+\.(example|test)",
            address,
        )


def test_phone_numbers_are_reserved_for_fiction():
    safe = re.compile(
        r"(1?\d{3})?55501\d\d|(44|0)2079460\d{3}|(44|0)1[36]14960\d{3}|(44|0)1632960\d{3}|(44|0)7700900\d{3}"
        r"|(33|0)19900\d{4}|(33|0)63998\d{4}|(49|0)3023125\d{3}|08999998\d{3}|(46|0)8465004\d\d"
    )
    for number in chain.from_iterable(arguments(split, "phone_number") for split in ROWS):
        assert safe.fullmatch(re.sub(r"\D", "", number)), number


def test_user_texts_are_unique_within_and_across_files():
    counts = Counter(user(row) for row in chain.from_iterable(ROWS.values()))
    repeated = [text for text, n in counts.items() if n > 1]
    assert repeated == []


@SPLITS
def test_ids_are_stable_and_in_order(split):
    ids = [row["id"] for row in ROWS[split]]
    assert ids == [f"{split}-{n:04}" for n in range(1, len(ids) + 1)]
    assert {row["metadata"] for row in ROWS[split]} == {split}


@ROW_SETS
def test_each_expected_string_stands_in_the_users_words_in_order_of_the_calls(split):
    for row in ROWS[split]:
        position = 0
        for call in calls(row):
            values = [v for k, v in call["arguments"].items() if k != "datetime"]
            assert all(value and value == value.strip() for value in values), row["id"]
            places = [user(row).find(value, position) for value in values]
            assert -1 not in places, (row["id"], values)
            position = min(places, default=position)


@ROW_SETS
def test_no_text_has_a_seam_where_a_value_was_put(split):
    seams = re.compile(
        r"  |\{\w+(#\d)?\}\#|[.!?,]\"[.!?,]|\b(on on|at at|for in|for on|the the)\b| [,.;?]( |$)"
        r"|[,;:]\.|\.\.(?!n)|\{\w+#\d\}"
    )
    for row in ROWS[split]:
        assert not seams.search(user(row)), (row["id"], user(row))
        assert user(row) == user(row).strip(), row["id"]


@ROW_SETS
def test_no_full_stop_touches_an_expected_value_without_quotes(split):
    for row in ROWS[split]:
        for call in calls(row):
            for key, value in call["arguments"].items():
                if key not in {"datetime", "first_name"}:
                    after = user(row).partition(value)[2]
                    assert not re.match(r"\.(\s|$)", after), (row["id"], value)


@ROW_SETS
def test_no_value_holds_a_control_token(split):
    for row in ROWS[split]:
        assert not CONTROL.search(user(row)), row["id"]


@ROW_SETS
def test_developer_message_gives_the_right_weekday(split):
    years = set()
    for row in ROWS[split]:
        now = now_of(row)
        years.add(now.year)
        assert now.second == 0
        assert row["messages"][0] == {
            "role": "developer",
            "content": (
                "Current date and time given in YYYY-MM-DDTHH:MM:SS format: "
                f"{now:%Y-%m-%dT%H:%M:%S}\nDay of week is {WEEKDAYS[now.weekday()]}\n"
                "You are a model that can do function calling with the following functions\n"
            ),
        }
    assert years == {2025, 2026, 2027}


@ROW_SETS
def test_datetimes_are_whole_minutes_in_the_future(split):
    for row in ROWS[split]:
        for call in calls(row):
            if "datetime" in call["arguments"]:
                text = call["arguments"]["datetime"]
                moment = datetime.fromisoformat(text)
                assert text == f"{moment:%Y-%m-%dT%H:%M}:00", row["id"]
                ahead = moment - now_of(row)
                assert timedelta(minutes=5) <= ahead <= timedelta(days=401), row["id"]


def words_around_values(row):
    text = user(row)
    values = [v for c in calls(row) for k, v in c["arguments"].items() if k != "datetime"]
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "")
    return text


NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight"]
NUMBER = {word: n for n, word in enumerate(NUMBERS, start=2)} | {str(n): n for n in range(2, 9)}
DAY = "|".join(WEEKDAYS)
# A second reading of the README's table, apart from the generator's: the first phrase that is
# found says how many days lie between now and the moment meant.
READINGS = {
    r"in two weeks on (?P<day>\w+)": lambda now, day: 14 if WEEKDAYS[now.weekday()] == day else -1,
    rf"(?P<day>{DAY}) of next week": lambda now, day: 7 - now.weekday() + WEEKDAYS.index(day),
    rf"next (?P<day>{DAY})": lambda now, day: 7 - now.weekday() + WEEKDAYS.index(day),
    rf"this (?P<day>{DAY})": lambda now, day: WEEKDAYS.index(day) - now.weekday(),
    rf"\b(?P<day>{DAY})\b(?! \d|,)": lambda now, day: (WEEKDAYS.index(day) - now.weekday()) % 7,
    r"the day after tomorrow": lambda now: 2,
    r"a week from tomorrow": lambda now: 8,
    r"a week from today": lambda now: 7,
    r"two weeks from today|in two weeks at": lambda now: 14,
    r"in three weeks": lambda now: 21,
    r"in (?P<n>\w+) days|(?P<m>\w+) days from now": lambda now, n, m: NUMBER[(n or m).lower()],
    r"the (?P<n>\d+)(st|nd|rd|th) of next month": lambda now, n: (
        ((now.replace(day=28) + timedelta(days=4)).replace(day=int(n)) - now).days
    ),
    r"the (?P<n>\d+)(st|nd|rd|th)(?! of)\b": lambda now, n: int(n) - now.day,
    r"tomorrow": lambda now: 1,
    r"today at|at \S+( [ap]m)? today|for \S+( [ap]m)? today|tonight|this (afternoon|evening)": (
        lambda now: 0
    ),
}


@ROW_SETS
def test_relative_days_in_the_text_agree_with_the_expected_date(split):
    read_with = Counter()
    for row in ROWS[split]:
        moments = [c["arguments"]["datetime"] for c in calls(row) if "datetime" in c["arguments"]]
        if len(moments) != 1 or "relative_date" not in row["tags"]:
            continue
        now, text = now_of(row), words_around_values(row)
        days = (datetime.fromisoformat(moments[0]).date() - now.date()).days
        for pattern, reading in READINGS.items():
            if found := re.search(pattern, text, re.IGNORECASE):
                assert reading(now, **found.groupdict()) == days, (row["id"], text)
                read_with[pattern] += 1
                break
    assert sum(read_with.values()) > 0.6 * sum("relative_date" in r["tags"] for r in ROWS[split])
    assert len(read_with) >= {"eval": 8, "train": 11, "more": 11}[split]


@ROW_SETS
def test_weekday_phrases_are_used_only_where_all_readings_agree(split):
    for row in ROWS[split]:
        moments = [c["arguments"]["datetime"] for c in calls(row) if "datetime" in c["arguments"]]
        found = re.search(rf"\b(this|next) ({DAY})", words_around_values(row), re.IGNORECASE)
        if found and len(moments) == 1:
            now = now_of(row)
            days = (datetime.fromisoformat(moments[0]).date() - now.date()).days
            assert WEEKDAYS[now.weekday()] != "Sunday", row["id"]
            if found[1].lower() == "this":
                assert 2 <= days <= 6 - now.weekday(), row["id"]
            else:
                assert 4 <= days <= 7, row["id"]
                assert days > 6 - now.weekday(), row["id"]
                assert found[2] != "Sunday", row["id"]


@ROW_SETS
def test_weekdays_beside_a_full_date_are_right(split):
    for row in ROWS[split]:
        found = re.findall(rf"({DAY}),? (?:(\w+) (\d+),? (20\d\d)|(\d+) (\w+) (20\d\d))", user(row))
        for weekday, month, day, year, day_first, month_second, year_last in found:
            text = f"{day or day_first} {month or month_second} {year or year_last} +0000"
            date = datetime.strptime(text, "%d %B %Y %z")
            assert WEEKDAYS[date.weekday()] == weekday, row["id"]


@ROW_SETS
def test_times_of_day_in_the_text_agree_with_the_expected_time(split):
    checked = 0
    for row in ROWS[split]:
        moments = [c["arguments"]["datetime"] for c in calls(row) if "datetime" in c["arguments"]]
        text = words_around_values(row)
        found = re.findall(r"\b(\d{1,2})(?::(\d\d))? ?(am|pm)\b", text)
        if len(moments) == len(found) == 1:
            hour, minute, half = found[0]
            told = f"{int(hour) % 12 + 12 * (half == 'pm'):02}:{minute or '00'}:00"
            assert moments[0][11:] == told, row["id"]
            checked += 1
    assert checked >= 10


@ROW_SETS
def test_calls_name_declared_functions_and_arguments(split):
    for row in ROWS[split]:
        for call in calls(row):
            required, optional = SEVEN[call["name"]]
            assert required <= set(call["arguments"]) <= required | optional, row["id"]
            assert all(isinstance(v, str) for v in call["arguments"].values()), row["id"]


@ROW_SETS
def test_every_row_declares_the_seven_functions_alike(split):
    declared = {
        json.dumps(sorted(row["tools"], key=lambda tool: tool["function"]["name"]))
        for rows in ROWS.values()
        for row in rows
    }
    assert len(declared) == 1
    for row in ROWS[split][:1]:
        assert {tool["function"]["name"] for tool in row["tools"]} == set(SEVEN)
        for tool in row["tools"]:
            required, optional = SEVEN[tool["function"]["name"]]
            parameters = tool["function"]["parameters"]
            assert set(parameters["properties"]) == required | optional
            assert set(parameters.get("required", ())) == required
            assert ("required" in parameters) == bool(required)


@SPLITS
def test_order_of_the_tools_varies(split):
    firsts = Counter(row["tools"][0]["function"]["name"] for row in ROWS[split])
    assert set(firsts) == set(SEVEN)
    assert max(firsts.values()) < len(ROWS[split]) / 4
    orders = {tuple(t["function"]["name"] for t in row["tools"]) for row in ROWS[split]}
    assert len(orders) > 0.9 * len(ROWS[split])


@ROW_SETS
def test_a_case_without_call_answers_in_words_and_the_others_do_not(split):
    for row in ROWS[split]:
        answer = row["messages"][2]
        assert [m["role"] for m in row["messages"]] == ["developer", "user", "assistant"]
        key = "tool_calls" if calls(row) else "content"
        assert set(answer) == {"role", key}, row["id"]
        assert answer[key]
        assert calls(row) or re.fullmatch(r"[A-Z].*[.!?]", answer["content"]), row["id"]


def test_original_experiment_has_its_five_cases():
    suite = tomllib.loads((ORIGINAL / "suite.toml").read_text("utf-8"))
    content = (ORIGINAL / suite["cases"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == suite["cases_sha256"]
    training = (ORIGINAL / suite["train"]).read_bytes()
    assert hashlib.sha256(training).hexdigest() == suite["train_sha256"]
    rows = read(ORIGINAL / suite["cases"])
    assert len({row["id"] for row in rows}) == len(rows) == 5
    assert rows[0]["expected"] == [
        [
            {"name": "turn_on_flashlight", "arguments": {}},
            {
                "name": "create_calendar_event",
                "arguments": {
                    "title": "Meeting with Mr. Dubois",
                    "datetime": "2026-01-20T15:00:00",
                },
            },
        ]
    ]
    for row in rows:
        assert {tool["name"] for tool in row["tools"]} == set(SEVEN)
        assert row["ordered"] is True
        assert (
            f"Day of week is {WEEKDAYS[now_of(row).weekday()]}\n" in row["messages"][0]["content"]
        )
        for call in chain.from_iterable(row["expected"]):
            required, optional = SEVEN[call["name"]]
            assert required <= set(call["arguments"]) <= required | optional
            assert call["name"] in row["tags"]
            said = [v for k, v in call["arguments"].items() if k != "datetime"]
            assert all(value in user(row) for value in said)
