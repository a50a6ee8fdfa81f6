"""`sillok replay`: holds archived segments against the database, and brings back what it lacks.

A segment the ledger does not know is loaded as if it were new. Of one it knows, every event is looked for: a raw
row that is missing is copied again under its own load, and an event of a processed load that is in no outcome takes
the processor's road once more. What was there already is not doubled, and what was erased, purged or given up stays
away. Nothing of this moves the books: they counted right all along.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct

from contract.errors import SpoolError
from contract.outcome import Outcome
from processor.dictionaries import Dictionaries
from processor.operate.actions import Action, acting, one, statement
from processor.operate.again import clean_again, ensure_raw_day
from storage.copy import copy_rows
from storage.load import load_segment
from storage.rows import received_at as moment_of
from storage.spool.folder import SEALED, SegmentId, SlotFolder, SpoolFolder
from storage.spool.reader import Segment
from storage.stored import StoredEvents

_MINUTE_S: Final = 60
_COPY: Final = "copy archived (load_id, received_at, source, event_type, event_id, number) from stdin"
Row = tuple[int, str, UUID, tuple[Any, ...]]


class Replayed(Struct):
    """What a replay found and did."""

    segments: int = 0
    """Archived segments that hold events of the range."""
    loaded: int = 0
    """Of these, unknown to the ledger: loaded anew, for the processor to clean."""
    raw_restored: int = 0
    clean_restored: int = 0
    """Rows of clean that were missing."""
    others_restored: int = 0
    """Duplicates and dead letters that were missing."""
    unreadable: int = 0


def replay(
    connection: psycopg.Connection, dictionaries: Dictionaries, spool: SpoolFolder, range_from: datetime,
    range_until: datetime, reason: str = "", watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> Replayed:  # fmt: skip
    """Replay what was received in a range, from inclusive, until exclusive; whole minutes."""
    report = Replayed()
    stored = StoredEvents(spool)
    slots = [slot for slot in spool.slots() if slot.archive.exists()]
    work = [(slot, number) for slot in slots for number in slot.segments(SEALED, slot.archive)]
    for done, (slot, number) in enumerate(work):
        watch(done, len(work))
        name = SegmentId(spool.spool_id, slot.slot, number)
        try:
            if _holds(stored.segment(name), range_from, range_until):
                report.segments += 1
                _replay_segment(connection, dictionaries, slot, name, stored, report, reason)
        except (FileNotFoundError, SpoolError):
            report.unreadable += 1
    arguments = {"from": range_from.isoformat(), "until": range_until.isoformat()}
    with acting(connection, "replay", arguments, reason) as action:
        action.result |= {field: getattr(report, field) for field in report.__struct_fields__}
    return report


def _holds(segment: Segment, range_from: datetime, range_until: datetime) -> bool:
    """Say whether a segment holds accepted events of the range, by its footer."""
    rows = segment.footer.tally if segment.footer else []
    start, end = range_from.timestamp() - _MINUTE_S, range_until.timestamp()
    return any(row.outcome == Outcome.ACCEPTED and start < row.minute < end for row in rows)


def _replay_segment(
    connection: psycopg.Connection, dictionaries: Dictionaries, slot: SlotFolder, name: SegmentId,
    stored: StoredEvents, report: Replayed, reason: str,
) -> None:  # fmt: skip
    known = "select load_id from ops.loads where spool_id = %s and slot = %s and segment = %s"
    load_id = one(connection, known, (name.spool_id, name.slot, name.segment))
    if load_id is None:
        slot.recall(name.segment)
        report.loaded += load_segment(connection, slot, name.segment) is not None
        return
    rows = list(stored.rows(name, load_id))
    with connection.transaction(force_rollback=True):
        if not _compare(connection, load_id, rows):
            return
    with acting(connection, "replay segment", {"segment": str(name)}, reason) as action:
        connection.execute("select ops.pause_work()")
        missing = _compare(connection, load_id, rows)
        restored = _restore(action, dictionaries, load_id, rows, missing)
        action.result |= restored
    report.raw_restored += restored.pop("raw", 0)
    report.clean_restored += restored.pop("clean", 0)
    report.others_restored += sum(restored.values())


def _compare(connection: psycopg.Connection, load_id: int, rows: list[Row]) -> list[tuple[int, str, datetime]]:
    """Return number, what is lacking and time of the events that lack something."""
    if not rows:
        return []
    with connection.cursor() as cursor:
        with cursor.copy(_COPY) as copy:
            for number, (at_us, source, event_id, _) in enumerate(rows):
                copy.write_row((load_id, moment_of(at_us), source, "", event_id, number))
        cursor.execute("analyze archived")
        values = _span(rows) | {
            "load_id": load_id,
            "is_processed": one(connection, "select exists (select from ops.processed where load_id = %s)", (load_id,)),
        }
        return cursor.execute(statement("compare_archived.sql"), values).fetchall()


def _span(rows: list[Row]) -> dict[str, datetime]:
    times = [row[0] for row in rows]
    return {"received_from": moment_of(min(times)), "received_until": moment_of(max(times))}


def _restore(
    action: Action, dictionaries: Dictionaries, load_id: int, rows: list[Row], missing: list[tuple[int, str, datetime]]
) -> dict[str, int]:
    """Bring back what is missing; a raw row past its time is borrowed, and given back."""
    connection = action.connection
    past = {day for day in {_day(m[2]) for m in missing} if not _has_raw_day(connection, day)}
    wanted = [m for m in missing if m[1] != "end" and (m[1] == "both" or _day(m[2]) not in past)]
    for _, _, at in wanted:
        ensure_raw_day(action, at)
    raw = copy_rows(connection, [rows[number][3] for number, _, _ in wanted]) if wanted else 0
    action.run("mean_archived.sql", load_id=load_id, **_span(rows))
    outcomes = clean_again(action, dictionaries)
    borrowed = [rows[number] for number, _, at in wanted if _day(at) in past]
    for at_us, source, event_id, _ in borrowed:
        connection.execute(
            "delete from raw.events where load_id = %s and received_at = %s and source = %s and event_id = %s",
            (load_id, moment_of(at_us), source, event_id),
        )
    for day in sorted(past & {_day(at) for _, _, at in wanted}):
        connection.execute("select ops.drop_partition('raw.events', to_date(%s, 'YYYYMMDD'))", (day,))
    found = {"raw": raw - len(borrowed), **outcomes}
    return {what: events for what, events in found.items() if events}


def _day(moment: datetime) -> str:
    return f"{moment.date():%Y%m%d}"


def _has_raw_day(connection: psycopg.Connection, day: str) -> bool:
    return bool(one(connection, "select to_regclass(%s) is not null", (f"raw.events_{day}",)))
