"""Counting by minute, source, event type and outcome, with sums of id hashes modulo 2^64."""

from collections.abc import Iterable

from contract.event import Event
from contract.fingerprint import HASH_MODULUS, id_hash
from contract.outcome import Outcome
from storage.spool.frame import FrameMeta, NamedEvent
from storage.spool.segment import TallyRow

_MINUTE_US = 60_000_000

Key = tuple[int, str, str, str]


def minute_of(received_at_us: int) -> int:
    """Return the start of the minute, in seconds since the epoch."""
    return received_at_us // _MINUTE_US * 60


class Tally:
    """A running count; each stage of the pipeline keeps one of its own."""

    def __init__(self) -> None:
        self._cells: dict[Key, list[int]] = {}

    def add(self, minute: int, source: str, event_type: str, outcome: str, events: int, hash_sum: int = 0) -> None:
        """Add `events` events whose id hashes sum to `hash_sum`."""
        cell = self._cells.get((minute, source, event_type, outcome))
        if cell is None:
            self._cells[minute, source, event_type, outcome] = [events, hash_sum % HASH_MODULUS]
        else:
            cell[0] += events
            cell[1] = (cell[1] + hash_sum) % HASH_MODULUS

    def add_events(
        self, minute: int, source: str, outcome: str, events: Iterable[Event | NamedEvent]
    ) -> tuple[int, int]:
        """Add each event under its own type; return how many there were and their hash sum."""
        cells: dict[str, list[int]] = {}
        for event in events:
            cell = cells.get(event.event_type)
            if cell is None:
                cell = cells[event.event_type] = [0, 0]
            cell[0] += 1
            cell[1] += id_hash(event.event_id)
        for event_type, (count, total) in cells.items():
            self.add(minute, source, event_type, outcome, count, total)
        return sum(c for c, _ in cells.values()), sum(t for _, t in cells.values()) % HASH_MODULUS

    def add_batch(
        self, received_at_us: int, meta: FrameMeta, events: Iterable[Event | NamedEvent]
    ) -> tuple[int, int]:
        """Add a batch as the door saw it: received, accepted by type, rejected by code."""
        minute = minute_of(received_at_us)
        if meta.received:
            self.add(minute, meta.source, "", Outcome.RECEIVED, meta.received)
        if meta.rejects:
            self.add(minute, meta.source, "", Outcome.REJECTED, len(meta.rejects))
        return self.add_events(minute, meta.source, Outcome.ACCEPTED, events)

    def total(self, outcome: str) -> tuple[int, int]:
        """Return (events, hash sum) over all minutes, sources and types of one outcome."""
        cells = [cell for key, cell in self._cells.items() if key[3] == outcome]
        return sum(c[0] for c in cells), sum(c[1] for c in cells) % HASH_MODULUS

    def merge(self, rows: Iterable[TallyRow]) -> None:
        """Add what another tally counted."""
        for row in rows:
            self.add(row.minute, row.source, row.event_type, row.outcome, row.events, row.hash_sum)

    def rows(self) -> list[TallyRow]:
        """Return the count, sorted, so that the same events always give the same bytes."""
        return [TallyRow(*key, *cell) for key, cell in sorted(self._cells.items())]
