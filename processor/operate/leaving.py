"""Takes the events of the temporary table `leaving` out of every table, in the books.

This is what erasure and purge share.
"""

from datetime import datetime
from typing import Final

from processor.operate.actions import Action
from storage.postgres import read_sql

# What is derived from a session's events, rewritten in this order; each reads `batch_sessions`.
DERIVED: Final = ("write_sessions.sql",)


def remove(action: Action, outcome: str, until: datetime | str) -> None:
    """Remove what arrived before `until` (or `infinity`), count it as `outcome`, rewrite the sessions it leaves.

    Raw rows that wait for the processor are left alone.
    """
    connection = action.connection
    connection.execute("analyze leaving")
    first, last, complete = connection.execute(
        "select min(event_date), max(event_date), count(*) = count(event_date) from leaving"
    ).fetchone() or (None, None, False)
    if not complete:
        # Some are known from an arrival only: they may lie anywhere in clean.
        first, last = "-infinity", "infinity"
    values = {"outcome": outcome, "until": until}
    action.run("remove_clean.sql", **values, first_date=first, last_date=last)
    for name in ("remove_duplicates.sql", "remove_leaving_letters.sql", "remove_raw.sql", "forget_arrivals.sql"):
        action.run(name, **values)
    action.run("drop_emptied_sessions.sql")
    connection.execute("analyze batch_sessions")
    span = connection.execute("select min(first_date), max(last_date) from batch_sessions").fetchone() or (None, None)
    for name in DERIVED:
        connection.execute(read_sql("processor.sql", name), {"first_date": span[0], "last_date": span[1]})
    action.result |= dict(
        connection.execute(
            "select outcome, sum(events)::bigint from action_moves group by outcome having sum(events) <> 0"
        ).fetchall()
    )
