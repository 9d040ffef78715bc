"""Whether the adapter changes anything, and belongs to this model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from fcbench.doctor._finding import FINE, NOT_APPLICABLE, found
from fcbench.doctor._rows import looks_untrained
from fcbench.doctor._subject import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Json

CHECK = "adapter"
ROW_MODULES = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the adapter; what its own configuration says is held against it."""
    if subject.misfit is not None:
        yield found(CHECK, "adapter_misfit", subject.misfit)
        return
    adapter = subject.loaded.manifest.get("adapter")
    if adapter is None:
        yield found(CHECK, NOT_APPLICABLE, "no adapter was given")
        return
    difference = adapter["max_logit_difference"]
    is_number = math.isfinite(difference)
    if not is_number:
        seen = "the difference to the base model's logits is not finite, see numbers"
        yield found(CHECK, NOT_APPLICABLE, seen)
    elif not adapter["active"]:
        seen = f"{adapter['name']}: the largest difference to the base model's logits is 0"
        yield found(CHECK, "adapter_inactive", seen, max_logit_difference=0.0)
    config = _config(adapter["name"])
    doubts = [*_other_base(subject, config), *_left_rows(subject, config)]
    yield from doubts
    if is_number and adapter["active"] and not doubts:
        seen = f"it changes the base model's logits by up to {difference:.3g}; it trains "
        yield found(CHECK, FINE, seen + _trained(config), max_logit_difference=difference)


def _config(folder: str) -> dict[str, Json]:
    path = Path(folder).expanduser() / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return config if isinstance(config, dict) else {}


def _trained(config: dict[str, Json]) -> str:
    modules = config.get("target_modules") or []
    names = [modules] if isinstance(modules, str) else sorted(modules)
    rows = config.get("trainable_token_indices") or []
    # peft takes a list of ids, or one a layer.
    n_rows = max(map(len, rows.values()), default=0) if isinstance(rows, dict) else len(rows)
    return f"{listed(names, 8) or 'no layers'}" + (f" and {n_rows} rows" if n_rows else "")


def _other_base(subject: Subject, config: dict[str, Json]) -> Iterator[Finding]:
    told, name = str(config.get("base_model_name_or_path") or ""), subject.loaded.manifest["name"]
    ours, theirs = (Path(text).name.lower() for text in (str(name), told))
    # A folder in a cache is named after its model, and more.
    if told and ours not in theirs and theirs not in ours:
        yield found(CHECK, "adapter_other_base", f"adapter_config.json names {told}, not {name}")


def _left_rows(subject: Subject, config: dict[str, Json]) -> Iterator[Finding]:
    if not config or config.get("trainable_token_indices"):
        return
    modules = config.get("target_modules") or []
    modules = [modules] if isinstance(modules, str) else modules
    saved = config.get("modules_to_save") or []
    if any(m.endswith(ROW_MODULES) for m in (*modules, *saved)):
        return
    if looks_untrained(subject):
        yield found(CHECK, "adapter_leaves_rows", f"it trains {_trained(config)}, no rows")
