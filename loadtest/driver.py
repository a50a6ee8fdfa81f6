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
# Begun at a time before answers are looked at, when the driver is behind.
_BURST: Final = 256
_IN_TIME_S: Final = 1.0
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
        self,
        url: str,
        write_key: str,
        plan: Batches,
        *,
        say: Callable[[Load], None],
        row_s: float = 1.0,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        target = urlsplit(url)
        self._host, self._port = target.hostname or "", target.port or 80
        self._plan, self._say = plan, say
        self._connections_max = connections_max
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
        self._sending_s = self._answered_s = 0.0
        self._before_leg = 0
        self._failure: BaseException | None = None
        self.is_stopped = False
        self._gives_up = False

    def stop(self) -> None:
        """Send nothing new; what is out is waited for, until this is said once more."""
        self._gives_up = self.is_stopped
        self.is_stopped = True

    def now_s(self) -> float:
        """Return the time of the run."""
        if self._began is None:
            self._began = time.monotonic()
        return time.monotonic() - self._began

    async def run(self, schedule: Iterable[float], patience_s: float = 30.0) -> Load:
        """Keep a schedule (seconds from now) to its end, then wait for the last answers."""
        began = said = self.now_s()
        # By the schedule alone in a first leg, whoever asked for the time before: the same plan makes the same bytes.
        plan_s = began if self.load.batches else 0.0
        moments = iter(schedule)
        upcoming = next(moments, None)
        while upcoming is not None and not self.is_stopped:
            now = self.now_s()
            burst = 0
            while upcoming is not None and began + upcoming <= now and burst < _BURST:
                self._begin(began + upcoming, now, round((plan_s + upcoming) * 1000))
                upcoming = next(moments, None)
                now = self.now_s()
                burst += 1
            self._tend(now)
            if now - said >= 1:
                said = now
                self._say(self.tally.summarise(self._sending_s + now - began, self._answered_s + now - began))
            due = began + upcoming if upcoming is not None else now
            await asyncio.sleep(max(0.0, min(due - self.now_s(), 0.05)))
        ended = self.now_s()
        self._sending_s += ended - began
        in_time = self.load.acknowledged_in_time + await self._answers(ended + _IN_TIME_S)
        await self._answers(ended + patience_s)
        self.load.acknowledged_in_time = in_time
        self._give_up()
        self._answered_s += self.now_s() - began
        self._say(self.tally.summarise(self._sending_s, self._answered_s))
        if self._failure is not None:
            raise self._failure
        return self.load

    async def _answers(self, until_s: float) -> int:
        """Wait for what is out, no longer than until then; return how many were acknowledged in this leg."""
        while self._is_waiting() and self.now_s() < until_s and not self._gives_up:
            self._tend(self.now_s())
            await asyncio.sleep(0.01)
        return self.load.acknowledged - self._before_leg

    def _is_waiting(self) -> bool:
        return bool(self._busy or self._waiting or self._later or self._opening)

    def _give_up(self) -> None:
        """Leave nothing of this leg to the next."""
        self._waiting.clear()
        self._later.clear()
        self._before_leg = self.load.acknowledged
        for connection in list(self._busy):
            self._busy.pop(connection)
            connection.close()

    def close(self) -> None:
        """End every connection, and bring the slices up to date."""
        self.tally.summarise_rows()
        for connection in [*self._free, *self._busy]:
            connection.close()

    def _begin(self, due_s: float, now_s: float, offset_ms: int) -> None:
        number = self.load.batches
        self.tally.begin(self._plan.size(number), due_s, now_s - due_s)
        request = _Request(number, offset_ms, due_s, again=False)
        self._submit(request)
        if self._plan.is_twice(number):
            later = msgspec.structs.replace(request, due_s=due_s + _TWICE_AFTER_S, again=True)
            self._send_later(later.due_s, later)

    def _tend(self, now_s: float) -> None:
        """Send what was put off, and give up on connections that say nothing."""
        while self._later and self._later[0][0] <= now_s:
            _, _, request = heapq.heappop(self._later)
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
        self.load.connections_busy += len(self._busy) >= self._connections_max
        self._open_one()

    def _open_one(self) -> None:
        if self._waiting and len(self._busy) + self._opening < self._connections_max:
            self._opening += 1
            task = asyncio.ensure_future(self._open())
            task.add_done_callback(self._opened)

    def _opened(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            # Not the server's: a batch that cannot be made, a recording that is gone.
            self._failure = failure
            self.is_stopped = self._gives_up = True

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
        try:
            self._take_up(connection)
        except BaseException:
            connection.close()
            raise

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
        if connection not in self._busy:
            return  # given up
        request, _ = self._busy.pop(connection)
        self.tally.answered(status)
        if status == NO_ANSWER:
            self._put_off(request)
        else:
            self._settle(request, status, body)
        if connection.is_open:
            self._take_up(connection)
        else:
            self._open_one()

    def _settle(self, request: _Request, status: int, body: bytes) -> None:
        number, size = request.number, self._plan.size(request.number)
        try:
            answer = msgspec.json.decode(body, type=_Answer) if status == _OK else None
        except msgspec.DecodeError:
            answer = None
        if answer is None:
            # Of a planned second sending nothing is lost.
            if not request.again:
                count = self.tally.shed if status in _SHED else self.tally.failed
                count(size, request.due_s)
            return
        planned = self._plan.refused(number)
        self.tally.refused({found.index for found in answer.rejected}, set() if planned is None else {planned})
        self.tally.took(number, size, request.due_s, self.now_s(), answer.accepted, again=request.again)
