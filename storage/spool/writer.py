"""The one thread of a slot that writes: group commit, sealing, and an honest answer when the disk fails.

While one `fdatasync` runs, the next group collects. Each turn takes all that waits, writes it as one
group, syncs once, and wakes every waiting request. No timer delays anybody.

Always true:

- `on_durable` is called with no error only after the sync that covers the frames returned.
- After a failed write or sync the whole group is told so, that descriptor is closed and never synced
  again, and the file is left to recovery. (Linux marks failed pages clean: a second sync would lie.)
- `received_at` is stamped under the same lock that hands frames over, so it never falls along the log.
"""

import errno
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from contract.errors import SpoolUnavailable
from storage.spool.active import ActiveSegment, Pending
from storage.spool.clock import Clock, OsClock, ReceivedClock
from storage.spool.folder import SlotFolder
from storage.spool.quota import Quota
from storage.spool.recovery import Findings, recover_slot
from storage.spool.segment import SegmentHeader
from storage.spool.settings import SpoolSettings

log: Final = structlog.get_logger()

# One group stays well below what a reader accepts, and its sync near 7 ms.
_GROUP_BYTES_MAX: Final = 8 * 1024 * 1024
# What passes by itself, and what those who are refused meanwhile are told.
_PASSING: Final = {
    errno.ENOSPC: "the spool's disk is full",
    errno.EDQUOT: "the spool's disk is full",
    errno.EMFILE: "the server is out of file descriptors",
    errno.ENFILE: "the machine is out of file descriptors",
}
_RETRY_SECONDS: Final = 1.0


OnDurable = Callable[[list[Pending], BaseException | None], None]
OnRecovered = Callable[[Findings], None]


class SpoolWriter:
    """Appends batches to one slot. Thread-safe; `submit` never blocks on the disk."""

    def __init__(
        self,
        folder: SlotFolder,
        settings: SpoolSettings,
        on_durable: OnDurable,
        clock: Clock | None = None,
        on_recovered: OnRecovered | None = None,
    ) -> None:
        """`on_durable(batches, error)` is called on the writer's thread, once per group; so is `on_recovered`."""
        self._folder = folder
        self._files = folder.files
        self._settings = settings
        self._quota = Quota(folder, settings.bytes_max)
        self._on_durable = on_durable
        self._on_recovered = on_recovered
        self._clock = clock or OsClock()
        self._received = ReceivedClock(self._clock)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._queue: list[Pending] = []
        self._queue_bytes = 0
        self._closing = False
        self._segment: ActiveSegment | None = None
        self._unavailable: str | None = None
        self._disk_checked_us = 0
        self._last_number = folder.last_segment()
        self.failure: Exception | None = None
        """Set when the disk failed in a way that only a fresh process may judge again."""
        self._thread = threading.Thread(target=self._run, name=f"spool-{folder.slot}", daemon=True)

    def start(self) -> None:
        """Open the first segment and start the thread; raise OSError when the disk refuses."""
        self._open_segment(step_us=0)
        self._check_disk()
        self._thread.start()

    def submit(self, pending: Pending) -> None:
        """Queue a batch; raise SpoolUnavailable when it cannot be taken now."""
        size = len(pending.body)
        with self._lock:
            if self._closing:
                raise SpoolUnavailable("the server is stopping")
            if self._unavailable:
                raise SpoolUnavailable(self._unavailable)
            if self._queue_bytes + size > self._settings.queue_bytes_max:
                raise SpoolUnavailable("the disk is slower than the requests")
            pending.received_at_us = self._received.now_us()
            first = not self._queue
            self._queue.append(pending)
            self._queue_bytes += size
        if first:  # the thread takes all that waits: who comes after the first need not wake it again
            self._wake.set()

    def close(self) -> None:
        """Write what waits, seal the segment as final, and end the thread."""
        with self._lock:
            self._closing = True
        self._wake.set()
        self._thread.join()

    @property
    def unavailable(self) -> str | None:
        """Why batches are refused now, or None."""
        return self._unavailable

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for the disk."""
        return self._queue_bytes

    # The thread

    def _run(self) -> None:
        while True:
            self._wake.wait(self._idle_seconds())
            self._wake.clear()
            with self._lock:
                batches, self._queue = self._queue, []
                self._queue_bytes = 0
                until_us = self._received.now_us()
                closing = self._closing
            if self._segment is None and not closing:
                self._attempt(self._reopen)
            for group in _split(batches):
                self._commit(group, until_us)
            self._attempt(partial(self._housekeep, until_us, closing=closing))
            if closing:
                return

    def _attempt(self, step: Callable[[], None]) -> bool:
        """Do one step; when it fails, give the segment up and answer everybody who waits."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - a bug must not leave requests without an answer either
            self._fail(error)
            return False
        return True

    def _housekeep(self, until_us: int, *, closing: bool) -> None:
        self._check_disk()
        if closing:
            self._seal(until_us, final=True)
            return
        if self._segment is None:
            return
        step_us = self._take_step_us()
        if step_us or self._is_due():
            self._seal(until_us)
            self._open_segment(step_us)

    def _take_step_us(self) -> int:
        with self._lock:
            # A batch stamped before the step belongs before it; the next turn finds the step again.
            return 0 if self._queue else self._received.take_step_us()

    def _idle_seconds(self) -> float:
        return min(self._settings.segment_age_ms / 4000, 0.25)

    def _is_due(self) -> bool:
        segment = self._segment
        if segment is None:
            return False
        now_us = self._clock.monotonic_us()
        if segment.first_write_us is None:
            return now_us - segment.opened_us >= self._settings.heartbeat_ms * 1000
        return (
            segment.bytes >= self._settings.segment_bytes_max
            or now_us - segment.first_write_us >= self._settings.segment_age_ms * 1000
        )

    def _commit(self, group: list[Pending], until_us: int) -> None:
        """Write and sync one group, then answer; a failure is everybody's."""
        segment = self._segment
        if segment is None or not self._attempt(partial(segment.append, group, until_us)):
            self._on_durable(group, SpoolUnavailable(self._unavailable))
        else:
            self._on_durable(group, None)

    def _open_segment(self, step_us: int) -> None:
        self._last_number += 1
        with self._lock:  # the clock's last answer is shared with `submit`
            opened_at_us = self._received.now_us()
        header = SegmentHeader(self._folder.spool_id, self._folder.slot, self._last_number, opened_at_us, step_us)
        self._segment = ActiveSegment.create(self._folder, header, self._clock)

    def _seal(self, until_us: int, *, final: bool = False) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        footer = segment.seal(until_us, final=final)
        self._quota.grew(segment.bytes)
        if footer.groups or final:
            log.info(
                "segment_sealed",
                slot=self._folder.slot,
                segment=segment.header.segment,
                accepted=footer.accepted,
                rejected=footer.rejected,
                bytes=segment.bytes,
                groups=footer.groups,
                final=final,
            )

    # When the disk is full or fails

    def _check_disk(self) -> None:
        now_us = self._clock.monotonic_us()
        if now_us - self._disk_checked_us < _RETRY_SECONDS * 1_000_000 or self._segment is None:
            return
        self._disk_checked_us = now_us
        self._unavailable = self._make_space()

    def _make_space(self) -> str | None:
        """Return what there is too little of, or None, after loaded segments gave way."""
        if self._shortage():
            self._folder.drop_archived(keep=self._may_stay)
        return self._shortage()

    def _shortage(self) -> str | None:
        if not self._disk_has_room():
            return "the spool's disk is almost full"
        return None if self._quota.has_room(self._open_bytes()) else "the spool's quota is used up"

    def _may_stay(self, archived: Path) -> bool:
        return self._disk_has_room() and self._quota.may_stay(archived, self._open_bytes())

    def _disk_has_room(self) -> bool:
        return self._files.free_bytes(self._folder.path) >= self._settings.free_bytes_min

    def _open_bytes(self) -> int:
        return self._segment.bytes if self._segment else 0

    def _fail(self, error: Exception) -> None:
        """Give the file up without touching it again; what passes may heal, anything else may not."""
        passing = _PASSING.get(error.errno or 0) if isinstance(error, OSError) else None
        reason = passing or "the spool's disk failed"
        if reason != self._unavailable:  # it is tried again four times a second, and said once
            log.error("spool_failed", slot=self._folder.slot, error=repr(error), reason=reason)
        with self._lock:
            batches, self._queue = self._queue, []
            self._queue_bytes = 0
            self._unavailable = reason
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.abandon()
        if passing is None:
            self.failure = error
        self._on_durable(batches, SpoolUnavailable(self._unavailable))

    def _reopen(self) -> None:
        """Once what was missing is there again: recover what was left open, then start a new segment."""
        if self.failure is not None or self._make_space():
            return
        findings = recover_slot(self._folder, self._clock.wall_us())
        if self._on_recovered is not None:
            self._on_recovered(findings)
        # A number whose file could not be made is given to the next: the watermark would wait for it for ever.
        self._last_number = self._folder.last_segment()
        self._open_segment(step_us=0)
        self._unavailable = None
        log.info("spool_resumed", slot=self._folder.slot)


def _split(batches: list[Pending]) -> list[list[Pending]]:
    """Cut what waits into groups of at most `_GROUP_BYTES_MAX`, in order."""
    groups: list[list[Pending]] = []
    size = _GROUP_BYTES_MAX
    for pending in batches:
        if size + len(pending.body) > _GROUP_BYTES_MAX:
            groups.append([])
            size = 0
        groups[-1].append(pending)
        size += len(pending.body)
    return groups
