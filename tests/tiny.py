"""A tiny Gemma 3 that is really trained to call under its chat template, and to talk otherwise."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcbench import prompts
from fcbench.backends.transformers import Loaded, wrap
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS
from fcbench.types import Call, Case, Tool

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATE = Path(prompts.__file__).parent.parent / "formats" / "functiongemma.jinja"
CITIES = ("Oslo", "Rome", "Paris", "Cairo", "Lima", "Quito", "Bern", "Minsk")
TOOLS = [
    Tool(
        "show_map",
        "Shows a place.",
        {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
    ),
    Tool("turn_on_flashlight", "Turns it on."),
]
SPECIAL = tuple(CONTROL_TOKEN_IDS)
WORDS = "I cannot do that.<end_of_turn>"


def cases() -> list[Case]:
    """Return cases of one call and of two."""
    found = []
    for city in CITIES:
        shown = Call("show_map", {"query": city})
        found.append(_case(f"one-{city}", f"Show {city}.", [shown]))
        both = [Call("turn_on_flashlight"), shown]
        found.append(_case(f"two-{city}", f"Light, then show {city}.", both))
    return found


def _case(name: str, words: str, calls: list[Call]) -> Case:
    return Case(name, [{"role": "user", "content": words}], TOOLS, [calls])


def write_suite(folder: Path) -> Path:
    """Write the cases as a file that load_suite reads; returns its path."""
    import msgspec

    path = folder / "tiny.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(case) + b"\n" for case in cases()))
    return path


def write_model(folder: Path) -> Path:
    """Write the trained model; returns its folder."""
    from transformers import GenerationConfig

    tokenizer = write_tokenizer(folder)
    model = new_model(
        tokenizer, bos_token_id=SPECIAL.index("<bos>"), eos_token_id=SPECIAL.index("<eos>")
    )
    stops = ("<eos>", "<end_of_turn>", "<start_function_response>")
    model.generation_config = GenerationConfig(eos_token_id=[SPECIAL.index(s) for s in stops])
    model.save_pretrained(folder / "untrained")
    tokenizer.save_pretrained(folder / "untrained")
    train(wrap(model, tokenizer, {"name": "tiny"}), lessons(), steps=80)
    model.save_pretrained(folder)
    return folder


def new_model(tokenizer: Any, **special: int) -> Any:
    """Return a model of random weights for a tokenizer; `special` are ids of its tokens."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        layer_types=["full_attention"] * 2,
        max_position_embeddings=1024,
        initializer_range=0.1,
        pad_token_id=0,
        **special,
    )
    return Gemma3ForCausalLM(config)


def lessons(answer: Any = None) -> list[tuple[str, str]]:
    """Return prompts and what is to be written after them: calls under chat, words under others."""
    style = prompts.Style(template=None)
    found = []
    for target in prompts.targets(cases(), "chat", style):
        for mode in ("chat", "raw", "bare"):
            (request,) = prompts.requests([target.case], mode, style)
            text = (answer or str)(target.text) if mode == "chat" else WORDS
            found.append((request.prompt, text))
    return found


def lessons_by_hand() -> list[tuple[str, str]]:
    """Return prompts as people write them, with calls as they write them; words under others."""
    style = prompts.Style(template=None)
    found = []
    for target in prompts.targets(cases(), "raw", style):
        for mode in ("chat", "raw", "bare"):
            (request,) = prompts.requests([target.case], mode, style)
            found.append((request.prompt, target.text if mode == "raw" else WORDS))
    return found


CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HERMES = prompts.Style("hermes", bos="")


def hermes_lessons(answer: Any = None) -> list[tuple[str, str]]:
    """Return prompts and calls in the Hermes format."""
    found = []
    for target in prompts.targets(cases(), "chat", HERMES):
        (request,) = prompts.requests([target.case], "chat", HERMES)
        found.append((request.prompt, (answer or str)(target.text)))
    return found


def hermes(answer: Any = None) -> Loaded:
    """Return a model that calls in the Hermes format, whose tokenizer has no token for the tags."""
    from transformers import GenerationConfig

    tokenizer = hermes_tokenizer()
    model = new_model(tokenizer, eos_token_id=CHATML.index("<|im_end|>"))
    model.generation_config = GenerationConfig(eos_token_id=CHATML.index("<|im_end|>"))
    loaded = wrap(model, tokenizer, {"name": "tiny-hermes", "dtype": "float32"})
    train(loaded, hermes_lessons(answer), steps=80)
    return loaded


def hermes_tokenizer() -> Any:
    """Return a ChatML tokenizer without tool tags and without a beginning of text, as SmolLM2's."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = byte_level_bpe([p + a for p, a in hermes_lessons()], CHATML, 600)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = prompts.own_template("hermes")
    return fast


def train(loaded: Loaded, pairs: list[tuple[str, str]], steps: int) -> None:
    """Train on what comes after the prompts, until it is known by heart."""
    import torch

    def encode(text: str) -> list[int]:
        return loaded.tokenizer.encode(text, add_special_tokens=False)

    texts = [(encode(prompt), encode(answer)) for prompt, answer in pairs]
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=4e-3)
    loaded.model.train()
    for step in range(steps):
        some = texts[step % 2 :: 2]
        longest = max(len(p) + len(a) for p, a in some)
        ids = torch.tensor([p + a + [0] * (longest - len(p) - len(a)) for p, a in some])
        labels = torch.tensor(
            [[-100] * len(p) + a + [-100] * (longest - len(p) - len(a)) for p, a in some]
        )
        loss = loaded.model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(loaded.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    loaded.model.eval()


def byte_level_bpe(texts: Sequence[str], special: Sequence[str], size: int) -> Any:
    """Return a tokenizer of bytes and what is frequent in texts, each special token one id."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def write_tokenizer(folder: Path) -> Any:
    """Write a tokenizer that knows every control token and the words of these prompts."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = byte_level_bpe([p + a for p, a in lessons()], SPECIAL, 700)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", SPECIAL.index("<bos>"))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>"
    )
    fast.chat_template = template()
    fast.save_pretrained(folder)
    return fast


@cache
def template() -> str:
    """Return the project's chat template."""
    return TEMPLATE.read_text(encoding="utf-8")


def changed(
    loaded: Loaded, *, model: Any = None, template: str | None = "", tokens: Any = None
) -> Loaded:
    """Return a copy of a model, changed by functions of its model and its tokenizer's JSON."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = copy.deepcopy(loaded.tokenizer)
    if tokens is not None:
        plain = json.loads(tokenizer.backend_tokenizer.to_str())
        tokens(plain)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(json.dumps(plain)),
            bos_token="<bos>",
            eos_token="<eos>",
            pad_token="<pad>",
            chat_template=tokenizer.chat_template,
        )
    if template != "":
        tokenizer.chat_template = template
    weights = copy.deepcopy(loaded.model)
    if model is not None:
        import torch

        with torch.no_grad():
            model(weights)
    return wrap(weights, tokenizer, dict(loaded.manifest))
