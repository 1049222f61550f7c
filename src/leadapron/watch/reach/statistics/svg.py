"""The pack's charts as SVG: geometry and classes; colours come from a style sheet, the page's or one given here.

A chart is drawn once and used twice: inline in the page, where it follows light and dark, and in the PDF, whose
renderer knows no variables and no page around it (``style``). Suppressed values are gaps, never noughts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from leadapron.watch.reach.statistics.pack import FixRow, Row, WeekRow
from leadapron.watch.reach.statistics.words import name, short

WIDTH: Final = 720
HEIGHT: Final = 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 14, 34
_BAR = 26
BARS: Final = 12

# For the PDF, where no page gives the colours.
PAPER: Final = (
    "text{font-family:'Libertinus Serif';font-size:15px;fill:#1b2430}.tick{fill:#566374;font-size:13px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}.grid{stroke:#dde3e9;stroke-width:1}.line{fill:none;"
    "stroke:#b42318;stroke-width:2.5}.area{fill:#b42318;opacity:.12}.bar{fill:#b42318}.mark{fill:#b42318}"
)


def weeks(rows: Sequence[WeekRow], what: str, label: str, style: str = "") -> str:
    """``what`` (open, studies or images) at the end of each week."""
    values: list[float | None] = []
    for row in rows:
        found = getattr(row, what)
        values.append(None if found is None else found if isinstance(found, int) else found.value)
    top, ticks = _axis(max((value for value in values if value is not None), default=0))
    parts = _horizontal(ticks, top, short)
    last = max(1, len(rows) - 1)
    places = [_x(index / last) for index in range(len(rows))]
    for index in _few(len(rows)):
        anchor = "end" if index == len(rows) - 1 and index else "middle"
        parts.append(f'<text class="tick {anchor}" x="{places[index]}" y="{HEIGHT - 10}">{rows[index].end}</text>')
    for run in _runs(values):
        points = [(places[index], _y(values[index] or 0, top)) for index in run]
        if len(points) == 1:
            parts.append(f'<circle class="mark" cx="{points[0][0]}" cy="{points[0][1]}" r="3"/>')
            continue
        line = " ".join(f"{x},{y}" for x, y in points)
        floor = _y(0, top)
        parts.append(f'<polygon class="area" points="{points[0][0]},{floor} {line} {points[-1][0]},{floor}"/>')
        parts.append(f'<polyline class="line" points="{line}"/>')
    return _svg(parts, label, HEIGHT, style)


def bars(rows: Sequence[Row], label: str, style: str = "") -> str:
    """Archives by country, the most first, the others last."""
    shown = [row for row in rows if row.name is not None][:BARS]
    top = max((row.archives for row in shown), default=1)
    left, right = 190, 70
    parts = []
    for index, row in enumerate(shown):
        y = index * _BAR
        width = round(max(1.5, (WIDTH - left - right) * row.archives / top), 1)
        parts.append(f'<text class="end" x="{left - 10}" y="{y + 17}">{escape(name("country", row.name))}</text>')
        parts.append(f'<rect class="bar" x="{left}" y="{y + 4}" width="{width}" height="{_BAR - 9}" rx="2"/>')
        parts.append(f'<text x="{left + width + 7}" y="{y + 17}">{row.archives:,}</text>')
    return _svg(parts, label, max(1, len(shown)) * _BAR, style)


def survival(rows: Sequence[FixRow], label: str, style: str = "") -> str:
    """The share that is open still, as a staircase with its interval."""
    end = rows[-1].day * 1.05
    top, ticks = 100, [0, 25, 50, 75, 100]
    parts = _horizontal(ticks, top, lambda value: f"{value:g} %")
    _, days = _axis(rows[-1].day)
    for day in days:
        if day <= end:
            place = _x(day / end)
            parts.append(
                f'<text class="tick middle" x="{place}" y="{HEIGHT - 10}">{day:g}{" days" if day else ""}</text>'
            )

    def stairs(values: Sequence[int]) -> list[tuple[float, float]]:
        points: list[tuple[float, float]] = []
        for row, value in zip(rows, values, strict=True):
            x = _x(row.day / end)
            points += [(x, points[-1][1])] if points else []
            points.append((x, _y(value, top)))
        return [*points, (_x(1), points[-1][1])]

    band = stairs([row.high for row in rows]) + stairs([row.low for row in rows])[::-1]
    parts.append(f'<polygon class="area" points="{" ".join(f"{x},{y}" for x, y in band)}"/>')
    line = " ".join(f"{x},{y}" for x, y in stairs([row.share for row in rows]))
    parts.append(f'<polyline class="line" points="{line}"/>')
    return _svg(parts, label, HEIGHT, style)


def _svg(parts: Sequence[str], label: str, height: int, style: str) -> str:
    sheet = f"<style>{style}</style>" if style else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}">{sheet}{"".join(parts)}</svg>'
    )


def _x(share: float) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * share, 1)


def _y(value: float, top: float) -> float:
    return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / top), 1)


def _axis(highest: float) -> tuple[float, list[float]]:
    """The end of an axis from nought, and its ticks: at round numbers, five or so."""
    rough = max(highest, 4) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    count = max(1, math.ceil(highest / step))
    return step * count, [step * index for index in range(count + 1)]


def _horizontal(ticks: Sequence[float], top: float, written: object) -> list[str]:
    assert callable(written)
    parts = []
    for tick in ticks:
        y = _y(tick, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 8}" y="{y + 4.5}">{written(tick)}</text>')
    return parts


def _few(count: int, most: int = 5) -> list[int]:
    """Up to ``most`` of ``count`` places, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _runs(values: Sequence[float | None]) -> list[list[int]]:
    """The places of values, in runs without a gap."""
    runs: list[list[int]] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs
