"""Waits until all that was received before now is loaded and processed: what is on its way would slip through."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import psycopg

from contract.errors import UsageError
from processor.operate.actions import one
from storage.spool.folder import OPEN, SEALED, SpoolFolder

_LOOK_S: Final = 0.2


def wait_until_finished(
    connection: psycopg.Connection,
    spool: SpoolFolder | None,
    patience_s: float,
    watch: Callable[[float], None] = lambda _: None,
) -> datetime:
    """Return the moment everything before which is finished; raise UsageError when it does not come in time."""
    started: datetime = one(connection, "select clock_timestamp()")
    ends = time.monotonic() + patience_s
    while not _is_finished(connection, spool, started):
        left = ends - time.monotonic()
        if left <= 0:
            raise UsageError(
                "what was received until now is not yet loaded and processed: let collector, loader and processor run "
                "and try again; `sillok doctor` says what they wait for"
            )
        watch(left)
        time.sleep(min(_LOOK_S, left))
    return started


def _is_finished(connection: psycopg.Connection, spool: SpoolFolder | None, moment: datetime) -> bool:
    row = connection.execute("select finished_until, all_final from ops.watermark").fetchone()
    finished_until, all_final = row or (None, False)
    if finished_until is not None and finished_until >= moment:
        return True
    is_empty = one(connection, "select not exists (select from ops.slots)")
    waiting = spool is not None and any(slot.segments(SEALED) or slot.segments(OPEN) for slot in spool.slots())
    return bool(all_final or is_empty) and not waiting
