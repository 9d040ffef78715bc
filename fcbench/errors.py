"""The error tree.

    FcbenchError                 what fcbench can explain; printed without a traceback
    ├── SuiteError               a suite, case or tool that cannot be used (file, line, JSON path)
    ├── FormatError              calls that a format cannot express, or an unusable grammar
    ├── RunError                 a results folder that does not fit what is asked of it
    ├── UsageError               a name, an option or a combination that does not exist
    ├── MissingExtra             an optional dependency is not installed
    ├── ModelError               a model, tokenizer or adapter that cannot be loaded or used
    └── BackendError             a backend failed to answer (`retryable` says whether to ask again)
        └── RateLimited          … because it was asked too often

Exit codes follow from it: 2 for every FcbenchError, see fcbench.cli.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal

from fcbench.text import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable


class FcbenchError(Exception):
    """A failure that fcbench can explain: what, where, and what to do (`hint`).

    It does not repeat a name, password or query of an address, whoever wrote it there.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = without_secrets(message)
        self.hint = hint and without_secrets(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class SuiteError(FcbenchError):
    """A suite, case or tool that cannot be used."""


class FormatError(FcbenchError):
    """Calls that a wire format cannot express (with the JSON path), or an unusable grammar."""


class RunError(FcbenchError):
    """A results folder that does not fit what is asked of it."""


class UsageError(FcbenchError):
    """A name, an option or a combination of them that does not exist."""


class MissingExtra(FcbenchError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package}, which is not installed",
            hint=f"pip install 'fcbench[{extra}]'",
        )


class ModelError(FcbenchError):
    """A model, tokenizer or adapter that cannot be loaded or used."""


FaultKind = Literal[
    "connection_refused",
    "connection_reset",
    "timeout",
    "rate_limited",
    "server_error",
    "not_json",
    "truncated_json",
    "empty_choice",
    "no_such_model",
    "unauthorized",
    "refused_request",
    "failed",
]
"""What can go wrong between a request and its answer; "failed" is none of the others."""


class BackendError(FcbenchError):
    """A backend failed to answer.

    `kind` names the fault, and stands before the message in a sample's `error`; `retryable` is
    whether asking again may help, `retry_after` how many seconds the server wants to be left alone.
    """

    retryable = False

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        kind: FaultKind = "failed",
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.kind = kind
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable


class RateLimited(BackendError):
    """A backend was asked too often."""

    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message, kind="rate_limited", retry_after=retry_after)


MOST_LISTED = 12


def nearest(name: str, known: Iterable[str], n: int = 1) -> str | None:
    """Return a hint that names the `n` nearest of the known names, or lists them if they are few.

    Capitals make no difference. None where nothing is known.

    >>> nearest("Funtiongemma", ["functiongemma", "hermes"])
    'did you mean functiongemma?'
    >>> nearest("x", ["functiongemma", "hermes"])
    'known: functiongemma, hermes'
    """
    names = sorted(known)
    by_small = {name.casefold(): name for name in names}
    close = [by_small[found] for found in difflib.get_close_matches(name.casefold(), by_small, n=n)]
    if close:
        others = ", ".join(close[:-1])
        return f"did you mean {others} or {close[-1]}?" if others else f"did you mean {close[0]}?"
    listed = names[:MOST_LISTED]
    more = f", … ({len(names)} in all)" if len(names) > len(listed) else ""
    return f"known: {', '.join(listed)}{more}" if names else None
