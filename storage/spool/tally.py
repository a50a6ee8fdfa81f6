"""Counting by minute, source, event type and outcome, with sums of id hashes modulo 2^64."""

from collections.abc import Iterable

from contract.event import Event
from contract.fingerprint import HASH_MODULUS, id_hash
from contract.outcome import Outcome
from storage.spool.frame import FrameMeta, NamedEvent
from storage.spool.segment import TallyRow

_MINUTE_US = 60_000_000

Key = tuple[int, str, str, str]
Counts = dict[str, tuple[int, int]]
"""Event type → (events, sum of their id hashes modulo 2^64)."""


def minute_of(received_at_us: int) -> int:
    """Return the start of the minute, in seconds since the epoch."""
    return received_at_us // _MINUTE_US * 60


def count_events(events: Iterable[Event | NamedEvent]) -> Counts:
    """Count events by type, with the sums of their id hashes."""
    counts: Counts = {}
    for event in events:
        count, total = counts.get(event.event_type, (0, 0))
        counts[event.event_type] = (count + 1, (total + id_hash(event.event_id)) % HASH_MODULUS)
    return counts


class Tally:
    """A running count; each stage of the pipeline keeps one of its own."""

    def __init__(self) -> None:
        # Sums run free (an int never overflows) and are reduced when they are read.
        self._cells: dict[Key, list[int]] = {}

    def add(self, minute: int, source: str, event_type: str, outcome: str, events: int, hash_sum: int = 0) -> None:
        """Add `events` events whose id hashes sum to `hash_sum`."""
        self._add((minute, source, event_type, outcome), events, hash_sum)

    def add_counts(self, minute: int, source: str, outcome: str, counts: Counts) -> tuple[int, int]:
        """Add events that were counted by type; return how many there were and their hash sum."""
        number = total = 0
        for event_type, (events, hash_sum) in counts.items():
            self._add((minute, source, event_type, outcome), events, hash_sum)
            number += events
            total += hash_sum
        return number, total % HASH_MODULUS

    def add_events(
        self, minute: int, source: str, outcome: str, events: Iterable[Event | NamedEvent]
    ) -> tuple[int, int]:
        """Add each event under its own type; return how many there were and their hash sum."""
        return self.add_counts(minute, source, outcome, count_events(events))

    def add_batch(self, received_at_us: int, meta: FrameMeta, counts: Counts) -> tuple[int, int]:
        """Add a batch as the door saw it: received, accepted by type, rejected."""
        minute = minute_of(received_at_us)
        if meta.received:
            self._add((minute, meta.source, "", Outcome.RECEIVED), meta.received, 0)
        if meta.rejects:
            self._add((minute, meta.source, "", Outcome.REJECTED), len(meta.rejects), 0)
        return self.add_counts(minute, meta.source, Outcome.ACCEPTED, counts)

    def total(self, outcome: str) -> tuple[int, int]:
        """Return (events, hash sum) over all minutes, sources and types of one outcome."""
        cells = [cell for key, cell in self._cells.items() if key[3] == outcome]
        return sum(c[0] for c in cells), sum(c[1] for c in cells) % HASH_MODULUS

    def merge(self, other: "Tally") -> None:
        """Add what another tally counted."""
        for key, (events, hash_sum) in other._cells.items():  # noqa: SLF001 - its own kind
            self._add(key, events, hash_sum)

    def rows(self) -> list[TallyRow]:
        """Return the count, sorted, so that the same events always give the same bytes."""
        return [TallyRow(*key, cell[0], cell[1] % HASH_MODULUS) for key, cell in sorted(self._cells.items())]

    def _add(self, key: Key, events: int, hash_sum: int) -> None:
        cell = self._cells.get(key)
        if cell is None:
            self._cells[key] = [events, hash_sum]
        else:
            cell[0] += events
            cell[1] += hash_sum
