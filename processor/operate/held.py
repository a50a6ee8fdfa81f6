"""`sillok held`: what there is of a customer, everywhere, for his right of access; looked for as erasure does.

Always true: it changes nothing, and that it was looked at stands in `ops.actions`, as a keyed hash of the customer.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import psycopg
from msgspec import Struct

from contract.errors import SpoolError, UsageError
from processor.operate.actions import acting, one
from processor.operate.customer import Customer, collect_rows, look_into, rejected_places
from processor.operate.finished import wait_until_finished
from storage.spool.folder import SEALED, SpoolFolder

Watch = Callable[[int, int], None]

_OF_LEAVING: Final = "join leaving l on l.source = t.source and l.event_id = t.event_id"
_OF_SESSIONS: Final = (
    "where (t.source, t.session_id) in (select e.source, e.session_id from clean.events e"
    " join leaving l on l.source = e.source and l.event_id = e.event_id)"
)
_OF_HIM: Final = "where t.customer_id = %(customer)s and (%(source)s::text is null or t.source = %(source)s)"
# Where his rows are: the table, the moment of a row that is told, and which rows are his.
_PLACES: Final = (
    ("clean.events", "event_time", _OF_LEAVING),
    ("clean.sessions", "started_at", _OF_SESSIONS),
    ("clean.page_views", "entered_at", _OF_LEAVING),
    ("clean.identities", "known_from", _OF_HIM),
    ("ops.identity_events", "event_time", _OF_HIM),
    ("raw.events", "received_at", _OF_LEAVING),
    ("ops.duplicates", "received_at", _OF_LEAVING),
    ("ops.dead_letters", "received_at", _OF_LEAVING),
)


class Place(Struct):
    """What one table holds of him."""

    name: str
    rows: list[dict[str, Any]]
    first: datetime | None = None
    last: datetime | None = None


class InArchive(Struct, frozen=True):
    """What one archived segment of this machine holds of him."""

    segment: str
    events: int
    rejected: int


class Held(Struct, kw_only=True):
    """All there is of him."""

    places: list[Place]
    archive: list[InArchive]
    segments_searched: int = 0
    segments_unreadable: int = 0
    damaged_files: int = 0
    """What recovery moved aside on this machine: not searched, for an operator to look at."""

    @property
    def is_whole(self) -> bool:
        """Everything could be searched."""
        return not self.segments_unreadable and not self.damaged_files


def held_of(
    connection: psycopg.Connection, spool: SpoolFolder | None, customer: str, reason: str, *,
    source: str | None = None, patience_s: float = 60.0, watch: Watch = lambda _done, _total: None,
) -> Held:  # fmt: skip
    """Return what is held of a customer; raise UsageError when what he sent is still on its way."""
    if customer in reason:
        raise UsageError("the reason names the customer, and it is kept: leave him out of it")
    wait_until_finished(connection, spool, patience_s)
    him = Customer(customer, source)
    hashed = bytes(one(connection, "select ops.keyed_hash(%s)", (customer,))).hex()
    with acting(connection, "held", {"customer": hashed, "source": source}, reason) as action:
        collect_rows(action, him)
        places = [_read(connection, *place, him) for place in _PLACES]
        places.append(_rejected(connection, him))
        names = set(connection.execute("select source, event_id from leaving").fetchall())
        found = Held(places=places, archive=[])
        if spool is not None:
            _search(spool, him, names, found, watch)
        action.result |= {place.name: len(place.rows) for place in places}
        action.result |= {"archived segments": len(found.archive)}
    return found


def _read(connection: psycopg.Connection, name: str, moment: str, his: str, customer: Customer) -> Place:
    # A session on a shared device may have ended as somebody else's: that is not his to know.
    nameless = (
        """case when to_jsonb(t) ->> 'customer_id' <> %(customer)s then '{"customer_id": null}' else '{}' end::jsonb"""
    )
    query = f"select to_jsonb(t) || {nameless}, t.{moment} from {name} t {his} order by t.{moment}"  # noqa: S608 - our own words
    rows = connection.execute(query.encode(), {"customer": customer.id, "source": customer.source}).fetchall()
    return _place(name, rows)


def _rejected(connection: psycopg.Connection, customer: Customer) -> Place:
    rows = [
        row
        for part, place in rejected_places(connection, customer)
        for row in connection.execute(
            "select to_jsonb(t), t.received_at from ops.rejected t where tableoid = %s and ctid = %s::text::tid",
            (part, place),
        )
    ]
    return _place("ops.rejected", sorted(rows, key=lambda row: row[1]))


def _place(name: str, rows: list[tuple[Any, ...]]) -> Place:
    moments = [moment for _, moment in rows if isinstance(moment, datetime)]
    return Place(name, [row for row, _ in rows], min(moments, default=None), max(moments, default=None))


def _search(spool: SpoolFolder, customer: Customer, names: set[Any], found: Held, watch: Watch) -> None:
    """Look through this machine's archive for what names him, and for the events that are his."""
    slots = [slot for slot in spool.slots() if slot.archive.exists()]
    work = [(slot, number) for slot in slots for number in slot.segments(SEALED, slot.archive)]
    for done, (slot, number) in enumerate(work):
        watch(done, len(work))
        try:
            inside = look_into(slot, number, customer)
        except FileNotFoundError:
            continue  # its grace period ended meanwhile
        except SpoolError:
            found.segments_unreadable += 1
            continue
        events = len(inside.named | (set(inside.contents.names()) & names)) if inside else 0
        if inside and (events or inside.rejects):
            name = f"{str(slot.spool_id)[:8]}.{slot.slot}.{number}"
            found.archive.append(InArchive(name, events, inside.rejects))
    found.segments_searched = len(work)
    found.damaged_files = sum(len(slot.files.names(slot.damaged)) for slot in slots if slot.damaged.exists())
