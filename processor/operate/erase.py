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
from typing import Final
from uuid import UUID

import psycopg
from msgspec import Struct

from contract.errors import SpoolError, UsageError
from processor.operate.actions import Action, acting, one, statement
from processor.operate.customer import Customer, collect_rows, look_into, rejected_places
from processor.operate.finished import wait_until_finished
from processor.operate.leaving import remove
from storage.load import find_erased
from storage.spool.erase import rewrite_archived
from storage.spool.folder import SEALED, SlotFolder, SpoolFolder

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
        events, rejected = _erase_rows(action, Customer(customer, source))
        action.result |= {"events": events, "rejected": rejected}
    report = _erase_archive(connection, spool, Customer(customer, source), watch) if spool else (0, 0, 0, 0)
    with acting(connection, "erase archive", arguments, reason) as action:
        searched, rewritten, unreadable, damaged = report
        action.result |= {
            "searched": searched, "rewritten": rewritten, "unreadable": unreadable, "damaged_files": damaged,
        }  # fmt: skip
    return Erased(events, rejected, *report)


def _erase_rows(action: Action, customer: Customer) -> tuple[int, int]:
    """Erase what the database holds; return how many events are new among the dead, and how many rejects."""
    connection = action.connection
    collect_rows(action, customer)
    events = one(connection, statement("bury.sql"), {"action_id": action.action_id})
    action.run("blank_raw.sql")
    action.run("name_devices.sql", customer=customer.id, source=customer.source)
    remove(action, "erased", "infinity", customer.id)
    return events, _blank_rejected(connection, customer)


def _blank_rejected(connection: psycopg.Connection, customer: Customer) -> int:
    """Take content and names from his rejected events; that they were, and why, stays counted."""
    found = rejected_places(connection, customer)
    for part, place in found:
        connection.execute(
            "update ops.rejected set body = null, client_id = null, event_id = null"
            " where tableoid = %s and ctid = %s::text::tid",
            (part, place),
        )
    return len(found)


def _erase_archive(
    connection: psycopg.Connection, spool: SpoolFolder, customer: Customer, watch: Watch
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
    connection: psycopg.Connection, slot: SlotFolder, number: int, customer: Customer
) -> tuple[set[tuple[str, UUID]], bool]:
    """Return the segment's events that are to go, and whether rejected ones are among them."""
    found = look_into(slot, number, customer)
    if found is None:
        return set(), False
    erased = find_erased(connection, found.contents)
    _bury(connection, sorted(found.named - erased))
    return erased | found.named, found.rejects > 0


def _bury(connection: psycopg.Connection, names: Sequence[tuple[str, UUID]]) -> None:
    """Leave tombstones for what only the archive still held, or a replay would bring it back."""
    if names:
        action_id = one(connection, "select max(action_id) from ops.actions where command = 'erase'")
        connection.execute(
            "select ops.bury(%s, %s, %s)",
            ([source for source, _ in names], [event_id for _, event_id in names], action_id),
        )
