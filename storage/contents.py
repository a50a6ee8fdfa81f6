"""What is in a segment, as the loader reads it: batches, rows, dead letters, counts.

The loader counts from the payload itself, afresh at every pass, and never from the writer's footer: the
two counts are held against each other.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import zstandard
from msgspec import UNSET, Struct

from contract.event import ClientReport, StoredBatch, StoredEvent, decode_stored_batch
from contract.outcome import DeadLetterReason, Outcome
from storage.rows import received_at, rows_of
from storage.spool.frame import Frame, FrameMeta, decode_meta
from storage.spool.reader import Segment
from storage.spool.segment import Footer, TallyRow
from storage.spool.tally import Tally, minute_of


class DeadLetter(Struct, frozen=True):
    """One event that cannot be loaded."""

    received_at_us: int
    source: str
    event_type: str
    event_id: Any
    reason: str
    detail: str
    body: str | None


class Contents:
    """What the loader read from one segment: the payload itself, counted afresh at every pass."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.refused: dict[Any, str] = {}
        """Row number within the segment → PostgreSQL's reason, from bisection."""
        self.reset()

    def reset(self) -> None:
        """Forget what the last pass found."""
        self.tally = Tally()
        self.dead: list[DeadLetter] = []
        self.rejected: list[tuple[Any, ...]] = []
        self.clients: dict[tuple[str, str], tuple[ClientReport, int]] = {}
        self.rows = 0

    def batches(self) -> Iterator[tuple[int, FrameMeta, StoredBatch]]:
        """Yield every batch that can be decoded; what cannot becomes dead letters."""
        for group in self.segment.groups:
            try:
                frames = list(self.segment.frames(group))
            except (ValueError, zstandard.ZstdError) as error:
                self._unreadable(group.header.until_us, "", group.header.accepted, error)
                continue
            for frame in frames:
                yield from self._batch(frame)

    def _batch(self, frame: Frame) -> Iterator[tuple[int, FrameMeta, StoredBatch]]:
        meta: FrameMeta | None = None
        try:
            meta = decode_meta(frame.meta)
            batch = decode_stored_batch(frame.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            source, accepted = (meta.source, meta.accepted) if meta else ("", 0)
            self._unreadable(frame.received_at_us, source, accepted, error)
            return
        yield frame.received_at_us, meta, batch

    def _unreadable(self, received_at_us: int, source: str, events: int, error: Exception) -> None:
        detail = f"{type(error).__name__}: the frame's bytes are intact but cannot be decoded by this version"
        letter = DeadLetter(received_at_us, source, "", None, DeadLetterReason.FRAME_UNREADABLE, detail, None)
        self.dead.extend([letter] * events)

    def rows_to_copy(self, load_id: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, counting as they go; rows PostgreSQL refused before become dead letters."""
        self.reset()
        for received_at_us, meta, batch in self.batches():
            self._note(received_at_us, load_id, meta, batch)
            numbered = list(enumerate(batch.events, self.rows))
            self.rows += len(numbered)
            if self.refused:
                for number, event in numbered:
                    if number in self.refused:
                        self._refuse(received_at_us, meta.source, event, self.refused[number])
                batch.events = [event for number, event in numbered if number not in self.refused]
            self.tally.add_events(minute_of(received_at_us), meta.source, Outcome.LOADED, batch.events)
            yield from rows_of(load_id, received_at_us, meta, batch)

    def _refuse(self, received_at_us: int, source: str, event: StoredEvent, detail: str) -> None:
        reason = DeadLetterReason.ROW_REFUSED
        body = msgspec.json.encode(event).decode()
        letter = DeadLetter(received_at_us, source, event.event_type, event.event_id, reason, detail, body)
        self.dead.append(letter)
        self.tally.add_events(minute_of(received_at_us), source, Outcome.DEAD_LETTERED, [event])

    def _note(self, received_at_us: int, load_id: int, meta: FrameMeta, batch: StoredBatch) -> None:
        received = received_at(received_at_us)
        client_id = None if batch.context is UNSET else batch.context.client_id
        for r in meta.rejects:
            self.rejected.append(
                (
                    load_id,
                    received,
                    meta.source,
                    meta.is_test,
                    client_id,
                    r.event_id,
                    r.code,
                    r.field,
                    r.message,
                    r.body,
                )
            )
        for report in batch.clients:
            key = (meta.source, report.id)
            known = self.clients.get(key)
            if known is None or _progress(report) > _progress(known[0]):
                self.clients[key] = (report, received_at_us)


def _progress(report: ClientReport) -> tuple[int, int, int]:
    """Order an instance's cumulative reports: later ones made more, dropped more, or wait for less."""
    return report.created, sum(report.dropped.values()), -report.pending


def missing(footer: Footer, contents: Contents) -> list[TallyRow]:
    """Return, cell by cell, what the footer promised and the payload no longer holds."""
    found: dict[tuple[int, str, str], tuple[int, int]] = {}
    for row in contents.tally.rows():
        events, total = found.get((row.minute, row.source, row.event_type), (0, 0))
        found[row.minute, row.source, row.event_type] = (events + row.events, total + row.hash_sum)
    undecoded = len([letter for letter in contents.dead if letter.event_id is None])
    missing: list[TallyRow] = []
    for row in footer.tally:
        if row.outcome != Outcome.ACCEPTED:
            continue
        events, total = found.get((row.minute, row.source, row.event_type), (0, 0))
        if events != row.events:
            outcome = Outcome.DEAD_LETTERED if undecoded else Outcome.DAMAGED
            missing.append(
                TallyRow(row.minute, row.source, row.event_type, outcome, row.events - events,
                         (row.hash_sum - total) % 2**64)
            )  # fmt: skip
    return missing
