"""One batch of whole loads becomes clean rows, in one transaction.

Always true:

- Loads are claimed through the ledger, never by ranges of ids or times: a row committed late is not skipped.
- Claim, deduplication state, clean rows and counts commit together or not at all.
- What the run counted, from what its INSERTs returned, equals what was loaded; else nothing is committed.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

import psycopg
import structlog
from msgspec import Struct

from processor import identities, sessions
from processor.dictionaries import Dictionaries
from processor.joins import by_hash
from processor.refusal import CannotClean, Portion, fault_of, find_refused
from storage.postgres import read_sql

log: Final = structlog.get_logger()


class RunReport(Struct, frozen=True):
    """What one run did, by outcome."""

    run_id: int
    loads: int
    clean: int
    duplicates: int
    dead_lettered: int


def prepare_session(connection: psycopg.Connection) -> None:
    """Make the workspace of the batch's statements, once per connection."""
    connection.execute(read_sql("processor.sql", "session.sql").encode())
    connection.execute(read_sql("processor.sql", "timed.sql").encode())


def process_batch(connection: psycopg.Connection, dictionaries: Dictionaries, events_max: int) -> RunReport | None:
    """Clean the oldest loads that wait, up to about `events_max` events; None when none waits.

    A row that cannot be cleaned becomes a dead letter, and the rest is cleaned without it.
    """
    portion = Portion(events_max=events_max)
    while True:
        try:
            return _run(connection, dictionaries, portion)
        except CannotClean as error:
            portion = _narrowed(connection, dictionaries, portion, error)
            dictionaries.forget()  # what the failed runs put into the tables was rolled back


def _narrowed(
    connection: psycopg.Connection, dictionaries: Dictionaries, portion: Portion, error: CannotClean
) -> Portion:
    """Return what to try after a failure: fewer loads, or one load without its guilty rows; else raise it again."""
    if len(error.load_ids) > 1:
        return Portion(events_max=max(1, min(portion.events_max, error.rows) // 2))
    (load_id,) = error.load_ids

    def attempt(until: int, refused: Mapping[int, str]) -> None:
        trial = Portion(events_max=1, load_id=load_id, until=until, refused=refused)
        _run(connection, dictionaries, trial)

    refused = {} if portion.refused else find_refused(error.rows, attempt)
    if not refused:
        raise error
    log.warning("rows_refused", load_id=load_id, rows=len(refused), reasons=sorted(set(refused.values())))
    return Portion(events_max=1, load_id=load_id, refused=refused)


def _run(connection: psycopg.Connection, dictionaries: Dictionaries, portion: Portion) -> RunReport | None:
    """Do one transaction, a trial's only to roll it back; raise CannotClean when a row is at fault."""
    is_trial = portion.until is not None
    with connection.transaction(force_rollback=is_trial):
        claimed = connection.execute(
            read_sql("processor.sql", "claim.sql"), {"events_max": portion.events_max, "load_id": portion.load_id}
        ).fetchone()
        if claimed is None:
            return None
        run_id, load_ids, loaded, filled_ids = claimed
        if loaded:
            batch = {"run_id": run_id, "load_ids": load_ids, **_span(connection, load_ids)}
            try:
                _clean(connection, dictionaries, batch, portion)
            except Exception as error:
                reason = fault_of(error)
                if reason is None:
                    raise
                raise CannotClean(reason, filled_ids, loaded) from error
        connection.execute(read_sql("processor.sql", "advance.sql"), {"load_ids": load_ids})
        counts = counted(connection)
        if sum(counts.values()) != loaded and not is_trial:
            raise AssertionError(f"run {run_id} accounts for {sum(counts.values())} of {loaded} loaded events")
        connection.execute(read_sql("processor.sql", "write_counts.sql"))
    return RunReport(
        run_id,
        len(load_ids),
        counts.get("clean", 0),
        counts.get("duplicate", 0),
        counts.get("dead_lettered", 0),
    )


def counted(connection: psycopg.Connection) -> dict[str, int]:
    """Return how many of the batch's events came to which outcome, by what its INSERTs returned."""
    return dict(connection.execute("select outcome, sum(events)::bigint from batch_counts group by outcome").fetchall())


def _span(connection: psycopg.Connection, load_ids: list[int]) -> dict[str, Any]:
    """Return the batch's bounds of `received_at`: they keep every statement within its partitions."""
    row = connection.execute(
        "select min(received_at), max(received_at) from raw.events where load_id = any(%s)", (load_ids,)
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return {"received_from": row[0], "received_until": row[1]}


def _clean(connection: psycopg.Connection, dictionaries: Dictionaries, batch: dict[str, Any], portion: Portion) -> None:
    """Run the batch's statements in their order."""
    ensure_dedup(connection, batch)
    with by_hash(connection):
        for name in (
            "find_repeats.sql",
            "set_aside_erased.sql",
            "remember.sql",
            "insert_duplicates.sql",
            "insert_conflicts.sql",
        ):
            connection.execute(read_sql("processor.sql", name), batch)
        if not portion.is_whole:
            _leave_out(connection, batch, portion)
    write_clean(connection, dictionaries, batch)


def write_clean(connection: psycopg.Connection, dictionaries: Dictionaries, batch: dict[str, Any]) -> None:
    """Write the batch's rows that `batch_repeats` does not name into clean, and what follows from them."""
    with by_hash(connection):
        dictionaries.fill(connection, batch)
        _ensure_days(connection, batch)
        connection.execute(read_sql("processor.sql", "collect_sessionless.sql"), batch)
    sessions.collect_earlier(connection)
    # Autovacuum never sees temporary tables, and joins planned without their statistics loop over them.
    connection.execute("analyze batch_urls, batch_user_agents, batch_addresses, batch_repeats, batch_derived")
    with by_hash(connection):
        for name in ("cut_sessions.sql", "insert_clean.sql"):
            connection.execute(read_sql("processor.sql", name), batch)
    sessions.rewrite_touched(connection)
    identities.link(connection)


def _leave_out(connection: psycopg.Connection, batch: dict[str, Any], portion: Portion) -> None:
    chosen = {
        "until": portion.until,
        "refused": list(portion.refused),
        "details": list(portion.refused.values()),
    }
    connection.execute(read_sql("processor.sql", "leave_out.sql"), {**batch, **chosen})


def ensure_dedup(connection: psycopg.Connection, batch: dict[str, Any]) -> None:
    """Make the arrival days' partitions of `ops.dedup`."""
    connection.execute(
        "select ops.ensure_dedup_partition(day::date) from generate_series("
        "ops.day_of(%(received_from)s), ops.day_of(%(received_until)s), '1 day') as day",
        batch,
    )


def _ensure_days(connection: psycopg.Connection, batch: dict[str, Any]) -> None:
    """Make the partitions and the visitor keys of every day the batch's events happened on."""
    days = [
        day
        for (day,) in connection.execute(
            "select distinct event_date from batch_timed t where load_id = any(%(load_ids)s)"
            " and received_at between %(received_from)s and %(received_until)s"
            " and not exists (select from batch_repeats b where b.part = t.part and b.tid = t.tid)",
            batch,
        )
    ]
    for day in sorted(days):
        connection.execute("select ops.ensure_clean_partition(%s)", (day,))
        connection.execute(
            "insert into ops.visitor_keys (day, key) values (%s, %s) on conflict do nothing",
            (day, secrets.token_bytes(32)),
        )
