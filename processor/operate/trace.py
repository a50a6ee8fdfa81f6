"""`sillok trace`: where one event is, arrival by arrival, from its place in a segment to what became of it.

The tables say which loads to look into, and the ledger which segments these were; what waits in the spool is always
looked at, the whole archive only when nothing else knows the event. So an event whose rows were deleted behind our
back is found all the same, and called lost: the ledger counts it, and the row is gone.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from msgspec import Struct

from contract.errors import SpoolFormatError
from processor.operate.actions import one, statement
from storage.rows import received_at as moment_of
from storage.spool.folder import OPEN, SEALED, SlotFolder, SpoolFolder
from storage.spool.frame import decode_meta, decode_named
from storage.spool.reader import parse_segment

Watch = Callable[[int, int], None]


class Place(Struct, frozen=True):
    """Where in the spool: counted from 0; `state` is `open`, `waiting`, `archived` or `damaged`."""

    spool_id: UUID
    slot: int
    segment: int
    state: str
    group: int
    frame: int
    index: int
    file: str


class Arrival(Struct, kw_only=True):
    """One arrival of the event, and what became of it."""

    source: str
    received_at: datetime
    outcome: str = ""
    """An outcome of the books, `pending`, or `lost`: counted, and in no table."""
    detail: str = ""
    load_id: int | None = None
    raw: str = "not loaded"
    place: Place | None = None


class _Fact(NamedTuple):
    what: str
    source: str
    received_at: datetime
    load_id: int | None
    detail: str


def trace(
    connection: psycopg.Connection, spool: SpoolFolder | None, event_id: UUID, source: str | None = None,
    watch: Watch = lambda _done, _total: None,
) -> list[Arrival]:  # fmt: skip
    """Return every arrival of an event, in their order; none when it is nowhere."""
    facts = _facts(connection, event_id)
    loads = _loads(connection, event_id, facts)
    places = _places(connection, spool, event_id, loads)
    if not places and spool is not None and not any(fact.what == "rejected" for fact in facts):
        places = list(_search_archive(spool, event_id, watch))
    arrivals = [_of_place(connection, *found) for found in places]
    for fact in facts:
        match = [a for a in arrivals if _is_about(fact, a)]
        if not match and fact.what != "remembered":
            arrivals.append(Arrival(source=fact.source, received_at=fact.received_at, load_id=fact.load_id))
        elif not match and not any(a.source == fact.source for a in arrivals):
            arrivals.append(Arrival(source=fact.source, received_at=fact.received_at))
    left = [fact for fact in facts if fact.what != "remembered"]
    wanted = [a for a in arrivals if source in {None, a.source}]
    for arrival in sorted(wanted, key=lambda a: a.received_at):
        _judge(connection, event_id, arrival, left)
    return sorted(wanted, key=lambda a: a.received_at)


def _facts(connection: psycopg.Connection, event_id: UUID) -> list[_Fact]:
    facts = [_Fact(*row) for row in connection.execute(statement("trace.sql"), {"event_id": event_id})]
    arrivals = [fact.received_at for fact in facts if fact.what == "remembered"]
    clean = statement("trace_clean.sql")
    found = connection.execute(clean, {"event_id": event_id, "arrivals": arrivals}).fetchall() if arrivals else []
    if not found:
        found = connection.execute(clean, {"event_id": event_id, "arrivals": None}).fetchall()
    return facts + [_Fact(*row) for row in found]


def _loads(connection: psycopg.Connection, event_id: UUID, facts: list[_Fact]) -> set[int]:
    """Return the loads to look into: those the rows name, and those of the arrivals' minutes."""
    known = {fact.load_id for fact in facts if fact.load_id is not None}
    known |= {n for (n,) in connection.execute("select load_id from raw.events where event_id = %s", (event_id,))}
    open_ = [fact for fact in facts if fact.load_id is None]
    minutes = [fact.received_at.replace(second=0, microsecond=0) for fact in open_]
    values = {"minutes": minutes, "sources": [fact.source for fact in open_]}
    return known | {number for (number,) in connection.execute(statement("trace_loads.sql"), values)}


_Found = tuple[Place, str, datetime, int]


def _places(connection: psycopg.Connection, spool: SpoolFolder | None, event_id: UUID, loads: set[int]) -> list[_Found]:
    """Look into what is not archived, and into the segments of these loads."""
    if spool is None:
        return []
    found: list[_Found] = []
    for slot in spool.slots():
        for suffix, state in ((OPEN, "open"), (SEALED, "waiting")):
            for number in slot.segments(suffix):
                found += _search(slot, number, slot.segment_path(number, suffix), state, event_id)
        if slot.damaged.exists():
            for name in slot.files.names(slot.damaged):
                if name[:_NUMBER].isdigit():
                    found += _search(slot, int(name[:_NUMBER]), slot.damaged / name, "damaged", event_id)
    names = connection.execute(
        "select slot, segment from ops.loads where spool_id = %s and load_id = any(%s) order by load_id",
        (spool.spool_id, list(loads)),
    ).fetchall()
    for slot_number, segment in names:
        slot = spool.slot(slot_number)
        path = slot.archived(segment) if slot.archive.exists() else None
        if path is not None:
            found += _search(slot, segment, path, "archived", event_id)
    return found


_NUMBER: Final = 20


def _search_archive(spool: SpoolFolder, event_id: UUID, watch: Watch) -> Iterator[_Found]:
    """Look through the whole archive, newest first, until a segment has it."""
    slots = [slot for slot in spool.slots() if slot.archive.exists()]
    work = [(slot, number) for slot in slots for number in reversed(slot.segments(SEALED, slot.archive))]
    for done, (slot, number) in enumerate(work):
        watch(done, len(work))
        path = slot.archived(number)
        found = list(_search(slot, number, path, "archived", event_id)) if path else []
        if found:
            yield from found
            return


def _search(slot: SlotFolder, number: int, path: Path, state: str, event_id: UUID) -> Iterator[_Found]:
    """Yield where in one file the event stands; what cannot be read holds nothing that could be found."""
    try:
        segment = parse_segment(slot.files.read(path))
    except (FileNotFoundError, SpoolFormatError):
        return
    for group_number, group in enumerate(segment.groups):
        for frame_number, frame in enumerate(segment.frames(group)):
            try:
                meta, events = decode_meta(frame.meta), decode_named(frame.body).events
            except (ValueError, RecursionError):
                continue
            for index, event in enumerate(events):
                if event.event_id == event_id:
                    place = Place(slot.spool_id, slot.slot, number, state, group_number, frame_number, index, str(path))
                    yield place, meta.source, moment_of(frame.received_at_us), number


def _of_place(
    connection: psycopg.Connection, place: Place, source: str, received_at: datetime, segment: int
) -> Arrival:
    load_id = one(
        connection,
        "select load_id from ops.loads where spool_id = %s and slot = %s and segment = %s",
        (place.spool_id, place.slot, segment),
    )
    return Arrival(source=source, received_at=received_at, load_id=load_id, place=place)


def _is_about(fact: _Fact, arrival: Arrival) -> bool:
    same_load = fact.load_id is None or arrival.load_id is None or fact.load_id == arrival.load_id
    return (fact.source, fact.received_at) == (arrival.source, arrival.received_at) and same_load


def _judge(connection: psycopg.Connection, event_id: UUID, arrival: Arrival, left: list[_Fact]) -> None:
    """Say what became of an arrival; each fact speaks for one arrival only."""
    fact = next((fact for fact in left if _is_about(fact, arrival)), None)
    if fact is not None:
        left.remove(fact)
        arrival.outcome, arrival.detail = fact.what, fact.detail
    else:
        arrival.outcome, arrival.detail = _without_row(connection, event_id, arrival)
    arrival.raw = _raw(connection, event_id, arrival)


def _without_row(connection: psycopg.Connection, event_id: UUID, arrival: Arrival) -> tuple[str, str]:
    erased = "select exists (select from ops.erased_among(array[%s], array[%s::uuid]))"
    if one(connection, erased, (arrival.source, event_id)):
        return "erased", "at the customer's request"
    purged = "select action_id from ops.purges where source = %s and until > %s order by until limit 1"
    action_id = one(connection, purged, (arrival.source, arrival.received_at))
    if action_id is not None:
        return "purged", f"with its source, by action {action_id}"
    if arrival.place is not None and arrival.place.state == "damaged":
        return "damaged", "recovery moved this file aside; what of it could be read is in the sealed segment"
    if arrival.place is not None and arrival.load_id is None:
        return "pending", "it is not loaded yet"
    if arrival.load_id is not None and not one(
        connection, "select exists (select from ops.processed where load_id = %s)", (arrival.load_id,)
    ):
        return "pending", "it is loaded and not processed yet"
    return "lost", "the ledger counts it, the row is gone: `sillok replay` of that minute brings it back"


def _raw(connection: psycopg.Connection, event_id: UUID, arrival: Arrival) -> str:
    values: dict[str, Any] = {"event_id": event_id, "source": arrival.source, "received_at": arrival.received_at}
    if one(
        connection,
        "select exists (select from raw.events where received_at = %(received_at)s and source = %(source)s"
        " and event_id = %(event_id)s)",
        values,
    ):
        return "here"
    if arrival.outcome in {"rejected", "damaged"} or (arrival.load_id is None and arrival.outcome == "pending"):
        return "not loaded"
    if arrival.outcome in {"erased", "purged"}:
        return "removed"
    if arrival.outcome in {"dead_lettered", "discarded"}:
        return "not here: dead letters of the loader never were, and others pass with raw's time"
    kept = "select to_regclass('raw.events_' || to_char(ops.day_of(%(received_at)s), 'YYYYMMDD')) is not null"
    return "the row is gone" if one(connection, kept, values) else "past retention"
