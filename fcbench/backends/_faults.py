"""What a server says that is no answer: its status, or its body, as a fault with its kind."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from fcbench.errors import BackendError, FaultKind, RateLimited
from fcbench.formats._numbers import read_integer
from fcbench.text import shorten, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fcbench.types import Json

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, REQUEST_TIMEOUT, TOO_MANY = 401, 403, 404, 408, 429
REDIRECTS, REFUSALS, SERVER_ERRORS = 300, 400, 500
NEVER_BETTER = (501, 505)  # not implemented; not this version of HTTP
NO_MONEY, NO_MODEL = "insufficient_quota", "model_not_found"  # OpenAI's error codes
PARSER_REFUSES = "does not match the expected"
"""What llama.cpp says, beside HTTP 500, where its parser cannot read what the model wrote."""
TAIL = 8  # characters, at most, of a literal or an escape that was cut


def fault_of_status(where: str, status: int, headers: Mapping[str, str], said: str) -> BackendError:
    """Return the fault that a status other than 2xx is; `said` is the body."""
    what = f"{where}: HTTP {status}: {_reason(said)}"
    retry_after = seconds_of(headers.get("retry-after"))
    if status == TOO_MANY:
        limited = RateLimited(what, retry_after)
        # OpenAI says so also of an account without money, which no patience helps.
        limited.retryable = NO_MONEY not in said
        return limited
    if status in (UNAUTHORIZED, FORBIDDEN):
        return BackendError(f"{what} (keys come from FCBENCH_API_KEY)", kind="unauthorized")
    if status >= SERVER_ERRORS:
        # The same seed would write the same again.
        may_help = status not in NEVER_BETTER and PARSER_REFUSES not in said
        return BackendError(what, kind="server_error", retryable=may_help, retry_after=retry_after)
    if status == REQUEST_TIMEOUT:
        return BackendError(what, kind="timeout", retryable=True, retry_after=retry_after)
    if REDIRECTS <= status < REFUSALS:
        what = f"{where}: HTTP {status}: a redirection, which is not followed"
        return BackendError(what, kind="refused_request")
    # A path that is not there is a 404 too, mostly in HTML; of a model's the body speaks.
    if (status == NOT_FOUND and "model" in said.lower()) or NO_MODEL in said:
        return BackendError(what, kind="no_such_model")
    return BackendError(what, kind="refused_request")


def seconds_of(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After asks for, written as a number or as a date.

    >>> seconds_of("120"), seconds_of("Fri, 31 Dec 1999 23:59:59 GMT"), seconds_of("soon")
    (120.0, 0.0, None)
    """
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        # One without a zone is in GMT, as all dates of HTTP.
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def read_json(where: str, said: bytes) -> Json:
    """Return the JSON of a body. BackendError, of the kind "truncated_json" where it was cut."""
    kind: FaultKind = "not_json"
    try:
        text = said.decode()
        return json.loads(text, parse_int=read_integer, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        if is_cut(text, error):
            kind = "truncated_json"
        why = f"{error.msg} at {error.pos} of {len(text)} characters"
    except (ValueError, RecursionError) as error:  # no UTF-8, NaN, nested too deep
        why = str(error)
    shown = shorten(visible(said[:400].decode(errors="replace")), 80)
    raise BackendError(f"{where}: no JSON: {why}: {shown}", kind=kind, retryable=True)


def is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Whether what is wrong with a JSON text is that it ends: more of it could be right."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    rest = text[error.pos :].strip()
    ends_inside = len(rest) <= TAIL and not set(rest) & set("{}[],:")
    return ends_inside or error.msg.startswith("Unterminated string")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _reason(said: str) -> str:
    """Return what a server gives as its reason, in one line."""
    try:
        told = json.loads(said)
    except (ValueError, RecursionError):
        told = None
    # OpenAI's way is {"error": {"message": …}}, Ollama's {"error": …}, FastAPI's {"detail": …}.
    for name in ("error", "message", "detail"):
        if isinstance(told, dict) and told.get(name):
            told = told[name]
    shown = told if isinstance(told, str) else " ".join(said.split())
    return shorten(visible(shown), 300) or "it says nothing"
