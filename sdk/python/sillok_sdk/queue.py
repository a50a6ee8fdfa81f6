"""The events that wait, and the figures of their account: one lock for both.

An event is added to the *open* batch of its context. A batch is *cut* when it is full, when it is
`flush_interval` old, or when somebody flushes; only cut batches are sent, the earliest due first.
A replay with thousands of contexts thus gets one growing batch for each, and events of one context
are never reordered.

Always true, whenever the lock is free:

- created = pending + acknowledged + dropped, and seq runs 1, 2, 3 … created.
- A batch that has been tried stays first until it is acknowledged, split, dropped or given up.
- What was cut is settled before anything that was cut later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from sillok_sdk.batch import Batch, Figures
from sillok_sdk.wire import event_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sillok_sdk.settings import Settings

# What the seq adds to an event's text.
_SEQ_BYTES_MAX = 32


class Queue:
    """Holds events between the callers and the one sender."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch_events = settings.batch_events
        self._batch_bytes = settings.batch_bytes
        self._events_max = settings.queue_events_max
        self._bytes_max = settings.queue_bytes_max
        self._interval = settings.flush_interval_ms / 1000
        self._on_full = settings.on_full
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler may track while the main thread does
        self._wake = threading.Condition(self._lock)  # the sender waits on it
        self._settled = threading.Condition(self._lock)  # those who flush wait on it

        self._open: dict[bytes, Batch] = {}  # by context, the oldest first
        self._cut: deque[Batch] = deque()
        self._bytes = 0
        self._created = 0
        self._pending = 0
        self._left_in_doubt = 0  # of those pending: given up, but the collector may have them
        self._dropped: dict[str, int] = {}
        self._reported = Figures(0, 0, {})  # what a 200 last answered

        self._idle = False  # the sender waits for events, not for a pause to end
        self._listener: Callable[[], object] | None = None  # instead of a thread that waits
        self._flying = False  # the first cut batch is with the transport
        self.closing = False
        self.deadline = 0.0  # when the sender gives up; meaningful while closing
        self._gave_up = False
        self._last_report_tried = False

    # --- the callers' side

    def put(self, context: bytes, fields: dict[str, Any]) -> bool:
        """Keep the event, or count it as dropped; `False`, uncounted, when it is to go elsewhere (`spill`)."""
        return self.add(context, event_text(fields)[1:])

    def add(self, context: bytes, members: bytes) -> bool:
        """Give the event its seq and keep it: the same, of an encoded event without its brace."""
        with self._lock:
            if self._on_full != "drop_new" and not self.closing and self._is_full(len(members)):
                if self._on_full == "spill":
                    return False
                self._settled.wait_for(lambda: self.closing or not self._is_full(len(members)))
            self._created = seq = self._created + 1
            self._pending += 1
            if self.closing:
                self._drop("closed", 1)
                return True
            event = b'{"seq":%d,%b' % (seq, members)
            size = len(event)
            if self._pending > self._events_max or self._bytes + size > self._bytes_max:
                self._drop("queue_full", 1)
                return True
            self._bytes += size
            batch = self._open.get(context)
            if batch is not None and batch.bytes + size > self._batch_bytes:
                self._cut_batch(batch)
                batch = None
            if batch is None:
                batch = self._open[context] = Batch(context, self._clock() + self._interval)
                if self._idle and len(self._open) == 1:
                    self._wake_up()  # the sender knew of nothing to wait for
            batch.events.append(event)
            batch.bytes += size
            if len(batch.events) >= self._batch_events or batch.bytes >= self._batch_bytes:
                self._cut_batch(batch)
            return True

    def flush(self, timeout_s: float | None) -> bool:
        """Cut everything and wait until it is settled; `False` if that took too long."""
        with self._lock:
            self._cut_all()
            target = self._let_in()
            return self._settled.wait_for(lambda: self._let_in() - self._waiting() >= target, timeout_s)

    def close(self, deadline: float) -> None:
        """Take no more events; have the sender work without waiting for company, until the deadline."""
        with self._lock:
            self.closing = True
            self.deadline = deadline
            self._last_report_tried = False
            self._cut_all()
            self._wake_up()
            self._settled.notify_all()  # whoever waits for room need not

    def let_go(self) -> None:
        """Let go of what holds more than memory, at the end."""

    def abandon(self) -> None:
        """Leave it to the parent, in a forked child."""

    def give_up(self) -> None:
        """Drop what waits, but for a batch that is with the transport: its answer decides."""
        with self._lock:
            self._give_up()

    def figures(self) -> Figures:
        """Return the account as it stands."""
        with self._lock:
            return self._figures()

    # --- the sender's side

    def listen(self, listener: Callable[[], object]) -> None:
        """Have this called, from any thread, when a sender that waits should look again."""
        self._listener = listener

    def next(self) -> Batch | None:
        """Wait for a batch that is due; `None` when nothing is left to say, and nothing will be."""
        while True:
            batch = self.take()
            if batch is not None or self.is_over():
                return batch
            with self._lock:
                left = self.rest()
                if left is None or left > 0:
                    self._wake.wait(left)
                self._idle = False

    def is_over(self) -> bool:
        """Whether a sender that has nothing to send may go."""
        return self.closing

    def rest(self) -> float | None:
        """Be woken by what comes; return the seconds until something is due, `None` for nobody knows when."""
        with self._lock:
            due = self._next_due()
            self._idle = True
            return None if due is None else max(0.0, due - self._clock())

    def take(self) -> Batch | None:
        """Return the batch that is due, without waiting."""
        with self._lock:
            return self._take()

    def pause(self, seconds: float, *, firm: bool) -> None:
        """Wait. Closing ends a pause that is not firm, and gives up if the pause would outlast it."""
        with self._lock:
            was_closing = self.closing
            end = self._clock() + seconds
            while (left := self.left_of_pause(end, firm=firm or was_closing)) > 0:
                self._wake.wait(left)

    def left_of_pause(self, end: float, *, firm: bool) -> float:
        """Return for how many seconds to go on waiting."""
        with self._lock:
            if self.closing and not firm:
                return 0.0
            if self.closing and end > self.deadline:
                self._give_up()
                return 0.0
            return max(0.0, end - self._clock())

    def acknowledge(self, batch: Batch, figures: Figures, rejected: int = 0) -> None:
        """Settle a batch, and the figures sent with it: the collector has them, but for so many it rejected."""
        with self._lock:
            self._flying = False
            self._reported = figures
            if batch.events:
                self._remove(batch)
                self._pending -= len(batch.events) - rejected
                if rejected:
                    self._drop("rejected", rejected)
                self._settled.notify_all()

    def split(self, batch: Batch) -> None:
        """Put the two halves in the place of the batch."""
        with self._lock:
            self._remove(batch)
            for half in reversed(batch.halves()):
                self._cut.appendleft(half)
            self._bytes += batch.bytes
            self._end_try()

    def drop(self, batch: Batch, reason: str, figures: Figures) -> None:
        """Give up on a batch that was refused; a refused report is not repeated until it changes."""
        with self._lock:
            if batch.events:
                self._remove(batch)
                self._drop(reason, len(batch.events))
            else:
                self._reported = figures
            self._flying = False

    def keep(self, batch: Batch, *, in_doubt: bool) -> None:
        """Leave the tried batch in its place: it was refused for now, or nobody said what became of it."""
        with self._lock:
            batch.in_doubt |= in_doubt
            self._end_try()

    # --- with the lock held

    def _take(self) -> Batch | None:
        now = self._clock()
        if self.closing and now >= self.deadline:
            self._give_up()
        # Whoever was due first goes first. So nothing overtakes a batch that was tried: had an open one been
        # due before it, that one would have been taken, and those opened since are due later.
        oldest = next(iter(self._open.values()), None)
        if oldest is not None and oldest.due <= now and not (self._cut and self._cut[0].due < oldest.due):
            self._cut.appendleft(self._open.pop(oldest.context))
        if self._cut:
            self._flying = True
            return self._cut[0]
        return Batch(b"", now) if self._must_report() else None

    def _must_report(self) -> bool:
        """Whether nothing waits, yet the collector does not know the figures.

        While running, a `pending` that has since arrived needs no request of its own: the collector can
        count what arrived. A drop does, because nothing else may follow it.
        """
        figures = self._figures()
        if self._waiting():
            return False
        if not self.closing:
            return (figures.created, figures.dropped) != (self._reported.created, self._reported.dropped)
        if self._gave_up and self._last_report_tried:
            return False
        self._last_report_tried = self._gave_up
        return figures != self._reported

    def _is_full(self, size: int) -> bool:
        """Whether an event of this size has to wait. One that never fits has not."""
        size += _SEQ_BYTES_MAX
        is_full = self._pending >= self._events_max or self._bytes + size > self._bytes_max
        return is_full and size <= self._bytes_max

    def _cut_batch(self, batch: Batch) -> None:
        del self._open[batch.context]
        batch.due = self._clock()
        self._cut.append(batch)
        if self._idle:
            self._wake_up()

    def _wake_up(self) -> None:
        """Wake the sender, once: it takes milliseconds to get the interpreter from a busy caller."""
        self._idle = False
        self._wake.notify()
        if self._listener is not None:
            self._listener()

    def _next_due(self) -> float | None:
        """When something will be due; now, when something is."""
        if self.closing or self._cut:
            return 0.0
        return next((batch.due for batch in self._open.values()), None)

    def _cut_all(self) -> None:
        for batch in list(self._open.values()):
            self._cut_batch(batch)

    def _remove(self, batch: Batch) -> None:
        assert self._cut[0] is batch  # noqa: S101  a tried batch stays first
        self._cut.popleft()
        self._bytes -= batch.bytes

    def _end_try(self) -> None:
        self._flying = False
        if self._gave_up:
            self._give_up()

    def _give_up(self) -> None:
        """Count what waits as dropped.

        Events in doubt are not: were they dropped here and arrived there, the account would exceed what was
        created. They stay pending, and the collector, which knows what arrived, settles them.
        """
        self._gave_up = True
        flying = self._cut.popleft() if self._flying else None
        given_up = [*self._cut, *self._open.values()]
        self._cut.clear()
        self._open.clear()
        self._bytes = 0
        if flying is not None:
            self._cut.append(flying)
            self._bytes = flying.bytes
        self._left_in_doubt += sum(len(batch.events) for batch in given_up if batch.in_doubt)
        if dropped := sum(len(batch.events) for batch in given_up if not batch.in_doubt):
            self._drop("closed", dropped)
        self._settled.notify_all()

    def _drop(self, reason: str, count: int) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + count
        self._pending -= count
        self._settled.notify_all()

    def _figures(self) -> Figures:
        return Figures(self._created, self._pending, dict(self._dropped))

    def _waiting(self) -> int:
        return self._pending - self._left_in_doubt

    def _let_in(self) -> int:
        return self._created - self._dropped.get("queue_full", 0)
