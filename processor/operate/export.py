"""`sillok export`: rows of clean for QA's and analysts' own tools, as SQLite, CSV or Parquet.

Rows stream from a cursor on the server, in one snapshot, read as `sillok_reader`. Without a reason the columns that
say who somebody is are left out: with one they come along, and `ops.actions` says who took them and why. A file
appears under its name when it is whole.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg import sql

from contract.errors import UsageError

Format = Literal["sqlite", "csv", "parquet"]
# Table, its day, its time: both are asked for, the day keeps the query within its partitions.
TABLES: Final = {
    "events": ("event_date", "event_time"),
    "sessions": ("session_date", "started_at"),
    "page_views": ("event_date", "entered_at"),
}
PEOPLE: Final = frozenset({"customer_id", "anonymous_id", "visitor_id", "ip", "user_agent"})
_ROWS: Final = 5_000
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Column(Struct, frozen=True):
    """A column as PostgreSQL names and types it."""

    name: str
    type: str


class Exported(Struct, frozen=True):
    """What was written."""

    file: str
    rows: dict[str, int]
    has_people: bool


def export(
    reader: psycopg.Connection, path: Path, format_: Format, tables: Sequence[str], range_from: datetime,
    range_until: datetime, *, has_people: bool, watch: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Exported:  # fmt: skip
    """Write the tables' rows of a range, from inclusive, until exclusive; raise UsageError when that cannot be."""
    if path.exists():
        raise UsageError(f"{path} is there already: remove it, or choose another name")
    write = {"sqlite": _to_sqlite, "csv": _to_csv, "parquet": _to_parquet}[format_]
    draft = path.with_name(path.name + ".part")
    draft.unlink(missing_ok=True)
    rows: dict[str, int] = {}
    try:
        with reader.transaction():
            reader.execute("set transaction isolation level repeatable read read only")
            for table in tables:
                columns = [c for c in _columns(reader, table) if has_people or c.name not in PEOPLE]
                source = _rows(reader, table, columns, range_from, range_until)
                rows[table] = write(draft, table, columns, _counted(source, watch))
        draft.chmod(0o600)
        draft.rename(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another place") from error
    finally:
        draft.unlink(missing_ok=True)
    return Exported(str(path), rows, has_people)


def _columns(reader: psycopg.Connection, table: str) -> list[Column]:
    """Return the columns of a table of clean."""
    rows = reader.execute(
        "select attname::text, format_type(atttypid, null) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        (f"clean.{table}",),
    ).fetchall()
    return [Column(*row) for row in rows]


def _rows(
    reader: psycopg.Connection, table: str, columns: list[Column], range_from: datetime, range_until: datetime
) -> Iterator[tuple[Any, ...]]:
    day, time = TABLES[table]
    query = sql.SQL(
        "select {columns} from clean.{table} where {day} between (%(from)s at time zone 'Asia/Seoul')::date"
        " and (%(until)s at time zone 'Asia/Seoul')::date and {time} >= %(from)s and {time} < %(until)s"
    ).format(
        columns=sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        table=sql.Identifier(table),
        day=sql.Identifier(day),
        time=sql.Identifier(time),
    )
    with reader.cursor(name="export") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(query, {"from": range_from, "until": range_until})
        yield from cursor


def _counted(rows: Iterator[tuple[Any, ...]], watch: Callable[[int, int | None], None]) -> Iterator[tuple[Any, ...]]:
    for number, row in enumerate(rows, 1):
        if number % _ROWS == 0:
            watch(number, None)
        yield row


def _plain(value: Any) -> Any:
    """Return what every format can hold: numbers, texts, true and false."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _to_sqlite(path: Path, table: str, columns: list[Column], rows: Iterator[tuple[Any, ...]]) -> int:
    from sqlite_utils.db import Database, Table  # noqa: PLC0415 - half a second that only this export should cost

    types = {column.name: _SQLITE.get(column.type, str) for column in columns}
    names = [column.name for column in columns]
    database = Database(path)
    try:
        written = Table(database, table)
        written.create(types)
        written.insert_all((dict(zip(names, map(_plain, row), strict=True)) for row in rows), batch_size=_ROWS)
        return int(written.count)
    finally:
        database.close()


_SQLITE: Final[dict[str, type]] = {"bigint": int, "integer": int, "smallint": int, "boolean": int}


def _to_csv(path: Path, _table: str, columns: list[Column], rows: Iterator[tuple[Any, ...]]) -> int:
    """Write UTF-8 with the mark Excel looks for; a text that begins like a formula gets an apostrophe before it."""
    count = 0
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        for count, row in enumerate(rows, 1):  # noqa: B007 - the last number is the count
            writer.writerow([_defused(_plain(value)) for value in row])
    return count


def _defused(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _to_parquet(path: Path, _table: str, columns: list[Column], rows: Iterator[tuple[Any, ...]]) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and heavy
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed: pip install 'sillok[parquet]', or export sqlite or csv"
        ) from None
    types = {"bigint": pa.int64(), "integer": pa.int32(), "smallint": pa.int16(),
             "boolean": pa.bool_(), "date": pa.date32(), "text[]": pa.list_(pa.string()),
             "timestamp with time zone": pa.timestamp("us", "Asia/Seoul")}  # fmt: skip
    schema = pa.schema([(column.name, types.get(column.type, pa.string())) for column in columns])
    kept = [column.type in types for column in columns]
    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(rows, _ROWS)):
            by_column = zip(*chunk, strict=True)
            arrays = [
                list(values) if is_kept else [_plain(value) for value in values]
                for values, is_kept in zip(by_column, kept, strict=True)
            ]
            typed = [pa.array(values, field.type) for values, field in zip(arrays, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(typed, schema=schema))
            count += len(chunk)
    return count


def is_writable(path: Path) -> bool:
    """Say whether a file can be made there."""
    return path.parent.is_dir() and os.access(path.parent, os.W_OK)
