"""Keeps a schedule, whether or not the server keeps up.

A request's latency counts from the moment it was due: one that had to wait for a connection, because others were
still unanswered, is late by the server's doing and says so (no coordinated omission). What the driver itself is late
by is measured apart: when that is much, the run says nothing of the server and is invalid.

A request without an answer is sent again, the same bytes, as every SDK does: so it can be said of each batch in the
end whether it was acknowledged. 429 and 503 are the server's word that it had enough; those are counted as shed.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from hdrh.histogram import HdrHistogram
from msgspec import Struct, field

from loadtest.connection import NO_ANSWER, Connection
from loadtest.plan import Batch, Plan
from loadtest.shapes import Shape

CONNECTIONS_MAX: Final = 256
_LATENCY_US_MAX: Final = 600_000_000
_DIGITS: Final = 3
_ROWS_MAX: Final = 300
_TWICE_AFTER_S: Final = 2.0
_AGAIN_AFTER_S: Final = 1.0
_TIMEOUT_S: Final = 10.0
_SHED: Final = (429, 503)
_OK: Final = 200


def _histogram() -> Any:
    return HdrHistogram(1, _LATENCY_US_MAX, _DIGITS)


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
    acknowledged_again: int = 0
    """Of batches that had been acknowledged before: they must be duplicates."""
    refused: int = 0
    """By the collector, one by one."""
    refused_unplanned: int = 0
    shed: int = 0
    unanswered: int = 0
    """Without an answer to the end."""
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


class _Rejection(Struct):
    index: int


class _Answer(Struct):
    accepted: int
    rejected: list[_Rejection]


class _Request(Struct):
    batch: Batch
    due: float
    again: bool
    """A planned second sending."""


class Driver:
    """One run."""

    def __init__(self, url: str, write_key: str, plan: Plan, shape: Shape, *, say: Callable[[Load], None]) -> None:
        target = urlsplit(url)
        self._host, self._port = target.hostname or "", target.port or 80
        self._plan, self._shape, self._say = plan, shape, say
        self._head = (
            f"POST {target.path.rstrip('/')}/v1/events HTTP/1.1\r\nHost: {target.netloc}\r\n"
            f"Authorization: Bearer {write_key}\r\nContent-Type: application/json\r\n"
        ).encode()
        self._free: list[Connection] = []
        self._busy: dict[Connection, tuple[_Request, float]] = {}
        self._opening = 0
        self._waiting: deque[_Request] = deque()
        self._later: deque[tuple[float, _Request]] = deque()
        self._statuses: Counter[int] = Counter()
        self._latency, self._lag = _histogram(), _histogram()
        self._row_s = max(1.0, shape.seconds / _ROWS_MAX)
        self._rows: list[tuple[Row, Any]] = []
        self.load = Load()
        self.acknowledged: set[int] = set()
        """Numbers of the batches whose events must all be clean."""
        self._began = 0.0
        self._stopped = False

    def stop(self) -> None:
        """Send nothing new; what is out is waited for."""
        self._stopped = True

    async def run(self, patience_s: float = 30.0) -> Load:
        """Keep the schedule to its end, then wait for the last answers."""
        self._began = began = time.monotonic()
        schedule: Iterator[tuple[int, float]] = enumerate(self._shape.due(self._plan.batch_events))
        upcoming = next(schedule, None)
        said = began
        while upcoming is not None and not self._stopped:
            now = time.monotonic()
            while upcoming is not None and began + upcoming[1] <= now and not self._stopped:
                number, at_s = upcoming
                self._begin(self._plan.batch(number, round(at_s * 1000)), began + at_s, now)
                upcoming = next(schedule, None)
                now = time.monotonic()
            self._tend(now)
            if now - said >= 1:
                said = now
                self._summarise(now - began)
            due = began + upcoming[1] if upcoming is not None else now
            await asyncio.sleep(max(0.0, min(due - time.monotonic(), 0.05)))
        sending_s = time.monotonic() - began
        ends = time.monotonic() + patience_s
        while (self._busy or self._waiting or self._later or self._opening) and time.monotonic() < ends:
            self._tend(time.monotonic())
            await asyncio.sleep(0.01)
        for connection in [*self._free, *self._busy]:
            connection.close()
        self._summarise(sending_s)
        return self.load

    def _begin(self, batch: Batch, due: float, now: float) -> None:
        self._lag.record_value(max(1, int((now - due) * 1e6)))
        self.load.batches += 1
        self.load.sent += self._plan.batch_events
        self._row(due)[0].wanted += self._plan.batch_events
        self._submit(_Request(batch, due, again=False))
        if batch.is_twice:
            self._later.append((now + _TWICE_AFTER_S, _Request(batch, due, again=True)))

    def _tend(self, now: float) -> None:
        """Send what was put off, and give up on connections that say nothing."""
        while self._later and self._later[0][0] <= now:
            _, request = self._later.popleft()
            request.due = now if request.again else request.due
            self._submit(request)
        for connection, (_, since) in list(self._busy.items()):
            if now - since > _TIMEOUT_S:
                connection.close()

    def _submit(self, request: _Request) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                self._send(connection, request)
                return
        self._waiting.append(request)
        if len(self._busy) + self._opening < CONNECTIONS_MAX:
            self._opening += 1
            task = asyncio.ensure_future(self._open())
            task.add_done_callback(lambda done: done.exception())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await asyncio.wait_for(
                loop.create_connection(lambda: Connection(self._answered), self._host, self._port), _TIMEOUT_S
            )
        except OSError:
            if self._waiting:
                self._put_off(self._waiting.popleft())
            return
        finally:
            self._opening -= 1
        self._take_up(connection)

    def _take_up(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def _send(self, connection: Connection, request: _Request) -> None:
        body = request.batch.body
        encoding = b"Content-Encoding: gzip\r\n" if request.batch.is_gzip else b""
        self._busy[connection] = (request, time.monotonic())
        self.load.requests += 1
        connection.send(b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, encoding, len(body), body))

    def _put_off(self, request: _Request) -> None:
        self.load.tries_without_answer += 1
        self._later.append((time.monotonic() + _AGAIN_AFTER_S, request))

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        request, _ = self._busy.pop(connection)
        self._statuses[status] += 1
        if status == NO_ANSWER:
            self._put_off(request)
        else:
            self._settle(request, status, body)
        if connection.is_open:
            self._take_up(connection)

    def _settle(self, request: _Request, status: int, body: bytes) -> None:
        size, number = self._plan.batch_events, request.batch.number
        row, latency = self._row(request.due)
        if status in _SHED:
            row.shed += size
            self.load.shed += size
            return
        if status != _OK:
            row.failed += size
            return
        took_us = min(max(1, int((time.monotonic() - request.due) * 1e6)), _LATENCY_US_MAX)
        self._latency.record_value(took_us)
        latency.record_value(took_us)
        answer = msgspec.json.decode(body, type=_Answer)
        refused = [rejection.index for rejection in answer.rejected]
        planned = [] if request.batch.refused is None else [request.batch.refused]
        self.load.refused += len(refused)
        self.load.refused_unplanned += len(set(refused) ^ set(planned))
        row.acknowledged += size
        if number in self.acknowledged:
            self.load.acknowledged_again += answer.accepted
        else:
            self.acknowledged.add(number)
            self.load.acknowledged += size

    def _row(self, due: float) -> tuple[Row, Any]:
        """Return the slice of time, and its latencies."""
        index = int((due - self._began) / self._row_s)
        while len(self._rows) <= index:
            self._rows.append((Row(round(len(self._rows) * self._row_s, 3)), _histogram()))
        return self._rows[index]

    def _summarise(self, seconds: float) -> None:
        load = self.load
        load.seconds = round(seconds, 3)
        load.wanted_rate = round(load.sent / seconds, 1)
        load.achieved_rate = round(load.acknowledged / seconds, 1)
        load.unanswered = load.sent - load.acknowledged - load.shed - sum(row.failed for row, _ in self._rows)
        load.statuses = {str(status) if status else "none": count for status, count in self._statuses.items()}
        for name, percentile in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("p999_ms", 99.9)):
            setattr(load, name, self._latency.get_value_at_percentile(percentile) / 1000)
        load.max_ms = self._latency.get_max_value() / 1000
        load.driver_lag_p99_ms = self._lag.get_value_at_percentile(99) / 1000
        for row, histogram in self._rows:
            row.p50_ms = histogram.get_value_at_percentile(50) / 1000
            row.p99_ms = histogram.get_value_at_percentile(99) / 1000
            row.max_ms = histogram.get_max_value() / 1000
        load.rows = [row for row, _ in self._rows]
        self._say(load)
