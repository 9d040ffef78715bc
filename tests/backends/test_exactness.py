"""Greedy output in float32 is that of model.generate, one prompt at a time, whatever the batch.

An answer may leave generate's only where the two best logits are so close that the order of a sum
decides; such a test is skipped, with each place as the reason.
"""

from __future__ import annotations

import functools
import random
import shutil
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

from fcbench.formats.functiongemma import STOP_TOKENS
from fcbench.types import Decoding
from tests.backends import architectures, real_models
from tests.backends.architectures import ARCHITECTURES, CONTEXT, STOPS
from tests.backends.generated import PREFIX_MEMORY, Generated, answers, as_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fcbench.types import Request, Sample

    Samples = dict[tuple[str, int], Sample]

DECODING = Decoding(max_new_tokens=16, stops=STOPS)
BATCH_SIZES = (1, 3, 16)
MAX_TIES = 2  # of all prompts of a test
# One of each way in which prompts may be read: windows, rotary, none of both, and states.
KINDS = ("gemma3", "smollm", "qwen2, mixed windows", "gpt2", "bloom", "mamba", "lfm2")
REQUESTS = as_requests(architectures.prompts())


class Subject:
    """A tiny model, with or without an adapter, and what generate writes with it."""

    def __init__(self, folder: Path, adapter: Path | None) -> None:
        self.folder, self.adapter = folder, adapter
        self.generated = Generated(folder, adapter)

    def answers(
        self, requests: Sequence[Request], decoding: Decoding = DECODING, **options: object
    ) -> Samples:
        adapter = None if self.adapter is None else str(self.adapter)
        return answers(self.folder, requests, decoding, dtype="float32", adapter=adapter, **options)


@pytest.fixture(autouse=True)
def _tiny_matrices_on_one_thread(request):
    if request.node.get_closest_marker("model") is None:
        request.getfixturevalue("one_thread")


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Callable[..., Subject]:
    """Return a function that makes a subject once, by its architecture's name."""

    @functools.cache
    def folder_of(name: str) -> Path:
        return architectures.build(name, tmp_path_factory.mktemp("model"))

    @functools.cache
    def make(name: str, *, adapted: bool = False) -> Subject:
        folder, adapter = folder_of(name), None
        if adapted:
            adapter = tmp_path_factory.mktemp("adapter")
            architectures.build_adapter(name, folder, adapter)
        return Subject(folder, adapter)

    return make


def compare(
    generated: Generated, requests: Sequence[Request], decoding: Decoding, samples: Samples
) -> None:
    """Fail where samples differ from what generate writes; skip if only near-ties tell them apart."""
    found = [
        generated.difference(request, decoding, samples[request.case.id, request.repeat])
        for request in requests
    ]
    differences = [difference for difference in found if difference is not None]
    wrong = [str(difference) for difference in differences if not difference.is_tie]
    assert not wrong, f"{len(wrong)} of {len(requests)} differ: " + "; ".join(wrong)
    listed = "; ".join(map(str, differences))
    assert len(differences) <= MAX_TIES, listed
    if differences:
        pytest.skip(f"equal but for logits within 1e-4 of each other: {listed}")


def texts(samples: Samples) -> dict[tuple[str, int], tuple[str, int | None, str | None]]:
    assert [sample.error for sample in samples.values() if sample.error] == []
    return {key: (s.text, s.output_tokens, s.stop) for key, s in samples.items()}


@pytest.mark.parametrize("prefix_memory", PREFIX_MEMORY)
@pytest.mark.parametrize("batch_size", BATCH_SIZES)
@pytest.mark.parametrize("adapted", [False, True], ids=["plain", "adapted"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_greedy_output_is_what_generate_writes_to_one_prompt_at_a_time(
    subject, name, adapted, batch_size, prefix_memory
):
    model = subject(name, adapted=adapted)
    samples = model.answers(REQUESTS, batch_size=batch_size, prefix_memory=prefix_memory)
    compare(model.generated, REQUESTS, DECODING, samples)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_expected_answers_are_many_and_end_in_both_ways(subject, name):
    written = {}
    for adapted in (False, True):
        generated = subject(name, adapted=adapted).generated
        written[adapted] = [generated.tokens(r.prompt, DECODING) for r in REQUESTS]
        assert len({tuple(tokens) for tokens in written[adapted]}) >= len(REQUESTS) - 4
        lengths = {len(tokens) for tokens in written[adapted]}
        assert len(lengths) > 1
        assert max(lengths) == DECODING.max_new_tokens
    n_changed = sum(a != b for a, b in zip(written[False], written[True], strict=True))
    assert n_changed > len(REQUESTS) // 2


@pytest.mark.parametrize("name", KINDS)
def test_neither_order_nor_limit_changes_a_greedy_answer(subject, name):
    model = subject(name)
    shuffled = random.Random(3).sample(REQUESTS, len(REQUESTS))
    for limit in (1, 2, 5, DECODING.max_new_tokens):
        decoding = Decoding(max_new_tokens=limit, stops=STOPS)
        samples = model.answers(shuffled, decoding, batch_size=3)
        for request in REQUESTS:
            sample = samples[request.case.id, 0]
            expected = model.generated.tokens(request.prompt, DECODING)
            assert sample.output_tokens == min(limit, len(expected))
        compare(model.generated, REQUESTS, decoding, samples)


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_depends_on_its_seed_case_and_repeat_alone(subject, name):
    model = subject(name)
    requests = as_requests(architectures.prompts(), repeats=2)
    shuffled = random.Random(3).sample(requests, len(requests))
    drawing = Decoding("sample", max_new_tokens=8, stops=STOPS, temperature=1.0, seed=4)
    options = {"decode": "sample", "temperature": 1.0, "repeats": 2}
    expected = texts(model.answers(requests, drawing, batch_size=1, **options))
    assert len({text for text, _, _ in expected.values()}) > len(requests) // 2
    for batch_size in BATCH_SIZES:
        for memory in PREFIX_MEMORY:
            options |= {"batch_size": batch_size, "prefix_memory": memory}
            assert texts(model.answers(shuffled, drawing, **options)) == expected
    other = Decoding("sample", max_new_tokens=8, stops=STOPS, temperature=1.0, seed=5)
    assert texts(model.answers(requests, other, **options)) != expected


# Real models

REAL_DECODING = Decoding(max_new_tokens=24, stops=STOP_TOKENS)
# Every two of batch size, shared beginnings and adapter come together once.
REAL = [
    (False, 1, PREFIX_MEMORY[0]),
    (False, 3, PREFIX_MEMORY[-1]),
    (False, 16, PREFIX_MEMORY[0]),
    (True, 1, PREFIX_MEMORY[-1]),
    (True, 3, PREFIX_MEMORY[0]),
    (True, 16, PREFIX_MEMORY[-1]),
]


@pytest.fixture(scope="module")
def real_subject(tmp_path_factory) -> Iterator[Callable[..., Subject]]:
    """Return a function that makes a real model's subject once."""
    folder = tmp_path_factory.mktemp("adapters")

    @functools.cache
    def make(name: str, *, adapted: bool) -> Subject:
        model = real_models.folder_of(name)
        return Subject(model, real_models.write_adapter(name, folder / name) if adapted else None)

    yield make
    shutil.rmtree(folder)  # pytest would keep a hundred megabytes for each of its last three runs


@pytest.mark.model
@pytest.mark.parametrize(("adapted", "batch_size", "prefix_memory"), REAL)
@pytest.mark.parametrize("name", real_models.NAMES)
def test_a_real_model_in_float32_writes_what_generate_writes(
    real_subject, name, adapted, batch_size, prefix_memory
):
    reason = real_models.missing(name)
    if reason:
        pytest.skip(reason)
    model = real_subject(name, adapted=adapted)
    asked = real_models.requests(name, 12, n_short=4)
    samples = model.answers(
        asked, REAL_DECODING, batch_size=batch_size, prefix_memory=prefix_memory
    )
    assert len({sample.text for sample in samples.values()}) > len(asked) // 2
    compare(model.generated, asked, REAL_DECODING, samples)


# Bad inputs


@pytest.mark.parametrize("name", ["gemma3", "bloom"])
def test_what_a_generation_config_asks_for_changes_no_greedy_answer(name, tmp_path):
    from transformers import GenerationConfig

    folder = architectures.build(name, tmp_path)
    asked = GenerationConfig(
        do_sample=True,
        temperature=3.0,
        top_k=3,
        top_p=0.5,
        repetition_penalty=2.0,
        no_repeat_ngram_size=1,
        min_new_tokens=4,
        max_length=20,
        suppress_tokens=[5, 6, 7],
        eos_token_id=architectures.SPECIAL.index(architectures.EOS),
    )
    asked.save_pretrained(folder)
    samples = answers(folder, REQUESTS, DECODING, dtype="float32", batch_size=3)
    compare(Generated(folder), REQUESTS, DECODING, samples)


@pytest.mark.parametrize("name", KINDS)
def test_a_tokenizer_without_a_pad_token_changes_no_greedy_answer(subject, name, tmp_path):
    model = subject(name)
    folder = architectures.without_pad(model.folder, tmp_path / "copy")
    samples = answers(folder, REQUESTS, DECODING, dtype="float32", batch_size=16)
    compare(model.generated, REQUESTS, DECODING, samples)


@pytest.mark.parametrize("name", ["gemma3", "llama", "gpt2"])
def test_a_prompt_longer_than_the_context_is_an_error_of_its_case_alone(subject, name):
    model = subject(name)
    longest = CONTEXT - DECODING.max_new_tokens
    rng = random.Random(1)
    letters = "".join(rng.choices(architectures.LETTERS, k=longest))
    requests = as_requests(["<bos>" + letters[1:], "<bos>" + letters, *architectures.prompts()])
    samples = model.answers(requests, batch_size=3)
    too_long = samples.pop(("1", 0))
    assert too_long.text == ""
    assert too_long.error == (
        f"{longest + 1} prompt tokens and 16 new ones exceed the model's context of {CONTEXT}"
    )
    compare(model.generated, [r for r in requests if r.case.id != "1"], DECODING, samples)
