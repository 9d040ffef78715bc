"""Line charts as SVG text: panels below each other over one horizontal axis."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _GAP = 720, 200, 56, 16, 28, 52
# Told apart by people who do not see red and green as different: Okabe and Ito, 2008.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
_STYLE = """svg{color:#222;background:#fff}
@media(prefers-color-scheme:dark){svg{color:#ddd;background:#161616}}
text{fill:currentColor} .grid{stroke:currentColor;stroke-opacity:.2} polyline{fill:none}"""


class Series(NamedTuple):
    """A line through points (x, y), and perhaps a band (x, low, high) around it."""

    name: str
    points: list[tuple[float, float | None]]
    band: Sequence[tuple[float, float | None, float | None]] = ()


class Panel(NamedTuple):
    """Lines that share a vertical axis, from 0 to `top` or to what they reach."""

    title: str
    series: list[Series]
    top: float | None = None


def drawing(panels: Sequence[Panel], x_name: str) -> str:
    """Return panels as one SVG file; it names no file, and follows a dark background."""
    sizes = f'width="{_WIDTH}" height="{_height(panels)}" font-family="sans-serif" font-size="12"'
    return _drawn(panels, x_name, sizes, f"<style>{_STYLE}</style>", _COLOURS)


def inline(panels: Sequence[Panel], x_name: str, label: str) -> str:
    """Return panels as SVG for a page, whose style sheet colours the classes line-0 and so on.

    `label` is what is read out in the drawing's place.
    """
    return _drawn(panels, x_name, f'class="curves" aria-label="{escape(label)}"', "", None)


def _height(panels: Sequence[Panel]) -> int:
    return _TOP + len(panels) * (_HEIGHT + _GAP)


def _drawn(
    panels: Sequence[Panel], x_name: str, sizes: str, style: str, colours: Sequence[str] | None
) -> str:
    xs = [x for panel in panels for series in panel.series for x, _ in series.points]
    last = max(xs, default=1) or 1
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_height(panels)}"',
        f'{sizes} role="img">',
        *([style] if style else []),
    ]
    for number, panel in enumerate(panels):
        top = _TOP + number * (_HEIGHT + _GAP)
        parts += _panel(panel, (top, last, x_name), colours)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, axis: tuple[int, float, str], colours: Sequence[str] | None) -> list[str]:
    """Return one panel, at a height, over a horizontal axis of a length and a name."""
    top, last, x_name = axis
    reached = [y for series in panel.series for _, y in series.points if y is not None]
    highest = panel.top or max(0.0, max(reached, default=1.0) * 1.05) or 1.0
    bottom, right = top + _HEIGHT, _WIDTH - _RIGHT

    def place(x: float, y: float) -> str:
        return f"{_LEFT + (right - _LEFT) * x / last:.1f},{bottom - _HEIGHT * y / highest:.1f}"

    parts = [f'<text x="{_LEFT}" y="{top - 10}" font-weight="bold">{escape(panel.title)}</text>']
    for tick in _ticks(highest):
        y = place(0, tick).split(",")[1]
        parts += [
            f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}"/>',
            f'<text x="{_LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>',
        ]
    for tick in _ticks(last):
        x = place(tick, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{right}" y="{bottom + 30}" text-anchor="end">{escape(x_name)}</text>')
    for i, series in enumerate(panel.series):
        number = i % len(_COLOURS)
        fill = f'fill="{colours[number]}"' if colours else f'class="area-{number}"'
        stroke = f'stroke="{colours[number]}"' if colours else f'class="line-{number}"'
        band = [(x, a, b) for x, a, b in series.band if a is not None and b is not None]
        if band:
            edge = [place(x, b) for x, _, b in band] + [place(x, a) for x, a, _ in reversed(band)]
            parts.append(f'<polygon points="{" ".join(edge)}" {fill} fill-opacity=".12"/>')
        line = [place(x, y) for x, y in series.points if y is not None]
        parts.append(f'<polyline points="{" ".join(line)}" {stroke} stroke-width="1.6"/>')
        if len(panel.series) > 1:
            left = _LEFT + i * 180
            parts += [
                f'<rect x="{left}" y="{bottom + 22}" width="12" height="4" {fill}/>',
                f'<text x="{left + 18}" y="{bottom + 29}">{escape(series.name)}</text>',
            ]
    return parts


def _ticks(highest: float) -> list[float]:
    """Return five to ten round numbers from 0 to the highest."""
    power: float = 10 ** math.floor(math.log10(highest))
    step = next(power * part for part in (1, 0.5, 0.25, 0.2) if highest >= 4 * power * part)
    return [round(i * step, 10) for i in range(int(highest / step + 1e-9) + 1)]
