"""Jinja templates in the sandbox that transformers uses for chat templates."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NoReturn

from fcbench.errors import UsageError
from fcbench.formats import name_of
from fcbench.formats._bounds import bounded

if TYPE_CHECKING:
    import jinja2

    from fcbench.types import Json


FALLBACK = "functiongemma"
MODELS_OWN = "the model's chat template"


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


class GivenTemplate:
    """A model's chat template, where only its text and its bos and eos are known.

    `strftime_now` is not defined, so that no prompt depends on the day: templates fall back.
    """

    def __init__(self, source: str, bos: str, eos: str = "") -> None:
        """UsageError for a text that is no template."""
        self.source = source
        self._template = compile_template(source, MODELS_OWN, strict=False)
        self._tokens = {"bos_token": bos, "eos_token": eos}

    def __reduce__(self) -> tuple[type[GivenTemplate], tuple[str, str, str]]:
        # What is compiled cannot be sent to another process; what it is compiled from can.
        tokens = self._tokens
        return GivenTemplate, (self.source, tokens["bos_token"], tokens["eos_token"])

    def __call__(self, messages: list[dict[str, Json]], tools: list[dict[str, Json]]) -> str:
        """Return the prompt of a conversation. UsageError if the template refuses it."""
        try:
            with bounded(MODELS_OWN):
                return self._template.render(
                    messages=messages,
                    tools=tools or None,
                    add_generation_prompt=True,
                    **self._tokens,
                )
        except UsageError:
            raise
        # The boundary to the model's own template: an expression in it may raise anything.
        except Exception as error:
            raise UsageError(f"{MODELS_OWN} refuses this conversation: {error}") from error


def compile_template(source: str, shown: str, *, strict: bool = True) -> jinja2.Template:
    """Return a compiled template. UsageError with the line for one that is not Jinja.

    A `strict` one may name nothing that is not there, as a user's own; templates in the wild do.
    """
    import jinja2

    try:
        with bounded(shown):
            return _compile(source, strict=strict)
    except RecursionError as error:
        raise UsageError(f"{shown}: not a Jinja template: nested too deep") from error
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
