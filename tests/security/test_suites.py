"""A suite's files stand in its folder, and an archive is never larger than it says it is."""

import json
import os
import struct
import tracemalloc
import zipfile

import pytest

from fcbench import load_suite
from fcbench.errors import SuiteError, UsageError
from fcbench.paths import within
from fcbench.runs import plan
from fcbench.suite import _bfcl_files, _hub, load_training

SECRET = "a line of somebody's own file"


@pytest.fixture
def suite(tmp_path, write_lines, case_row):
    """A function that writes a suite's folder whose suite.toml names a file."""
    outside = write_lines(case_row(id=SECRET), name="outside.jsonl")
    folder = tmp_path / "suite"
    (folder / "data").mkdir(parents=True)
    (folder / "cases.jsonl").write_text(json.dumps(case_row()) + "\n", "utf-8")
    (folder / "data" / "more.jsonl").write_text(json.dumps(case_row()) + "\n", "utf-8")
    (folder / "link.jsonl").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    (folder / "inner.jsonl").symlink_to("cases.jsonl")
    os.mkfifo(folder / "pipe.jsonl")

    def write(name, field="cases"):
        text = f'name = "x"\n{field} = {json.dumps(name)}\n'
        (folder / "suite.toml").write_text(text, "utf-8")
        return folder

    return write


OUTSIDE = [
    "../outside.jsonl",
    "data/../../outside.jsonl",
    "{absolute}",
    "..\\outside.jsonl",
    "C:\\outside.jsonl",
    "\\\\server\\share\\outside.jsonl",
    "link.jsonl",
    "up/outside.jsonl",
    "pipe.jsonl",
    "data",
    "cases.jsonl\0",
    "",
    "x" * 5000,
]


@pytest.mark.parametrize("field", ["cases", "train"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_suite_cannot_name_a_file_outside_of_its_folder(suite, tmp_path, name, field):
    folder = suite(name.format(absolute=tmp_path / "outside.jsonl"), field)
    with pytest.raises(SuiteError, match=r"suite\.toml: names a file that cannot be") as refused:
        load_suite(folder)
    assert "a suite's files stand in its own folder" in str(refused.value.hint)
    assert SECRET not in str(refused.value)
    with pytest.raises(SuiteError):
        load_training(folder)


@pytest.mark.parametrize("name", ["cases.jsonl", "data/more.jsonl", "inner.jsonl", "./cases.jsonl"])
def test_a_suite_may_name_any_plain_file_inside(suite, name):
    assert [case.id for case in load_suite(suite(name)).cases] == ["a"]
    assert load_suite(suite(name, "train")).training is not None


def test_a_suite_toml_that_is_a_pipe_or_leads_elsewhere_is_refused(tmp_path):
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(SECRET, "utf-8")
    for number, make in enumerate(
        (os.mkfifo, lambda path: path.symlink_to(elsewhere), lambda path: path.mkdir())
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "suite.toml")
        with pytest.raises(SuiteError, match="names a file that cannot be") as refused:
            load_suite(folder)
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["\0", "a\0b", "\ud800", "/dev/zero", "/dev/stdin", "x" * 5000])
def test_a_suite_by_a_name_that_is_no_file_is_an_error_and_nothing_waits(name):
    with pytest.raises((SuiteError, UsageError)):
        load_suite(name)


@pytest.mark.parametrize(
    "name", ["../../up", "/etc/passwd", "a\0b", "..", "\ud800", "-x", "~/.ssh"]
)
def test_a_suites_own_name_never_leads_a_run_out_of_its_results(write_lines, case_row, name):
    loaded = load_suite(write_lines(case_row()))
    loaded = type(loaded)(name, loaded.cases, "", "")
    made = plan("x", loaded, "chat", name, None, "results", tags=())
    assert "/" not in made.name
    assert "\0" not in made.name
    assert not made.name.startswith((".", "-", "~"))


def test_within_says_why(tmp_path):
    with pytest.raises(ValueError, match="leads out of its folder"):
        within(tmp_path, "../x")


def wheel_that_lies(path, n_bytes, said):
    """A wheel with one file of zeros, whose headers say that it is smaller."""
    name = "bfcl_eval/data/BFCL_v4_multiple.json"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(name, bytes(n_bytes))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(struct.pack("<I", n_bytes), struct.pack("<I", said)))
    return name.removeprefix("bfcl_eval/data/")


def read(path, name):
    with _bfcl_files.opened(path) as files:
        return files.read(name)


@pytest.mark.parametrize("name", ["BFCL_v4_multiple.json", "possible_answer/x.json", "pipe.json"])
def test_a_bfcl_folder_is_not_left_by_a_link_nor_stopped_by_a_pipe(tmp_path, name):
    folder = tmp_path / "bfcl"
    folder.mkdir()
    (tmp_path / "x.json").write_text(SECRET, "utf-8")
    (folder / "BFCL_v4_multiple.json").symlink_to(tmp_path / "x.json")
    (folder / "possible_answer").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.json")
    with pytest.raises(SuiteError, match=r"leads out of its folder|no plain file") as refused:
        read(folder, name)
    assert SECRET not in str(refused.value)
    (folder / "real.json").write_text("{}", "utf-8")
    (folder / "inner.json").symlink_to("real.json")
    assert read(folder, "inner.json") == b"{}"


def test_a_file_of_a_bfcl_folder_that_is_too_large_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_bytes(bytes(51))
    monkeypatch.setattr(_bfcl_files, "_LARGEST", 51)
    assert len(read(tmp_path, "x.json")) == 51
    monkeypatch.setattr(_bfcl_files, "_LARGEST", 50)
    with pytest.raises(SuiteError, match="more than 50 bytes are too many"):
        read(tmp_path, "x.json")


def test_a_zip_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path):
    path = tmp_path / "x.whl"
    name = wheel_that_lies(path, 300 * 2**20, 100)
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(SuiteError, match="cannot be read"):
            read(path, name)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 150 * 2**20


def test_a_zip_bomb_that_says_its_size_is_refused(tmp_path):
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("bfcl_eval/data/x.json", bytes(65 * 2**20))
    with pytest.raises(SuiteError, match="bytes are too many"):
        read(path, "x.json")


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_wheel_packed_in_a_way_that_unpacks_without_bound_is_refused(tmp_path, kind):
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w", kind) as wheel:
        wheel.writestr("bfcl_eval/data/x.json", b"{}")
    with pytest.raises(SuiteError, match="packed in a way that wheels are not"):
        read(path, "x.json")


def test_nothing_of_a_wheel_is_written_to_the_disk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("../../evil.py", "x")
        wheel.writestr("bfcl_eval/data/x.json", b"{}")
    before = sorted(tmp_path.rglob("*"))
    assert read(path, "x.json") == b"{}"
    with pytest.raises(SuiteError, match="no such file in the wheel"):
        read(path, "../../evil.py")
    assert sorted(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "evil.py").exists()


def test_an_archive_on_the_hub_that_is_called_jsonl_is_not_unpacked(tmp_path, monkeypatch):
    folder = tmp_path / "owner" / "data"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "rows.jsonl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", '{"id": "from the archive"}\n' * 1000)
    monkeypatch.setattr(_hub, "HUB", f"file://{tmp_path}/")
    with pytest.raises(SuiteError, match=r"rows.jsonl:1: .*not (UTF-8|JSON)"):
        load_suite("hf:owner/data")


@pytest.mark.parametrize("n_files", [1, 3])
def test_files_of_the_hub_that_are_too_large_together_are_refused_before_they_are_read(
    tmp_path, monkeypatch, case_row, n_files
):
    folder = tmp_path / "owner" / "data"
    folder.mkdir(parents=True)
    n_bytes = 0
    for i in range(n_files):
        n_bytes += (folder / f"{i}.jsonl").write_bytes(json.dumps(case_row(id=str(i))).encode())
        n_bytes += 1  # the line feed that its last line lacks
    monkeypatch.setattr(_hub, "HUB", f"file://{tmp_path}/")
    monkeypatch.setattr(_hub, "LARGEST", n_bytes)
    assert len(load_suite("hf:owner/data").cases) == n_files
    monkeypatch.setattr(_hub, "LARGEST", n_bytes - 2)
    with pytest.raises(SuiteError, match=f"more than {n_bytes - 2} bytes are no suite"):
        load_suite("hf:owner/data")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_hub_suites_hash_does_not_depend_on_how_its_lines_end(
    tmp_path, monkeypatch, case_row, ending
):
    folder = tmp_path / "owner" / "data"
    folder.mkdir(parents=True)
    lines = [json.dumps(case_row(id=str(i))) for i in range(2)]
    (folder / "rows.jsonl").write_bytes(ending.join(lines).encode())
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes("".join(f"{line}\n" for line in lines).encode())
    monkeypatch.setattr(_hub, "HUB", f"file://{tmp_path}/")
    assert load_suite("hf:owner/data").sha256 == load_suite(whole).sha256
