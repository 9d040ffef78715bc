"""Small drawings beside numbers, as SVG whose colours are classes of the style sheet.

They repeat what the numbers say, so that they are hidden from screen readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fcbench.stats import Estimate

_WIDTH, _HEIGHT, _EDGE = 128, 16, 6
_BAR_WIDTH, _BAR_HEIGHT = 200, 12
_BINS, _BIN_WIDTH, _TALL = 30, 6, 36


def whisker(estimate: Estimate, colour: int, bounds: tuple[float, float] = (0.0, 1.0)) -> Markup:
    """Return a dot with its interval as a line, between the bounds; "" where nothing is known.

    Where 0 lies between the bounds, the middle line stands there; else at the halves.
    """
    if estimate.value is None:
        return Markup("")
    low, high = bounds
    span = (high - low) or 1.0

    def x(value: float) -> str:
        share = (min(max(value, low), high) - low) / span
        return f"{_EDGE + (_WIDTH - 2 * _EDGE) * share:.1f}"

    middle, y = 0.0 if low < 0 < high else (low + high) / 2, _HEIGHT / 2
    parts = [
        f'<line class="axis" x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}"/>',
        *(
            f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="{y - 3}" y2="{y + 3}"/>'
            for tick in (low, high)
        ),
        f'<line class="axis" x1="{x(middle)}" x2="{x(middle)}" y1="{y - 5}" y2="{y + 5}"/>',
    ]
    if estimate.low is not None and estimate.high is not None:
        ends = f'x1="{x(estimate.low)}" x2="{x(estimate.high)}" y1="{y}" y2="{y}"'
        parts.append(f'<line class="line-{colour} whisker" {ends}/>')
    parts.append(f'<circle class="area-{colour}" cx="{x(estimate.value)}" cy="{y}" r="4.5"/>')
    return _svg("whiskers", _WIDTH, _HEIGHT, parts)


def bar(n: int, most: int, kind: str) -> Markup:
    """Return a bar of n out of the most; `kind` is a class of the style sheet."""
    width = _BAR_WIDTH * n / most if most else 0
    # What is there at all is seen: a hair is left of the smallest count.
    width = max(width, 1.5) if n else 0
    rectangle = f'<rect class="{kind}" width="{width:.1f}" height="{_BAR_HEIGHT}"/>'
    return _svg("bars", _BAR_WIDTH, _BAR_HEIGHT, [rectangle])


def histogram(values: Sequence[float], most: float, colour: int) -> Markup:
    """Return how often values from 0 to the most occur; its tallest column is as tall as it is."""
    if not values or most <= 0:
        return Markup("")
    counts = [0] * _BINS
    for value in values:
        counts[min(int(value / most * _BINS), _BINS - 1)] += 1
    tallest = max(counts)
    columns = [
        f'<rect class="area-{colour}" x="{i * _BIN_WIDTH}" y="{_TALL - height:.1f}" '
        f'width="{_BIN_WIDTH - 1}" height="{height:.1f}"/>'
        for i, n in enumerate(counts)
        if (height := max(_TALL * n / tallest, 1.5 if n else 0))
    ]
    base = f'<line class="axis" x1="0" x2="{_BINS * _BIN_WIDTH}" y1="{_TALL}" y2="{_TALL}"/>'
    return _svg("histogram", _BINS * _BIN_WIDTH, _TALL + 1, [*columns, base])


def _svg(kind: str, width: int, height: int, parts: Sequence[str]) -> Markup:
    stretched = ' preserveAspectRatio="none"' if kind == "bars" else ""
    head = (
        f'<svg class="{kind}"{stretched} viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" aria-hidden="true" focusable="false">'
    )
    return Markup("".join([head, *parts, "</svg>"]))  # noqa: S704  numbers, and classes of ours
