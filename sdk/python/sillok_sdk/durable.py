"""The queue on disk: the same account, but the events wait in a journal instead of memory.

A caller pays for `marshal` and one copy; the text of an event is made by the thread that sends it. One batch at a
time is in memory, so that a million events against a dead collector cost the journal and no more.

Always true, whenever the lock is free: the journal's head is where the first unsettled event begins, and what is
before it was acknowledged, or dropped and noted. So a journal that is found tells the whole account.
"""

from __future__ import annotations

import time
from collections import deque
from marshal import dumps, loads
from typing import TYPE_CHECKING, Any

from sillok_sdk.batch import Batch, Figures
from sillok_sdk.queue import Queue
from sillok_sdk.wire import event_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sillok_sdk.journal import Journal
    from sillok_sdk.settings import Settings

# Understood by every Python that is supported, whichever wrote the journal.
_MARSHAL_VERSION = 4
_NEVER = float("inf")


class DurableQueue(Queue):
    """Holds events in a journal. `is_orphan`: another process made them, and the queue ends when it is empty."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        *,
        is_orphan: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(settings, clock)
        self._journal = journal
        self._append = journal.append
        self._is_orphan = is_orphan
        self._is_held = True
        self._position = journal.head  # where the next batch begins
        self._until = 0  # what is before it is due
        self._due = _NEVER  # when all that waits is due
        self._unread = 0
        self._late: deque[bytes] = deque()
        self._is_busy = False
        if is_orphan:
            self._created, self._dropped = journal.figures()
            for record in journal.read(journal.head):
                self._created = max(self._created, record.seq)
                self._until = record.end
                self._unread += 1
            self._pending = self._unread

    # --- the callers' side

    def put(self, context: bytes, fields: dict[str, Any]) -> bool:
        """Keep the event in the journal before returning, or count it as dropped."""
        try:
            payload = dumps((context, fields), _MARSHAL_VERSION)
        except ValueError:  # something in it is of no type that marshal knows
            payload = dumps((context, event_text(fields)), _MARSHAL_VERSION)
        with self._lock:
            if self._is_busy:  # a signal handler tracks while its own thread is in here
                self._late.append(payload)
                return True
            self._is_busy = True
            try:
                if not self.closing and self._append(self._created + 1, payload):
                    self._kept()
                else:
                    self._not_kept(payload)
                while self._late:
                    self._not_kept(self._late.popleft())
            finally:
                self._is_busy = False
        return True

    def _kept(self) -> None:
        self._created += 1
        self._pending += 1
        self._unread += 1
        if self._due is _NEVER:
            self._due = self._clock() + self._interval
            if self._idle:
                self._wake_up()
        elif self._idle and self._unread >= self._batch_events:
            self._wake_up()

    def _not_kept(self, payload: bytes) -> None:
        """Try once more, as long as it takes if it may; or count the event as dropped."""
        if not self.closing and self._append(self._created + 1, payload):
            self._kept()
            return
        if self._on_full == "block" and not self.closing and self._journal.holds(len(payload)):
            self._cut_all()
            self._is_busy = False  # others may come in meanwhile
            self._settled.wait_for(lambda: self.closing or self._append(self._created + 1, payload))
            self._is_busy = True
            if not self.closing:
                self._kept()
                return
        self._created += 1
        self._pending += 1
        self._drop("closed" if self.closing else "queue_full", 1)
        self._note()

    def abandon(self) -> None:
        """Leave the journal to the parent, in a forked child: without the lock, which one of its threads may hold."""
        self._is_held = False
        self._journal.close()

    def let_go(self) -> None:
        """Let go of the journal; it goes when nothing waits and the collector knows the account."""
        with self._lock:
            if self._is_held:
                self._is_held = False
                figures = self._figures()
                self._journal.close(is_done=not figures.pending and (not figures.created or figures == self._reported))

    # --- the sender's side

    def is_over(self) -> bool:
        """Whether it is closed, or an orphan's and empty."""
        return self.closing or (self._is_orphan and not self._unread)

    def take(self) -> Batch | None:
        """Return the batch that is due, without waiting. The events' texts are made outside the lock."""
        with self._lock:
            now = self._clock()
            if self.closing and now >= self.deadline:
                self._give_up()
            if not self._cut and not self._is_due(now):
                return Batch(b"", now) if self._must_report() else None
            if self._cut:
                self._flying = True
                return self._cut[0]
        batch = self._read(now)
        with self._lock:
            if not batch.events:  # the rest was torn by a power cut
                self._unread = 0
                return None
            self._unread -= len(batch.events)
            self._bytes = batch.bytes
            if not self._unread:
                self._due = _NEVER
            if self._gave_up:  # meanwhile; it stays in the journal
                return self.take()
            self._cut.append(batch)
            self._flying = True
            return batch

    def acknowledge(self, batch: Batch, figures: Figures, rejected: int = 0) -> None:
        """Settle a batch, in the journal too."""
        with self._lock:
            super().acknowledge(batch, figures, rejected)
            self._settle(batch)

    def drop(self, batch: Batch, reason: str, figures: Figures) -> None:
        """Give up on a batch that was refused, in the journal too."""
        with self._lock:
            super().drop(batch, reason, figures)
            self._settle(batch)

    # --- with the lock held

    def _is_due(self, now: float) -> bool:
        """Whether some of what waits in the journal is to go now."""
        if not self._unread or self._gave_up:
            return False
        if now >= self._due or self.closing:
            self._cut_all()
        return self._unread >= self._batch_events or self._position < self._until

    def _next_due(self) -> float | None:
        if self.closing or self._cut or self._is_due(self._clock()):
            return 0.0
        return None if self._due is _NEVER else self._due

    def _must_report(self) -> bool:
        if self._is_orphan and not self.closing:
            return not self._waiting() and bool(self._created) and self._figures() != self._reported
        return super()._must_report()

    def _read(self, now: float) -> Batch:
        """Make the next batch: events of one context, one after the other."""
        batch = Batch(b"", now)
        for record in self._journal.read(self._position):
            context, fields = loads(record.payload)  # noqa: S302  our own, and its checksum was right
            event = b'{"seq":%d,%b' % (record.seq, (fields if isinstance(fields, bytes) else event_text(fields))[1:])
            is_full = len(batch.events) >= self._batch_events or batch.bytes + len(event) > self._batch_bytes
            if batch.events and (is_full or context != batch.context):
                break
            batch.context = context
            batch.events.append(event)
            batch.ends.append(record.end)
            batch.bytes += len(event)
            self._position = record.end
        return batch

    def _cut_all(self) -> None:
        """All that waits now is due."""
        self._until = self._journal.tail
        self._due = _NEVER
        if self._idle:
            self._wake_up()

    def _settle(self, batch: Batch) -> None:
        if self._is_held:
            if batch.ends:
                self._journal.settle(batch.ends[-1], self._created, self._dropped)
            else:
                self._note()

    def _note(self) -> None:
        if self._is_held:
            self._journal.note(self._created, self._dropped)

    def _give_up(self) -> None:
        """Leave what waits to the next process: it stays pending, in the journal."""
        self._gave_up = True
        flying = self._cut.popleft() if self._flying else None
        self._cut.clear()
        if flying is not None:
            self._cut.append(flying)
        self._left_in_doubt = self._pending - (len(flying.events) if flying is not None else 0)
        self._unread = 0
        self._settled.notify_all()
