"""A Modelfile for Ollama: the prompt that a model was trained with, and where its turn ends.

Source: docs/modelfile.mdx, template/, tools/, model/renderers/functiongemma.go and
model/parsers/functiongemma.go of github.com/ollama/ollama, as of November 2026.

FunctionGemma: TEMPLATE and PARSER are written, RENDERER is not. Ollama's own renderer, which would
take the template's place, writes another sentence than the trigger and leaves out `enum`, `items`
and nested properties. Without its parser Ollama looks for JSON, and no call is ever found.

What the template cannot do, because Go's text/template has it from Ollama that way: the properties
of a parameter that is an object, or of an array's items that are objects, are left out; keys are
sorted with upper case first, where fcbench sorts without regard to case; a function's result stays
text, where fcbench reads JSON and writes its fields. Everything else is equal to the chat prompt,
character for character, which tests prove with Go where there is one.
"""

from __future__ import annotations

from importlib.resources import files

from fcbench.formats import module_of
from fcbench.types import Record

MARK = "# Written by fcbench"
NUM_CTX = 4096
PARSERS = {"functiongemma": "functiongemma"}
TEMPLATES = ("functiongemma", "hermes")

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
# properties, keys are sorted with upper case first, and a function's result is text ({value:…})
# also where it is JSON. A tool message has to name its function: "tool_name".
""",
    "hermes": """#
# TEMPLATE is the usual one of Hermes and Qwen 2.5. If the model was trained with a chat template
# that differs, delete TEMPLATE: Ollama 0.30 and later then takes the one inside the GGUF.
# JSON is written without blanks here, and with blanks by the templates of tokenizers.
""",
    None: """#
# No template is known for the format of this model's calls: Ollama 0.30 and later takes the one
# inside the GGUF, earlier ones may send the user's words bare.
""",
}

_TOKENIZER = """#
# The GGUF's pre-tokenizer is {pre}.
# An Ollama whose llama.cpp does not know that name refuses the file, or cuts words otherwise.
"""


class Setting(Record, frozen=True):
    """What a Modelfile says of a GGUF.

    `gguf` is the file's path from the Modelfile's folder, `modelfile` the Modelfile's name; `bos`
    is what the template has to write first, "" where llama.cpp adds it; `pre` as in Metadata.
    """

    gguf: str
    modelfile: str
    bos: str
    num_ctx: int
    pre: str


def modelfile(format: str | None, of: Setting) -> str:
    """Return the text of a Modelfile beside a GGUF, for /api/chat with tools.

    Formats without a template of ours leave that to the GGUF's own.
    """
    notes = _NOTES.get(format, _NOTES[None])
    if of.pre != "default":
        notes += _TOKENIZER.format(pre=of.pre)
    text = _HEAD.format(
        mark=MARK,
        gguf=of.gguf,
        modelfile=of.modelfile,
        without_bos="" if of.bos else ", without its bos, which Ollama adds",
        notes=notes.rstrip("\n"),
        source=of.gguf if of.gguf.startswith("/") else f"./{of.gguf}",
    )
    if format in TEMPLATES:
        text += f'TEMPLATE """{template(format, of.bos)}"""\n'
    if format in PARSERS:
        text += f"PARSER {PARSERS[format]}\n"
    for stop in module_of(format).STOP_TOKENS if format else ():
        text += f'PARAMETER stop "{stop}"\n'
    # A penalty for repetitions, which Ollama may have by default, is no part of greedy decoding.
    text += "PARAMETER temperature 0\nPARAMETER repeat_penalty 1\n"
    return f"{text}PARAMETER num_ctx {of.num_ctx}\n"


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
