"""`python -m tests.benchmarks.table [renew]`: every figure of this run, and whether a ratio is beyond its limit.

Each row is held beside the last run that had it: by its ratio, or where it has none by the figure itself, which on a shared
machine says little. Then the run is kept. Exit status: 0 fine, 1 a ratio is beyond its limit, 2 nothing was measured.

`renew` prints the lines of `ratios.toml` as the last five runs would have them: the median of each ratio, and as tolerance
three times what the highest was above it, 25 % at least.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.benchmarks.results import FOLDER, RUN, Figure, Limit, Name, read_figures, read_limits, regressions

_KEPT: Final = FOLDER / "figures"
_RUNS: Final = 5
_TOLERANCE_MIN: Final = 0.25


def main(arguments: Sequence[str]) -> int:
    """Show this run, or the limits that the last ones suggest."""
    saved = sorted(_KEPT.glob("*.jsonl"))
    if arguments == ["renew"]:
        sys.stdout.write(renewed(read_limits(), [read_figures([path]) for path in saved]))
        return 0
    if not RUN.exists():
        sys.stderr.write("nothing was measured: run `make bench`\n")
        return 2
    figures, limits = read_figures([RUN]), read_limits()
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(_table(figures, limits, read_figures(saved)))
    _KEPT.mkdir(exist_ok=True)
    RUN.rename(_KEPT / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.jsonl")
    found = regressions(figures, limits)
    for sentence in found:
        sys.stderr.write(sentence + "\n")
    return 1 if found else 0


def _table(figures: Mapping[Name, Figure], limits: Mapping[Name, Limit], before: Mapping[Name, Figure]) -> Table:
    table = Table(
        title="Figures of this run; a ratio is the cost against the yardstick, less is better", title_justify="left"
    )
    table.add_column("part")
    table.add_column("what", overflow="fold")
    for title in ("figure", "unit", "against", "ratio", "limit", "change"):
        table.add_column(title, justify="left" if title in ("unit", "against") else "right")
    part = ""
    for name, figure in figures.items():
        if part and part != figure.part:
            table.add_section()
        limit = limits.get(name)
        table.add_row(
            figure.part if part != figure.part else "",
            Text(figure.what),
            _short(figure.figure),
            figure.unit,
            figure.against,
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            f"{limit.highest:.2f}" if limit else "",
            _change(figure, before.get(name)),
            style="bold red" if limit and (figure.ratio or 0) > limit.highest else "",
        )
        part = figure.part
    return table


def _short(value: float) -> str:
    """Write three digits of a small number, and every thousand of a large one apart."""
    digits = 0 if abs(value) >= 100 or not value else 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(digits, 4)}f}"


def _change(figure: Figure, before: Figure | None) -> str:
    if before is None:
        return ""
    now, then = (figure.figure, before.figure) if None in (figure.ratio, before.ratio) else (figure.ratio, before.ratio)
    return f"{now / then - 1:+.0%}" if now is not None and then else ""


def renewed(limits: Mapping[Name, Limit], runs: Sequence[Mapping[Name, Figure]]) -> str:
    """Return the file of limits as these runs would have it; what none of them measured stays as it is."""
    lines, part = [], ""
    for name, limit in sorted(limits.items()):
        ratios = [run[name].ratio or 0.0 for run in runs if name in run][-_RUNS:]
        seen = median(ratios) if ratios else limit.seen
        tolerance = max(_TOLERANCE_MIN, 3 * (max(ratios) / seen - 1)) if ratios else limit.tolerance
        if name[0] != part:
            lines.append(f'\n["{name[0]}"]')
        part = name[0]
        lines.append(f'"{name[1]}" = {{ seen = {seen:.2f}, tolerance = {math.ceil(tolerance * 20 - 1e-9) / 20:.2f} }}')
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
