"""Migrations: plain numbered SQL, forward only, each in one transaction with its own record.

The record is inserted first: a second migrator stops on the key. Waiting is done by polling
`pg_try_advisory_lock`, because a session that sleeps in `pg_advisory_lock` holds a snapshot that
`CREATE INDEX CONCURRENTLY` would wait for, for ever.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import psycopg
import structlog

from contract.errors import DatabaseRefused, DatabaseUnavailable, SchemaTooNew

log: Final = structlog.get_logger()
_NAME: Final = re.compile(r"^(\d{4})_(\w+)\.sql$")
_LOCK: Final = 0x5111_0C
_PATIENCE_S: Final = 60.0

_RECORDS: Final = """
create schema if not exists ops;
create table if not exists ops.migrations (
    number integer primary key,
    name text not null,
    applied_at timestamptz not null default now()
);
comment on table ops.migrations is 'Which migrations this database has had.'
"""


def available() -> list[tuple[int, str, str]]:
    """Return (number, name, sql) of every migration of this version, in order."""
    found = [(_NAME.match(f.name), f) for f in (files("storage") / "migrations").iterdir()]
    return sorted((int(m[1]), m[2], f.read_text(encoding="utf-8")) for m, f in found if m)


def applied(connection: psycopg.Connection) -> set[int]:
    """Return the numbers this database has had; empty before the first."""
    if connection.execute("select to_regclass('ops.migrations')").fetchone() == (None,):
        return set()
    return {number for (number,) in connection.execute("select number from ops.migrations")}


def pending(connection: psycopg.Connection) -> list[tuple[int, str, str]]:
    """Return what is still to be applied; raise SchemaTooNew when the database is ahead of us."""
    done, known = applied(connection), available()
    unknown = done - {number for number, _, _ in known}
    if unknown:
        raise SchemaTooNew(
            f"the database has migration {max(unknown)}, this version knows up to {known[-1][0]}: "
            "install the newer Sillok"
        )
    return [migration for migration in known if migration[0] not in done]


def migrate(connection: psycopg.Connection) -> Iterator[str]:
    """Apply what is pending, one transaction each; yield the names as they are done."""
    with _lock(connection), _in_one_sentence():
        connection.execute(_RECORDS)
        for number, name, sql in pending(connection):
            with connection.transaction():
                connection.execute("insert into ops.migrations (number, name) values (%s, %s)", (number, name))
                connection.execute(sql.encode())
            log.info("migrated", number=number, name=name)
            yield f"{number:04}_{name}"


@contextlib.contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Say what to do where the server takes no change: from this user, or, as a standby, from nobody."""
    try:
        yield
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction) as error:
        raise DatabaseRefused(
            f"PostgreSQL lets this user not change the schema ({error.diag.message_primary}): name an administrator in "
            "[migrate] dsn, on the primary"
        ) from error


class _lock:  # noqa: N801 - reads as a verb at its one use
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        patience_ends = time.monotonic() + _PATIENCE_S
        while self._connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
            if time.monotonic() > patience_ends:
                raise DatabaseUnavailable("another `sillok migrate` has been running for a minute: look at it first")
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        if not self._connection.closed:
            self._connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))
