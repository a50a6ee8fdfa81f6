"""`sillok erase`: removes what belongs to a customer, everywhere, and sees to it that it does not come back.

First the database, in one transaction: his events and those of the sessions in which nobody else is named leave
clean, the duplicates, the dead letters and raw; each leaves a keyed-hash tombstone that the loader obeys. Then the
archive: every segment that held them is rewritten under a new name. Killed anywhere, the command is run again: what
is done is found done, and a crash's half is ended.

Not reached: events that name no customer, in sessions that name none; `ops.clients`, which holds counts of SDK
instances; bytes that recovery moved to `damaged/`, which are counted in the report.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from msgspec import UNSET, Struct

from contract.errors import SpoolError, UsageError
from processor.operate.actions import Action, acting, one, statement
from processor.operate.finished import wait_until_finished
from processor.operate.leaving import remove
from storage.contents import Contents
from storage.load import find_erased
from storage.spool.erase import rewrite_archived
from storage.spool.folder import SEALED, SlotFolder, SpoolFolder
from storage.spool.frame import Reject
from storage.spool.reader import parse_segment

Watch = Callable[[int, int], None]


class Erased(Struct, frozen=True):
    """What an erasure did; a second run finds nothing left."""

    events: int
    """Events of the database that are gone, by the tombstones that are new."""
    rejected: int
    segments_searched: int
    segments_rewritten: int
    segments_unreadable: int
    damaged_files: int
    """What recovery moved aside on this machine: not searched, for an operator to look at."""


class _Named(Struct):
    customer_id: Any = None


def erase_customer(
    connection: psycopg.Connection, spool: SpoolFolder | None, customer: str, reason: str, *,
    source: str | None = None, patience_s: float = 60.0, watch: Watch = lambda _done, _total: None,
) -> Erased:  # fmt: skip
    """Erase a customer; raise UsageError when what he sent is still on its way."""
    if customer in reason:
        raise UsageError("the reason names the customer, and it is kept: leave him out of it")
    wait_until_finished(connection, spool, patience_s)
    hashed = bytes(one(connection, "select ops.keyed_hash(%s)", (customer,))).hex()
    arguments = {"customer": hashed, "source": source}
    with acting(connection, "erase", arguments, reason) as action:
        connection.execute("select ops.pause_work()")
        events, rejected = _erase_rows(action, {"customer": customer, "source": source})
        action.result |= {"events": events, "rejected": rejected}
    report = _erase_archive(connection, spool, _Customer(customer, source), watch) if spool else (0, 0, 0, 0)
    with acting(connection, "erase archive", arguments, reason) as action:
        searched, rewritten, unreadable, damaged = report
        action.result |= {
            "searched": searched, "rewritten": rewritten, "unreadable": unreadable, "damaged_files": damaged,
        }  # fmt: skip
    return Erased(events, rejected, *report)


class _Customer(Struct, frozen=True):
    id: str
    source: str | None

    def is_named_in(self, source: str, body: str | None) -> bool:
        """Say whether an event's JSON names him; what cannot be decoded is looked through as text."""
        if body is None or self.source not in {None, source}:
            return False
        try:
            named = msgspec.json.decode(body, type=_Named)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.encode(self.id).decode() in body
        return bool(named.customer_id == self.id)

    def rejects(self, source: str, reject: Reject) -> bool:
        return self.is_named_in(source, reject.body)


def _erase_rows(action: Action, values: dict[str, Any]) -> tuple[int, int]:
    """Erase what the database holds; return how many events are new among the dead, and how many rejects."""
    connection, customer = action.connection, _Customer(values["customer"], values["source"])
    action.run("find_customer.sql", **values)
    action.run("find_customer_raw.sql", **values)
    letters = [
        (source, event_id)
        for source, event_id, body in connection.execute(
            "select source, event_id, body from ops.dead_letters where body is not null and event_id is not null"
        )
        if customer.is_named_in(source, body)
    ]
    with connection.cursor() as cursor:
        cursor.executemany("insert into leaving (source, event_id) values (%s, %s) on conflict do nothing", letters)
    events = one(connection, statement("bury.sql"), {"action_id": action.action_id})
    action.run("blank_raw.sql")
    action.run("name_devices.sql", **values)
    remove(action, "erased", "infinity", customer.id)
    return events, _blank_rejected(connection, customer)


def _blank_rejected(connection: psycopg.Connection, customer: _Customer) -> int:
    """Take content and names from his rejected events; that they were, and why, stays counted."""
    found = [
        (part, place)
        for part, place, source, body in connection.execute(
            "select tableoid, ctid::text, source, body from ops.rejected where position(%s in body) > 0", (customer.id,)
        )
        if customer.is_named_in(source, body)
    ]
    for part, place in found:
        connection.execute(
            "update ops.rejected set body = null, client_id = null, event_id = null"
            " where tableoid = %s and ctid = %s::text::tid",
            (part, place),
        )
    return len(found)


def _erase_archive(
    connection: psycopg.Connection, spool: SpoolFolder, customer: _Customer, watch: Watch
) -> tuple[int, int, int, int]:
    """Rewrite every archived segment that holds what bears a tombstone, or names him."""
    slots = [slot for slot in spool.slots() if slot.archive.exists()]
    work = [(slot, number) for slot in slots for number in slot.segments(SEALED, slot.archive)]
    halves = {(slot.slot, number) for slot in slots for number in _halves(slot)}
    rewritten = unreadable = 0
    for done, (slot, number) in enumerate(work):
        watch(done, len(work))
        try:
            erased, has_rejects = _find(connection, slot, number, customer)
            if erased or has_rejects or (slot.slot, number) in halves:
                rewritten += rewrite_archived(slot, number, erased, customer.rejects)
        except FileNotFoundError:
            continue  # its grace period ended meanwhile
        except SpoolError:
            unreadable += 1
    damaged = sum(len(slot.files.names(slot.damaged)) for slot in slots if slot.damaged.exists())
    return len(work), rewritten, unreadable, damaged


_NUMBER: Final = 20


def _halves(slot: SlotFolder) -> set[int]:
    """Return the segments of which a crash left two files, or a copy without a name."""
    numbers = Counter(int(n[:_NUMBER]) for n in slot.files.names(slot.archive) if n[:_NUMBER].isdigit())
    return {number for number, files in numbers.items() if files > 1}


def _find(
    connection: psycopg.Connection, slot: SlotFolder, number: int, customer: _Customer
) -> tuple[set[tuple[str, UUID]], bool]:
    """Return the segment's events that are to go, and whether rejected ones are among them."""
    path = slot.archived(number)
    if path is None:
        return set(), False
    contents = Contents(parse_segment(slot.files.read(path)))
    footer = contents.segment.footer
    if footer is None or not footer.received:
        return set(), False
    named: set[tuple[str, UUID]] = set()
    has_rejects = False
    for _, meta, batch in contents.batches(0):
        has_rejects |= any(customer.rejects(meta.source, reject) for reject in meta.rejects)
        if customer.source in {None, meta.source}:
            shared = None if batch.context is UNSET else batch.context.customer_id
            named |= {(meta.source, e.event_id) for e in batch.events if (e.customer_id or shared) == customer.id}
    erased = find_erased(connection, contents)
    _bury(connection, sorted(named - erased))
    return erased | named, has_rejects


def _bury(connection: psycopg.Connection, names: Sequence[tuple[str, UUID]]) -> None:
    """Leave tombstones for what only the archive still held, or a replay would bring it back."""
    if names:
        action_id = one(connection, "select max(action_id) from ops.actions where command = 'erase'")
        connection.execute(
            "select ops.bury(%s, %s, %s)",
            ([source for source, _ in names], [event_id for _, event_id in names], action_id),
        )
