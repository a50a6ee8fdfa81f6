"""How far everything received is loaded and processed, and what that waits for."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
from msgspec import Struct

from contract.calendar import SEOUL
from storage.postgres import read_sql

STALLED_AFTER: Final = timedelta(minutes=5)
"""A watermark that is so far behind stands still: loading and cleaning take less."""


class Slot(Struct, frozen=True):
    """How far one writer's segments are loaded and processed."""

    spool_id: UUID
    slot: int
    last_segment: int
    """The highest number a loader has seen on the disk."""
    finished_segment: int
    """The last one up to which everything is loaded and processed."""
    until: datetime | None
    is_closed: bool
    waits_for: str
    """For what its watermark waits: `nothing`, `loader`, `processor`, a `gap`: the next number is missing, or its
    `clock`: what it received last has not come yet by the database's."""
    stamped_until: datetime | None = None
    """Up to when it has received something, by its collector's clock; `until` is what the books believe of it."""

    def __str__(self) -> str:
        return f"{str(self.spool_id)[:8]}.{self.slot}.{self.finished_segment + 1}"

    def holds_up(self, moment: datetime) -> bool:
        """Tell whether the watermark has to wait for this slot before it passes a moment."""
        if self.waits_for == "clock":
            return True
        return self.waits_for != "nothing" and (self.until is None or self.until < moment)


class Watermark(Struct, frozen=True):
    """The moment before which everything received is loaded and processed, and the slots that it follows from."""

    finished_until: datetime | None
    all_final: bool
    """Every slot is closed and none's clock is ahead: nothing is to come, whatever the moment."""
    read_at: datetime
    """By the database's clock."""
    slots: list[Slot]

    def is_past(self, moment: datetime) -> bool:
        """Tell whether everything received before a moment is processed."""
        return self.all_final or (self.finished_until is not None and moment <= self.finished_until)


def read_watermark(connection: psycopg.Connection, range_until: datetime) -> Watermark:
    """Return where it stands; before there is one, it has not come to the end of any range."""
    finished_until, all_final, read_at = connection.execute(
        "select finished_until, all_final, now() from ops.watermark"
    ).fetchone() or (None, False, range_until)
    slots = [Slot(*row) for row in connection.execute(read_sql("processor.sql", "slots.sql"))]
    return Watermark(finished_until, bool(all_final), read_at, slots)


def known_until(slots: list[Slot], finished_until: datetime | None) -> datetime | None:
    """Return the moment before which everything received is processed: of closed slots, that of the last event too."""
    if finished_until is None or not all(slot.is_closed for slot in slots):
        return finished_until
    return finished_until + timedelta(microseconds=1)


def waiting_for(slots: list[Slot], now: datetime) -> str:
    """Say in a sentence what the watermark waits for, of the slots that hold it up, at the database's `now`."""
    waits = {
        "gap": "segment {0} was never loaded, later ones were: find its file, or `sillok spool write-off {0}`",
        "loader": "segment {} is not loaded yet: is `sillok load` running, and the collector of this slot?",
        "processor": "segment {} is loaded and not cleaned: is `sillok process` running?",
    }
    said = [
        ahead(slot.spool_id, slot.slot, slot.stamped_until, now)
        if slot.waits_for == "clock" and slot.stamped_until
        else waits[slot.waits_for].format(slot)
        for slot in slots
    ]
    return "; ".join(said) or "no slot has finished anything"


def ahead(spool_id: UUID, slot: int, until: datetime, now: datetime) -> str:
    """Say in a sentence whose clock is ahead of the database's `now`, or was, and what that holds up."""
    name = f"slot {slot} of spool {str(spool_id)[:8]}"
    if until <= now:
        return f"the clock of {name} was ahead of the database's, and nothing came since: is its collector running?"
    hours, rest_s = divmod(round((until - now).total_seconds()), 3600)
    by = f"{hours // 24} d {hours % 24} h" if hours >= 24 else f"{hours} h {rest_s // 60} min {rest_s % 60} s"  # noqa: PLR2004
    return (
        f"{name} has receipts up to {until.astimezone(SEOUL):%Y-%m-%d %H:%M:%S} KST, {by} ahead of the database's "
        "clock: set its collector's clock right (NTP); until then nothing after it is final"
    )
