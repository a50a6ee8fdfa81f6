"""What a driver counts: each event's answer, each answer's time, in all and by slices of the run."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from hdrh.histogram import HdrHistogram
from msgspec import Struct, field

_LATENCY_US_MAX: Final = 600_000_000
_DIGITS: Final = 3
# A slice's percentiles are drawn, not judged: 1 % is enough, and a hundredth of the memory.
_DIGITS_OF_ROW: Final = 2


class Row(Struct):
    """A slice of the run's time, by when its requests were due."""

    from_s: float
    wanted: int = 0
    acknowledged: int = 0
    shed: int = 0
    failed: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


class Load(Struct):
    """What the driver did and was answered. Numbers are of events unless named otherwise."""

    batches: int = 0
    sent: int = 0
    acknowledged: int = 0
    """Once each, the refused ones among them."""
    acknowledged_in_time: int = 0
    """Of them, those whose answer had come when the sending ended, or a second later."""
    acknowledged_again: int = 0
    """Of batches that had been acknowledged before: they must be duplicates."""
    refused: int = 0
    """By the collector, one by one."""
    refused_unplanned: int = 0
    shed: int = 0
    failed: int = 0
    """Refused whole, by another answer than 429 and 503."""
    unanswered: int = 0
    """Without an answer to the end."""
    connections_busy: int = 0
    """Requests that found every connection waiting for an answer."""
    requests: int = 0
    tries_without_answer: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    wanted_rate: float = 0.0
    achieved_rate: float = 0.0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    max_ms: float = 0.0
    driver_lag_p99_ms: float = 0.0
    rows: list[Row] = field(default_factory=list)


class Span(Struct, frozen=True):
    """A part of the run, as `Load` has the whole."""

    sent: int
    acknowledged: int
    shed: int
    failed: int
    p50_ms: float
    p99_ms: float
    driver_lag_p99_ms: float


class Acknowledged:
    """The numbers of the acknowledged batches, kept as those that are not: a long run takes no more memory."""

    def __init__(self) -> None:
        self.batches = 0
        self._open: set[int] = set()

    def begin(self) -> None:
        """Count one more batch, which has no answer yet."""
        self._open.add(self.batches)
        self.batches += 1

    def settle(self, number: int) -> None:
        """Count a batch as acknowledged."""
        self._open.discard(number)

    def __contains__(self, number: int) -> bool:
        return number < self.batches and number not in self._open

    def __iter__(self) -> Iterator[int]:
        return (number for number in range(self.batches) if number not in self._open)


class _Slice:
    def __init__(self, from_s: float) -> None:
        self.row = Row(from_s)
        self.latency, self.lag = _histogram(_DIGITS_OF_ROW), _histogram(_DIGITS_OF_ROW)


class Tally:
    """Counts one run; times are seconds from its beginning."""

    def __init__(self, row_s: float) -> None:
        self.load = Load()
        self.acknowledged = Acknowledged()
        """Numbers of the batches whose events must all be clean."""
        self.owed = 0
        """Events of them that must become clean: all but those that were to be refused."""
        self.row_s = row_s
        self._slices: list[_Slice] = []
        self._latency, self._lag = _histogram(_DIGITS), _histogram(_DIGITS)
        self._statuses: Counter[int] = Counter()

    def begin(self, size: int, due_s: float, lag_s: float) -> None:
        """Count a batch that is due."""
        lag_us = _clamped_us(lag_s)
        found = self._slice(due_s)
        found.row.wanted += size
        for lag in (self._lag, found.lag):
            lag.record_value(lag_us)
        self.load.batches += 1
        self.load.sent += size
        self.acknowledged.begin()

    def answered(self, status: int) -> None:
        """Count an answer, of whatever kind; 0 is none."""
        self._statuses[status] += 1

    def shed(self, size: int, due_s: float) -> None:
        """Count a batch that the server put off."""
        self.load.shed += size
        self._slice(due_s).row.shed += size

    def failed(self, size: int, due_s: float) -> None:
        """Count a batch that was refused whole."""
        self.load.failed += size
        self._slice(due_s).row.failed += size

    def took(self, number: int, size: int, due_s: float, now_s: float, accepted: int, *, again: bool) -> None:
        """Count a batch that was acknowledged, with so many of its events accepted.

        A planned second sending (`again`) never stands for the first: what became of that is known by its own answer.
        """
        found = self._slice(due_s)
        took_us = _clamped_us(now_s - due_s)
        for latency in (self._latency, found.latency):
            latency.record_value(took_us)
        if number in self.acknowledged:
            self.load.acknowledged_again += accepted
        elif not again:
            self.acknowledged.settle(number)
            self.load.acknowledged += size
            self.owed += accepted
            found.row.acknowledged += size

    def refused(self, found: set[int], planned: set[int]) -> None:
        """Count the events of a batch that were refused one by one."""
        self.load.refused += len(found)
        self.load.refused_unplanned += len(found ^ planned)

    def span(self, from_s: float, until_s: float) -> Span:
        """Return a part of the run, in whole slices."""
        found = self._slices[round(from_s / self.row_s) : math.ceil(until_s / self.row_s)]
        latency, lag = _histogram(_DIGITS_OF_ROW), _histogram(_DIGITS_OF_ROW)
        for part in found:
            latency.add(part.latency)
            lag.add(part.lag)
        return Span(
            sent=sum(part.row.wanted for part in found),
            acknowledged=sum(part.row.acknowledged for part in found),
            shed=sum(part.row.shed for part in found),
            failed=sum(part.row.failed for part in found),
            p50_ms=_ms(latency, 50),
            p99_ms=_ms(latency, 99),
            driver_lag_p99_ms=_ms(lag, 99),
        )

    def summarise(self, sending_s: float, answered_s: float) -> Load:
        """Bring the figures of the whole up to date, and return it: after so long a sending, and with its answers."""
        load = self.load
        load.seconds = round(sending_s, 3)
        load.wanted_rate = round(load.sent / sending_s, 1) if sending_s else 0.0
        load.achieved_rate = round(load.acknowledged / answered_s, 1) if answered_s else 0.0
        load.unanswered = load.sent - load.acknowledged - load.shed - load.failed
        load.statuses = {str(status) if status else "none": count for status, count in self._statuses.items()}
        for name, percentile in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("p999_ms", 99.9)):
            setattr(load, name, _ms(self._latency, percentile))
        load.max_ms = self._latency.get_max_value() / 1000
        load.driver_lag_p99_ms = _ms(self._lag, 99)
        return load

    def summarise_rows(self) -> None:
        """Bring the slices up to date; too much work to be done while the load runs."""
        for part in self._slices:
            part.row.p50_ms, part.row.p99_ms = _ms(part.latency, 50), _ms(part.latency, 99)
            part.row.max_ms = part.latency.get_max_value() / 1000
        self.load.rows = [part.row for part in self._slices]

    def _slice(self, due_s: float) -> _Slice:
        index = int(due_s / self.row_s)
        while len(self._slices) <= index:
            self._slices.append(_Slice(round(len(self._slices) * self.row_s, 3)))
        return self._slices[index]


def _histogram(digits: int) -> Any:
    return HdrHistogram(1, _LATENCY_US_MAX, digits)


def _clamped_us(seconds: float) -> int:
    return min(max(1, int(seconds * 1e6)), _LATENCY_US_MAX)


def _ms(histogram: Any, percentile: float) -> float:
    return float(histogram.get_value_at_percentile(percentile)) / 1000
