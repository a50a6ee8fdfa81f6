"""Lines over the time of a run: values in, the text of an inline SVG out."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from commands.pages.picture import COLOURS, WIDTH, Text, svg, text

_HEIGHT: Final = 236.0
_TOP: Final = 16.0
_BASE: Final = 196.0
_MARKS_MAX: Final = 12
_MARKS_MAX_NARROW: Final = 5
_MARKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400)

Scale = Callable[[float], float]


class Line(Struct, frozen=True):
    """One series, in order of time."""

    colour: str
    points: Sequence[tuple[float, float]]
    """(seconds, value)"""
    is_area: bool = False
    is_stepped: bool = False
    """A value holds until the next one."""


def lines(
    series: Sequence[Line], title: Text, unit: str, seconds: float, *, is_log: bool = False, width: int = WIDTH
) -> str:
    """Return the series on one pair of axes; with `is_log` each mark on the left is ten times the one below."""
    is_wide = width == WIDTH
    axis, right = (76.0 if is_wide else 46.0), width - (14.0 if is_wide else 12.0)
    values = [value for line in series for _, value in line.points if value > 0]
    top = max(values, default=1.0)
    if is_log:
        low, high = math.floor(math.log10(min(values, default=1.0))), math.ceil(math.log10(top) - 1e-9)
        high = max(high, low + 1)
        marks = [10.0**power for power in range(low, high + 1)]
    else:
        step = _step(top)
        marks = [step * number for number in range(math.ceil(top / step) + 1)]

    def y(value: float) -> float:
        share = (math.log10(max(value, marks[0])) - low) / (high - low) if is_log else value / marks[-1]
        return _BASE - (_BASE - _TOP) * share

    def x(at_s: float) -> float:
        return axis + (right - axis) * min(at_s / max(seconds, 1e-9), 1.0)

    parts: list[str] = []
    for mark in marks:
        parts.append(
            f'<line x1="{axis}" y1="{y(mark):.1f}" x2="{right}" y2="{y(mark):.1f}" stroke="{COLOURS["grid"]}"/>'
        )
        parts.append(text(axis - 8, y(mark) + 4, _short(mark), css="axis", anchor="end"))
    parts.append(text(0, _TOP - 7, unit, css="axis"))
    parts += _seconds(seconds, x, _MARKS_MAX if is_wide else _MARKS_MAX_NARROW)
    for line in series:
        if line.points:
            parts.append(_drawn(line, x, y))
    return svg(width, _HEIGHT, parts, title, css="wide" if is_wide else "narrow")


def _drawn(line: Line, x: Scale, y: Scale) -> str:
    corners: list[tuple[float, float]] = []
    for at_s, value in line.points:
        if line.is_stepped and corners:
            corners.append((x(at_s), corners[-1][1]))
        corners.append((x(at_s), y(value)))
    path = " ".join(f"{left:.1f},{height:.1f}" for left, height in corners)
    colour = COLOURS[line.colour]
    area = ""
    if line.is_area:
        around = f"{corners[0][0]:.1f},{_BASE:.1f} {path} {corners[-1][0]:.1f},{_BASE:.1f}"
        area = f'<polygon points="{around}" fill="{colour}" fill-opacity="0.18"/>'
    return f'{area}<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'


def _seconds(seconds: float, x: Scale, marks_max: int) -> Iterable[str]:
    step = next((mark for mark in _MARKS if seconds / mark <= marks_max), _MARKS[-1])
    for number in range(int(seconds // step) + 1):
        at_s = number * step
        yield f'<line x1="{x(at_s):.1f}" y1="{_BASE}" x2="{x(at_s):.1f}" y2="{_BASE + 4}" stroke="{COLOURS["quiet"]}"/>'
        label = f"{at_s // 60}:{at_s % 60:02d}" if seconds >= 120 else f"{at_s} s"  # noqa: PLR2004 - two minutes
        yield text(x(at_s), _BASE + 20, label, css="axis", anchor="middle")


def _step(top: float) -> float:
    """Return a round distance of marks, about four up to the top."""
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next(power * round_ for round_ in (1, 2, 2.5, 5, 10) if top / (power * round_) <= 4)  # noqa: PLR2004


def _short(value: float) -> str:
    if value >= 10_000:  # noqa: PLR2004 - five figures are read as thousands
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"  # noqa: PLR2004
