"""Whose events are whose: what belongs to a customer, in the database and in archived segments.

His are the events that name him, in a session or in none, and all of the sessions in which nobody else is named; the
rejected ones and the dead letters whose JSON names him. What is erased on request and what is shown on request is
the same, because it is looked for here.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from msgspec import UNSET, Struct

from processor.operate.actions import Action
from storage.contents import Contents
from storage.spool.folder import SlotFolder
from storage.spool.frame import Reject
from storage.spool.reader import parse_segment

Name = tuple[str, UUID]
"""An event by its source and id."""


class _Named(Struct):
    customer_id: Any = None


class Customer(Struct, frozen=True):
    """A customer, of one source or of all."""

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
        """Say whether a rejected event names him."""
        return self.is_named_in(source, reject.body)


class InSegment(Struct):
    """What one archived segment holds of him."""

    contents: Contents
    named: set[Name]
    rejects: int


def collect_rows(action: Action, customer: Customer) -> None:
    """Fill the temporary table `leaving` with the names of his events that the database holds."""
    values = {"customer": customer.id, "source": customer.source}
    action.run("find_customer.sql", **values)
    action.run("find_customer_raw.sql", **values)
    letters = [
        (source, event_id)
        for source, event_id, body in action.connection.execute(
            "select source, event_id, body from ops.dead_letters where body is not null and event_id is not null"
        )
        if customer.is_named_in(source, body)
    ]
    with action.connection.cursor() as cursor:
        cursor.executemany("insert into leaving (source, event_id) values (%s, %s) on conflict do nothing", letters)


def rejected_places(connection: psycopg.Connection, customer: Customer) -> Sequence[tuple[int, str]]:
    """Return table and row of each of his rejected events."""
    return [
        (part, place)
        for part, place, source, body in connection.execute(
            "select tableoid, ctid::text, source, body from ops.rejected where position(%s in body) > 0", (customer.id,)
        )
        if customer.is_named_in(source, body)
    ]


def look_into(slot: SlotFolder, number: int, customer: Customer) -> InSegment | None:
    """Return what an archived segment holds, None when it is gone or empty; raise SpoolError when it is unreadable."""
    path = slot.archived(number)
    if path is None:
        return None
    contents = Contents(parse_segment(slot.files.read(path)))
    footer = contents.segment.footer
    if footer is None or not footer.received:
        return None
    found = InSegment(contents, set(), 0)
    for _, meta, batch in contents.batches(0):
        found.rejects += sum(customer.rejects(meta.source, reject) for reject in meta.rejects)
        if customer.source in {None, meta.source}:
            shared = None if batch.context is UNSET else batch.context.customer_id
            found.named |= {(meta.source, e.event_id) for e in batch.events if (e.customer_id or shared) == customer.id}
    return found
