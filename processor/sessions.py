"""Which session each event belongs to, and the sessions and page views that follow from it.

Always true:

- A session that a run touched is written again from all its events, read once; no other is touched.
- A row depends on its session's events alone, never on the order of their arrival.
- A row that would say the same is not written again.
"""

from typing import Any

import psycopg

from storage.postgres import read_sql


def derive(connection: psycopg.Connection, batch: dict[str, Any]) -> None:
    """Collect the batch's events that need a derived session, with the earlier ones it may change."""
    connection.execute(read_sql("processor.sql", "derive_sessions.sql"), batch)


def rewrite_touched(connection: psycopg.Connection, batch: dict[str, Any]) -> None:
    """Move earlier events whose derived session changed, and write every session the run touched."""
    for name in ("move_derived.sql", "touched_sessions.sql"):
        connection.execute(read_sql("processor.sql", name), batch)
    rewrite(connection)


def rewrite(connection: psycopg.Connection) -> None:
    """Write the sessions that stand in batch_sessions, and their page views, from their events."""
    connection.execute("analyze batch_sessions")
    first, last = connection.execute("select min(first_date), max(last_date) from batch_sessions").fetchone() or (0, 0)
    span = {"first_date": first, "last_date": last}
    connection.execute(read_sql("processor.sql", "collect_pages.sql"), span)
    for name in ("drop_emptied.sql", "write_sessions.sql", "write_page_views.sql"):
        connection.execute(read_sql("processor.sql", name), span)
