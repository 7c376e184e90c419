"""Plots as SVG text: a signal over a stretch with its limits, alarms and orders; and a trade-off curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

import numpy as np
from numpy.typing import NDArray

from gateway.workbench.recorded import Track

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 960, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 18, 34
_COLUMNS = WIDTH - LEFT - RIGHT
_NAME = 100  # pixels of an order's number
_HOUR = 3600 * 1_000_000_000
_STEPS = [_HOUR // 12, _HOUR // 4, _HOUR, 3 * _HOUR, 6 * _HOUR] + [24 * _HOUR * n for n in (1, 2, 7, 30, 90)]
_SHADES = {1: "#e9eef5", 2: "#fdf1d0", 3: "#fbdcc4", 4: "#f7c6c5"}


@dataclass(frozen=True, slots=True)
class Shade:
    """A stretch that an alarm was active, UTC ns."""

    start: int
    end: int
    severity: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """Numbers ``low`` … ``high`` onto pixels ``first`` … ``last``."""

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)


def timeline(
    track: Track,
    start: int,
    end: int,
    *,
    unit: str,
    limits: Sequence[tuple[str, float]] = (),
    shades: Sequence[Shade] = (),
    marks: Sequence[tuple[int, str]] = (),
) -> str:
    """``track`` as a band from least to greatest and its mean, at most one point a pixel, so no spike is lost."""
    time, low, mean, high = _bands(track, start, end)
    values = [value for _, value in limits]
    y = _scale([*low, *high, *values], HEIGHT - BOTTOM, TOP)
    x = _Scale(start, end, LEFT, WIDTH - RIGHT)
    parts = [_shade(shade, x, start, end) for shade in shades]
    parts += _axes(y, unit)
    parts += [_text(x(at), HEIGHT - 12, text, "middle") for at, text in _dates(start, end)]
    if time.size:
        there = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(time, high, strict=True))
        back = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in zip(time[::-1], low[::-1], strict=True))
        parts.append(f'<polygon points="{there} {back}" fill="#9fc0e8" stroke="#9fc0e8" stroke-width="0.6"/>')
        parts.append(_line([(x(t), y(v)) for t, v in zip(time, mean, strict=True)], "#1d5fae"))
    for name, value in limits:
        parts.append(_line([(LEFT, y(value)), (WIDTH - RIGHT, y(value))], "#c0392b", dashed=True))
        parts.append(_text(WIDTH - RIGHT - 4, y(value) - 4, f"{name} {value:g}", "end", "#c0392b"))
    free = 0.0  # from where a name stands beside the one before
    for at, name in sorted(marks):
        parts.append(_line([(x(at), TOP), (x(at), HEIGHT - BOTTOM)], "#222222"))
        if x(at) >= free:
            right = x(at) > WIDTH - RIGHT - _NAME
            parts.append(
                _text(x(at) + (-4 if right else 4), TOP + 10, name, "end" if right else "start", "#222222")
            )
            free = x(at) + _NAME
    return _svg(parts)


def curve(points: Sequence[tuple[float, float, str]], chosen: int | None, *, across: str, up: str) -> str:
    """Points of a trade-off with their labels, the ``chosen`` one filled."""
    x = _scale([0.0, *(point[0] for point in points)], LEFT, WIDTH - RIGHT)
    y = _scale([0.0, *(point[1] for point in points)], HEIGHT - BOTTOM, TOP)
    parts = _axes(y, up)
    parts += [_text(x(at), HEIGHT - 18, f"{at:g}", "middle") for at in _ticks(x.low, x.high)]
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 4, across, "end"))
    parts.append(_line([(x(a), y(b)) for a, b, _ in points], "#9fc0e8"))
    for i, (a, b, name) in enumerate(points):
        fill, size = ("#c0392b", 6) if i == chosen else ("#1d5fae", 3)
        parts.append(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="{size}" fill="{fill}"/>')
        if i == chosen or i % 4 == 0:
            parts.append(_text(x(a) + 8, y(b) - 6, name, "start"))
    return _svg(parts)


def _bands(track: Track, start: int, end: int) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
    """Time, least, mean and greatest value for each pixel that has any."""
    good = np.isfinite(track.values)
    times, values = track.times[good], track.values[good]
    if not times.size:
        return times, values, values, values
    pixel = (times - start) * _COLUMNS // max(end - start, 1)
    first = np.flatnonzero(np.diff(pixel, prepend=pixel[0] - 1))
    count = np.diff(first, append=times.size)
    mean = np.add.reduceat(values, first) / count
    return times[first], np.minimum.reduceat(values, first), mean, np.maximum.reduceat(values, first)


def _scale(values: Sequence[float], first: float, last: float) -> _Scale:
    low, high = (min(values), max(values)) if len(values) else (0.0, 1.0)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return _Scale(low if low == 0 else low - room, high + room, first, last)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, four to eight of them."""
    size = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(size * n for n in (1, 2, 5, 10) if (high - low) / (size * n) <= 8)
    return [round(n * step, 12) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _dates(start: int, end: int) -> list[tuple[int, str]]:
    """Up to ten round times (UTC) with their labels."""
    step = next((step for step in _STEPS if (end - start) / step <= 10), _STEPS[-1])
    form = "%m-%d %H:%M" if step < 24 * _HOUR else "%Y-%m-%d"
    first = -(-start // step) * step
    return [(t, datetime.fromtimestamp(t / 1e9, UTC).strftime(form)) for t in range(first, end, step)]


def _axes(y: _Scale, unit: str) -> list[str]:
    parts = [_text(LEFT - 6, TOP - 6, unit, "end")]
    for value in _ticks(y.low, y.high):
        parts.append(_line([(LEFT, y(value)), (WIDTH - RIGHT, y(value))], "#e3e3e3"))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:g}", "end"))
    return parts


def _shade(shade: Shade, x: _Scale, start: int, end: int) -> str:
    left, right = x(max(shade.start, start)), x(min(shade.end, end))
    height = HEIGHT - BOTTOM - TOP
    return (
        f'<rect x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" height="{height}"'
        f' fill="{_SHADES[shade.severity]}"/>'
    )


def _line(points: Sequence[tuple[float, float]], colour: str, *, dashed: bool = False) -> str:
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}"{dash}/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#555555") -> str:
    """Text with a white edge, so that it can be read on lines."""
    edge = 'stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" {edge}>{escape(text)}</text>'
    )


def _svg(parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="12" role="img">'
    )
    return "\n".join([head, *parts, "</svg>"])
