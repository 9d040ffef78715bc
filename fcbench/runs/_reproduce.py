"""Repeat a run from its manifest, and say what came out otherwise.

A manifest is data, perhaps a stranger's: what it says is not enough to import a module, to send a
key to a server or to make a prompt of a file. Models of such kinds, code from a model's repository
and prompt files must be named again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.errors import RunError, UsageError
from fcbench.runs._command import DTYPES, LOADED_HERE
from fcbench.runs._manifest import as_stored, with_unsaid
from fcbench.runs._place import place_of
from fcbench.runs._plan import plan
from fcbench.runs._read import read_begun
from fcbench.suite import Suite, load_suite
from fcbench.text import n_alike
from fcbench.types import Json, Record, Run, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fcbench.runs._plan import Plan

ONLY_READ = ("gguf", "replay")
"""Kinds of models, beside folders and hub names, whose name runs no code and reaches no server."""
CHANGES_ANYWAY = {"started_at", "computed.dtype"}
"""What no two runs share, and what was asked for where model.dtype says what it was."""
BEFORE, AFTER = 24, 40
"""Characters of a text that are shown around the first one that differs."""


class _Model(msgspec.Struct):
    name: str
    backend: str = ""
    dtype: str = "auto"
    adapter: dict[str, Json] | None = None


class _Computed(msgspec.Struct):
    """How a run was computed. Runs that began before it was said have the defaults."""

    dtype: str = "auto"
    allow_float16: bool = False
    prefix_memory: int | None = None
    timeout_seconds: float = 600.0
    retries: int = 4


class _Said(msgspec.Struct):
    """What repeating a run needs of its manifest, beside what reading it needs."""

    model: _Model
    batch_size: int | None = None
    computed: _Computed = msgspec.field(default_factory=_Computed)


class FieldDifference(Record, frozen=True):
    """One field of two manifests, NOT_SAID where one of them does not have it."""

    field: str
    then: Json
    now: Json


class SampleDifference(Record, frozen=True):
    """The first field in which two samples differ.

    Of a text, `at` is the first character that differs, and `then` and `now` what stands there.
    """

    case_id: str
    repeat: int
    field: str
    at: int | None
    then: Json
    now: Json


class Reproduction(Record, frozen=True):
    """How a run came out when it was repeated.

    `n_same` samples are equal in all but their timing. `n_unanswered` have no answer in the earlier
    run, and `n_errors` none now: they are in neither number.
    """

    n_same: int
    n_unanswered: int
    n_errors: int
    samples: list[SampleDifference]
    manifest: list[FieldDifference]


NOT_SAID = "(not said)"
"""Stands for a field that a manifest does not have."""


def plan_again(path: str | Path, now: Mapping[str, Any]) -> Plan:
    """Return the plan of the run in a folder.

    `now` are what fcbench.run takes, by name (a model by its own), and go before what the manifest
    says: where things are now, and how they are to be computed. RunError for a folder that is no
    run, or whose suite has changed, UsageError where a model or prompt file must be named in `now`.
    """
    suite = now.get("suite")
    if suite is not None and not isinstance(suite, Suite):
        suite = load_suite(suite)
    begun = read_begun(path, suite)  # without its log, which may be long
    manifest = begun.manifest
    try:
        said = msgspec.convert(manifest, _Said)
        adapter = msgspec.convert((said.model.adapter or {}).get("name"), str | None)
    except ValueError as error:  # msgspec's; it has no words for half a surrogate pair
        raise RunError(f"{path}: its manifest cannot be repeated: {error}") from error
    if "model" not in now:
        _refuse_code(path, said.model.name)
    is_loaded = said.model.backend in LOADED_HERE and said.model.dtype in DTYPES
    drawn, asked, described = manifest["decoding"], manifest["prompt"], manifest["suite"]
    if "prompt_file" not in now:
        _refuse_file(path, asked["file"])
    for name, had in (("adapter", adapter), ("prompt_file", asked["file"])):
        if now.get(name) and not had:
            raise UsageError(f"{path}: it had no {name}, so that none can stand elsewhere")
    options = {
        **msgspec.structs.asdict(said.computed),
        "model": said.model.name,
        "prompt": "file" if asked["file"] else asked["mode"],
        "adapter": adapter,
        "decode": drawn["mode"],
        "results": None,
        # "auto" may be another here.
        "dtype": said.model.dtype if is_loaded else said.computed.dtype,
        "batch_size": said.batch_size,
        "max_new_tokens": drawn["max_new_tokens"],
        "temperature": drawn.get("temperature", 0.0),
        "repeats": drawn.get("repeats", 1),
        "few_shot": asked["few_shot"],
        "prompt_file": asked["file"],
        "limit": described["limit"],
        "sample": described.get("sample"),
        "tags": tuple(described["tags"]),
        "seed": manifest["seed"],
        "format": manifest["format"]["name"],
        **now,
        "suite": begun.suite,
    }
    made = plan(**options)
    return _beside(path, made)


def _refuse_code(path: str | Path, model: str) -> None:
    """Raise UsageError for a model that a manifest alone does not start."""
    kind, colon, _ = model.partition(":")
    if colon and kind not in ONLY_READ:
        raise UsageError(
            f"{path}: its model is {model}: a manifest alone runs no code and asks no server",
            hint=f"where you trust it: --reproduce {path} --model {model}",
        )


def _refuse_file(path: str | Path, file: str | None) -> None:
    """Raise UsageError for a prompt file: any file of this machine could be stored as a prompt."""
    if file is not None:
        raise UsageError(
            f"{path}: its prompts are made of the file {file}: a manifest alone reads none",
            hint=f"where that is a prompt of yours: --prompt-file {file}",
        )


def _beside(path: str | Path, made: Plan) -> Plan:
    """Return a plan that may go on with an interrupted repetition, never with the original."""
    if made.resume and made.results is not None:
        earlier = place_of(made).earlier
        if earlier is not None and earlier.path.resolve() == Path(path).resolve():
            return msgspec.structs.replace(made, resume=False)
    return made


def differences(then: Run, now: Run) -> Reproduction:
    """Return how two runs over the same cases differ. Their samples are in the order of these."""
    n_same = n_unanswered = n_errors = 0
    found = []
    for earlier, sample in _pairs(then, now):
        is_answered = earlier is not None and earlier.error is None
        n_unanswered += not is_answered
        n_errors += sample.error is not None
        if earlier is None or not is_answered or sample.error is not None:
            continue
        differing = _first_difference(earlier, sample)
        if differing is None:
            n_same += 1
        else:
            found.append(differing)
    fields = list(_fields(then.manifest, now.manifest))
    return Reproduction(n_same, n_unanswered, n_errors, found, fields)


def _pairs(then: Run, now: Run) -> Iterator[tuple[Sample | None, Sample]]:
    """Yield each sample with that of the earlier run; neither run is read into memory whole."""
    place = {case.id: i for i, case in enumerate(now.cases)}

    def order(sample: Sample) -> tuple[int, int]:
        return place.get(sample.case_id, len(place)), sample.repeat

    waiting = iter(then.samples)
    earlier = next(waiting, None)
    for sample in now.samples:
        while earlier is not None and order(earlier) < order(sample):
            earlier = next(waiting, None)
        is_its = earlier is not None and order(earlier) == order(sample)
        yield earlier if is_its else None, sample


# The text first, since it is what a reader wants to see, and its tokens differ with it.
COMPARED = ("prompt_sha256", "text", "native_calls", "stop", "output_tokens", "prompt_tokens")


def _first_difference(then: Sample, now: Sample) -> SampleDifference | None:
    for field in COMPARED:
        a, b = getattr(then, field), getattr(now, field)
        if _is_same(a, b):
            continue
        at = None
        if field == "text":
            at = n_alike(a, b)
            a, b = (text[max(0, at - BEFORE) : at + AFTER] for text in (a, b))
        a, b = (msgspec.to_builtins(value) for value in (a, b))
        return SampleDifference(now.case_id, now.repeat, field, at, a, b)
    return None


def _is_same(a: object, b: object) -> bool:
    try:
        return repr(a) == repr(b)  # 1 == 1.0 == True, which are three answers
    except (ValueError, RecursionError):  # more digits, or levels, than CPython prints
        return a == b


def _fields(then: Mapping[str, Json], now: Mapping[str, Json]) -> Iterator[FieldDifference]:
    """Yield the fields of two manifests that differ."""
    earlier, later = dict(_flat(with_unsaid(then))), dict(_flat(as_stored(now)))
    for field in dict.fromkeys([*earlier, *later]):
        was, is_now = earlier.get(field, NOT_SAID), later.get(field, NOT_SAID)
        if was != is_now and field not in CHANGES_ANYWAY:
            yield FieldDifference(field, was, is_now)


def _flat(value: Mapping[str, Json], at: str = "") -> Iterable[tuple[str, Json]]:
    """Yield the leaves of an object by their path."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flat(item, f"{at}{key}.")
        else:
            yield f"{at}{key}", item
