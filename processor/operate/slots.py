"""Ends a writer slot that will not come back, so that the watermark no longer waits for it."""

import os
from uuid import UUID

import psycopg
from msgspec import Struct

from contract.errors import UsageError
from processor.operate.actions import acting
from storage.spool.files import lock_file
from storage.spool.folder import OPEN, SEALED, SpoolFolder


class Retired(Struct, frozen=True):
    """What `sillok spool retire` did."""

    spool_id: UUID
    slot: int
    last_segment: int
    was_retired: bool


def retire_slot(
    connection: psycopg.Connection, spool: SpoolFolder | None, spool_id: UUID, slot: int, reason: str
) -> Retired:
    """Mark the slot; raise UsageError while it lives, or holds events that are not loaded.

    `spool` is the folder where this machine has it; another machine's slot is taken at the operator's word.
    """
    if spool is not None:
        _refuse_living(spool, slot)
    with acting(connection, "spool retire", {"spool_id": str(spool_id), "slot": slot}, reason) as action:
        found = connection.execute(
            "select last_segment, retired_at is not null from ops.slots where spool_id = %s and slot = %s for update",
            (spool_id, slot),
        ).fetchone()
        if found is None:
            raise UsageError(f"no loader has ever seen slot {slot} of spool {spool_id}: look into ops.slots")
        last_segment, was_retired = found
        connection.execute(
            "update ops.slots set retired_at = now() where spool_id = %s and slot = %s and retired_at is null",
            (spool_id, slot),
        )
        action.result |= {"last_segment": last_segment, "was_retired": was_retired}
    return Retired(spool_id, slot, last_segment, was_retired)


def _refuse_living(spool: SpoolFolder, slot: int) -> None:
    folder = spool.slot(slot)
    if not folder.path.exists():
        return
    lock = lock_file(folder.path / "LOCK")
    if lock is None:
        raise UsageError(f"slot {slot} is being written to: stop its collector, or start fewer workers, first")
    os.close(lock)
    waiting = len(folder.segments(SEALED)) + len(folder.segments(OPEN))
    if waiting:
        raise UsageError(
            f"slot {slot} holds {waiting} segments that are not loaded: start a collector with this slot once, "
            "so that it recovers what is open, and let the loader finish"
        )
