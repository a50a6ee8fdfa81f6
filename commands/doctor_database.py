"""What `sillok doctor` asks the database: its version, its clock, its rights, its days, and what must be true of it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import psycopg
from msgspec import Struct

from contract.errors import SillokError
from processor.checks import run_checks
from storage.migrate import pending

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
    """Yield every finding; one that cannot be had is a finding too."""
    connection.execute(f"set statement_timeout = {_STATEMENT_MS_MAX}".encode())
    yield _version(connection)
    yield from _safely("migrations", lambda: _migrations(connection))
    if pending(connection):
        return
    for name, look in (
        ("database disk", _disk), ("database clock", _clock), ("partitions", _partitions), ("loads", _waiting),
        ("watermark", _watermark), ("dead letters", _dead_letters), ("sessions", _sessions),
    ):  # fmt: skip
        yield from _safely(name, lambda look=look: look(connection))  # type: ignore[misc]
    try:
        yield from _checks(connection)
    except psycopg.Error as error:
        yield Finding("checked", "could not be looked at", str(error).strip().splitlines()[0])


def _safely(name: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield look()
    except (SillokError, psycopg.Error) as error:
        yield Finding(name, "could not be looked at", str(error).strip().splitlines()[0])


def _version(connection: psycopg.Connection) -> Finding:
    version = connection.info.server_version
    old = "" if version >= _POSTGRES_MIN else "PostgreSQL 15 or later is needed"
    return Finding("database", f"PostgreSQL {version // 10000}.{version % 10000}", old)


def _migrations(connection: psycopg.Connection) -> Finding:
    missing = pending(connection)
    return Finding("migrations", f"{len(missing)} pending", "run `sillok migrate`" if missing else "")


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
    """Loader and processor make a day's partitions when its first event comes: try it, and take it back."""
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
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(f"set local role {role}".encode())
                connection.execute("set local lock_timeout = '3s'")
                connection.execute(f"select ops.{function}(day::date) from {days}".encode())  # noqa: S608
        except psycopg.Error as error:
            refused.append(f"ops.{function}: {str(error).strip().splitlines()[0]}")
    result = f"raw has {made[0] if made else 0} of today's and tomorrow's; the rest is made when needed"
    return Finding("partitions", result, "; ".join(refused))


def _waiting(connection: psycopg.Connection) -> Finding:
    loads, events, oldest_s = connection.execute(
        "select count(*), coalesce(sum(w.loaded), 0), coalesce(extract(epoch from now() - min(l.loaded_at)), 0)"
        " from ops.waiting w join ops.loads l using (load_id)"
    ).fetchone() or (0, 0, 0)
    result = f"{loads:,} with {events:,} events wait to be cleaned, the oldest for {oldest_s:.0f} s"
    return Finding("loads", result, "is `sillok process` running?" if oldest_s > _WAITING_S_MAX else "")


def _watermark(connection: psycopg.Connection) -> Finding:
    finished, all_final, lag = connection.execute(
        "select finished_until, all_final, now() - finished_until from ops.watermark"
    ).fetchone() or (None, None, None)
    slow = lag is not None and not all_final and lag.total_seconds() > _WAITING_S_MAX
    return Finding(
        "watermark",
        f"finished until {finished:%Y-%m-%d %H:%M:%S}" if finished else "no events yet",
        "a slot is silent: is its collector running? See ops.slot_progress" if slow else "",
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
    yield Finding("checked", f"what came since {since:%Y-%m-%d %H:%M:%S}")
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
