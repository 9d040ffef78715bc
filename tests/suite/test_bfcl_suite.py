"""BFCL's files, as rows of our own: what becomes of them, and the one clear line for bad ones."""

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from fcbench import Call, load_suite
from fcbench.errors import SuiteError, UsageError
from fcbench.schemas import refusals
from fcbench.suite import _bfcl, _bfcl_wheel, fetch_suite, fetched_names
from fcbench.types import Matching

PROPERTIES = {
    "place": {"type": "string", "description": "Where.", "default": "here", "enum": ["here", "there"]},
    "size": {"type": "tuple", "items": {"type": "float"}},
    "area": {"type": "dict", "properties": {"left": {"type": "any"}}, "required": ["left"]},
    "stops": {"type": "array", "items": {"type": "dict", "properties": {"n": {"type": "integer"}}}},
}  # fmt: skip
FUNCTION = {
    "name": "map.show",
    "description": "Shows a map.",
    "parameters": {"type": "dict", "properties": PROPERTIES, "required": ["place"]},
}
QUESTION = {
    "question": [[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]],
    "function": [FUNCTION],
}
TRUTH = {
    "place": ["here", ""],
    "size": [[1.0, 2.5], ""],
    "area": [{"left": [1, "one", ""], "deep": [{"not": [1]}]}, ""],
    "stops": [[{"n": [1, 2]}, {"n": [3]}]],
    "unused": [""],
}


def rows(category):
    """Return a category's questions and answers, one of each."""
    question = {"id": f"{category}_0", **QUESTION}
    answer = {"id": f"{category}_0", "ground_truth": [{"map.show": TRUTH}]}
    return [question], [answer] if category in _bfcl.ANSWERED else None


def files(**changed):
    """Return the content of every file by name; `changed` has other rows by category."""
    content = {}
    for category in _bfcl.CATEGORIES:
        questions, answers = changed.get(category, rows(category))
        content[f"BFCL_v4_{category}.json"] = questions
        if answers is not None:
            content[f"possible_answer/BFCL_v4_{category}.json"] = answers
    return {
        name: "".join(f"{json.dumps(row)}\n" for row in found).encode()
        for name, found in content.items()
    }


def write_folder(folder: Path, **changed) -> Path:
    for name, content in files(**changed).items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)
    return folder


def write_wheel(path: Path, content=None) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in (content or files()).items():
            wheel.writestr(f"bfcl_eval/data/{name}", data)
    return path


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A wheel of ours in the cache, taken for the published one."""
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path / "cache"))
    wheel = write_wheel(_bfcl_wheel.wheel_path())
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(_bfcl_wheel, "SHA256", sha256)
    return wheel


def test_an_entry_becomes_a_case(tmp_path):
    suite = load_suite(write_folder(tmp_path))
    assert (suite.name, suite.licence, suite.matching) == ("bfcl", "Apache-2.0", Matching("bfcl"))
    assert [case.tags for case in suite.cases] == [(c,) for c in _bfcl.CATEGORIES]
    case = suite.cases[0]
    assert case.id == "simple_python_0"
    assert [message["role"] for message in case.messages] == ["system", "user"]
    (tool,) = case.tools
    assert (tool.name, tool.description) == ("map.show", "Shows a map.")
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "place": PROPERTIES["place"],
            "size": {"type": "array", "items": {"type": "number"}},
            "area": {"type": "object", "properties": {"left": {}}, "required": ["left"]},
            "stops": {
                "type": "array",
                "items": {"type": "object", "properties": {"n": {"type": "integer"}}},
            },
        },
        "required": ["place"],
    }
    assert refusals(tool.parameters, {"place": "here", "size": [1, 2.5], "area": {"left": 1}}) == []
    assert case.expected == [
        [
            Call(
                "map.show",
                {
                    "place": {"$any": ["here"], "$optional": True},
                    "size": {"$any": [[1.0, 2.5]], "$optional": True},
                    "area": {
                        "$any": [
                            {
                                "left": {"$any": [1, "one"], "$optional": True},
                                "deep": {"$any": [{"not": [1]}]},
                            }
                        ],
                        "$optional": True,
                    },
                    "stops": {"$any": [[{"n": {"$any": [1, 2]}}, {"n": {"$any": [3]}}]]},
                    "unused": {"$any": [], "$optional": True},
                },
            )
        ]
    ]


def test_irrelevance_wants_no_call_and_relevance_any(tmp_path):
    by_tag = {case.tags[0]: case for case in load_suite(write_folder(tmp_path)).cases}
    assert by_tag["irrelevance"].expected == by_tag["live_irrelevance"].expected == [[]]
    assert not by_tag["irrelevance"].expects_call
    assert by_tag["live_relevance"].expected == []
    assert by_tag["live_relevance"].expects_call


def test_a_wheel_a_folder_and_the_cache_hold_the_same_suite(tmp_path, cached):
    folder = load_suite(write_folder(tmp_path / "folder"))
    wheel = load_suite(write_wheel(tmp_path / "some.whl"))
    named = load_suite("bfcl")
    assert folder.cases == wheel.cases == named.cases
    whole = b"".join(
        data
        for category in _bfcl.CATEGORIES
        for name, data in files().items()
        if name.endswith(f"v4_{category}.json")
    )
    assert {s.sha256 for s in (folder, wheel, named)} == {hashlib.sha256(whole).hexdigest()}
    assert named.source == "bfcl"


def test_categories_are_chosen_by_name_in_any_order(cached):
    two = load_suite("bfcl:live_simple, simple_python")
    assert [case.id for case in two.cases] == ["simple_python_0", "live_simple_0"]
    assert two.name == "bfcl:simple_python,live_simple"
    assert two.sha256 == load_suite("bfcl:simple_python,live_simple").sha256
    assert fetched_names() == [f"bfcl:{category}" for category in _bfcl.CATEGORIES]
    with pytest.raises(UsageError, match="simple_pyton\nhint: did you mean simple_python"):
        load_suite("bfcl:simple_pyton")
    with pytest.raises(UsageError, match="an empty name"):
        load_suite("bfcl:")


QUESTIONS, ANSWERS = "BFCL_v4_multiple.json", "possible_answer/BFCL_v4_multiple.json"
BAD = {
    "no answer": (lambda q, a: (q, [{**a[0], "id": "multiple_1"}]), f"{QUESTIONS}:1: $.id: 'multiple_0' has no possible answer"),
    "answer too many": (lambda q, a: (q, [*a, {**a[0], "id": "z"}]), f"{ANSWERS}:2: $.id: no question has the id 'z'"),
    "twice": (lambda q, a: (q * 2, a), f"{QUESTIONS}:2: $.id: 'multiple_0' stands in line 1 too"),
    "no line": (lambda q, a: ([], a), f"{QUESTIONS}: holds no line"),
    "field": (lambda q, a: ([{**q[0], "initial_config": {}}], a), f"{QUESTIONS}:1: $.initial_config: unknown field"),
    "turns": (lambda q, a: ([{**q[0], "question": q[0]["question"] * 2}], a), f"{QUESTIONS}:1: $.question: expected one turn, got 2"),
    "role": (lambda q, a: ([{**q[0], "question": [[{"role": "usr", "content": "u"}]]}], a), f"{QUESTIONS}:1: $.question[0][0].role: not a role: usr"),
    "type": (
        lambda q, a: ([{**q[0], "function": [function(properties={"x": {"type": "array", "items": {"type": "list"}}})]}], a),
        f"{QUESTIONS}:1: $.function[0].parameters.properties.x.items.type: not a type of BFCL: list",
    ),
    "required": (lambda q, a: ([{**q[0], "function": [function(required=None)]}], a), f"{QUESTIONS}:1: $.function[0].parameters.required: expected array, got null"),
    "function": (lambda q, a: ([{**q[0], "function": [{"name": "f"}]}], a), f"{QUESTIONS}:1: $.function[0]: object missing required field description"),
    "undeclared": (lambda q, a: (q, [{**a[0], "ground_truth": [{"map.shw": {}}]}]), f"{ANSWERS}:1: $.ground_truth[0]: no such function is offered: map.shw\nhint: did you mean map.show?"),
    "two names": (lambda q, a: (q, [{**a[0], "ground_truth": [{"map.show": {}, "g": {}}]}]), f"{ANSWERS}:1: $.ground_truth[0]: expected one function's name, got 2"),
    "no list": (lambda q, a: (q, [{**a[0], "ground_truth": [{"map.show": {"place": "here"}}]}]), f"{ANSWERS}:1: $.ground_truth[0][...][...]: expected array, got str"),
    "no call": (lambda q, a: (q, [{**a[0], "ground_truth": []}]), f"{ANSWERS}:1: $.ground_truth: expected one or more calls"),
    "key without a list": (
        lambda q, a: (q, [{**a[0], "ground_truth": [{"map.show": {"area": [{"left": 1}]}}]}]),
        f"{ANSWERS}:1: $.ground_truth[0].map.show.area.left: expected array of values, got int",
    ),
}  # fmt: skip


def function(**parameters):
    return {**FUNCTION, "parameters": {**FUNCTION["parameters"], **parameters}}


@pytest.mark.parametrize("name", BAD)
def test_another_shape_is_one_error_with_file_line_and_path(name, tmp_path):
    build, message = BAD[name]
    folder = write_folder(tmp_path, multiple=build(*rows("multiple")))
    with pytest.raises(SuiteError) as caught:
        load_suite(folder)
    assert str(caught.value).startswith(f"{folder}/{message}")


def test_a_half_written_or_missing_file_is_named(tmp_path):
    folder = write_folder(tmp_path)
    half = (folder / ANSWERS).read_bytes()[:-20]
    (folder / ANSWERS).write_bytes(half)
    with pytest.raises(SuiteError, match=r"BFCL_v4_multiple.json:1: not JSON: .* at column"):
        load_suite(folder)
    (folder / ANSWERS).unlink()
    with pytest.raises(SuiteError, match=r"BFCL_v4_multiple\.json: cannot be read: No such file"):
        load_suite(folder)


def test_a_wheel_that_is_none_or_damaged_is_named(tmp_path):
    path = tmp_path / "some.whl"
    path.write_bytes(b"not a zip")
    with pytest.raises(SuiteError, match="not a wheel"):
        load_suite(path)
    content = files()
    del content[QUESTIONS]
    with pytest.raises(
        SuiteError, match=f"data/{QUESTIONS}: cannot be read: no such file in the wheel"
    ):
        load_suite(write_wheel(path, content))
    write_wheel(path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as wheel:
        at = wheel.getinfo(f"bfcl_eval/data/{QUESTIONS}").header_offset
    data[at + 80 : at + 200] = b"\xff" * 120
    path.write_bytes(data)
    with pytest.raises(SuiteError, match=f"{QUESTIONS}: cannot be read"):
        load_suite(path)


def test_a_folder_with_a_suite_toml_is_read_as_that(tmp_path):
    folder = write_folder(tmp_path)
    (folder / "suite.toml").write_text('name = "mine"', encoding="utf-8")
    with pytest.raises(SuiteError, match=r"cases\.jsonl"):
        load_suite(folder)


# Fetching


def pip(monkeypatch, content=None, stderr="", code=0):
    """Put a pip in place that writes a wheel's content, or fails."""
    commands = []

    def run(command, **_):
        commands.append(command)
        if content is not None:
            (Path(command[command.index("--dest") + 1]) / _bfcl_wheel.WHEEL).write_bytes(content)
        return SimpleNamespace(returncode=code, stderr=stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_what_was_not_fetched_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))
    with pytest.raises(
        SuiteError, match=r"not in the cache.*\nhint: python -m fcbench suites fetch"
    ):
        load_suite("bfcl:simple_python")
    assert fetched_names() == []


def test_a_wheel_is_fetched_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))
    content = write_wheel(tmp_path / "made.whl").read_bytes()
    monkeypatch.setattr(_bfcl_wheel, "SHA256", hashlib.sha256(content).hexdigest())
    commands = pip(monkeypatch, content)
    assert fetch_suite("bfcl") == fetch_suite("bfcl") == _bfcl_wheel.wheel_path()
    (command,) = commands
    assert f"bfcl-eval=={_bfcl_wheel.VERSION}" in command
    assert "--no-deps" in command
    assert [path.name for path in (tmp_path / "bfcl-eval").iterdir()] == [_bfcl_wheel.WHEEL]
    assert len(load_suite("bfcl").cases) == len(_bfcl.CATEGORIES)


def test_a_wheel_with_another_hash_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))
    pip(monkeypatch, b"something else")
    with pytest.raises(SuiteError, match=r"has SHA-256 .*, expected .*; it was deleted"):
        fetch_suite("bfcl")
    assert list((tmp_path / "bfcl-eval").iterdir()) == []


def test_a_wheel_in_the_cache_with_another_hash_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))
    write_wheel(_bfcl_wheel.wheel_path())
    with pytest.raises(SuiteError, match=r"it was not used and is now .*\.refused"):
        load_suite("bfcl")
    with pytest.raises(SuiteError, match="not in the cache"):
        load_suite("bfcl")


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        ("python: No module named pip\n", "No module named pip"),
        ("WARNING: retrying\nERROR: No matching distribution found\n", "ERROR: No matching"),
        ("", "pip gave no reason"),
    ],
)
def test_a_download_that_fails_says_what_pip_said_last(stderr, says, tmp_path, monkeypatch):
    monkeypatch.setenv("FCBENCH_CACHE", str(tmp_path))
    pip(monkeypatch, stderr=stderr, code=1)
    with pytest.raises(SuiteError, match=f"pip cannot download bfcl-eval .*: {says}"):
        fetch_suite("bfcl")
    assert list((tmp_path / "bfcl-eval").iterdir()) == []


def test_only_bfcl_can_be_fetched():
    with pytest.raises(UsageError, match="no such suite to fetch: bcfl\nhint: did you mean bfcl"):
        fetch_suite("bcfl")


def test_suites_fetch_says_where_it_is_and_what_is_next(cached, capsys):
    from fcbench.cli import main

    assert main(["suites", "fetch", "bfcl"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{cached}\n")
    assert "next: python -m fcbench run --model MODEL --suite bfcl:simple_python" in out
    for arguments in (["fetch", "bfcl", "--json"], ["--json", "fetch", "bfcl"]):
        assert main(["suites", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["path"] == str(cached)
    assert main(["suites"]) == 0
    assert "bfcl:live_relevance" in capsys.readouterr().out
    assert main(["suites", "fetch", "bcfl"]) == 2
