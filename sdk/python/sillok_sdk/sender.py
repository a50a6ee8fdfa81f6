"""The one loop that sends: take a batch, try it, do what the answer asks.

No answer is not a refusal: the same events go again, under the same ids. Events leave the queue only when
a 200 with the collector's receipt answered them, when they were refused alone (400, 413), or at the deadline of
`close()`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from sillok_sdk.trouble import Troubles
from sillok_sdk.wire import Envelope, Order, in_doubt, order, read_answer, rejections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sillok_sdk.batch import Batch, Figures
    from sillok_sdk.queue import Queue
    from sillok_sdk.settings import Settings
    from sillok_sdk.transport import Answer, Transport

_GZIP = 16 + 15  # zlib's way of asking for the largest window and for gzip's header
_GZIP_LEVEL = 3  # 50 events of 400 bytes: 0.06 ms for 6.2 to 1; level 6 takes 0.15 ms for 7.1 to 1
_RETRY_AFTER_S_MAX = 300.0  # a wrong header must not silence a client for a day
_DOUBLINGS_MAX = 16


def _fraction() -> float:
    """Return a random number from 0 to 1; importing `random` would cost 5 ms, and a fork repeats it."""
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _gzip(body: bytes) -> bytes:
    import zlib  # noqa: PLC0415  importing the package stays cheap

    squeeze = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return squeeze.compress(body) + squeeze.flush()


class Pause(NamedTuple):
    """What follows a try: seconds to wait; a firm pause was asked for by the collector."""

    seconds: float = 0.0
    firm: bool = False


class Sender:
    """Sends one queue through one transport."""

    def __init__(
        self,
        queue: Queue,
        envelope: Envelope,
        transport: Transport,
        headers: Mapping[str, str],
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = _fraction,
    ) -> None:
        self._queue = queue
        self._envelope = envelope
        self._transport = transport
        self._headers = headers
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._troubles = Troubles(debug=settings.debug)
        self._failures = 0
        self._gzip_bytes_min = settings.gzip_bytes_min

    def run(self) -> None:
        """Send until the queue is closed and has nothing left to say."""
        while (batch := self._queue.next()) is not None:
            pause = self.attempt(batch)
            if pause.seconds > 0:
                self._queue.pause(pause.seconds, firm=pause.firm)

    def attempt(self, batch: Batch) -> Pause:
        """Send the batch once and settle, split or keep it."""
        figures, body, headers = self.prepared(batch)
        try:
            answer = self._transport.send(body, headers, self.timeout_s())
        except Exception as error:  # noqa: BLE001  whatever went wrong, it was not an answer
            return self.unanswered(batch, error)
        return self.obey(batch, figures, answer)

    def prepared(self, batch: Batch) -> tuple[Figures, bytes, dict[str, str]]:
        """Return the body and its headers, and the figures that it tells."""
        figures = self._queue.figures()
        if "queue_full" in figures.dropped:
            self._troubles.tell("queue_full", "events were dropped for want of room; see on_full= and folder=")
        body = self._envelope.body(batch, figures, time.time_ns() // 1_000_000)
        headers = dict(self._headers)
        if self._gzip_bytes_min is not None and len(body) >= self._gzip_bytes_min:
            body = _gzip(body)
            headers["Content-Encoding"] = "gzip"
        return figures, body, headers

    def unanswered(self, batch: Batch, error: BaseException) -> Pause:
        """Keep a batch of which nobody said what became of it."""
        self._queue.keep(batch, in_doubt=True)
        return self._back_off("no_answer", f"{type(error).__name__}; events wait and are sent again")

    def obey(self, batch: Batch, figures: Figures, answer: Answer) -> Pause:
        """Do what the answer asks."""
        status, retry_after_s, text = answer
        told = read_answer(text)
        asked = order(status, text, told)
        if asked is Order.DONE:
            rejected = rejections(told)[: len(batch.events)]
            self._queue.acknowledge(batch, figures, len(rejected))
            self._failures = 0
            self._troubles.say("sent", f"{len(batch.events)} events, acknowledged but for {len(rejected)}")
            for code, field in rejected:
                self._troubles.tell("rejected", f"the collector does not accept an event: {code} ({field})", code)
            return Pause()
        if asked is Order.SPLIT:
            self._failures = 0
            self._divide(batch, figures, status)
            return Pause()
        self._queue.keep(batch, in_doubt=in_doubt(status, asked))
        if asked is Order.PLAIN and self._gzip_bytes_min is not None:
            self._gzip_bytes_min = None
            return Pause()
        if asked is Order.HOLD:
            self._failures = 0
            whose = "check the write key" if told or not text else "not the collector's answer (a portal on the way?)"
            self._troubles.tell("refused", f"status {status}: {whose}; events wait in the queue")
            return Pause(self._settings.refused_retry_ms / 1000)
        if asked is Order.WAIT and retry_after_s is not None:
            self._failures = 0
            self._troubles.tell("told_to_wait", f"status {status}; events wait in the queue")
            return Pause(min(retry_after_s, _RETRY_AFTER_S_MAX), firm=True)
        who = " of somebody who is not the collector (a portal or proxy on the way?)" if status in (200, 400) else ""
        return self._back_off("not_ours" if who else "failed", f"status {status}{who}; events wait and are sent again")

    def _divide(self, batch: Batch, figures: Figures, status: int) -> None:
        """Split a refused batch; what is refused alone is dropped and counted."""
        if len(batch.events) > 1:
            self._queue.split(batch)
            return
        reason = "too_large" if status == 413 else "invalid"  # noqa: PLR2004  see wire.py
        self._queue.drop(batch, reason, figures)
        what = "an event was dropped" if batch.events else "a report was refused"
        self._troubles.tell(reason, f"status {status} for a batch that cannot be split: {what}")

    def _back_off(self, kind: str, message: str) -> Pause:
        """Full jitter: a random pause below a ceiling that doubles, so that clients do not return as one."""
        self._troubles.tell(kind, message)
        first, longest = self._settings.retry_first_ms / 1000, self._settings.retry_max_ms / 1000
        ceiling = min(longest, first * 2 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        # At close the remaining time is short: better several quick tries than one long pause.
        return Pause(self._jitter() * (first if self._queue.closing else ceiling))

    def timeout_s(self) -> float:
        """Return how long the next request may take."""
        timeout_s = self._settings.timeout_ms / 1000
        if self._queue.closing:
            left_s = self._queue.deadline - self._clock()
            return max(0.05, min(timeout_s, left_s))
        return timeout_s
