"""What llama.cpp gives one short text: whether it is finite, and whether an adapter moves it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from fcbench.backends._told import told
from fcbench.errors import BackendError, ModelError
from fcbench.paths import sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.backends._http import Endpoint
    from fcbench.types import Json

_TEXT = "The quick brown fox"
_N_TOKENS = 32  # the likeliest, whose log-probabilities are compared
_TAIL = 8  # the same token so often may be one that NaN chose

Probed = dict[int, float]
"""Log-probabilities of the likeliest next tokens, by id; NaN where llama.cpp says none."""


class Ids(Struct):
    """What /tokenize tells."""

    tokens: list[int]


class _Likely(Struct):
    id: int
    logprob: float | None


class _Next(Struct):
    top_logprobs: list[_Likely]


class _Probabilities(Struct):
    completion_probabilities: Annotated[list[_Next], Meta(min_length=1, max_length=1)]


def probe(endpoint: Endpoint, tokens: Sequence[int] = (), scale: float | None = None) -> Probed:
    """Return what comes after tokens, or after a short fixed text.

    `scale` is that of the adapter, by default 1.
    """
    if not tokens:
        said: Json = endpoint.post("/tokenize", {"content": _TEXT, "add_special": True})
        tokens = told(said, Ids, "/tokenize").tokens
    body: dict[str, Json] = {
        "prompt": list(tokens),
        "n_predict": 1,
        "temperature": 0.0,
        "n_probs": _N_TOKENS,
    }
    if scale is not None:
        body |= {"lora": [{"id": 0, "scale": scale}], "cache_prompt": False}
    answer = told(endpoint.post("/completion", body), _Probabilities, "/completion")
    (first,) = answer.completion_probabilities
    # JSON has no NaN: llama.cpp writes null.
    return {
        likely.id: math.nan if likely.logprob is None else likely.logprob
        for likely in first.top_logprobs
    }


def is_finite(probed: Probed) -> bool:
    """Whether a distribution is one at all."""
    return bool(probed) and math.isfinite(max(probed.values(), key=lambda p: (math.isnan(p), p)))


def check_finite(name: str, probed: Probed) -> None:
    """Raise ModelError where the model gives no finite logits even to a short text."""
    if not is_finite(probed):
        raise ModelError(
            f"{name}: its logits are not finite",
            hint="NaN in the weights, or a model that overflows in what it is stored in: export "
            "it with --type f32 or bf16",
        )


def check_tail(endpoint: Endpoint, prompt: Sequence[int], written: Sequence[int]) -> None:
    """Raise BackendError where what was written last came of logits that are not finite.

    llama.cpp does not say so: of NaN it takes one and the same token for ever.
    """
    if not written or len(set(written[-_TAIL:])) > 1:
        return
    if not is_finite(probe(endpoint, [*prompt, *written[:-1]])):
        raise BackendError("the logits are not finite")


def adapter_record(name: str, found: Probed, without: Probed) -> dict[str, Json]:
    """Return what a run records of an adapter: its hash, and the proof that it is active.

    One that changes nothing warns.
    """
    if found == without:
        warnings.warn(
            f"{name}: the adapter changes no logit of the base model (never trained?)",
            stacklevel=2,
        )
    both = found.keys() & without.keys()
    differences = [abs(found[i] - without[i]) for i in both]
    return {
        "name": name,
        "sha256": sha256_of(Path(name).expanduser()),
        # Rounded: it is compared when a run is resumed, perhaps with another number of threads.
        "max_logprob_difference": round(max(differences), 3) if differences else None,
        "active": found != without,
    }
