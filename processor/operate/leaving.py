"""Takes the events of the temporary table `leaving` out of every table, in the books.

This is what erasure and purge share.
"""

from datetime import datetime

from processor import identities, sessions
from processor.operate.actions import Action


def remove(action: Action, outcome: str, until: datetime | str, customer: str | None = None) -> None:
    """Remove what arrived before `until` (or `infinity`), count it as `outcome`, rewrite what was derived from it.

    Whose the devices are is decided anew from what is left, also of those that stand in `batch_devices` already; a
    `customer` is forgotten on all of them.
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
    for name in ("forget_values.sql", "remove_clean.sql"):
        action.run(name, **values, first_date=first, last_date=last)
    for name in ("remove_duplicates.sql", "remove_leaving_letters.sql", "remove_raw.sql", "forget_arrivals.sql"):
        action.run(name, **values)
    sessions.rewrite(connection)
    action.run("forget_identities.sql", customer=customer)
    identities.resolve(connection)
    action.result |= dict(
        connection.execute(
            "select outcome, sum(events)::bigint from action_moves group by outcome having sum(events) <> 0"
        ).fetchall()
    )
