"""`sillok purge`: removes all that a test's source sent; never a customer's."""

from datetime import datetime

import psycopg
from msgspec import Struct

from contract.errors import UsageError
from processor.operate.actions import acting, one, statement
from processor.operate.finished import wait_until_finished
from processor.operate.leaving import remove
from storage.spool.folder import SpoolFolder


class Purged(Struct, frozen=True):
    """What a purge removed: everything of the source received before `until`."""

    source: str
    until: datetime
    events: int


def purge_source(
    connection: psycopg.Connection, spool: SpoolFolder | None, source: str, reason: str, *, patience_s: float = 60.0
) -> Purged:
    """Remove a test source's rows; raise UsageError when anything of it came with a key that is no test's."""
    until = wait_until_finished(connection, spool, patience_s)
    with acting(connection, "purge", {"source": source, "until": until.isoformat()}, reason) as action:
        connection.execute("select ops.pause_work()")
        if one(connection, statement("is_no_test.sql"), {"source": source}):
            raise UsageError(f"source {source} holds events that are no test's: only a test's source can be purged")
        action.run("find_source.sql", source=source, until=until)
        remove(action, "purged", until)
        action.run("remove_rejected.sql", source=source, until=until)
        connection.execute(
            "insert into ops.purges (source, until, action_id) values (%s, %s, %s)", (source, until, action.action_id)
        )
        events = action.result.get("purged", 0)
    return Purged(source, until, events)
