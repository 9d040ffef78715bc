"""A Modelfile for Ollama: the prompt that a model was trained with, and where its turn ends.

Source: docs/modelfile.mdx, template/, tools/, model/renderers/functiongemma.go and
model/parsers/functiongemma.go of github.com/ollama/ollama, as of November 2026.

FunctionGemma: TEMPLATE and PARSER are written, RENDERER is not. Ollama's own renderer, which would
take the template's place, writes another sentence than the trigger and leaves out `enum`, `items`
and nested properties. Without its parser Ollama looks for JSON, and no call is ever found.

TEMPLATE is written only for a model whose own chat template writes the prompts that the project's
own of the format does, which is what the Go template follows; others leave it out, and Ollama 0.30
and later takes the model's own from the GGUF.

What the templates cannot do, because Go's text/template has it from Ollama that way:
- a parameter that is an object loses its properties (hermes: only their blanks);
- keys are sorted with upper case first, where fcbench sorts without regard to case (functiongemma)
  or keeps their order (hermes);
- a function's result stays text, where fcbench reads JSON and writes its fields (functiongemma);
- numbers in earlier calls and in enums went through a float64: 1.0 is written 1, integers above
  2^53 lose their last digits, 1e-05 is 0.00001, and from 1e21 on there is an exponent;
- hermes: <, > and & in JSON are escaped; schemas keep type, enum, items, description and
  properties alone, in this order.
For all else tests prove with Go, where there is one, that Ollama sends the chat prompt character
for character.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fcbench import prompts
from fcbench.errors import UsageError
from fcbench.formats import module_of
from fcbench.suite import load_suite
from fcbench.types import Record

MARK = "# Written by fcbench"
NUM_CTX = 4096
PARSERS = {"functiongemma": "functiongemma"}
TEMPLATES = ("functiongemma", "hermes")
SAMPLES, N_SAMPLES = ("mobile_actions", "types", "multi_turn"), 8

_HEAD = """{mark} for {gguf}: ollama create NAME -f {modelfile}
#
# `ollama run` cannot pass tools: it sends the user's words alone, and the model answers in words.
# Ask with tools through /api/chat; or through /api/generate with "raw": true and a prompt of
# fcbench's{without_bos}.
{notes}
FROM {source}
"""

_NOTES = {
    "functiongemma": """#
# Needs Ollama 0.13.5 or later, for PARSER. RENDERER functiongemma is left out on purpose: it would
# take the template's place with another sentence than the model was trained with, and without
# enum and items. PARSER makes tool_calls of what the model writes; of a malformed call it makes
# an odd one or none, and says nothing: measure with fcbench, which does.
#
# As in training, but for what Go's templates cannot: parameters that are objects lose their
# properties, keys are sorted with upper case first, a function's result is text ({value:…}) also
# where it is JSON, and in earlier calls 1.0 becomes 1 and integers above 2^53 lose digits. A tool
# message has to name its function: "tool_name".
""",
    "hermes": """#
# As in training, but for what Go's templates cannot: keys of schemas and calls are sorted, of a
# schema only type, enum, items, description and properties are kept, <, > and & in JSON are
# escaped, and in earlier calls 1.0 becomes 1 and integers above 2^53 lose digits.
""",
    None: """#
# No template is known for the format of this model's calls: Ollama 0.30 and later takes the one
# inside the GGUF, earlier ones may send the user's words bare.
""",
}

_OTHER_TEMPLATE = """#
# No TEMPLATE: the model's chat template writes other prompts than fcbench's own of the format.
# Ollama 0.30 and later takes the model's own, inside the GGUF; earlier ones may send the user's
# words bare.
"""

_TOKENIZER = """#
# The GGUF's pre-tokenizer is {pre}.
# An Ollama whose llama.cpp does not know that name refuses the file, or cuts words otherwise.
"""


class Setting(Record, frozen=True):
    """What a Modelfile says of a GGUF.

    `source` is what FROM says, `modelfile` the Modelfile's name; `bos`
    is what the template has to write first, "" where llama.cpp adds it; `pre` as in Metadata.
    `is_own` is whether the model's prompts are those of the project's own template.
    """

    source: str
    modelfile: str
    bos: str
    num_ctx: int
    pre: str
    is_own: bool = True


def modelfile(format: str | None, of: Setting) -> str:
    """Return the text of a Modelfile beside a GGUF, for /api/chat with tools.

    Formats without a template of ours leave that to the GGUF's own.
    """
    has_template = format in TEMPLATES and of.is_own
    known = format if format in TEMPLATES else None
    notes = _NOTES[known] if known is None or has_template else _OTHER_TEMPLATE
    if of.pre != "default":
        notes += _TOKENIZER.format(pre=of.pre)
    text = _HEAD.format(
        mark=MARK,
        gguf=of.source.removeprefix("./"),
        modelfile=of.modelfile,
        without_bos="" if of.bos else ", without its bos, which Ollama adds",
        notes=notes.rstrip("\n"),
        source=of.source,
    )
    if format is not None and has_template:
        text += f'TEMPLATE """{template(format, of.bos)}"""\n'
    if format in PARSERS:
        text += f"PARSER {PARSERS[format]}\n"
    for stop in module_of(format).STOP_TOKENS if format else ():
        text += f'PARAMETER stop "{stop}"\n'
    # A penalty for repetitions, which Ollama may have by default, is no part of greedy decoding.
    text += "PARAMETER temperature 0\nPARAMETER repeat_penalty 1\n"
    return f"{text}PARAMETER num_ctx {of.num_ctx}\n"


def writes_our_prompts(tokenizer: Any, format: str) -> bool:
    """Whether a model's prompts are those of the project's own template of a format.

    Looked at over sample cases: with and without calls, results and a developer's words.
    """
    if tokenizer.chat_template is None:
        return True  # then the project's own is what it is asked with
    from fcbench.backends.transformers import TokenizerTemplate

    cases = [case for suite in SAMPLES for case in load_suite(suite).cases[:N_SAMPLES]]
    bos = tokenizer.bos_token if tokenizer.bos_token_id in tokenizer.encode("") else ""
    styles = (
        prompts.Style(format, template, bos) for template in (TokenizerTemplate(tokenizer), None)
    )
    try:
        own, ours = (list(prompts.requests(cases, "chat", style)) for style in styles)
    except UsageError:  # it refuses some of them
        return False
    return own == ours


def template(format: str, bos: str = "") -> str:
    """Return the prompt of a format as Ollama's Go template, without a line break at its end."""
    source = files("fcbench.train") / f"_ollama_{format}.gotmpl"
    trigger = module_of(format).TRIGGER
    return (
        source.read_text(encoding="utf-8")
        .replace("TRIGGER_BYTES", str(len(trigger.encode())))
        .replace("TRIGGER", trigger)
        .replace("BOS", bos)
        .rstrip("\n")
    )
