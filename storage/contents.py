"""What is in a segment, as the loader reads it: batches, rows, dead letters, counts.

The loader counts from the payload itself, afresh at every pass, and never from the writer's footer: the
two counts are held against each other.
"""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
import zstandard
from msgspec import UNSET, Struct

from contract.errors import SpoolFormatError
from contract.event import ClientReport, StoredBatch, StoredEvent, decode_stored_batch
from contract.outcome import DeadLetterReason, Outcome
from storage.rows import received_at, rows_of
from storage.spool.erase import without
from storage.spool.frame import Frame, FrameMeta, decode_meta, decode_named
from storage.spool.reader import Group, Segment
from storage.spool.segment import Footer, TallyRow
from storage.spool.tally import Tally, minute_of

_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_INTACT: Final = "the frame's bytes are intact but cannot be decoded by this version"


class _RawBatch(Struct):
    events: list[msgspec.Raw]


_decode_raws: Final = msgspec.json.Decoder(_RawBatch).decode


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
        self.erased: set[tuple[str, UUID]] = set()
        """Source and id of events that bear a tombstone: they are loaded blank."""
        self.reset()

    def names(self) -> Iterator[tuple[str, UUID]]:
        """Yield source and id of every event that can be decoded, and nothing more of it."""
        for group in self.segment.groups:
            for frame in self._frames(group):
                try:
                    meta, named = decode_meta(frame.meta), decode_named(frame.body)
                except _UNDECODABLE:
                    continue
                yield from ((meta.source, event.event_id) for event in named.events)

    def reset(self) -> None:
        """Forget what the last pass found."""
        self.tally = Tally()
        self.dead: list[DeadLetter] = []
        self.rejected: list[tuple[Any, ...]] = []
        self.clients: dict[tuple[str, str], tuple[ClientReport, int]] = {}
        self.rows = 0

    def batches(self, load_id: int) -> Iterator[tuple[int, FrameMeta, StoredBatch]]:
        """Yield every batch that can be decoded; what cannot becomes dead letters, as many as the header says."""
        for group in self.segment.groups:
            left = group.header.accepted
            for frame in self._frames(group):
                try:
                    meta, batch = decode_meta(frame.meta), decode_stored_batch(frame.body)
                except _UNDECODABLE as error:
                    left -= self._unreadable(frame, load_id, error)
                    continue
                left -= len(batch.events)
                yield frame.received_at_us, meta, batch
            if left < 0:
                raise SpoolFormatError(
                    "a group holds more events than its header says: Sillok's writer did not write it"
                )
            letter = DeadLetter(group.header.until_us, "", "", None, DeadLetterReason.FRAME_UNREADABLE, _INTACT, None)
            self.dead.extend([letter] * left)

    def _frames(self, group: Group) -> list[Frame]:
        try:
            return list(self.segment.frames(group))
        except (ValueError, zstandard.ZstdError):
            return []

    def _unreadable(self, frame: Frame, load_id: int, error: Exception) -> int:
        """Dead-letter a frame's events under their own names, when at least these can be read; return how many."""
        try:
            meta, raws = decode_meta(frame.meta), _decode_raws(frame.body).events
            named = decode_named(frame.body).events
        except _UNDECODABLE:
            return 0
        self._note_rejects(frame.received_at_us, load_id, meta, None)
        detail = f"{type(error).__name__}: {_INTACT}"
        self.dead += [
            DeadLetter(
                frame.received_at_us,
                meta.source,
                event.event_type,
                event.event_id,
                DeadLetterReason.FRAME_UNREADABLE,
                detail,
                bytes(raw).decode(errors="replace"),
            )
            for event, raw in zip(named, raws, strict=True)
        ]
        self.tally.add_events(minute_of(frame.received_at_us), meta.source, Outcome.DEAD_LETTERED, named)
        return len(named)

    def rows_to_copy(self, load_id: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, counting as they go; rows PostgreSQL refused before become dead letters."""
        self.reset()
        for received_at_us, meta, batch in self._remaining(load_id):
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

    def _remaining(self, load_id: int) -> Iterator[tuple[int, FrameMeta, StoredBatch]]:
        """Yield the batches, with what was erased blank."""
        for received_at_us, meta, batch in self.batches(load_id):
            yield received_at_us, *(without(meta, batch, self.erased) if self.erased else (meta, batch))

    def _refuse(self, received_at_us: int, source: str, event: StoredEvent, detail: str) -> None:
        reason = DeadLetterReason.ROW_REFUSED
        body = msgspec.json.encode(event).decode()
        letter = DeadLetter(received_at_us, source, event.event_type, event.event_id, reason, detail, body)
        self.dead.append(letter)
        self.tally.add_events(minute_of(received_at_us), source, Outcome.DEAD_LETTERED, [event])

    def _note(self, received_at_us: int, load_id: int, meta: FrameMeta, batch: StoredBatch) -> None:
        client_id = None if batch.context is UNSET else batch.context.client_id
        self._note_rejects(received_at_us, load_id, meta, client_id)
        for report in batch.clients:
            key = (meta.source, report.id)
            known = self.clients.get(key)
            if known is None or _progress(report) > _progress(known[0]):
                self.clients[key] = (report, received_at_us)

    def _note_rejects(self, received_at_us: int, load_id: int, meta: FrameMeta, client_id: str | None) -> None:
        received = received_at(received_at_us)
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
        if row.outcome == Outcome.DAMAGED:
            # Recovery's own finding.
            missing.append(row)
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
