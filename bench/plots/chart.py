"""A line chart as SVG: deterministic, so that a drawing made again is the same file."""

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from typing import Final
from xml.sax.saxutils import escape

import msgspec

WIDTH, HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 44, 48
COLOURS: Final = ("#c0392b", "#d68910", "#2471a3", "#707b7c", "#1e8449", "#7d3c98")

Point = tuple[float, float]


class Series(msgspec.Struct, frozen=True):
    """One line, or with ``is_dots`` one cloud; ``colour`` is an index into COLOURS."""

    name: str
    points: Sequence[Point]
    colour: int
    is_dots: bool = False
    is_dashed: bool = False


class Chart(msgspec.Struct, frozen=True):
    """What is drawn. With ``is_log`` the values stand on a logarithmic scale and must be positive."""

    title: str
    x_name: str
    y_name: str
    series: Sequence[Series]
    is_log: bool = False
    y_from: float = 0.0


def draw(chart: Chart) -> str:
    """The chart as the text of an SVG file."""
    xs = [x for each in chart.series for x, _ in each.points]
    ys = [y for each in chart.series for _, y in each.points]
    x_ticks = _ticks(min(xs), max(xs))
    y_ticks = _powers(min(ys), max(ys)) if chart.is_log else _ticks(min(chart.y_from, *ys), max(ys))
    x_at = _scale(x_ticks[0], x_ticks[-1], _LEFT, WIDTH - _RIGHT)
    place = _scale(*_ends(y_ticks, chart.is_log), HEIGHT - _BOTTOM, _TOP)

    def y_at(value: float) -> float:
        return place(log10(value) if chart.is_log else value)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15" font-weight="bold">{escape(chart.title)}</text>',
    ]
    for tick in x_ticks:
        x = _n(x_at(tick))
        parts.append(f'<path d="M{x} {_TOP}V{HEIGHT - _BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{x}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    for tick in y_ticks:
        y = _n(y_at(tick))
        parts.append(f'<path d="M{_LEFT} {y}H{WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{_n(y_at(tick) + 4)}" text-anchor="end">{tick:g}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) // 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(chart.x_name)}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 8}" fill="#555">{escape(chart.y_name)}</text>')
    for number, series in enumerate(chart.series):
        parts += _series(series, x_at, y_at)
        parts += _legend(series, _TOP + 8 + 20 * number)
    return "\n".join([*parts, "</svg>", ""])


def _series(series: Series, x_at: Callable[[float], float], y_at: Callable[[float], float]) -> list[str]:
    colour = COLOURS[series.colour]
    places = [(_n(x_at(x)), _n(y_at(y))) for x, y in series.points]
    if series.is_dots:
        dots = "".join(f"M{x} {y}h0" for x, y in places)
        return [f'<path d="{dots}" stroke="{colour}" stroke-width="3" stroke-linecap="round" opacity="0.5"/>']
    line = "L".join(f"{x} {y}" for x, y in places)
    dashes = ' stroke-dasharray="6 4"' if series.is_dashed else ""
    return [f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>']


def _legend(series: Series, y: int) -> list[str]:
    x = WIDTH - _RIGHT + 14
    dashes = ' stroke-dasharray="6 4"' if series.is_dashed else ""
    return [
        f'<path d="M{x} {y}h20" stroke="{COLOURS[series.colour]}" stroke-width="3"{dashes}/>',
        f'<text x="{x + 26}" y="{y + 4}">{escape(series.name)}</text>',
    ]


def _ticks(low: float, high: float) -> list[float]:
    """Five to ten round numbers that enclose the values."""
    span = (high - low) or 1.0
    step = 10.0 ** floor(log10(span))
    step = next(step * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if span / (step * part) <= 8)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten that enclose the values."""
    first, last = floor(log10(low)), ceil(log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def _ends(ticks: Sequence[float], is_log: bool) -> tuple[float, float]:
    return (log10(ticks[0]), log10(ticks[-1])) if is_log else (ticks[0], ticks[-1])


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _n(value: float) -> str:
    return f"{value:.1f}"
