"""Suites: read, validate, hash.

A suite is a list of cases. A case is what is said, the tools there are, and each answer that is
right; in a file of JSON lines it is a line. fcbench.types.Case says what its fields mean, and
`load_suite` which other schemas are read.

>>> suite = load_suite("original_experiment")
>>> len(suite.cases), suite.sha256[:12]
(5, '7cf81ffec47e')
>>> case = suite.cases[1]
>>> case.messages[-1]["content"], case.expected
('Show me Coit Tower on the map.', [[Call(name='show_map', arguments={'query': 'Coit Tower'})]])
>>> suite_names()[:3]
['abstain', 'mobile_actions', 'multi_turn']
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import msgspec

from fcbench.errors import SuiteError, UsageError, nearest
from fcbench.paths import data_folder, sha256_of, within
from fcbench.suite import _bfcl, _bfcl_files, _bfcl_wheel, _rows
from fcbench.suite._lines import located
from fcbench.suite._reading import Reading
from fcbench.text import without_secrets
from fcbench.types import Case, Matching, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "HUB_PREFIX",
    "MAX_NEW_TOKENS",
    "Suite",
    "fetch_suite",
    "fetched_names",
    "load_suite",
    "load_training",
    "read_training",
    "suite_names",
    "training_file",
]

HUB_PREFIX = "hf:"
MAX_NEW_TOKENS = 256
"""What an answer may take where neither the suite nor the user says."""


class Suite(Record, frozen=True):
    """The cases of one suite, with the SHA-256 of the file they came from.

    Made by load_suite, or of cases of your own: Suite("mine", cases, sha256="", source="mine");
    then no stored run of it can be read again, because nobody knows where they came from.

    `training` is the file that few-shot examples are drawn from, or None. `source` is what
    load_suite was given, so that a run can name it. `matching` is when a call counts as right,
    `max_new_tokens` what an answer may need.
    """

    name: str
    cases: list[Case]
    sha256: str
    source: str
    description: str = ""
    licence: str = ""
    training: Path | None = None
    schema: str = ""
    ordered: bool | None = None
    matching: Matching = Matching()
    max_new_tokens: int = MAX_NEW_TOKENS

    def training_cases(self) -> list[Case]:
        """Return the cases of the training file. SuiteError if there is none."""
        if self.training is None:
            raise SuiteError(
                f"suite {self.name} has no training file",
                hint='name one in suite.toml: train = "train.jsonl"',
            )
        return _rows.read(self.training, Reading("train", self.schema, self.ordered))


def read_training(path: Path, suite: Suite) -> list[Case]:
    """Return the training cases of a file, read as the suite's own are. SuiteError if it cannot."""
    return msgspec.structs.replace(suite, training=path).training_cases()


def load_training(*names_or_paths: str | Path) -> list[Case]:
    """Return the cases to train on: of suites' training files by name or folder, and of files.

    A file's rows are read as load_suite reads them, except that where `metadata` tells rows apart
    those of "train" are taken. SuiteError for what cannot be used, two cases of one id among it;
    UsageError for an unknown name.
    """
    cases: list[Case] = []
    for name in names_or_paths:
        path = Path(name)
        if path.is_file():
            cases += _some(_rows.read(path, Reading("train")), str(path), "train on")
        else:
            cases += load_suite(name).training_cases()
    _rows.refuse_duplicates(cases, ", ".join(map(str, names_or_paths)))
    return cases


def training_file(name_or_path: str | Path) -> Path:
    """Return the file that load_training reads. SuiteError and UsageError as there."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    suite = load_suite(name_or_path)
    if suite.training is None:
        suite.training_cases()  # says what is missing
    return Path(str(suite.training))


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What suite.toml may hold."""

    name: str
    description: str = ""
    licence: str = ""
    schema: str = ""
    cases: str = "cases.jsonl"
    cases_sha256: str | None = None
    train: str | None = None
    train_sha256: str | None = None
    ordered: bool | None = None
    matcher: str = "exact"
    normalise: list[str] = []
    schema_defaults: bool = False
    max_new_tokens: int = MAX_NEW_TOKENS


def suite_names() -> list[str]:
    """Return the names of the suites that come with fcbench."""
    return sorted(path.parent.name for path in data_folder("suites").glob("*/suite.toml"))


def load_suite(name_or_path: str | Path) -> Suite:
    """Return a suite by name, from a folder with a suite.toml, from JSON lines, or from a hub.

    `name_or_path` is the name of a shipped suite ("mobile_actions"), a folder, a .jsonl file, or
    "hf:OWNER/NAME" for a Hugging Face dataset in the schema of google/mobile-actions. Rows are
    fcbench's own cases, or those of google/mobile-actions, of xLAM's function-calling-60k or of
    OpenAI's chat fine-tuning. "bfcl", or "bfcl:CATEGORY,…" for some of it, are the Python
    categories of BFCL v4, once they were fetched; a wheel of bfcl-eval and a folder of its files
    are read too. SuiteError with file, line and JSON path for anything that cannot be used,
    UsageError for an unknown name.
    """
    source = str(name_or_path)
    if source.startswith(HUB_PREFIX):
        from fcbench.suite._hub import download

        return _from_lines(download(source.removeprefix(HUB_PREFIX)), source)
    path = Path(name_or_path)
    if source in suite_names():
        return _from_folder(data_folder("suites") / source, source)
    if source == _bfcl.NAME or source.startswith(f"{_bfcl.NAME}:"):
        return _from_bfcl(None, source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long, say
        shown = without_secrets(source)[:80]
        raise UsageError(f"no suite, folder or file: {error.strerror}: {shown}…") from error
    if (is_folder or is_file) and _bfcl_files.is_bfcl(path):
        return _from_bfcl(path, source)
    if is_folder:
        return _from_folder(path, source)
    if is_file:
        return _from_lines({path.name: path}, source)
    raise UsageError(
        f"no such suite, folder or file: {source}", hint=nearest(source, suite_names())
    )


def fetch_suite(name: str) -> Path:
    """Fetch the data of a suite that does not come with fcbench, and return where it is now.

    The only one is "bfcl". SuiteError if it cannot be had, UsageError for an unknown name.
    """
    if name != _bfcl.NAME:
        raise UsageError(f"no such suite to fetch: {name}", hint=nearest(name, [_bfcl.NAME]))
    return _bfcl_wheel.fetch_wheel()


def fetched_names() -> list[str]:
    """Return the names of the suites that were fetched, one a category."""
    try:
        _bfcl_wheel.cached_wheel()
    except SuiteError:
        return []
    return [f"{_bfcl.NAME}:{category}" for category in _bfcl.CATEGORIES]


def _from_bfcl(path: Path | None, source: str) -> Suite:
    """Build a suite from a path's files, or by its name from the wheel in the cache."""
    categories = _bfcl.categories_of(source) if path is None else _bfcl.CATEGORIES
    with _bfcl_files.opened(_bfcl_wheel.cached_wheel() if path is None else path) as files:
        cases, sha256 = _bfcl.read(files, categories)
    _rows.refuse_duplicates(cases, source)
    chosen = "" if len(categories) == len(_bfcl.CATEGORIES) else f":{','.join(categories)}"
    return Suite(
        name=f"{_bfcl.NAME}{chosen}",
        cases=cases,
        sha256=sha256,
        source=source,
        description=_bfcl.DESCRIPTION
        + (f", bfcl-eval {_bfcl_wheel.VERSION}" if path is None else ""),
        licence=_bfcl.LICENCE,
        matching=Matching("bfcl"),
    )


def _from_folder(folder: Path, source: str) -> Suite:
    toml = folder / "suite.toml"
    manifest = _read_manifest(_named(folder, toml.name, toml))
    if manifest.schema and manifest.schema not in _rows.SCHEMAS:
        raise SuiteError(
            f"{toml}: $.schema: no such schema: {manifest.schema}",
            nearest(manifest.schema, _rows.SCHEMAS),
        )
    path = _named(folder, manifest.cases, toml)
    sha256 = _hashed(path, manifest.cases_sha256, toml)
    shown, reading = str(path), Reading("eval", manifest.schema, manifest.ordered)
    training = None
    if manifest.train is not None:
        training = _named(folder, manifest.train, toml)
        if manifest.train_sha256 is not None:
            _hashed(training, manifest.train_sha256, toml)
    return Suite(
        name=manifest.name,
        cases=_some(_rows.parse(shown, path, reading), shown),
        sha256=sha256,
        source=source,
        description=manifest.description,
        licence=manifest.licence,
        training=training,
        schema=manifest.schema,
        ordered=manifest.ordered,
        matching=Matching(
            manifest.matcher, tuple(sorted(set(manifest.normalise))), manifest.schema_defaults
        ),
        max_new_tokens=manifest.max_new_tokens,
    )


def _read_manifest(toml: Path) -> _Manifest:
    try:
        return msgspec.convert(tomllib.loads(toml.read_text(encoding="utf-8")), _Manifest)
    except FileNotFoundError as error:
        raise SuiteError(f"{toml}: no such file", hint="a suite folder holds suite.toml") from error
    except OSError as error:
        raise SuiteError(f"{toml}: cannot be read: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise SuiteError(f"{toml}: {located(error)}") from error
    except ValueError as error:  # not all of tomllib's say that they are its own
        raise SuiteError(f"{toml}: not TOML: {error}") from error


def _named(folder: Path, name: str, toml: Path) -> Path:
    try:
        return within(folder, name)
    except (ValueError, OSError) as error:  # OSError for a name that is too long, say
        raise SuiteError(
            f"{toml}: names a file that cannot be: {error}",
            hint="a suite's files stand in its own folder",
        ) from error


def _hashed(path: Path, sha256: str | None, toml: Path) -> str:
    """Return a file's hash. SuiteError if it is not the one that the suite.toml says."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from error
    if sha256 is not None and found != sha256:
        raise SuiteError(
            f"{path}: its SHA-256 is not the one in {toml}",
            hint="a frozen file was changed; restore it, or give the changed suite a new name",
        )
    return found


def _from_lines(files: Mapping[str, bytes | Path], source: str) -> Suite:
    """Build a suite from files or their bytes, by their names; its hash is over all, in order.

    Of several files, one that is named for training is not evaluated, whatever its rows say.
    """
    evaluated = [n for n in files if len(files) == 1 or not PurePath(n).stem.startswith("train")]
    cases: list[Case] = []
    for name in evaluated:
        shown = (
            source if len(files) == 1 and not source.startswith(HUB_PREFIX) else f"{source}/{name}"
        )
        cases += _rows.parse(shown, files[name], Reading(), stem=re.sub(r"\.jsonl?$", "", name))
    _rows.refuse_duplicates(cases, source)
    return Suite(
        name=_stem(source),
        cases=_some(cases, source),
        sha256=_sha256_of_all(files.values(), source),
        source=source,
    )


def _sha256_of_all(files: Iterable[bytes | Path], source: str) -> str:
    """Return the hash of files one after the other."""
    digest = hashlib.sha256()
    try:
        for content in files:
            if isinstance(content, bytes):
                digest.update(content)
            else:
                with content.open("rb") as file:
                    while block := file.read(2**20):
                        digest.update(block)
    except OSError as error:
        raise SuiteError(f"{source}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _stem(source: str) -> str:
    return re.sub(r"\.jsonl?$", "", re.split(r"[/\\:]", source)[-1]) or "suite"


def _some(cases: list[Case], shown: str, purpose: str = "evaluate") -> list[Case]:
    if not cases:
        raise SuiteError(f"{shown}: no case to {purpose}")
    return cases
