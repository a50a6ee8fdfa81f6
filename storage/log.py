"""The log between collector and loader, as the loader sees it: slots of numbered, sealed, immutable segments.

Two take this place: the spool's folder on this machine (`storage.spool.folder`) and the spool of a collector that is
reached over HTTPS (`storage.remote`). `tests/integration/test_log.py` holds both to the same claims.

Always true of a log:

- A segment's bytes never change while it waits; its number is used once per slot, ascending.
- What `read` has returned keeps its name in a power cut.
- `release` is for committed loads only, may be repeated, and refuses other contents than were loaded.
- A released segment stays readable for its grace period, so that a database restored to the past gets it again.
- Everything raises OSError while the log is out of reach, and works again by itself afterwards.
"""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class SlotLog(Protocol):
    """One writer's segments."""

    @property
    def spool_id(self) -> UUID:
        """The spool's id: with slot and number it names a segment for all time."""
        ...

    @property
    def slot(self) -> int:
        """The writer's stable number."""
        ...

    def waiting(self) -> list[int]:
        """Return the numbers that are sealed and not released, ascending."""
        ...

    def released(self) -> list[int]:
        """Return the numbers in their grace period, ascending."""
        ...

    def newest(self) -> int:
        """Return the highest number that waits or is being written; 0 when none is."""
        ...

    def read(self, segment: int) -> bytes:
        """Return a segment that waits or is in its grace period; raise FileNotFoundError when it is neither."""
        ...

    def release(self, segment: int, sha256: bytes) -> None:
        """Say that its load is committed; raise SegmentChanged when the segment has other contents than these."""
        ...

    def recall(self, segment: int) -> None:
        """Let a released segment wait again."""
        ...


class SegmentLog(Protocol):
    """All slots of one spool."""

    @property
    def name(self) -> str:
        """What people call it: a path or an address."""
        ...

    @property
    def remedy(self) -> str:
        """What to do when it is out of reach."""
        ...

    def slots(self) -> Sequence[SlotLog]:
        """Look at the log; what the slots say is not older than this call."""
        ...

    def expire(self, released_before: float) -> None:
        """Let go what was released before this time, seconds since the epoch, if that is the loader's to do."""
        ...
