"""One line a request, sampled: enough to see what goes on, never enough to fill the log's disk.

Of the batches answered 200 every N-th is logged; of the refused requests all, up to a rate, and then how
many were left out. A line holds figures and our own words: nothing that a client sent.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog

from collector_server.decode import Decoded
from collector_server.refusal import Refusal

log: Final = structlog.get_logger()


class RequestLog:
    """The lines of one worker."""

    def __init__(
        self,
        sample: int,
        refused_per_second_max: int,
        on_left_out: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_left_out(lines)` is told what `requests_left_out` says."""
        self._sample = sample
        self._refused_max = refused_per_second_max
        self._on_left_out = on_left_out
        self._clock = clock
        self._accepted = 0
        self._second = clock()
        self._refused = 0

    def accepted(self, source: str, decoded: Decoded, size: int, started: float) -> None:
        """Log every N-th batch that was answered 200; `size` is its bytes decompressed."""
        self._accepted += 1
        if self._sample == 0 or self._accepted % self._sample:
            return
        log.info(
            "request",
            status=200,
            source=source,
            events=decoded.accepted,
            rejected=len(decoded.rejects),
            bytes=size,
            duration_ms=self._ms_since(started),
        )

    def refused(
        self, refusal: Refusal, *, source: str | None = None, size: int | None = None, started: float | None = None
    ) -> None:
        """Log a refused request, unless this second has had its lines; `size` is what its head claims."""
        self.say_left_out()
        self._refused += 1
        if self._refused > self._refused_max:
            return
        more = {"source": source, "bytes": size, "duration_ms": None if started is None else self._ms_since(started)}
        log.info(
            "request",
            status=refusal.status,
            code=refusal.code,
            **{name: value for name, value in more.items() if value is not None},
        )

    def say_left_out(self) -> None:
        """When a second has passed, say how many lines it had too many."""
        now = self._clock()
        if now - self._second < 1:
            return
        left_out = self._refused - self._refused_max
        self._second, self._refused = now, 0
        if left_out > 0:
            self._on_left_out(left_out)
            log.warning("requests_left_out", lines=left_out)

    def _ms_since(self, started: float) -> float:
        return round((self._clock() - started) * 1000, 1)
