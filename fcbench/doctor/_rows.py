"""Whether the model has a row for every token, and rows of control tokens that look trained."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING, Any

from fcbench import prompts
from fcbench.doctor._finding import FINE, NOT_APPLICABLE, as_warning, found
from fcbench.doctor._subject import listed, quoted
from fcbench.doctor._tokens import needed_tokens, tags
from fcbench.errors import FcbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from fcbench.doctor._finding import Finding
    from fcbench.doctor._subject import Subject
    from fcbench.types import Case, Json

CHECK = "rows"
FAINT, LOUD = 0.5, 2.0  # shares of the median norm
SAME = 0.99999  # cosine from which two rows are one
N_ORDINARY = 256
ORDINARY = 0.95
"""The share of ordinary tokens whose nearest row is farther than what counts as alike."""
BLOCK = 16_384


def check(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with the number of rows, or with those of the control tokens."""
    read, write = _rows(subject.loaded.model)
    if read is None:
        yield found(CHECK, NOT_APPLICABLE, "the model has no embedding to look at")
        return
    n_tokens, n_rows = len(subject.tokenizer), len(read)
    n_out = n_rows if write is None else len(write)
    wrong = False
    if n_tokens > n_rows:
        yield _missing(subject, n_tokens, n_rows)
        wrong = True
    if n_rows != n_out:
        seen = f"{n_rows} rows of the embedding, {n_out} of the output layer"
        yield found(CHECK, "rows_differ", seen, n_rows=n_rows, n_out=n_out)
        wrong = True
    odd = [] if wrong else list(_odd_rows(subject, read))
    yield from odd
    if not wrong and not odd:
        yield found(CHECK, FINE, f"{n_tokens} tokens, {n_rows} rows; none looks untrained")


def _missing(subject: Subject, n_tokens: int, n_rows: int) -> Finding:
    """Return what tokens without a row mean: nothing, unless a prompt or an answer holds one."""
    measures: dict[str, Json] = {"n_tokens": n_tokens, "n_rows": n_rows}
    seen = f"{n_tokens} tokens, {n_rows} rows of the embedding"
    cases = (*subject.cases, *subject.related)
    for case in cases:
        for what, text in _asked_and_answered(subject, case):
            beyond = next((i for i in subject.encode(text) if i >= n_rows), None)
            if beyond is not None:
                token = quoted(subject.token(beyond))
                seen += f"; the {what} of case {case.id} holds {token} (id {beyond})"
                return found(CHECK, "rows_missing", seen, **measures)
    seen += f"; none of the tokens beyond is in the prompts and answers of {len(cases)} cases"
    return as_warning(found(CHECK, "rows_missing", seen, **measures))


def _asked_and_answered(subject: Subject, case: Case) -> Iterator[tuple[str, str]]:
    with suppress(FcbenchError):  # what is refused is never read
        yield "prompt", subject.ask(case, subject.prompt)
    (target,) = prompts.targets([case], subject.prompt, subject.style)
    yield "answer", target.text


def looks_untrained(subject: Subject) -> bool:
    """Whether rows of control tokens are identical, faint or like those of unused tokens."""
    read, _ = _rows(subject.loaded.model)
    return read is not None and any(True for _ in _odd_rows(subject, read))


def _rows(model: Any) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the rows (V, H) by which tokens are read and written."""
    output = model.get_output_embeddings()
    read = getattr(model.get_input_embeddings(), "weight", None)
    return read, getattr(output, "weight", None)


def _odd_rows(subject: Subject, read: torch.Tensor) -> Iterator[Finding]:
    import torch

    control = [*needed_tokens(subject), *tags(subject)]
    tokens = {t: i for t in control if (i := subject.single_id(t)) is not None}
    tokens = {t: i for t, i in tokens.items() if i < len(read)}
    if not tokens:
        return
    read = read.detach()
    yield from _identical(tokens, read)
    norms = torch.linalg.vector_norm(read, dim=1, dtype=torch.float32)
    median = norms.median().item()
    odd = [
        f"{t} {norms[i].item():.3g}"
        for t, i in tokens.items()
        if not FAINT * median <= norms[i].item() <= LOUD * median
    ]
    if odd:
        seen = f"norms of rows: {listed(odd)}; the median of all is {median:.3g}"
        yield found(CHECK, "rows_faint", seen, median_norm=median)
    yield from _alike(subject, tokens, read)


def _identical(tokens: dict[str, int], rows: torch.Tensor) -> Iterator[Finding]:
    same = [
        (a, b) for a, b in combinations(tokens, 2) if _are_one(rows[tokens[a]], rows[tokens[b]])
    ]
    if same:
        pairs = [f"{a} = {b}" for a, b in same]
        seen = f"{len(same)} pairs of control tokens have one row: {listed(pairs)}"
        yield found(CHECK, "rows_identical", seen, n_pairs=len(same))


def _are_one(a: torch.Tensor, b: torch.Tensor) -> bool:
    from torch.nn.functional import cosine_similarity

    return bool((a == b).all()) or cosine_similarity(a.float(), b.float(), dim=0).item() > SAME


def _alike(subject: Subject, tokens: dict[str, int], rows: torch.Tensor) -> Iterator[Finding]:
    """Yield a finding where control tokens have nearer neighbours than ordinary tokens have.

    Norms say nothing where a model holds all rows to one length, as Gemma 3 does.
    """
    import torch

    drawn = torch.randint(len(rows), (N_ORDINARY,), generator=torch.Generator().manual_seed(0))
    ids = torch.tensor(list(tokens.values()))
    values, neighbours = _nearest(rows, torch.cat([drawn, ids]).to(rows.device))
    usual = torch.quantile(values[:N_ORDINARY], ORDINARY).item()
    near = zip(values[N_ORDINARY:].tolist(), tokens, neighbours[N_ORDINARY:].tolist(), strict=True)
    alike = [(value, token, subject.token(i)) for value, token, i in near if value > usual]
    if 2 * len(alike) <= len(tokens):
        return
    shown = [f"{token} {value:.2f} to {other}" for value, token, other in sorted(alike)[::-1]]
    yield found(
        CHECK,
        "rows_alike",
        f"{len(alike)} of {len(tokens)} control tokens have a row nearly equal to another token's "
        f"(cosine: {listed(shown, 3)}); of {N_ORDINARY} tokens drawn, {ORDINARY:.0%} have none "
        f"nearer than {usual:.2f}",
        n_alike=len(alike),
        n_tokens=len(tokens),
        usual=usual,
    )


def _nearest(rows: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosine (n,) of the nearest other row of each token, and which that is.

    Cosines are of rows less their mean, which says nothing.
    """
    import torch
    from torch.nn.functional import normalize

    mean = rows.mean(dim=0, dtype=torch.float32)
    own = normalize(rows[ids].float() - mean, dim=1)
    best = torch.full((len(ids),), -1.0, device=rows.device)
    where = torch.zeros_like(ids)
    # In blocks: the embedding in float32 may be more than there is room for.
    for start in range(0, len(rows), BLOCK):
        block = normalize(rows[start : start + BLOCK].float() - mean, dim=1)
        cosines = own @ block.T
        inside = (ids >= start) & (ids < start + len(block))
        cosines[inside.nonzero()[:, 0], ids[inside] - start] = -1
        value, index = cosines.max(dim=1)
        nearer = value > best
        best[nearer], where[nearer] = value[nearer], index[nearer] + start
    return best, where
