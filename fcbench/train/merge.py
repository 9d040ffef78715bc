"""A LoRA adapter merged into its base: a plain model folder that is the model that was trained.

The logits of base and adapter are taken before merging, after it, and once more from the folder
as it was written: what is deployed is what was trained, or the folder does not appear.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fcbench.backends import ModelOptions
from fcbench.errors import ModelError, UsageError, nearest
from fcbench.formats import guess_format, module_of
from fcbench.paths import ADAPTER_WEIGHTS
from fcbench.suite import load_suite
from fcbench.train._merge_probe import (
    N_CASES,
    Difference,
    Probe,
    difference,
    logits_of,
    make_probes,
)
from fcbench.types import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fcbench.backends.transformers import Loaded

DTYPES = ("float32", "bfloat16")
# Of the largest logit. Sums in another order differ by some 1e-6; a lost weight by far more.
TOLERANCE = 1e-3
TRAIN_AGAIN = "train again with a lower learning rate, or take an earlier checkpoint"


class MergeReport(Record, frozen=True):
    """What was merged, and how the logits differ from those of base and adapter in float32.

    `merged` is the model in memory after merging, `stored` the folder read back and computed in
    float32, `computed` the folder computed in bfloat16, where that is what it stores. The hashes
    are those that a run records; None for a hub model, which has its revision instead.
    """

    out: str
    base: str
    base_sha256: str | None
    adapter: str
    adapter_sha256: str
    adapter_changes: float
    """The largest change of a logit by the adapter, over a short text; 0 for one never trained."""
    dtype: str
    n_tensors: int
    stop_ids: list[int]
    has_chat_template: bool
    merged: Difference
    stored: Difference
    computed: Difference | None
    seconds: float


def merge(
    model: str, adapter: str, out: str, dtype: str = "float32", suite: str = "mobile_actions"
) -> MergeReport:
    """Merge an adapter in float32 and write a model folder; returns what was measured.

    `model` is a folder, a hub name or gemma3-270m; `dtype` the one that weights are stored in;
    the first cases of `suite` are what logits are compared over. The folder holds safetensors,
    the tokenizer with its chat template, the generation config with all stop ids, and merge.json,
    which is the report. It appears whole or not at all.

    UsageError for an unknown dtype or an `out` that holds something; ModelError for a quantised
    base, an adapter that does not fit, a weight that is not finite (named), also after rounding to
    bfloat16, and a merged or stored model whose logits are others or not finite.
    An adapter that changes nothing warns.
    """
    from fcbench.backends.transformers import load

    started = time.perf_counter()
    if dtype not in DTYPES:
        raise UsageError(f"no such dtype: {dtype}", hint=nearest(dtype, DTYPES))
    destination = Path(out).expanduser()
    check_free(destination)
    cases = load_suite(suite).cases[:N_CASES]
    _refuse_quantised(model)
    options = ModelOptions(adapter=adapter, dtype="float32")
    _check_adapter(adapter)
    loaded = load(model, options)
    probes = make_probes(loaded, cases)
    trained = logits_of(loaded.model, probes)
    merged = _merge(loaded, adapter)
    n_tensors = _check_finite(merged, f"{model} with {adapter}")
    after = difference(trained, logits_of(merged, probes))
    _refuse_other_model(after, "merging changed the model")
    expected = trained if dtype == "float32" else _rounded(merged, probes, out)
    with partial_folder(destination) as folder:
        stops = _write(merged, loaded, folder, dtype)
        del merged
        loaded.model = None
        stored, computed = _read_back(loaded, folder, probes, (trained, expected), dtype)
        report = MergeReport(
            out=str(destination),
            base=model,
            base_sha256=loaded.manifest["weights_sha256"],
            adapter=adapter,
            adapter_sha256=loaded.manifest["adapter"]["sha256"],
            adapter_changes=loaded.manifest["adapter"]["max_logit_difference"],
            dtype=dtype,
            n_tensors=n_tensors,
            stop_ids=stops,
            has_chat_template=loaded.template is not None,
            merged=after,
            stored=stored,
            computed=computed,
            seconds=round(time.perf_counter() - started, 1),
        )
        text = json.dumps(msgspec.to_builtins(report), indent=2, allow_nan=False) + "\n"
        (folder / "merge.json").write_text(text, encoding="utf-8")
    return report


def check_free(destination: Path) -> None:
    """Raise UsageError unless nothing, or an empty folder, stands at a path."""
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists():
        raise UsageError(f"{destination}: exists already", hint="name a folder that does not")


@contextlib.contextmanager
def partial_folder(destination: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes its name when all went well and goes away otherwise."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose folders are for their owner alone.
    folder = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:8]}")
    folder.mkdir()
    try:
        yield folder
        folder.replace(destination)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_quantised(model: str) -> None:
    from transformers import AutoConfig

    from fcbench.backends.transformers import locate

    config = Path(locate(model)) / "config.json"
    if config.is_file():
        found = "quantization_config" in json.loads(config.read_text(encoding="utf-8"))
    else:
        try:
            config_of_hub = AutoConfig.from_pretrained(model, trust_remote_code=False)
            found = hasattr(config_of_hub, "quantization_config")
        except (OSError, ValueError):
            return  # loading tells what is wrong
    if found:
        raise ModelError(
            f"{model}: its weights are quantised: an adapter cannot be added to them",
            hint="merge into the model that was quantised, then quantise: export gguf --type q8_0",
        )


def _check_adapter(adapter: str) -> None:
    """Raise ModelError for a weight of the adapter's that is not finite."""
    from safetensors import safe_open

    path = Path(adapter).expanduser() / ADAPTER_WEIGHTS
    if not path.is_file():
        return  # loading tells what is missing
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  no mapping
            _refuse_non_finite(file.get_tensor(name), name, adapter)


def _check_finite(model: Any, shown: str, hint: str | None = None) -> int:
    """Return how many tensors a model has; ModelError for one that is not finite."""
    tensors = model.state_dict()
    for name, tensor in tensors.items():
        _refuse_non_finite(tensor, name, shown, hint)
    return len(tensors)


def _refuse_non_finite(tensor: Any, name: str, shown: str, hint: str | None = None) -> None:
    n = int((~tensor.isfinite()).sum()) if tensor.is_floating_point() else 0
    if n:
        raise ModelError(
            f"{shown}: {n} of {tensor.numel()} weights of {name} are NaN or infinite",
            hint=hint or TRAIN_AGAIN,
        )


def _merge(loaded: Loaded, adapter: str) -> Any:
    try:
        with warnings.catch_warnings():
            # The rows of trained tokens are merged by load already, which peft finds worth telling.
            warnings.filterwarnings("ignore", message="All adapters are already merged")
            merged = loaded.model.merge_and_unload(safe_merge=True)
    # Of peft, for weights that are not finite, and for methods that cannot be merged.
    except (ValueError, NotImplementedError) as error:
        raise ModelError(f"{adapter}: cannot be merged: {error}") from error
    return merged.eval()


def _rounded(model: Any, probes: Sequence[Probe], shown: str) -> list[Any]:
    """Round a model's weights to bfloat16; returns what it computes with them in float32."""
    _hold(model, "bfloat16")
    _check_finite(model, f"{shown}, rounded to bfloat16", "--dtype float32")
    _hold(model, "float32")
    return logits_of(model, probes)


def _hold(model: Any, dtype: str) -> None:
    """Let a model's weights be of a dtype, and nothing else, as from_pretrained does."""
    import torch

    stored = set(model.state_dict())
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        # What is not stored, as the angles of positions, is made in float32 whatever the dtype.
        if name in stored and tensor.is_floating_point():
            tensor.data = tensor.data.to(getattr(torch, dtype))


def _read_back(
    loaded: Loaded,
    folder: Path,
    probes: Sequence[Probe],
    logits: tuple[list[Any], list[Any]],
    dtype: str,
) -> tuple[Difference, Difference | None]:
    """Return how what was written differs in float32, and in bfloat16 if it is stored so.

    `logits` are those of base and adapter, and those that what was written has to compute.
    """
    from fcbench.backends.transformers import load

    trained, expected = logits
    again = load(str(folder), ModelOptions(dtype="float32"))
    _refuse_other_tokenizer(loaded, again)
    found = logits_of(again.model, probes)
    _refuse_other_model(difference(expected, found), "what was written is not what was merged")
    if dtype == "float32":
        return difference(trained, found), None
    _hold(again.model, dtype)
    computed = difference(trained, logits_of(again.model, probes))
    if not math.isfinite(computed.largest):
        what = f"what was written computes logits that are not finite in {dtype}"
        raise ModelError(what, hint="--dtype float32")
    return difference(trained, found), computed


def _refuse_other_model(found: Difference, what: str) -> None:
    if not math.isfinite(found.largest_logit):
        raise ModelError(
            "base and adapter together compute logits that are not finite",
            hint=TRAIN_AGAIN,
        )
    # Written so that NaN is refused too.
    if not found.largest <= TOLERANCE * found.largest_logit:
        raise ModelError(
            f"{what}: its logits are up to {found.largest:.3g} from those of base and adapter, "
            f"of {found.largest_logit:.3g}",
            hint="this adapter's method may not be mergeable: run --adapter uses it unmerged",
        )


def _write(model: Any, loaded: Loaded, folder: Path, dtype: str) -> list[int]:
    """Write weights, configs and tokenizer; returns the ids that end a turn."""
    import torch

    from fcbench.backends.transformers import stop_ids

    format = guess_format(loaded.tokenizer.chat_template or "")
    stops = stop_ids(loaded, module_of(format).STOP_TOKENS if format else ())
    model = model.to(getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    model.generation_config.eos_token_id = stops
    # Of a base that samples by default too: a call is not drawn by lot.
    for name in ("temperature", "top_k", "top_p"):
        setattr(model.generation_config, name, None)
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        # Written for the owner alone, which would shut out a server that runs as another user.
        shutil.copymode(folder / "config.json", path)
    return stops


def _refuse_other_tokenizer(loaded: Loaded, again: Loaded) -> None:
    for name in ("tokenizer_sha256", "template_sha256"):
        if loaded.manifest[name] != again.manifest[name]:
            what = name.removesuffix("_sha256")
            raise ModelError(f"the {what} reads back as another than the base's")
