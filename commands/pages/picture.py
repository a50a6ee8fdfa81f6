"""Pictures for the report: values in, the text of an inline SVG out. Nothing is fetched; every text is escaped.

A text is a pair (Korean, English); the page's style sheet shows one of the two.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from msgspec import Struct

Text = tuple[str, str]
COLOURS: Final = {
    "stream": "#9db4c0",
    "clean": "#2f855a",
    "duplicate": "#718096",
    "rejected": "#dd6b20",
    "dead letter": "#9b2c2c",
    "damaged": "#e53e3e",
    "removed": "#805ad5",
    "pending": "#3182ce",
    "vanished": "#d53f8c",
    "dropped": "#b7791f",
    "difference": "#e53e3e",
    "line": "#1a202c",
    "quiet": "#718096",
    "grid": "#e2e8f0",
    # Of the load test.
    "wanted": "#a0aec0",
    "acknowledged": "#2f855a",
    "shed": "#dd6b20",
    "missing": "#e53e3e",
    "p50": "#2f855a",
    "p99": "#3182ce",
    "max": "#b7791f",
    "collector": "#3182ce",
    "loader": "#805ad5",
    "processor": "#2f855a",
    "database": "#b7791f",
    "driver": "#718096",
}
WIDTH: Final = 1120
NARROW: Final = 360
# So that what is named below a time line are whole hours or days, as far as its bars allow.
_BARS_APART: Final = (1, 2, 3, 4, 6, 12, 18, 24, 36, 48)
_HATCH: Final = (
    '<pattern id="{name}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="6" height="6" fill="{colour}" fill-opacity="0.25"/>'
    '<line x1="0" y1="0" x2="0" y2="6" stroke="{colour}" stroke-width="3"/></pattern>'
)


class Loss(Struct, frozen=True):
    """What leaves the stream at a stage."""

    name: Text
    colour: str
    events: int


class Stage(Struct, frozen=True):
    """One station of the stream, and what leaves it before the next one."""

    name: Text
    events: int
    losses: Sequence[Loss] = ()
    is_apart: bool = False
    """The next stage counts on its own ground: no event is expected to be the same."""
    alarm: Text | None = None
    """What does not agree behind this station."""


class Bar(Struct, frozen=True):
    """One step of the time line."""

    label: str
    parts: tuple[tuple[str, int], ...]
    """(colour, events), from the bottom up."""
    accepted: int
    below: int = 0
    """Rejected: drawn under the axis."""
    differs: bool = False
    is_open: bool = False


def text(x: float, y: float, words: Text | str, *, css: str = "", anchor: str = "start", fill: str = "") -> str:
    """Return a text in both languages, one over the other."""
    shared = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    shared += f' class="{css}"' if css else ""
    shared += f' fill="{fill}"' if fill else ""
    if isinstance(words, str):
        return f"<text {shared}>{escape(words)}</text>"
    korean, english = words
    return f'<text {shared} lang="ko">{escape(korean)}</text><text {shared} lang="en">{escape(english)}</text>'


def flow(stages: Sequence[Stage], title: Text) -> str:
    """Return the stream from the first stage to the last, with what leaves it; widths are numbers of events."""
    tall, top = 150.0, 88.0
    # What is counted on its own ground has a scale of its own: whatever it says, the stream stays as it is.
    most = max([stage.events for stage in stages if not stage.is_apart] + [1])
    step = (WIDTH - 190) / max(len(stages) - 1, 1)
    rows = max([sum(loss.events > 0 for loss in stage.losses) for stage in stages], default=0)
    height = top + tall + 40 + rows * 30
    parts: list[str] = []
    for number, stage in enumerate(stages):
        x = 20 + number * step
        thick = min(max(stage.events / most * tall, 2.0 if stage.events else 0.0), tall)
        last = number == len(stages) - 1
        if not last:
            after = stages[number + 1]
            parts += _leaving(stage, after, x, step, most, tall, top)
        colour = COLOURS["clean"] if last else COLOURS["line"]
        parts.append(f'<rect x="{x:.1f}" y="{top:.1f}" width="12" height="{max(thick, 1):.1f}" fill="{colour}"/>')
        parts.append(text(x, top - 34, stage.name, css="name"))
        parts.append(text(x, top - 10, f"{stage.events:,}", css="number"))
        if stage.alarm:
            parts.append(_alarm(x, top - 66, stage.alarm))
    return svg(WIDTH, height, parts, title, css="wide")


def flow_down(stages: Sequence[Stage], title: Text) -> str:
    """Return the stream for a phone: a bar for each station, as long as its events, and under it what leaves there."""
    most = max([stage.events for stage in stages if not stage.is_apart] + [1])
    parts: list[str] = []
    y = 4.0
    for number, stage in enumerate(stages):
        wide = min(stage.events / most, 1.0) * (NARROW - 2)
        colour = COLOURS["clean"] if number == len(stages) - 1 else COLOURS["stream"]
        parts.append(text(0, y + 12, stage.name, css="name"))
        parts.append(text(NARROW, y + 12, f"{stage.events:,}", css="name", anchor="end"))
        if stage.is_apart:
            parts.append(f'<rect x="1" y="{y + 19:.1f}" width="{max(wide, 1):.1f}" height="10" fill="none"'
                         f' stroke="{COLOURS["quiet"]}" stroke-dasharray="4 4"/>')  # fmt: skip
        else:
            parts.append(_box(0, y + 18, max(wide, 1), 12, colour, 1.0))
        y += 36
        for loss in (loss for loss in stage.losses if loss.events > 0):
            share = f"{loss.events / stage.events:.2%}" if stage.events else ""
            parts.append(_box(8, y + 3, 4, 12, COLOURS[loss.colour], 1.0))
            parts.append(text(18, y + 13, loss.name, css="loss", fill=COLOURS[loss.colour]))
            parts.append(text(NARROW, y + 13, f"{loss.events:,}  {share}", css="loss", anchor="end",
                              fill=COLOURS[loss.colour]))  # fmt: skip
            y += 20
        if stage.alarm:
            parts.append(_alarm(8, y + 14, stage.alarm))
            y += 26
        y += 8
    return svg(NARROW, y, parts, title, css="narrow")


def _leaving(stage: Stage, after: Stage, x: float, step: float, most: int, tall: float, top: float) -> Iterable[str]:
    """Draw the way to the next stage, and each loss bending down from it."""
    goes_on = min(stage.events, after.events) / most * tall
    left, right = x + 12, x + step
    if stage.is_apart:
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{max(goes_on, 1):.1f}" fill="none"'
            f' stroke="{COLOURS["quiet"]}" stroke-dasharray="4 4"/>'
        )
    elif goes_on:
        yield _box(left, top, right - left, max(goes_on, 1), COLOURS["stream"], 0.55)
    edge = top + goes_on
    shown = [loss for loss in stage.losses if loss.events > 0]
    for row, loss in enumerate(shown):
        thick = max(loss.events / max(stage.events, 1) * tall, 2.5)
        turn = left + 30 + (len(shown) - 1 - row) * 9
        ends = top + tall + 26 + row * 30
        colour, middle = COLOURS[loss.colour], edge + thick / 2
        yield (
            f'<path d="M {left:.1f} {middle:.1f} C {turn:.1f} {middle:.1f} {left + 8:.1f} {ends:.1f}'
            f' {turn + 16:.1f} {ends:.1f}" fill="none" stroke="{colour}" stroke-width="{min(thick, 26):.1f}"'
            f' stroke-opacity="0.85"/>'
        )
        share = f"{loss.events / stage.events:.2%}" if stage.events else ""
        label = f"{loss.events:,}  {share}"
        yield text(turn + 22, ends - 1, (f"{loss.name[0]} {label}", f"{loss.name[1]} {label}"), css="loss", fill=colour)
        edge += thick


def timeline(bars: Sequence[Bar], title: Text, open_text: Text, width: int = WIDTH) -> str:
    """Return what was accepted over time and what became of it; differences are marked."""
    css = "wide" if width == WIDTH else "narrow"
    height, top, base, left = 250.0, 34.0, 178.0, 64.0 if width == WIDTH else 44.0
    most = max([max(bar.accepted, sum(n for _, n in bar.parts)) for bar in bars] + [1])
    wide = (width - left - 10) / max(len(bars), 1)
    gap, waits = min(0.6, wide / 4), "waits" if width == WIDTH else "waits-narrow"
    scale = (base - top) / most
    parts = [_defs(waits)]
    for share in (0.0, 0.5, 1.0):
        y = base - (base - top) * share
        parts.append(f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{width - 10}" y2="{y:.1f}" stroke="{COLOURS["grid"]}"/>')
        if share == 0.0 or round(most * share):
            parts.append(text(left - 8, y + 4, f"{round(most * share):,}", css="axis", anchor="end"))
    outline: list[str] = []
    for number, bar in enumerate(bars):
        x, y = left + number * wide, base
        if bar.is_open:
            parts.append(_box(x, top, wide, base - top, COLOURS["pending"], 0.06))
        for colour, events in bar.parts:
            tall = events * scale
            y -= tall
            fill = f"url(#{waits})" if colour == "pending" else COLOURS[colour]
            parts.append(_box(x, y, max(wide - gap, 0.6), tall, fill, 1.0))
        if bar.below:
            parts.append(
                _box(x, base + 2, max(wide - gap, 0.6), max(min(bar.below * scale, 20), 2), COLOURS["rejected"], 1.0)
            )
        if bar.differs:
            parts.append(_mark(x + wide / 2, top, base, bar.label))
        outline += [f"{x:.1f},{base - bar.accepted * scale:.1f}", f"{x + wide:.1f},{base - bar.accepted * scale:.1f}"]
    if bars:
        parts.append(
            f'<polyline points="{" ".join(outline)}" fill="none" stroke="{COLOURS["line"]}" stroke-width="1"/>'
        )
    parts += _hours(bars, left, wide, base, 12 if width == WIDTH else 5)
    first_open = next((n for n, bar in enumerate(bars) if bar.is_open), None)
    if first_open is not None:
        x = left + first_open * wide
        parts.append(
            f'<line x1="{x:.1f}" y1="{top - 12:.1f}" x2="{x:.1f}" y2="{base:.1f}" stroke="{COLOURS["pending"]}"'
            ' stroke-width="1.5" stroke-dasharray="5 3"/>'
        )
        anchor = "end" if x > width / 2 else "start"
        parts.append(text(x + (-5 if anchor == "end" else 5), top - 6, open_text, css="loss", anchor=anchor,
                          fill=COLOURS["pending"]))  # fmt: skip
    return svg(width, height, parts, title, css=css)


def legend(entries: Iterable[tuple[str, Text]]) -> str:
    """Return a line of colours with their names, as HTML."""
    return "".join(
        f'<span class="key"><i style="background:{COLOURS[colour]}"></i>'
        f'<span lang="ko">{escape(korean)}</span><span lang="en">{escape(english)}</span></span>'
        for colour, (korean, english) in entries
    )


def _hours(bars: Sequence[Bar], left: float, wide: float, base: float, marks: int) -> Iterable[str]:
    every = next((step for step in _BARS_APART if len(bars) / step <= marks), len(bars))
    for number in range(0, len(bars), every):
        x = left + number * wide
        yield f'<line x1="{x:.1f}" y1="{base:.1f}" x2="{x:.1f}" y2="{base + 4:.1f}" stroke="{COLOURS["quiet"]}"/>'
        yield text(x, base + 40, bars[number].label, css="axis")


def _mark(x: float, top: float, base: float, label: str) -> str:
    colour = COLOURS["difference"]
    y = base + 58
    return (
        f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{base:.1f}" stroke="{colour}" stroke-dasharray="2 2"/>'
        f'<path d="M {x:.1f} {y - 11:.1f} l 6 11 l -12 0 z" fill="{colour}"><title>{escape(label)}</title></path>'
    )


def _alarm(x: float, y: float, words: Text) -> str:
    wide, red = 16 + 7.2 * max(len(words[0]) * 1.35, len(words[1])), COLOURS["difference"]
    badge = f'<rect x="{x:.1f}" y="{y - 14:.1f}" width="{wide:.1f}" height="20" rx="10" fill="{red}"/>'
    return badge + text(x + wide / 2, y, words, css="alarm", anchor="middle", fill="#ffffff")


def _box(x: float, y: float, wide: float, tall: float, fill: str, opacity: float) -> str:
    if tall <= 0:
        return ""
    seen = "" if opacity == 1.0 else f' fill-opacity="{opacity}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.2f}" height="{tall:.2f}" fill="{fill}"{seen}/>'


def _defs(name: str) -> str:
    # Of each picture its own: one that is not shown lends its patterns to nobody.
    return f"<defs>{_HATCH.format(name=name, colour=COLOURS['pending'])}</defs>"


def svg(width: float, height: float, parts: Iterable[str], title: Text, *, css: str) -> str:
    """Return a picture of these parts; `css` says for which screens it is, `wide` or `narrow`."""
    name = f"{escape(title[0])} · {escape(title[1])}"
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" class="{css}"><title>{name}</title>'
    return f"{head}{''.join(parts)}</svg>"
