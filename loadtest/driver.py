"""Keeps a schedule, whether or not the server keeps up.

A request's latency counts from the moment it was due: one that had to wait for a connection, because others were
still unanswered, is late by the server's doing and says so (no coordinated omission). What the driver itself is late
by is measured apart: when that is much, the run says nothing of the server and is invalid.

A request without an answer is sent again, the same bytes, as every SDK does: so it can be said of each batch in the
end whether it was acknowledged. 429 and 503 are the server's word that it had enough; those are counted as shed.
A batch's bytes are made when they are sent: what waits takes the memory of a number.
"""

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from loadtest.connection import NO_ANSWER, Connection
from loadtest.plan import Batches
from loadtest.tally import Load, Tally

CONNECTIONS_MAX: Final = 256
_TWICE_AFTER_S: Final = 2.0
_AGAIN_AFTER_S: Final = 1.0
_TIMEOUT_S: Final = 10.0
_SHED: Final = (429, 503)
_OK: Final = 200


class _Rejection(Struct):
    index: int


class _Answer(Struct):
    accepted: int
    rejected: list[_Rejection]


class _Request(Struct):
    number: int
    offset_ms: int
    due_s: float
    again: bool
    """A planned second sending."""


class Driver:
    """One run, in one leg or in several; all times are seconds from the beginning of its first."""

    def __init__(
        self, url: str, write_key: str, plan: Batches, *, say: Callable[[Load], None], row_s: float = 1.0
    ) -> None:
        target = urlsplit(url)
        self._host, self._port = target.hostname or "", target.port or 80
        self._plan, self._say = plan, say
        self._head = (
            f"POST {target.path.rstrip('/')}/v1/events HTTP/1.1\r\nHost: {target.netloc}\r\n"
            f"Authorization: Bearer {write_key}\r\nContent-Type: application/json\r\n"
        ).encode()
        self._free: list[Connection] = []
        self._busy: dict[Connection, tuple[_Request, float]] = {}
        self._opening = 0
        self._waiting: deque[_Request] = deque()
        self._later: list[tuple[float, int, _Request]] = []
        self._order = itertools.count()
        self.tally = Tally(row_s)
        self.load = self.tally.load
        self.acknowledged = self.tally.acknowledged
        self._began: float | None = None
        self._sending_s = 0.0
        self.is_stopped = False

    def stop(self) -> None:
        """Send nothing new; what is out is waited for."""
        self.is_stopped = True

    def now_s(self) -> float:
        """Return the time of the run."""
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began

    async def run(self, schedule: Iterable[float], patience_s: float = 30.0) -> Load:
        """Keep a schedule (seconds from now) to its end, then wait for the last answers."""
        began = said = self.now_s()
        moments = iter(schedule)
        upcoming = next(moments, None)
        while upcoming is not None and not self.is_stopped:
            now = self.now_s()
            while upcoming is not None and began + upcoming <= now and not self.is_stopped:
                self._begin(began + upcoming, now)
                upcoming = next(moments, None)
                now = self.now_s()
            self._tend(now)
            if now - said >= 1:
                said = now
                self._say(self.tally.summarise(self._sending_s + now - began))
            due = began + upcoming if upcoming is not None else now
            await asyncio.sleep(max(0.0, min(due - self.now_s(), 0.05)))
        self._sending_s += self.now_s() - began
        ends = self.now_s() + patience_s
        while (self._busy or self._waiting or self._later or self._opening) and self.now_s() < ends:
            self._tend(self.now_s())
            await asyncio.sleep(0.01)
        self._say(self.tally.summarise(self._sending_s))
        return self.load

    def close(self) -> None:
        """End every connection."""
        for connection in [*self._free, *self._busy]:
            connection.close()

    def _begin(self, due_s: float, now_s: float) -> None:
        number = self.load.batches
        self.tally.begin(self._plan.size(number), due_s, now_s - due_s)
        request = _Request(number, round(due_s * 1000), due_s, again=False)
        self._submit(request)
        if self._plan.is_twice(number):
            self._send_later(now_s + _TWICE_AFTER_S, msgspec.structs.replace(request, again=True))

    def _tend(self, now_s: float) -> None:
        """Send what was put off, and give up on connections that say nothing."""
        while self._later and self._later[0][0] <= now_s:
            _, _, request = heapq.heappop(self._later)
            request.due_s = now_s if request.again else request.due_s
            self._submit(request)
        for connection, (_, since) in list(self._busy.items()):
            if now_s - since <= _TIMEOUT_S:
                break  # they stand in the order of their sending
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
        batch = self._plan.batch(request.number, request.offset_ms)
        encoding = b"Content-Encoding: gzip\r\n" if batch.is_gzip else b""
        self._busy[connection] = (request, self.now_s())
        self.load.requests += 1
        connection.send(
            b"%b%bUser-Agent: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (self._head, encoding, batch.user_agent, len(batch.body), batch.body)
        )

    def _put_off(self, request: _Request) -> None:
        self.load.tries_without_answer += 1
        self._send_later(self.now_s() + _AGAIN_AFTER_S, request)

    def _send_later(self, at_s: float, request: _Request) -> None:
        heapq.heappush(self._later, (at_s, next(self._order), request))

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        request, _ = self._busy.pop(connection)
        self.tally.answered(status)
        if status == NO_ANSWER:
            self._put_off(request)
        else:
            self._settle(request, status, body)
        if connection.is_open:
            self._take_up(connection)

    def _settle(self, request: _Request, status: int, body: bytes) -> None:
        number, size = request.number, self._plan.size(request.number)
        if status != _OK:
            # Of a planned second sending nothing is lost.
            if not request.again:
                count = self.tally.shed if status in _SHED else self.tally.failed
                count(size, request.due_s)
        else:
            answer = msgspec.json.decode(body, type=_Answer)
            planned = self._plan.refused(number)
            self.tally.refused({found.index for found in answer.rejected}, set() if planned is None else {planned})
            self.tally.took(number, size, request.due_s, self.now_s(), answer.accepted)
