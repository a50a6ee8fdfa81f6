"""Which database a command works on, and whether it can."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

from commands.settings import Settings
from contract.errors import DatabaseRefused, DatabaseUnavailable, UsageError
from processor.operate.actions import prepare
from storage.embedded import running_dsn
from storage.migrate import pending
from storage.postgres import connect
from storage.spool.folder import SpoolFolder


def find_dsn(settings: Settings, section: str) -> str:
    """Return the section's database; without one, the embedded PostgreSQL if it runs on this folder."""
    dsn: str = getattr(settings, section).dsn
    found = dsn or running_dsn(Path(settings.data.folder) / "postgres")
    if not found:
        raise UsageError(
            f"no database: set `dsn` in [{section}] (SILLOK_{section.upper()}_DSN), or start `sillok up` on this folder"
        )
    return found


def find_migrated_dsn(settings: Settings, section: str) -> str:
    """Return the section's database; raise DatabaseRefused when its schema is not this version's.

    A database that is away is not asked: who works on it waits for it.
    """
    dsn = find_dsn(settings, section)
    # Who may not look at the migrations owes its rights to them, so there were some.
    lenient = contextlib.suppress(DatabaseUnavailable, psycopg.errors.InsufficientPrivilege)
    with lenient, connect(dsn, application="sillok") as connection:
        missing = pending(connection)
        if missing:
            raise DatabaseRefused(f"the database lacks {len(missing)} of Sillok's migrations: run `sillok migrate`")
    return dsn


@contextlib.contextmanager
def operating(settings: Settings, command: str, role: str = "sillok_operator") -> Iterator[psycopg.Connection]:
    """Open the operators' database, `[operate] dsn`, with their workspace made; without one, the embedded database."""
    dsn = find_migrated_dsn(settings, "operate")
    with connect(dsn, role=role, application=f"sillok {command}") as connection:
        prepare(connection)
        yield connection


def find_spool(settings: Settings) -> SpoolFolder | None:
    """Return this machine's spool; None where there is none."""
    path = settings.spool_folder()
    return SpoolFolder(path) if (path / "SPOOL.json").exists() else None
