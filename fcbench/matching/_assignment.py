"""Which called call is which expected one: assignment in any order, alignment in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def assign(gains: Sequence[Sequence[float]]) -> list[int | None]:
    """Return the column of each row, at most one each, so that the summed gain is greatest.

    `gains` is (rows, columns) and not negative. With fewer columns than rows some rows get None.

    Source: Kuhn's Hungarian method with shortest augmenting paths, O(rows² · columns), see
    Jonker and Volgenant, Computing 38 (1987).

    >>> assign([[2, 1], [2, 0]])
    [1, 0]
    """
    n_rows, n_columns = len(gains), len(gains[0]) if gains else 0
    if not n_rows or not n_columns:
        return [None] * n_rows
    if n_rows == n_columns == 1:
        return [0]
    if n_rows > n_columns:
        rows = assign([[gains[r][c] for r in range(n_rows)] for c in range(n_columns)])
        chosen = {row: column for column, row in enumerate(rows)}
        return [chosen.get(row) for row in range(n_rows)]
    # Potentials of rows and columns; column 0 is a dummy where each new row starts.
    u, v = [0.0] * (n_rows + 1), [0.0] * (n_columns + 1)
    owner = [0] * (n_columns + 1)
    for row in range(1, n_rows + 1):
        owner[0] = row
        for column, previous in reversed(_shortest_path(gains, owner, u, v)):
            owner[column] = owner[previous]
    columns: list[int | None] = [None] * n_rows
    for column in range(1, n_columns + 1):
        if owner[column]:
            columns[owner[column] - 1] = column - 1
    return columns


def align(gains: Sequence[Sequence[float]]) -> list[int | None]:
    """Return the column of each row, both in order, so that the summed gain is greatest.

    `gains` is (rows, columns) and not negative. As many rows as can be have a column.

    Source: Needleman and Wunsch, Journal of Molecular Biology 48 (1970), without a cost of gaps.

    >>> align([[2, 0], [0, 0], [0, 2]])
    [0, None, 1]
    """
    n_rows, n_columns = len(gains), len(gains[0]) if gains else 0
    # (gain, pairs) of the best alignment from a row and a column on.
    best = [[(0.0, 0)] * (n_columns + 1) for _ in range(n_rows + 1)]
    for row in reversed(range(n_rows)):
        for column in reversed(range(n_columns)):
            gained, n_pairs = best[row + 1][column + 1]
            paired = gained + gains[row][column], n_pairs + 1
            best[row][column] = max(paired, best[row + 1][column], best[row][column + 1])
    columns: list[int | None] = [None] * n_rows
    row = column = 0
    while row < n_rows and column < n_columns:
        gained, n_pairs = best[row + 1][column + 1]
        if best[row][column] == (gained + gains[row][column], n_pairs + 1):
            columns[row] = column
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            row += 1
        else:
            column += 1
    return columns


def _shortest_path(
    gains: Sequence[Sequence[float]], owner: list[int], u: list[float], v: list[float]
) -> list[tuple[int, int]]:
    """Return the augmenting path from column 0 to a free column as (column, previous) steps.

    Updates the potentials u and v on the way.
    """
    n_columns = len(v) - 1
    infinity = float("inf")
    slack, previous, done = (
        [infinity] * (n_columns + 1),
        [0] * (n_columns + 1),
        [False] * (n_columns + 1),
    )
    at = 0
    while owner[at]:
        done[at] = True
        row, step, following = owner[at], infinity, 0
        for column in range(1, n_columns + 1):
            if done[column]:
                continue
            reduced = -gains[row - 1][column - 1] - u[row] - v[column]
            if reduced < slack[column]:
                slack[column], previous[column] = reduced, at
            if slack[column] < step:
                step, following = slack[column], column
        for column in range(n_columns + 1):
            if done[column]:
                u[owner[column]] += step
                v[column] -= step
            else:
                slack[column] -= step
        at = following
    path = []
    while at:
        path.append((at, previous[at]))
        at = previous[at]
    path.reverse()
    return path
