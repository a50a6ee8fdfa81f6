"""`sillok export`: rows of clean for QA's and analysts' own tools, as SQLite, CSV or Parquet.

Always true:

- Rows stream by COPY, in one snapshot, read as `sillok_reader`.
- Without a reason the columns that say who somebody is are left out: with one they come along, and `ops.actions` says
  who took them and why.
- The file is its owner's alone from its first byte. It appears under its name when it is whole and on the disk, and
  replaces nothing; what was begun and not finished is removed, whatever ended it short of `kill -9`.
"""

import errno
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import psycopg
from msgspec import Struct
from psycopg import sql

from contract.errors import DatabaseUnavailable, UsageError
from processor.operate.export_formats import Column, Csv, Parquet, Sqlite, Writer

Format = Literal["sqlite", "csv", "parquet"]
# Table, its day, its time: both are asked for, the day keeps the query within its partitions.
TABLES: Final = {
    "events": ("event_date", "event_time"),
    "sessions": ("session_date", "started_at"),
    "page_views": ("event_date", "entered_at"),
}
PEOPLE: Final = frozenset({"customer_id", "anonymous_id", "visitor_id", "ip", "user_agent"})
_WRITERS: Final[dict[Format, type[Writer]]] = {"sqlite": Sqlite, "csv": Csv, "parquet": Parquet}
# A file system without second names for a file: FAT, and some that are on a network.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Exported(Struct, frozen=True):
    """What was written."""

    file: str
    rows: dict[str, int]
    has_people: bool


def export(
    reader: psycopg.Connection, path: Path, format_: Format, tables: Sequence[str], range_from: datetime,
    range_until: datetime, *, has_people: bool, watch: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Exported:  # fmt: skip
    """Write the tables' rows of a range, from inclusive, until exclusive; raise UsageError when that cannot be.

    `watch` is told how many rows are written, of how many.
    """
    rows: dict[str, int] = {}
    try:
        with _draft(path) as draft, _WRITERS[format_](draft) as writer, _snapshot(reader):
            total = sum(_count(reader, table, range_from, range_until) for table in tables)
            watch(0, total)
            for table in tables:
                columns = [c for c in _columns(reader, table) if has_people or c.name not in PEOPLE]
                query = sql.SQL("select {} {}").format(
                    writer.select_list(columns), _rows(table, range_from, range_until)
                )
                with reader.cursor() as cursor:
                    rows[table] = writer.write(cursor, query, table, columns, _added(watch, sum(rows.values()), total))
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot write {path}: {reason}; nothing of it is left, choose another place") from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(f"the database went away, and nothing is left of {path}: try again") from error
    return Exported(str(path), rows, has_people)


@contextmanager
def _snapshot(reader: psycopg.Connection) -> Iterator[None]:
    """Let the block see one moment; what ends it early ends the connection too, whatever it was about to say."""
    try:
        reader.execute("begin isolation level repeatable read read only")
        yield
        reader.execute("commit")
    except BaseException:
        reader.close()
        raise


def _added(watch: Callable[[int, int | None], None], before: int, total: int) -> Callable[[int], None]:
    return lambda done: watch(before + done, total)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Give a file of the owner's alone; it gets its name when the block ends well, and is gone when it does not."""
    _refuse_taken(path, is_taken=path.exists())
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "rb+") as file:
            yield draft
            os.fsync(file.fileno())
        _publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _publish(draft: Path, path: Path) -> None:
    """Give a whole file its name, which nobody else has taken meanwhile; return when that is on the disk."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        _refuse_taken(path, is_taken=True)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _refuse_taken(path: Path, *, is_taken: bool) -> None:
    if is_taken:
        raise UsageError(f"{path} is there already: remove it, or choose another name")


def _columns(reader: psycopg.Connection, table: str) -> list[Column]:
    """Return the columns of a table of clean."""
    rows = reader.execute(
        "select attname::text, format_type(atttypid, null) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        (f"clean.{table}",),
    ).fetchall()
    return [Column(*row) for row in rows]


def _count(reader: psycopg.Connection, table: str, range_from: datetime, range_until: datetime) -> int:
    counted = reader.execute(sql.SQL("select count(*) {}").format(_rows(table, range_from, range_until))).fetchone()
    return counted[0] if counted else 0


def _rows(table: str, range_from: datetime, range_until: datetime) -> sql.Composable:
    """Return where the rows are; COPY takes no parameters."""
    day, time = TABLES[table]
    return sql.SQL(
        "from clean.{table} where {day} between ({from_} at time zone 'Asia/Seoul')::date"
        " and ({until} at time zone 'Asia/Seoul')::date and {time} >= {from_} and {time} < {until}"
    ).format(
        table=sql.Identifier(table), day=sql.Identifier(day), time=sql.Identifier(time),
        from_=sql.Literal(range_from), until=sql.Literal(range_until),
    )  # fmt: skip


def is_writable(path: Path) -> bool:
    """Say whether a file can be made there."""
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)
