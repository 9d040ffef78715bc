"""What the checks look at: a loaded model, how it is asked, and cases to ask it with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fcbench import prompts
from fcbench.suite import MAX_NEW_TOKENS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from fcbench.backends.transformers import Loaded
    from fcbench.types import Case, Json

CHAT = "chat"
MODES = (CHAT, "raw", "bare")
"""The prompts that a model may know calls under."""


@dataclass(frozen=True)
class Training:
    """What a model was trained on: cases under a prompt mode, or whole texts written by hand.

    `rows` are the cases' rows as they stand in the file, by the cases' ids.
    """

    source: str
    mode: str = CHAT
    cases: Sequence[Case] = ()
    texts: Sequence[str] = ()
    rows: Mapping[str, dict[str, Json]] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """One model under one prompt mode.

    `cases` are drawn from the suite and expect calls; `related` are others in which the words of
    a training text may be found. `misfit` says why the adapter could not be applied, if it could
    not. `max_new_tokens` is what an answer of the suite may take.
    """

    loaded: Loaded
    format: str
    prompt: str
    cases: Sequence[Case]
    training: Training | None = None
    related: Sequence[Case] = ()
    misfit: str | None = None
    max_new_tokens: int = MAX_NEW_TOKENS
    style: prompts.Style = field(init=False)

    def __post_init__(self) -> None:
        style = prompts.Style(self.format, self.loaded.template, self.loaded.bos)
        object.__setattr__(self, "style", style)

    @property
    def modes(self) -> list[str]:
        """The prompt modes to look under, the one in use first."""
        return list(dict.fromkeys([self.prompt, *MODES]))

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, which is transformers' own class."""
        return self.loaded.tokenizer

    @property
    def wire(self) -> ModuleType:
        """The module of the wire format."""
        return self.style.wire

    def ask(self, case: Case, mode: str) -> str:
        """Return the prompt of a case under a mode, as fcbench run makes it."""
        return prompts.requests([case], mode, self.style)[0].prompt

    def encode(self, text: str) -> list[int]:
        """Return a text's token ids; nothing is added to them."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def token(self, token_id: int) -> str:
        """Return what a token writes."""
        return str(
            self.tokenizer.decode(
                [token_id], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def single_id(self, token: str) -> int | None:
        """Return the id of a text that is one entry of the vocabulary, else None."""
        ids = self.encode(token)
        return ids[0] if len(ids) == 1 and self.token(ids[0]) == token else None


def quoted(text: str) -> str:
    r"""Return a text as it is shown: in backquotes, its newlines as \n.

    >>> print(quoted("call:\n"))
    `call:\n`
    """
    return "`" + text.replace("\n", "\\n") + "`"


def listed(items: Sequence[str], most: int = 4) -> str:
    """Return a list in words, the first few of it.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"


def counted(kinds: Counter[str]) -> str:
    """Return how many of each kind there are, the most first."""
    return ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
