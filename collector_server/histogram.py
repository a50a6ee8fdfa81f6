"""A count of figures by size: what Prometheus calls a histogram, cheap enough for the writer's thread."""

from bisect import bisect_left
from typing import Self

from msgspec import Struct


class Histogram(Struct):
    """How many figures were at most each bound, and their sum."""

    bounds: tuple[float, ...]
    """Ascending; a last one without limit is understood."""
    counts: list[int] = []
    """One more than there are bounds, each its own: not cumulative."""
    sum: float = 0

    def __post_init__(self) -> None:
        if not self.counts:
            self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, figure: float) -> None:
        """Count one figure."""
        self.counts[bisect_left(self.bounds, figure)] += 1
        self.sum += figure

    def plus(self, other: Self) -> Self:
        """Return both together; the bounds are those of one version of the code, so they are the same."""
        counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        return type(self)(self.bounds, counts, self.sum + other.sum)

    def buckets(self) -> list[tuple[str, float]]:
        """Return (bound, how many figures were at most that), as Prometheus wants them."""
        running, buckets = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            running += count
            buckets.append((bound, float(running)))
        return buckets
