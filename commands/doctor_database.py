"""What `sillok doctor` asks the database: its version, its clock, its rights, its days, and what must be true of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import psycopg
from msgspec import Struct

from contract.calendar import SEOUL
from contract.errors import SchemaTooNew, SillokError
from processor.checks import run_checks
from processor.watermark import ahead
from storage.migrate import pending
from storage.postgres import read_sql

_POSTGRES_MIN: Final = 150_000
_WAITING_S_MAX: Final = 60.0
CLOCK_S_MAX: Final = 5.0
_SESSION_EVENTS_MAX: Final = 20_000
# The checks look at two days, but at no more than so many events, and for no longer than this each.
_EVENTS_MAX: Final = 1_000_000
_STATEMENT_MS_MAX: Final = 30_000
_SINCE: Final = """
select greatest(
    now() - interval '2 days',
    case when bool_or(events > %(max)s) then min(loaded_at) filter (where events <= %(max)s) end)
from (
    select loaded_at, sum(loaded) over (order by load_id desc) as events
    from (select load_id, loaded_at, loaded from ops.loads order by load_id desc limit 100000) newest
) summed
"""


class Finding(Struct, frozen=True):
    """One check: `advice` is empty when all is well."""

    check: str
    result: str
    advice: str = ""


def examine_database(connection: psycopg.Connection) -> Iterator[Finding]:
    """Yield every finding this user can be asked for; one that cannot be had is a finding too.

    The loader's user may not read what is clean, and the processor's may not add to raw: each is asked for its part.
    """
    connection.execute(f"set statement_timeout = {_STATEMENT_MS_MAX}".encode())
    server = _server(connection)
    yield server
    if server.advice:
        return
    if _may_read(connection, "ops.migrations"):
        try:
            missing = pending(connection)
        except SchemaTooNew as error:
            yield Finding("migrations", "the database is ahead of this version", str(error))
            return
        yield Finding("migrations", f"{len(missing)} pending", "run `sillok migrate`" if missing else "")
        if missing:
            return
    looks = [("database disk", _disk), ("database clock", _clock), ("partitions", _partitions)]
    reads_clean = _acts_as(connection, "sillok_processor")
    if reads_clean:
        looks += [("loads", _waiting), ("watermark", _watermark), ("dead letters", _dead_letters),
                  ("sessions", _sessions)]  # fmt: skip
    for name, look in looks:
        yield from _safely(name, lambda look=look: look(connection))  # type: ignore[misc]
    yield from _clocks_ahead(connection, has_watermark=reads_clean)
    if reads_clean:
        try:
            yield from _checks(connection)
        except psycopg.Error as error:
            yield Finding("checked", "could not be looked at", str(error).strip().splitlines()[0])


def _may_read(connection: psycopg.Connection, table: str) -> bool:
    """Say whether this user may read a table; of one that is not there, so that it is missed."""
    query = "select coalesce(has_table_privilege(to_regclass(%s), 'select'), true)"
    return connection.execute(query, (table,)).fetchone() == (True,)


def _acts_as(connection: psycopg.Connection, role: str) -> bool:
    query = "select coalesce(bool_or(pg_has_role(current_user, oid, 'member')), false) from pg_roles where rolname = %s"
    return connection.execute(query, (role,)).fetchone() == (True,)


def _safely(name: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield look()
    except (SillokError, psycopg.Error) as error:
        yield Finding(name, "could not be looked at", str(error).strip().splitlines()[0])


def _server(connection: psycopg.Connection) -> Finding:
    version = connection.info.server_version
    result = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version < _POSTGRES_MIN:
        return Finding("database", result, "PostgreSQL 15 or later is needed")
    if connection.execute("select pg_is_in_recovery()").fetchone() == (True,):
        advice = "it takes no writes: promote it, or name the primary in the dsn (`target_session_attrs=read-write`)"
        return Finding("database", f"{result}, a standby in recovery", advice)
    return Finding("database", result)


def _disk(connection: psycopg.Connection) -> Finding:
    """Look whether it syncs: one that does not may forget what the spool has already let go."""
    rows = connection.execute(
        "select name, setting from pg_settings where name in ('fsync', 'full_page_writes') order by name"
    ).fetchall()
    off = [name for name, setting in rows if setting != "on"]
    result = ", ".join(f"{name} {setting}" for name, setting in rows)
    return Finding("database disk", result, f"switch {' and '.join(off)} on, or a crash may lose rows" if off else "")


def _clock(connection: psycopg.Connection) -> Finding:
    before = datetime.now(UTC)
    (theirs,) = connection.execute("select clock_timestamp()").fetchone() or (before,)
    after = datetime.now(UTC)
    off_s = max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)
    advice = "set both clocks right: partitions are made by the database's" if off_s > CLOCK_S_MAX else ""
    return Finding("database clock", f"{off_s:.1f} s from this machine's", advice)


def _partitions(connection: psycopg.Connection) -> Finding:
    """Loader and processor make a day's partitions when its first event comes: try it, and take it back.

    Each as its own role: the right of another part's is not this user's to have.
    """
    days = "generate_series(ops.day_of(now()), ops.day_of(now()) + 1, '1 day') as day"
    made = connection.execute(
        f"select count(*) from {days} where to_regclass('raw.events' || to_char(day, '_YYYYMMDD')) is not null"  # noqa: S608
    ).fetchone()
    refused = []
    for role, function in (
        ("sillok_loader", "ensure_raw_partition"),
        ("sillok_processor", "ensure_clean_partition"),
        ("sillok_processor", "ensure_dedup_partition"),
    ):
        if not _acts_as(connection, role):
            continue
        try:
            with connection.transaction(force_rollback=True):
                if not _set_role(connection, role):
                    continue
                connection.execute("set local lock_timeout = '3s'")
                connection.execute(f"select ops.{function}(day::date) from {days}".encode())  # noqa: S608
        except psycopg.Error as error:
            refused.append(f"ops.{function}: {str(error).strip().splitlines()[0]}")
    result = f"raw has {made[0] if made else 0} of today's and tomorrow's; the rest is made when needed"
    return Finding("partitions", result, "; ".join(refused))


def _set_role(connection: psycopg.Connection, role: str) -> bool:
    """Work as a role until the transaction ends; say whether this user may: a membership can be without that right."""
    try:
        with connection.transaction():
            connection.execute(f"set local role {role}".encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def slots_ahead(connection: psycopg.Connection) -> list[tuple[UUID, int, datetime, datetime, bool]]:
    """Return the slots whose receipts are ahead: spool, slot, until when, the database's now, whether still so."""
    return connection.execute(read_sql("commands.sql", "slots_ahead.sql").encode()).fetchall()


def _clocks_ahead(connection: psycopg.Connection, *, has_watermark: bool) -> Iterator[Finding]:
    """Name the slots whose collector's clock is or was ahead of the database's; when none is, nothing is to be said."""
    for spool_id, slot, until, now, is_current in slots_ahead(connection):
        name = f"clock of slot {slot} of spool {str(spool_id)[:8]}"
        if is_current and not has_watermark:
            yield Finding(name, "ahead of the database's", ahead(spool_id, slot, until, now))
        elif not is_current:
            result = f"was ahead and is right again; its receipts up to {_kst(until)} become final when that has come"
            yield Finding(name, result)


def _kst(moment: datetime) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M:%S} KST"


def _waiting(connection: psycopg.Connection) -> Finding:
    loads, events, oldest_s = connection.execute(
        "select count(*), coalesce(sum(w.loaded), 0), coalesce(extract(epoch from now() - min(l.loaded_at)), 0)"
        " from ops.waiting w join ops.loads l using (load_id)"
    ).fetchone() or (0, 0, 0)
    result = f"{loads:,} with {events:,} events wait to be cleaned, the oldest for {oldest_s:.0f} s"
    return Finding("loads", result, "is `sillok process` running?" if oldest_s > _WAITING_S_MAX else "")


def _watermark(connection: psycopg.Connection) -> Finding:
    finished, all_final, waits_s = connection.execute(
        "select finished_until, all_final, extract(epoch from now() - coalesce(finished_until, since))"
        " from ops.watermark, (select min(seen_at) as since from ops.slots) seen"
    ).fetchone() or (None, None, None)
    result = f"finished until {_kst(finished)}" if finished else "no events yet"
    if wrong := [slot for slot in slots_ahead(connection) if slot[-1]]:
        return Finding("watermark", result, "; ".join(ahead(*slot[:-1]) for slot in wrong))
    slow = waits_s is not None and not all_final and waits_s > _WAITING_S_MAX
    return Finding(
        "watermark", result, "a slot is silent: is its collector running? See ops.slot_progress" if slow else ""
    )


def _dead_letters(connection: psycopg.Connection) -> Finding:
    rows = connection.execute("select reason, count(*) from ops.dead_letters group by 1 order by 1").fetchall()
    result = ", ".join(f"{count:,} {reason}" for reason, count in rows) or "none"
    advice = "see `sillok dead-letters list`; mend the cause, then `retry`, or `discard` what cannot be mended"
    return Finding("dead letters", result, advice if rows else "")


def _sessions(connection: psycopg.Connection) -> Finding:
    """Look for one that does not end: every batch that adds to a session reads it whole."""
    row = connection.execute(
        "select source, session_id, events from clean.sessions where session_date >= ops.day_of(now()) - 7"
        " order by events desc limit 1"
    ).fetchone()
    if row is None:
        return Finding("sessions", "none in seven days")
    source, session, events = row
    advice = (
        f"session {session} of {source} never ends, and costs the processor its whole length with every batch:"
        " its app must begin a new one after 30 minutes of silence; if nobody knows it, revoke its key"
    )
    is_endless = events > _SESSION_EVENTS_MAX
    return Finding("sessions", f"the longest of seven days has {events:,} events", advice if is_endless else "")


def _checks(connection: psycopg.Connection) -> Iterator[Finding]:
    """Say of each check whether it holds for what came of late."""
    (since,) = connection.execute(_SINCE, {"max": _EVENTS_MAX}).fetchone() or (datetime.now(UTC),)
    yield Finding("checked", f"what came since {_kst(since)}")
    for outcome in run_checks(connection, since, safely=True):
        name = outcome.name.replace("_", " ")
        if "statement timeout" in outcome.failure:
            # A large day, or a busy database, is no fault.
            yield Finding(name, f"not known: it was not answered within {_STATEMENT_MS_MAX // 1000} s")
        elif outcome.failure:
            yield Finding(name, "could not be looked at", outcome.failure)
        elif outcome.offenders:
            first = ", ".join(f"{key} {value}" for key, value in outcome.offenders[0].items())
            some = f"{len(outcome.offenders)}{' or more' if outcome.is_cut else ''} rows say otherwise"
            yield Finding(name, f"{some}, such as {first}", f"see processor/checks/{outcome.name}.sql")
        else:
            yield Finding(name, "holds")
