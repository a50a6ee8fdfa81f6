"""Statements about the tables that must be true at any time; each `.sql` file returns the rows that say otherwise.

A file is named after what it proves. Its head says so in words, with the grain of what it returns and what it
costs; a line `-- Needs: schema.table` leaves it out where the table does not exist, and lines between
`-- With schema.table:` and `-- End` count only where it does. `%(since)s` bounds a check to what was received,
loaded or run since then.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

import psycopg
from msgspec import Struct

from storage.postgres import read_sql

_SHOWN: Final = 20
_HEAD: Final = re.compile(r"^-- (\w+): (.*(?:\n-- [^:\n]*$)*)", re.MULTILINE)
_OPTIONAL: Final = re.compile(r"-- With (\S+):\n(.*?)-- End\n", re.DOTALL)
_EVER: Final = "-infinity"


class Check(Struct, frozen=True):
    """One statement."""

    name: str
    proves: str
    needs: str | None
    sql: str


class Outcome(Struct, frozen=True):
    """What one check found."""

    name: str
    proves: str
    offenders: list[dict[str, Any]]
    """The first rows that say otherwise; empty when the statement is true."""
    failure: str = ""
    """Why it could not be asked."""

    @property
    def is_cut(self) -> bool:
        """Whether there may be more offenders than these."""
        return len(self.offenders) == _SHOWN


def all_checks() -> list[Check]:
    """Return every check, in the order of their names."""
    names = sorted(f.name for f in files(__name__).iterdir() if f.name.endswith(".sql"))
    found = []
    for name in names:
        sql = read_sql(__name__, name)
        head = {key: " ".join(text.replace("\n--", " ").split()) for key, text in _HEAD.findall(sql)}
        found.append(Check(name.removesuffix(".sql"), head["Proves"], head.get("Needs"), sql))
    return found


def run_checks(
    connection: psycopg.Connection,
    since: datetime | None = None,
    *,
    checks: list[Check] | None = None,
    safely: bool = False,
) -> Iterator[Outcome]:
    """Yield what each check found since a moment, or ever; what needs a table that is not there is left out.

    With `safely` a check that PostgreSQL refuses or cancels is an outcome too; else psycopg.Error is raised.
    """
    for check in all_checks() if checks is None else checks:
        if check.needs and not _exists(connection, check.needs):
            continue
        try:
            yield Outcome(check.name, check.proves, _offenders(connection, check, since))
        except psycopg.Error as error:
            if not safely or connection.closed:
                raise
            yield Outcome(check.name, check.proves, [], str(error).strip().splitlines()[0])


def _offenders(connection: psycopg.Connection, check: Check, since: datetime | None) -> list[dict[str, Any]]:
    sql = _OPTIONAL.sub(lambda part: part[2] if _exists(connection, part[1]) else "", check.sql)
    rows = connection.execute(
        f"select to_jsonb(offender) from ({sql}\n) offender limit {_SHOWN}".encode(),  # noqa: S608 - our own
        {"since": since or _EVER},
    ).fetchall()
    return [row for (row,) in rows]


def _exists(connection: psycopg.Connection, table: str) -> bool:
    return connection.execute("select to_regclass(%s)", (table,)).fetchone() != (None,)
