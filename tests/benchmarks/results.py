"""What the benchmarks measure: every program records its figures here, `table.py` shows them together.

    .benchmarks/run.jsonl        a line a figure, of the run that is under way
    .benchmarks/figures/*.jsonl  the runs before it, by the time at which they ended

A ratio is a cost: ours, divided by that of a yardstick that the same run measured on the same machine. So it travels
from one machine to another, and more is worse. `ratios.toml` says which ratios are held, what was seen, and by how
much more is a regression. A figure without a ratio is never a verdict: machines are shared.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

FOLDER: Final = Path(__file__).parents[2] / ".benchmarks"
RUN: Final = FOLDER / "run.jsonl"
LIMITS: Final = Path(__file__).with_name("ratios.toml")

Name = tuple[str, str]
"""Part, and what of it is measured."""


class Figure(Struct, frozen=True):
    """One row of the table."""

    part: str
    what: str
    figure: float
    unit: str
    against: str = ""
    """What the ratio is to."""
    ratio: float | None = None

    @property
    def name(self) -> Name:
        """What it is called in `ratios.toml` and from run to run."""
        return self.part, self.what


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """How much a piece may cost."""

    seen: float
    tolerance: float
    """A share of `seen`."""

    @property
    def highest(self) -> float:
        """The ratio above which it is a regression."""
        return self.seen * (1 + self.tolerance)


def record(part: str, what: str, figure: float, unit: str, against: str = "", yardstick: float | None = None) -> None:
    """Keep a figure of this run, with its ratio to the yardstick's own figure in the same unit, where there is one."""
    row = Figure(part, what, figure, unit)
    if yardstick:
        row = Figure(part, what, figure, unit, against, figure / yardstick)
    FOLDER.mkdir(exist_ok=True)
    with RUN.open("ab") as file:
        file.write(msgspec.json.encode(row) + b"\n")


def read_figures(paths: Iterable[Path]) -> dict[Name, Figure]:
    """Return the last figure of each name."""
    decode = msgspec.json.Decoder(Figure).decode_lines
    return {figure.name: figure for path in paths for figure in decode(path.read_bytes())}


def read_limits(path: Path = LIMITS) -> dict[Name, Limit]:
    """Return what may not be exceeded."""
    parts = msgspec.toml.decode(path.read_bytes(), type=dict[str, dict[str, Limit]])
    return {(part, what): limit for part, held in parts.items() for what, limit in held.items()}


def regressions(figures: Mapping[Name, Figure], limits: Mapping[Name, Limit]) -> list[str]:
    """Return a sentence for every ratio beyond its limit, and for every one that a part which ran did not tell."""
    parts = {part for part, _ in figures}
    return [
        sentence
        for name, limit in limits.items()
        if name[0] in parts and (sentence := _verdict(name, limit, figures.get(name)))
    ]


def _verdict(name: Name, limit: Limit, found: Figure | None) -> str | None:
    title = ": ".join(name)
    if found is None or found.ratio is None:
        return f"{title}: has a limit, and was not measured"
    if found.ratio <= limit.highest:
        return None
    return (
        f"{title}: wanted at most {limit.highest:.2f} times the cost of {found.against} "
        f"({limit.seen:.2f} seen, {limit.tolerance:.0%} more allowed), found {found.ratio:.2f}"
    )
