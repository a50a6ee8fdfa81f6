"""`sillok dead-letters`: looks at accepted events that could not be loaded or cleaned, tries them again, gives them up.

A retried letter takes the road it fell from: one of the processor's is cleaned from its raw row (or from the
letter itself, once raw is past its time), one of the loader's is read from its archived segment, loaded under its
own load, and cleaned. Letter, row and counts change in one transaction, so nothing is tried twice.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct

from contract.errors import SpoolError, UsageError
from processor.dictionaries import Dictionaries
from processor.operate.actions import Action, acting, statement
from processor.operate.again import clean_again, ensure_raw_day
from storage.copy import copy_rows
from storage.postgres import is_passing
from storage.rows import received_at as moment_of
from storage.spool.folder import SegmentId, SpoolFolder
from storage.stored import StoredEvents


class Letter(Struct, frozen=True):
    """One dead letter as `list` shows it; `detail` holds no value of the event."""

    dead_letter_id: int
    created_at: datetime
    stage: str
    reason: str
    source: str
    event_type: str
    event_id: UUID | None
    received_at: datetime
    detail: str


class Left(Struct, frozen=True):
    """A letter that stays one, and why."""

    dead_letter_id: int
    why: str


class Retried(Struct, frozen=True):
    """What came of a retry: how many letters took which outcome, and which stay."""

    retried: int
    outcomes: dict[str, int]
    left: list[Left]


class _Taken(NamedTuple):
    dead_letter_id: int
    stage: str
    load_id: int
    received_at: datetime
    source: str
    event_id: UUID | None
    body: str | None
    spool_id: UUID | None
    slot: int | None
    segment: int | None
    is_processed: bool
    still_conflicts: bool


def list_letters(
    connection: psycopg.Connection, *, source: str | None = None, reason: str | None = None, limit: int = 1000
) -> list[Letter]:
    """Return dead letters, oldest first."""
    rows = connection.execute(
        statement("list_letters.sql"), {"source": source, "reason": reason, "limit": limit}
    ).fetchall()
    return [Letter(*row) for row in rows]


def show_letter(connection: psycopg.Connection, dead_letter_id: int) -> dict[str, Any]:
    """Return everything about one letter, its body included, and write down that it was looked at.

    Raises UsageError when there is none.
    """
    with (
        acting(connection, "dead-letters show", {"dead_letter_ids": [dead_letter_id]}),
        connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
    ):
        found = cursor.execute("select * from ops.dead_letters where dead_letter_id = %s", (dead_letter_id,)).fetchone()
        if found is None:
            missing = f"there is no dead letter {dead_letter_id}"
            raise UsageError(f"{missing}: `sillok dead-letters list` shows those there are")
    return found


def discard_letters(connection: psycopg.Connection, ids: Sequence[int], reason: str) -> int:
    """Give letters up; their names stay in `ops.discarded`. Return how many there were."""
    with acting(connection, "dead-letters discard", {"dead_letter_ids": list(ids)}, reason) as action:
        connection.execute("select ops.pause_work()")
        action.run("discard_letters.sql", ids=list(ids))
        found = connection.execute(
            "select dead_letter_id from ops.dead_letters where dead_letter_id = any(%s)", (list(ids),)
        ).fetchall()
        action.run("remove_letters.sql", ids=[number for (number,) in found])
        action.result |= {"discarded": len(found)}
    return len(found)


def retry_letters(
    connection: psycopg.Connection, dictionaries: Dictionaries, spool: SpoolFolder | None, ids: Sequence[int],
    reason: str = "",
) -> Retried:  # fmt: skip
    """Try letters again, all in one transaction; those that cannot be stay as they are, with the reason why."""
    with acting(connection, "dead-letters retry", {"dead_letter_ids": list(ids)}, reason) as action:
        connection.execute("select ops.pause_work()")
        taken = [_Taken(*row) for row in connection.execute(statement("take_letters.sql"), {"ids": list(ids)})]
        left = [Left(number, "there is no such dead letter") for number in ids if number not in {t[0] for t in taken}]
        tried: list[_Taken] = []
        borrowed: list[_Taken] = []
        stored = StoredEvents(spool)
        for letter in taken:
            why, is_borrowed = _bring(action, letter, stored)
            if why is None:
                tried.append(letter)
                borrowed += [letter] if is_borrowed else []
            else:
                left.append(Left(letter.dead_letter_id, why))
        outcomes = clean_again(action, dictionaries)
        connection.execute(
            "insert into action_moves select minute, source, event_type, outcome, events, hash_sum from batch_counts"
        )
        action.run("remove_letters.sql", ids=[letter.dead_letter_id for letter in tried])
        for letter in borrowed:
            connection.execute(
                "delete from raw.events where load_id = %s and received_at = %s and source = %s and event_id = %s",
                (letter.load_id, letter.received_at, letter.source, letter.event_id),
            )
        action.result |= {"retried": len(tried), "outcomes": outcomes, "left": len(left)}
    return Retried(len(tried), outcomes, left)


def _bring(action: Action, letter: _Taken, stored: StoredEvents) -> tuple[str | None, bool]:
    """Name the letter's raw row in `again`; return why that cannot be, and whether the row is only borrowed."""
    if letter.still_conflicts:
        return "its original, with other content, is still there", False
    if not letter.is_processed:
        return "its load is not processed yet: try again in a moment", False
    if letter.stage == "load":
        return _load(action, letter, stored), False
    content_hash = msgspec.json.decode(letter.body or "{}").get("content_hash")
    values = letter._asdict() | {"content_hash": content_hash}
    if action.run("mean_letter.sql", **values):
        return None, False
    ensure_raw_day(action, letter.received_at)
    action.run("restore_from_letter.sql", **values)
    return (None, True) if action.run("mean_letter.sql", **values) else ("its row cannot be brought back", False)


def _load(action: Action, letter: _Taken, stored: StoredEvents) -> str | None:
    """Load what the loader could not; return why it still cannot be."""
    if letter.event_id is None:
        return "not even its id can be read: look at its segment, then discard it"
    if letter.spool_id is None or letter.slot is None or letter.segment is None:
        return "the ledger does not know its load"
    name = SegmentId(letter.spool_id, letter.slot, letter.segment)
    try:
        rows = [
            row
            for at_us, source, event_id, row in stored.rows(name, letter.load_id)
            if (event_id, source, moment_of(at_us)) == (letter.event_id, letter.source, letter.received_at)
        ]
    except SpoolError as error:
        return str(error)
    if not rows:
        return f"segment {name} still cannot be read by this version"
    ensure_raw_day(action, letter.received_at)
    try:
        with action.connection.transaction():
            copy_rows(action.connection, rows[:1])
    except psycopg.Error as error:
        if is_passing(error):
            raise
        return f"PostgreSQL still refuses it ({error.sqlstate or type(error).__name__})"
    action.run("mean_letter.sql", **letter._asdict(), content_hash=None)
    return None
