"""What goes over the wire together, and the account that goes with it."""

from __future__ import annotations

from typing import NamedTuple


class Batch:
    """Encoded events of one context; without events it stands for a report alone.

    `in_doubt`: it was tried and no answer says what became of it, so the collector may have its events.
    `ends`: where each event ends in the journal; empty where there is none.
    """

    __slots__ = ("bytes", "context", "due", "ends", "events", "in_doubt")

    def __init__(
        self, context: bytes, due: float, events: list[bytes] | None = None, ends: list[int] | None = None
    ) -> None:
        self.context = context
        self.due = due
        self.events: list[bytes] = [] if events is None else events
        self.ends: list[int] = [] if ends is None else ends
        self.bytes = sum(map(len, self.events))
        self.in_doubt = False

    def halves(self) -> tuple[Batch, Batch]:
        """Return the two halves, as much in doubt as the whole."""
        middle = len(self.events) // 2
        first = Batch(self.context, self.due, self.events[:middle], self.ends[:middle])
        second = Batch(self.context, self.due, self.events[middle:], self.ends[middle:])
        first.in_doubt = second.in_doubt = self.in_doubt
        return first, second


class Figures(NamedTuple):
    """The account of one client instance, cumulative."""

    created: int
    pending: int
    dropped: dict[str, int]
