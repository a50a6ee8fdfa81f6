"""The forms an export is written in: what PostgreSQL makes of each column, and how its rows come into the file.

PostgreSQL does the work: rows leave it by COPY, each value as the text that the format wants. CSV goes to the file as
it comes; pyarrow reads the same CSV, some thousand rows at a time; SQLite takes the rows of a text COPY, and makes
numbers of what its columns say are numbers. So no row is ever made of Python objects of its own, and memory is flat.
"""

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from io import BytesIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import psycopg
from msgspec import Struct
from psycopg import sql

from contract.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Watch = Callable[[int], None]
"""Told how many rows of the table are written, now and then."""

ROWS: Final = 5_000
_ROW_GROUP_BYTES: Final = 8 * 1024 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Column(Struct, frozen=True):
    """A column as PostgreSQL names and types it."""

    name: str
    type: str


# What the text of a type is in every format; a text needs nothing.
_TEXTS: Final = {
    "timestamp with time zone": """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')""",
    "date": "to_char({}, 'YYYY-MM-DD')",
    "boolean": "{}::text",
    "inet": "host({})",
    "text[]": "to_json({})::text",
    "jsonb": "{}::text",
}


class Writer(ABC):
    """Writes tables into one file; used as a context, it is complete when the block has ended well."""

    expressions: ClassVar[dict[str, str]] = _TEXTS
    """What PostgreSQL makes of a value, by its type."""

    def __init__(self, path: Path) -> None:
        self._open = ExitStack()
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @abstractmethod
    def write(
        self, cursor: psycopg.Cursor, query: sql.Composable, table: str, columns: list[Column], watch: Watch
    ) -> int:
        """Write the rows of a query, made with `select_list`; return how many."""

    def select_list(self, columns: list[Column]) -> sql.Composable:
        """Return the columns as this format wants their values."""
        return sql.SQL(", ").join(
            sql.SQL("{} as {}").format(
                sql.SQL(self.expressions.get(column.type, "{}")).format(sql.Identifier(column.name)),
                sql.Identifier(column.name),
            )
            for column in columns
        )


class Csv(Writer):
    """UTF-8 with the mark Excel looks for; a text that begins like a formula gets an apostrophe before it."""

    # =, +, -, @, tab and carriage return.
    expressions = _TEXTS | {"text": "case when ascii({0}) in (61, 43, 45, 64, 9, 13) then '''' || {0} else {0} end"}

    def write(  # noqa: D102 - see Writer
        self, cursor: psycopg.Cursor, query: sql.Composable, table: str, columns: list[Column], watch: Watch
    ) -> int:
        del table, columns
        file = self._open.enter_context(self._path.open("wb", buffering=_BUFFER_BYTES))
        file.write(_BYTE_ORDER_MARK)
        with cursor.copy(sql.SQL("copy ({}) to stdout (format csv, header true)").format(query)) as copy:
            for number, row in enumerate(copy):  # the first is the header
                file.write(row)
                if number % ROWS == 0:
                    watch(number)
        file.flush()
        return cursor.rowcount


class Sqlite(Writer):
    """One database file, a table for each."""

    expressions = _TEXTS | {"boolean": "{}::int"}
    _numbers: ClassVar[dict[str, type]] = {"bigint": int, "integer": int, "smallint": int, "boolean": int}

    def write(  # noqa: D102 - see Writer
        self, cursor: psycopg.Cursor, query: sql.Composable, table: str, columns: list[Column], watch: Watch
    ) -> int:
        from sqlite_utils.db import Database, Table  # noqa: PLC0415 - half a second that only this export should cost

        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            # A draft that is cut short is thrown away whole: a journal would only be a second file of people.
            connection.executescript("pragma journal_mode = off; pragma synchronous = off; pragma temp_store = memory")
            Table(Database(connection), table).create({c.name: self._numbers.get(c.type, str) for c in columns})
            places = ", ".join("?" * len(columns))
            connection.execute("begin")
            done = 0
            with cursor.copy(sql.SQL("copy ({}) to stdout").format(query)) as copy:
                rows = copy.rows()
                while chunk := list(islice(rows, ROWS)):
                    connection.executemany(f'insert into "{table}" values ({places})', chunk)  # noqa: S608 - our names
                    done += len(chunk)
                    watch(done)
            connection.execute("commit")
        return done


class Parquet(Writer):
    """One table, its columns typed: times as moments of Seoul, lists as lists."""

    expressions = _TEXTS | {"timestamp with time zone": "(extract(epoch from {}) * 1000000)::bigint"}

    def write(  # noqa: D102 - see Writer
        self, cursor: psycopg.Cursor, query: sql.Composable, table: str, columns: list[Column], watch: Watch
    ) -> int:
        del table
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
        file = self._open.enter_context(self._path.open("wb", buffering=_BUFFER_BYTES))
        done = 0
        statement = sql.SQL("copy ({}) to stdout (format csv)").format(query)
        with parquet.ParquetWriter(file, schema) as writer, cursor.copy(statement) as copy:
            for lines in _chunks(iter(copy)):
                group = _typed(lines, schema)
                writer.write_table(group)
                done += group.num_rows
                watch(done)
        file.flush()
        return done


def _chunks(rows: "Iterator[bytes | bytearray | memoryview]") -> Iterator[bytes]:
    """Yield the rows in pieces that are worth a row group."""
    held = BytesIO()
    for row in rows:
        held.write(row)
        if held.tell() >= _ROW_GROUP_BYTES:
            yield held.getvalue()
            held = BytesIO()
    if held.tell():
        yield held.getvalue()


def _typed(lines: bytes, schema: "pa.Schema") -> "pa.Table":
    """Return lines of CSV as a table of this schema; an empty value without quotes is null."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    def read_as(type_: "pa.DataType") -> "pa.DataType":
        if pa.types.is_timestamp(type_):
            return pa.int64()
        return pa.string() if pa.types.is_list(type_) else type_

    found = csv.read_csv(
        BytesIO(lines),
        csv.ReadOptions(column_names=schema.names, block_size=len(lines) + 1, use_threads=False),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types={field.name: read_as(field.type) for field in schema},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    typed = [
        _lists(column, field.type) if pa.types.is_list(field.type) else column.cast(field.type)
        for column, field in zip(found.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(typed, schema=schema)


def _lists(texts: "pa.ChunkedArray", type_: "pa.DataType") -> "pa.ChunkedArray":
    """Return JSON lists as lists; there are few different ones, whatever the number of rows."""
    import pyarrow as pa  # noqa: PLC0415

    coded = texts.combine_chunks().dictionary_encode()
    kinds: list[Any] = [json.loads(text) for text in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(kinds, type_).take(coded.indices)])
