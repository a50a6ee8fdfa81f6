"""Where segments go: the loader's view of the database, as three calls.

`PostgresSink` takes this place; `tests/integration/test_sink.py` says what anything else in it has to keep.

Always true of a sink:

- `load` is all or nothing, and once for all time: the ledger row is in the transaction of the rows.
- The same name with other contents raises SegmentChanged and changes nothing.
- What is unknown to the ledger is what has to be loaded, also after a restore to the past.
"""

from collections.abc import Sequence
from typing import Protocol, Self
from uuid import UUID

import psycopg

from storage.load import LoadReport, load_segment
from storage.log import SlotLog
from storage.postgres import connect, read_sql


class Sink(Protocol):
    """A ledger and the rows it vouches for."""

    @property
    def is_open(self) -> bool:
        """Say whether the connection is still thought to be good."""
        ...

    def unknown(self, spool_id: UUID, slot: int, segments: Sequence[int]) -> list[int]:
        """Return those of these segments that the ledger does not know, ascending."""
        ...

    def register(self, spool_id: UUID, slot: int, last_segment: int) -> None:
        """Say that a slot exists and how far its numbers go: the watermark waits for it."""
        ...

    def load(self, log: SlotLog, segment: int) -> LoadReport | None:
        """Load one segment and release it in its log; None when it was loaded before."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class PostgresSink:
    """`raw.events` and `ops.loads`, on one connection that acts as `sillok_loader`."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, dsn: str) -> Self:
        """Connect; raise DatabaseUnavailable or DatabaseRefused."""
        return cls(connect(dsn, role="sillok_loader", application="sillok load"))

    @property
    def is_open(self) -> bool:  # noqa: D102 - see Sink
        return not self._connection.closed

    def unknown(self, spool_id: UUID, slot: int, segments: Sequence[int]) -> list[int]:  # noqa: D102
        rows = self._connection.execute(
            read_sql("storage.sql", "unknown_segments.sql"),
            {"spool_id": spool_id, "slot": slot, "segments": list(segments)},
        ).fetchall()
        return [number for (number,) in rows]

    def register(self, spool_id: UUID, slot: int, last_segment: int) -> None:  # noqa: D102
        self._connection.execute(
            read_sql("storage.sql", "upsert_slot.sql"),
            {"spool_id": spool_id, "slot": slot, "last_segment": last_segment},
        )

    def load(self, log: SlotLog, segment: int) -> LoadReport | None:  # noqa: D102
        return load_segment(self._connection, log, segment)

    def close(self) -> None:  # noqa: D102
        self._connection.close()
