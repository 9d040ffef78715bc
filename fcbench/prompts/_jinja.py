"""Jinja templates in the sandbox that transformers uses for chat templates."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NoReturn

from fcbench.errors import UsageError
from fcbench.formats import name_of

if TYPE_CHECKING:
    import jinja2

    from fcbench.types import Json


FALLBACK = "functiongemma"


def own_template(format: str = FALLBACK) -> str:
    """Return the project's chat template of a format; FunctionGemma's where it has none."""
    found = files("fcbench.formats") / f"{name_of(format)}.jinja"
    if not found.is_file():
        found = files("fcbench.formats") / f"{FALLBACK}.jinja"
    return found.read_text(encoding="utf-8")


class OwnTemplate:
    """The project's chat template of a format, for models that have none."""

    def __init__(self, bos: str, format: str = FALLBACK) -> None:
        self.source = own_template(format)
        self._bos = bos

    def __call__(self, messages: list[dict[str, Json]], tools: list[dict[str, Json]]) -> str:
        """Return the prompt of a conversation, up to where the model goes on."""
        return _compile(self.source).render(
            messages=messages, tools=tools, bos_token=self._bos, add_generation_prompt=True
        )


def compile_template(source: str, shown: str) -> jinja2.Template:
    """Return a compiled template. UsageError with the line for one that is not Jinja."""
    import jinja2

    try:
        # A user's own file may name nothing that is not there; templates in the wild do.
        return _compile(source, strict=True)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(
            f"{shown}:{error.lineno}: not a Jinja template: {error.message}"
        ) from error


@cache
def _compile(source: str, *, strict: bool = False) -> jinja2.Template:
    from jinja2 import StrictUndefined, Undefined
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[loopcontrols],
        undefined=StrictUndefined if strict else Undefined,
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment.from_string(source)


def _to_json(value: Json, indent: int | None = None) -> str:
    # Jinja's own filter escapes <, > and & for HTML, which no model was trained on.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> NoReturn:
    raise UsageError(f"the template refuses this conversation: {message}")
