"""Cleans chosen rows of `raw.events` again: what a retry and a replay have in common.

The caller names the rows in the temporary table `again`. They take the processor's own road, statement by
statement; only what was there before is looked for in `clean` as well, whatever the window. What came of them
stands in `batch_counts` afterwards: whether it moves the books is the caller's business.
"""

from datetime import datetime

from processor.batch import counted, ensure_dedup, write_clean
from processor.dictionaries import Dictionaries
from processor.enrich import own_apps
from processor.operate.actions import Action, one
from processor.rule_files import RuleFiles
from processor.settings import ProcessSettings
from storage.postgres import read_sql


def make_dictionaries(settings: ProcessSettings) -> Dictionaries:
    """Return empty dictionaries by the operators' files as they are; raise RuleFileBroken when one is broken."""
    rules = RuleFiles(settings)
    rules.read()
    return Dictionaries(rules.channels.value, rules.geo.value, own_apps(settings.app_user_agents))


def clean_again(action: Action, dictionaries: Dictionaries) -> dict[str, int]:
    """Clean the rows of `again`; return how many came to which outcome."""
    connection = action.connection
    row = connection.execute(
        "select array_agg(distinct load_id), min(received_at), max(received_at), count(*) from again"
    ).fetchone()
    if row is None or row[0] is None:
        return {}
    load_ids, received_from, received_until, rows = row
    run_id = one(
        connection,
        "insert into ops.runs (loads, loaded) values (%s, %s) returning run_id",
        (len(load_ids), rows),
    )
    batch = {"run_id": run_id, "load_ids": load_ids, "received_from": received_from, "received_until": received_until}
    connection.execute("analyze again")
    ensure_dedup(connection, batch)
    for name in ("set_aside_others.sql", "find_repeats_again.sql", "remember_again.sql"):
        action.run(name, **batch)
    for name in ("insert_duplicates.sql", "insert_conflicts.sql"):
        connection.execute(read_sql("processor.sql", name), batch)
    write_clean(connection, dictionaries, batch)
    counts = counted(connection)
    if sum(counts.values()) != rows:
        raise AssertionError(f"{sum(counts.values())} of {rows} rows were accounted for: nothing is changed")
    return counts


def ensure_raw_day(action: Action, received_at: datetime) -> None:
    """Make the day's partition of `raw.events`, should retention have dropped it."""
    action.connection.execute("select ops.ensure_raw_partition(ops.day_of(%s))", (received_at,))
