"""Drawings of results: SVG that asks nobody for anything, in light and in dark.

The same results give the same text, so a test can compare the drawings of the documentation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple

from benchmarks.results import Result, Row, Spread

__all__ = ["DRAWINGS", "growth", "latency", "throughput"]

WIDTH, LEFT, RIGHT = 872, 190, 130

Curve = list[tuple[float, float]]

_STYLE = """
  text { font: 13px system-ui, "Segoe UI", sans-serif; fill: #1c2024 }
  .soft { fill: #585e64; font-size: 12px }
  .name { font-weight: 600; font-size: 14px }
  .right { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: #dcdcd4; stroke-width: 1 }
  .ours { fill: #0a6670 }
  .other { fill: #b9b9ae }
  .spread { stroke: #1c2024; stroke-width: 1.5 }
  .line { fill: none; stroke-width: 2 }
  .s0 { stroke: #0a6670 } .s1 { stroke: #b4561f } .s2 { stroke: #5b4fa2 } .s3 { stroke: #3f7f2a }
  .s4 { stroke: #a0355f } .s5 { stroke: #2f6db3 } .s6 { stroke: #8a6d00 } .s7 { stroke: #5f6b73 }
  .s8 { stroke: #006f4e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e8ea }
    .soft { fill: #a2a9b0 }
    .grid { stroke: #343a40 }
    .ours { fill: #62c6cf }
    .other { fill: #596068 }
    .spread { stroke: #e6e8ea }
    .s0 { stroke: #62c6cf } .s1 { stroke: #f0a070 } .s2 { stroke: #b3a8f5 } .s3 { stroke: #8fd07a }
    .s4 { stroke: #f08cb4 } .s5 { stroke: #86b8f0 } .s6 { stroke: #e0c050 } .s7 { stroke: #aab4bc }
    .s8 { stroke: #58d0a8 }
  }
"""


def throughput(results: Iterable[Result]) -> str:
    """Draw the rates of B1, B2 and B7: a bar per contender, with the quartiles."""
    lines: list[str] = []
    top, note = 8, ""
    for result in results:
        if result.name not in ("B1", "B2", "B7"):
            continue
        note = note or result.measured
        for row in result.rows:
            name = row.name.partition(";")[0]
            title = f"tasks finalised, {name}" if result.name == "B7" else f"appends, {name}"
            lines += _bars(row, title, top)
            top += 34 + 22 * len(row.numbers) + 16
    about = "Durable operations per second, by library; longer is faster."
    if not lines:
        return _svg(60, about, [_text("soft", 24, 36, "not measured")])
    return _svg(top + 24, about, [*lines, _text("soft", 24, top + 12, note)])


def _bars(row: Row, title: str, top: int) -> list[str]:
    most = max((found.high for found in row.numbers.values()), default=1.0) or 1.0
    room = WIDTH - LEFT - RIGHT
    lines = [_text("name", 24, top + 20, title)]
    for number, (name, found) in enumerate(_by_rate(row)):
        y = top + 34 + 22 * number
        width = room * found.median / most
        low, high = LEFT + room * found.low / most, LEFT + room * found.high / most
        kind = "ours" if name == "eventlog" else "other"
        lines += [
            _text("right", LEFT - 10, y + 13, name.replace("_", "-")),
            f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{width:.1f}" height="15" rx="2"/>',
            f'<path class="spread" d="M{low:.1f} {y + 9.5}H{high:.1f}"/>',
            _text("soft", high + 8, y + 14, f"{found.median:,.0f}/s"),
        ]
    return lines


def _by_rate(row: Row) -> list[tuple[str, Spread]]:
    return sorted(row.numbers.items(), key=lambda entry: -entry[1].median)


class _Axes(NamedTuple):
    """Where values are drawn: both axes are logarithmic."""

    left: float
    right: float
    top: float
    bottom: float
    xs: tuple[float, float]
    ys: tuple[float, float]

    def x(self, value: float) -> float:
        return _between(value, self.xs, self.left, self.right)

    def y(self, value: float) -> float:
        return _between(value, self.ys, self.bottom, self.top)


def _between(value: float, ends: tuple[float, float], first: float, last: float) -> float:
    low, high = math.log10(ends[0]), math.log10(ends[1])
    share = (math.log10(value) - low) / (high - low) if high > low else 0.5
    return first + share * (last - first)


def growth(results: Iterable[Result]) -> str:
    """Draw what operations take on sessions of each length."""
    shown = [found for found in results if found.name == "GROWTH"]
    curves = [(row.name, row.curve) for found in shown for row in found.rows]
    about = "Milliseconds of each operation, by the number of messages in the session."
    return _curves(curves, about, "messages in the session", lambda x: f"{x:,.0f}", _note(shown))


def latency(results: Iterable[Result]) -> str:
    """Draw how long appends take, by the share of appends that take longer."""
    shown = [found for found in results if found.name == "B21"]
    curves = [
        (
            row.name.partition(", ")[2].partition(";")[0].replace("`", ""),
            [(1 / (1 - x), y) for x, y in row.curve],
        )
        for found in shown
        for row in found.rows
    ]
    about = "Milliseconds that an append takes, 64 sessions at once, by percentile."
    return _curves(curves, about, "percentile", lambda x: f"p{100 - 100 / x:.6g}", _note(shown))


def _note(shown: list[Result]) -> str:
    return "".join(found.measured for found in shown[:1])


def _curves(
    curves: list[tuple[str, Curve]],
    about: str,
    below: str,
    written: Callable[[float], str],
    note: str,
) -> str:
    curves = [(name, [(x, max(y, 1e-3)) for x, y in curve]) for name, curve in curves if curve]
    if not curves:
        return _svg(60, about, [_text("soft", 24, 36, "not measured")])
    places = sorted({x for _, curve in curves for x, _ in curve})
    values = [y for _, curve in curves for _, y in curve]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
    high = max(high, low * 10)
    axes = _Axes(90, WIDTH - 190, 48, 388, (places[0], places[-1]), (low, high))
    lines = [_text("name", 24, 28, about)]
    step = low
    while step <= high * 1.001:
        y = axes.y(step)
        lines.append(f'<path class="grid" d="M{axes.left} {y:.1f}H{axes.right}"/>')
        lines.append(_text("soft right", axes.left - 10, y + 4, f"{step:g} ms"))
        step *= 10
    lines += [_text("soft middle", axes.x(place), 410, written(place)) for place in places]
    lines.append(_text("soft middle", (axes.left + axes.right) / 2, 430, below))
    lines.append(_text("soft", 24, 458, note))
    return _svg(470, about, lines + _lines(curves, axes))


def _lines(curves: list[tuple[str, Curve]], axes: _Axes) -> list[str]:
    """Draw the curves, and their names at the end, one below the other where they would meet."""
    lines: list[str] = []
    floor = axes.top - 20
    ends = sorted(enumerate(curves), key=lambda entry: axes.y(entry[1][1][-1][1]))
    for number, (name, curve) in ends:
        points = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in curve)
        end = axes.y(curve[-1][1])
        floor = max(floor + 17, end)
        lines += [
            f'<polyline class="line s{number % 9}" points="{points}"/>',
            f'<path class="line s{number % 9}" d="M{axes.right + 8} {floor:.1f}h14"/>',
            _text("soft", axes.right + 28, floor + 4, name),
        ]
    return lines


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.6g}" y="{y:.6g}">{escape(text)}</text>'


def _svg(height: int, about: str, lines: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(about)}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *lines, "</svg>"]) + "\n"


DRAWINGS = {"throughput": throughput, "growth": growth, "latency": latency}
"""By the names of their files."""
