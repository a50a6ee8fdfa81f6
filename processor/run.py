"""`sillok process`: claims whole loads and cleans them, one transaction a batch.

Always true:

- Loads are claimed through the ledger, never by ranges of ids or times: a row committed late is not skipped.
- Claim, deduplication state, clean rows and counts commit together or not at all.
- What the run counted, from what its INSERTs returned, equals what was loaded; else nothing is committed.
- One processor works at a time (a session lock); a second one waits and takes over.
"""

import random
import secrets
import threading
import time
from pathlib import Path
from typing import Any, Final

import psycopg
import structlog
from msgspec import Struct

from contract.errors import DatabaseUnavailable
from processor.dictionaries import Dictionaries
from processor.enrich import ChannelRules
from processor.retention import RetentionSettings, drop_expired
from processor.settings import ProcessSettings
from storage.postgres import connect, is_passing, read_sql

log: Final = structlog.get_logger()

_LOCK: Final = 0x5111_0D
_BACKOFF_S_MAX: Final = 10.0
_RETENTION_S: Final = 3600.0


class RunReport(Struct, frozen=True):
    """What one run did, by outcome."""

    run_id: int
    loads: int
    clean: int
    duplicates: int
    dead_lettered: int


class Processor:
    """Cleans what is loaded."""

    def __init__(
        self,
        settings: ProcessSettings,
        dsn: str,
        retention: RetentionSettings = RetentionSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._settings = settings
        self._retention = retention
        self._retained_at = -_RETENTION_S
        self._dsn = dsn
        self._dictionaries = make_dictionaries(settings)
        self._connection: psycopg.Connection | None = None

    def run(self, stop: threading.Event, *, once: bool = False) -> int:
        """Clean until `stop`; with `once`, until nothing loaded is left. Return how many events became clean."""
        clean = failures = 0
        while not stop.is_set():
            try:
                report = self._turn()
                failures = 0
            except (DatabaseUnavailable, psycopg.Error) as error:
                if isinstance(error, psycopg.Error) and not is_passing(error):
                    log.exception("process_failed", action="the batch is rolled back and tried again")
                failures += 1
                self._wait_for_database(stop, failures, error)
                continue
            if report is not None:
                clean += report.clean
                continue
            if once:
                break
            self._retain()
            stop.wait(self._settings.poll_ms / 1000)
        self.close()
        return clean

    def close(self) -> None:
        """Close the connection, and with it the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _turn(self) -> RunReport | None:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        if self._connection is None:
            return None
        report = process_batch(self._connection, self._dictionaries, self._settings.batch_events_max)
        if report is not None and report.clean + report.duplicates + report.dead_lettered:
            log.info(
                "batch_processed",
                run_id=report.run_id,
                loads=report.loads,
                clean=report.clean,
                duplicates=report.duplicates,
                dead_lettered=report.dead_lettered,
            )
        return report

    def _connect(self) -> psycopg.Connection | None:
        """Connect and take the processor's lock; None while another processor has it."""
        connection = connect(self._dsn, role="sillok_processor", application="sillok process")
        if connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
            connection.close()
            return None
        prepare_session(connection)
        log.info("database_connected", part="processor")
        return connection

    def _retain(self) -> None:
        """Drop what is past its time, once an hour, when there is nothing else to do."""
        if self._connection is None or time.monotonic() - self._retained_at < _RETENTION_S:
            return
        self._retained_at = time.monotonic()
        try:
            drop_expired(self._connection, self._retention, "sillok process")
        except psycopg.Error:
            log.exception("retention_failed", action="tried again in an hour")

    def _wait_for_database(self, stop: threading.Event, failures: int, error: Exception) -> None:
        self.close()
        if failures in (1, 5) or failures % 30 == 0:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("database_unavailable", part="processor", reason=reason, failures=failures)
        stop.wait(random.uniform(0.1, min(_BACKOFF_S_MAX, 0.2 * 2**failures)))  # noqa: S311 - jitter


def make_dictionaries(settings: ProcessSettings) -> Dictionaries:
    """Return empty dictionaries with the site's rules."""
    return Dictionaries(ChannelRules.load(Path(settings.channel_rules) if settings.channel_rules else None))


def prepare_session(connection: psycopg.Connection) -> None:
    """Make the workspace of the batch's statements, once per connection."""
    connection.execute(read_sql("processor.sql", "session.sql").encode())
    connection.execute(read_sql("processor.sql", "timed.sql").encode())


def process_batch(connection: psycopg.Connection, dictionaries: Dictionaries, events_max: int) -> RunReport | None:
    """Clean the oldest loads that wait, up to about `events_max` events; None when none waits."""
    with connection.transaction():
        claimed = connection.execute(read_sql("processor.sql", "claim.sql"), {"events_max": events_max}).fetchone()
        if claimed is None:
            return None
        run_id, load_ids, loaded = claimed
        if loaded:
            batch = {"run_id": run_id, "load_ids": load_ids, **_span(connection, load_ids)}
            _clean(connection, dictionaries, batch)
            connection.execute(read_sql("processor.sql", "write_counts.sql"))
        counts: dict[str, int] = dict(
            connection.execute(
                "select outcome, sum(events)::bigint from ops.audit where run_id = %s group by outcome",
                (run_id,),
            ).fetchall()
        )
        if sum(counts.values()) != loaded:
            raise AssertionError(f"run {run_id} accounts for {sum(counts.values())} of {loaded} loaded events")
    return RunReport(
        run_id,
        len(load_ids),
        counts.get("clean", 0),
        counts.get("duplicate", 0),
        counts.get("dead_lettered", 0),
    )


def _span(connection: psycopg.Connection, load_ids: list[int]) -> dict[str, Any]:
    """Return the batch's bounds of `received_at`: they keep every statement within its partitions."""
    row = connection.execute(
        "select min(received_at), max(received_at) from raw.events where load_id = any(%s)", (load_ids,)
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return {"received_from": row[0], "received_until": row[1]}


def _clean(connection: psycopg.Connection, dictionaries: Dictionaries, batch: dict[str, Any]) -> None:
    """Run the batch's statements in their order."""
    ensure_dedup(connection, batch)
    for name in (
        "find_repeats.sql",
        "set_aside_erased.sql",
        "remember.sql",
        "insert_duplicates.sql",
        "insert_conflicts.sql",
    ):
        connection.execute(read_sql("processor.sql", name), batch)
    write_clean(connection, dictionaries, batch)


def write_clean(connection: psycopg.Connection, dictionaries: Dictionaries, batch: dict[str, Any]) -> None:
    """Write the batch's rows that `batch_repeats` does not name into clean, with their sessions."""
    dictionaries.fill(connection, batch)
    _ensure_days(connection, batch)
    connection.execute(read_sql("processor.sql", "derive_sessions.sql"), batch)
    # Autovacuum never sees temporary tables, and joins planned without their statistics loop over them.
    connection.execute("analyze batch_urls, batch_user_agents, batch_repeats, batch_derived")
    # Seven equalities of texts look like one row to the planner all the same: 4 ms an event instead of 50 µs.
    connection.execute("set local enable_nestloop = off")
    for name in ("cut_sessions.sql", "insert_clean.sql"):
        connection.execute(read_sql("processor.sql", name), batch)
    connection.execute("set local enable_nestloop = on")
    for name in ("move_derived.sql", "drop_emptied.sql", "touched_sessions.sql"):
        connection.execute(read_sql("processor.sql", name), batch)
    connection.execute("analyze batch_sessions")
    first, last = connection.execute("select min(first_date), max(last_date) from batch_sessions").fetchone() or (0, 0)
    connection.execute(
        read_sql("processor.sql", "write_sessions.sql"), {**batch, "first_date": first, "last_date": last}
    )


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
            "select distinct event_date from batch_timed where load_id = any(%(load_ids)s)"
            " and received_at between %(received_from)s and %(received_until)s",
            batch,
        )
    ]
    for day in sorted(days):
        connection.execute("select ops.ensure_clean_partition(%s)", (day,))
        connection.execute(
            "insert into ops.visitor_keys (day, key) values (%s, %s) on conflict do nothing",
            (day, secrets.token_bytes(32)),
        )
