"""Which session each event belongs to, and the sessions and page views that follow from it.

Always true:

- What a person does (`ops.is_doing`) begins and prolongs a session. What only belongs to one joins a session that is
  there, or has none: so what is attached never decides what there is to be attached to.
- A session that a run touched is written again from all its events, read once; no other is touched.
- A row depends on its session's events alone, never on the order of their arrival.
- A row that would say the same is not written again.
"""

import psycopg

from processor.joins import by_probe
from storage.postgres import read_sql


def collect_earlier(connection: psycopg.Connection) -> None:
    """Add to the batch's events that need a derived session the earlier ones they may change."""
    connection.execute(read_sql("processor.sql", "collect_earlier.sql"))


def rewrite_touched(connection: psycopg.Connection) -> None:
    """Move earlier events whose derived session changed, and write every session the run touched."""
    with by_probe(connection):
        connection.execute(read_sql("processor.sql", "move_derived.sql"))
    connection.execute(read_sql("processor.sql", "touched_sessions.sql"))
    rewrite(connection)


def rewrite(connection: psycopg.Connection) -> None:
    """Write the sessions that stand in batch_sessions, then once more those that what belongs leaves or joins."""
    _write(connection)
    if _attach(connection):
        connection.execute("truncate batch_sessions, batch_pages")
        connection.execute(read_sql("processor.sql", "moved_sessions.sql"))
        _write(connection)


def _write(connection: psycopg.Connection) -> None:
    """Write the sessions that stand in batch_sessions, and their page views, from their events."""
    connection.execute("analyze batch_sessions")
    first, last = connection.execute("select min(first_date), max(last_date) from batch_sessions").fetchone() or (0, 0)
    span = {"first_date": first, "last_date": last}
    for name in ("collect_pages.sql", "drop_emptied.sql", "write_sessions.sql"):
        connection.execute(read_sql("processor.sql", name), span)
    with by_probe(connection):
        connection.execute(read_sql("processor.sql", "write_page_views.sql"), span)


def _attach(connection: psycopg.Connection) -> bool:
    """Give what belongs to a session the one it has now; return whether any event moved."""
    first, last = connection.execute(
        "select min(first_date) - 1, max(last_date) + 1 from ("
        "select first_date, last_date from batch_sessions"
        " union all select ops.day_of(event_time), ops.day_of(event_time) from batch_belonging) days"
    ).fetchone() or (None, None)
    with by_probe(connection):
        moved = connection.execute(
            read_sql("processor.sql", "attach_belonging.sql"), {"first_date": first, "last_date": last}
        )
    return moved.rowcount > 0
