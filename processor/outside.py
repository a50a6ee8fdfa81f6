"""The outside account: what *should* have happened, counted by somebody else, beside what is in `clean.events`.

Rows of (`event_date`, `event_type`, `expected`, and optionally `source` and `event_name`) come from a CSV file in
UTF-8 with these names in its first line; from an SQLite file with a table or view `expected`; or from a `.sql` file,
one query, run read-only on the PostgreSQL of the settings' `[expect] dsn`. A row without a source counts all sources,
one without a name all names. Events of test keys are never counted.
"""

import csv
import io
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import psycopg
from msgspec import Struct

from contract.errors import ExpectationsBroken, UsageError
from contract.event import EVENT_TYPES
from processor.closes import day_range
from storage.postgres import connect_anywhere, read_sql

COLUMNS: Final = ("event_date", "event_type", "source", "event_name", "expected")
_OPTIONAL: Final = ("source", "event_name")
_SQLITE: Final = b"SQLite format 3\0"


class Tolerance(Struct, frozen=True):
    """How far the two may be apart: a part of what is expected, or a number of events."""

    part: Decimal = Decimal(0)
    events: int = 0

    def covers(self, expected: int, found: int) -> bool:
        """Say whether the two are near enough."""
        apart = abs(found - expected)
        return apart <= self.events or apart <= expected * self.part

    def __str__(self) -> str:
        return f"{(self.part * 100).normalize():f}%" if self.part else str(self.events)


class Expected(Struct, frozen=True):
    """One row of what should have happened; an empty source or name stands for all."""

    event_date: date
    event_type: str
    source: str
    event_name: str
    expected: int


class Outside(Struct, frozen=True):
    """One row of the account."""

    event_date: date
    event_type: str
    source: str
    event_name: str
    expected: int
    found: int
    holds: bool
    final: bool
    """Everything received on the day is processed; what arrives late may still change it."""


def read_tolerance(text: str) -> Tolerance:
    """Read `0.5%` or `3`; raise UsageError."""
    try:
        value = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0 or ("%" not in text and value % 1):
        raise UsageError("--tolerance is a percentage such as 0.5% or a whole number of events such as 3")
    return Tolerance(part=value / 100) if text.endswith("%") else Tolerance(events=int(value))


def read_expected(path: Path, dsn: str) -> list[Expected]:
    """Read what should have happened; raise ExpectationsBroken with the line and the reason."""
    rows: list[Expected] = []
    seen: dict[tuple[Any, ...], str] = {}
    for where, found in _raw_rows(path, dsn):
        row = _row(found, f"{path.name}, {where}")
        key = (row.event_date, row.event_type, row.source, row.event_name)
        if key in seen:
            raise ExpectationsBroken(f"{path.name}, {where}: the same day and type as {seen[key]}: add them up")
        seen[key] = where
        rows.append(row)
    if not rows:
        raise ExpectationsBroken(f"{path.name} expects nothing: it has no rows")
    return rows


def compare(connection: psycopg.Connection, rows: Iterable[Expected], tolerance: Tolerance) -> list[Outside]:
    """Hold every expectation against `clean.events`."""
    rows = list(rows)
    found: Counter[tuple[date, str, str, str]] = Counter()
    for day, event_type, source, event_name, events in connection.execute(
        read_sql("processor.sql", "happened.sql"),
        {"days": sorted({r.event_date for r in rows}), "types": sorted({r.event_type for r in rows})},
    ):
        for key in {(s, n) for s in (source, "") for n in (event_name, "")}:
            found[day, event_type, *key] += events
    finished_until, all_final = connection.execute(
        "select finished_until, all_final from ops.watermark"
    ).fetchone() or (None, False)
    account = []
    for row in sorted(rows, key=lambda r: (r.event_date, r.event_type, r.source, r.event_name)):
        events = found[row.event_date, row.event_type, row.source, row.event_name]
        ends = day_range(row.event_date)[1]
        final = bool(all_final) or (finished_until is not None and finished_until >= ends)
        account.append(
            Outside(
                row.event_date,
                row.event_type,
                row.source,
                row.event_name,
                row.expected,
                events,
                tolerance.covers(row.expected, events),
                final,
            )
        )
    return account


def _raw_rows(path: Path, dsn: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each row stands and its values by column."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExpectationsBroken(f"cannot read {path}: {error.strerror}") from error
    if data.startswith(_SQLITE):
        yield from _from_sqlite(path)
    elif path.suffix == ".sql":
        yield from _from_query(path, _text(path, data), dsn)
    else:
        yield from _from_csv(path, _text(path, data))


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ExpectationsBroken(f"{path.name}, line {line}: not UTF-8; save it as “CSV UTF-8”") from error


def _from_csv(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_columns(names, f"{path.name}, line 1")
        for values in reader:
            where = f"line {reader.line_num}"
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(names):
                raise ExpectationsBroken(f"{path.name}, {where}: {len(values)} values for {len(names)} columns")
            yield where, dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise ExpectationsBroken(f"{path.name}, line {reader.line_num}: {error}") from error


def _from_sqlite(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            cursor = connection.execute("select * from expected")
            names = [column[0].lower() for column in cursor.description]
            _check_columns(names, f"{path.name}, table `expected`")
            for number, values in enumerate(cursor, 1):
                yield f"row {number} of `expected`", dict(zip(names, values, strict=True))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ExpectationsBroken(f"{path.name}: {error}; it needs a table or view `expected`") from error


def _from_query(path: Path, query: str, dsn: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not dsn:
        raise UsageError(f"{path.name} is a query: set `dsn` in [expect] (SILLOK_EXPECT_DSN) to say where to ask it")
    with connect_anywhere(dsn, application="sillok reconcile --expect") as connection:
        try:
            # The server refuses several statements in one, and any that writes.
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute("set transaction read only")
                cursor.execute(query.encode(), prepare=True)
                if cursor.description is None:
                    raise ExpectationsBroken(f"{path.name} is no query: it returns no rows")
                names = [column.name for column in cursor.description]
                _check_columns(names, f"{path.name}, its result")
                rows = cursor.fetchall()
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            raise ExpectationsBroken(f"{path.name}: PostgreSQL says: {reason}") from error
    for number, values in enumerate(rows, 1):
        yield f"row {number} of its result", dict(zip(names, values, strict=True))


def _check_columns(names: list[str], where: str) -> None:
    missing = [name for name in COLUMNS if name not in names and name not in _OPTIONAL]
    strange = [name for name in names if name not in COLUMNS]
    twice = [name for name, count in Counter(names).items() if count > 1]
    for problem, found in (("lacks", missing), ("does not know", strange), ("has twice", twice)):
        if found:
            raise ExpectationsBroken(
                f"{where}: it {problem} {', '.join(f'`{name}`' for name in found)};"
                f" the columns are {', '.join(COLUMNS)}, of which {' and '.join(_OPTIONAL)} may be left out"
            )


def _row(found: dict[str, Any], where: str) -> Expected:
    def text(name: str) -> str:
        value = found.get(name)
        return "" if value is None else str(value).strip()

    try:
        day = date.fromisoformat(text("event_date")[:10])
    except ValueError:
        raise ExpectationsBroken(f"{where}: `event_date` is no day such as 2026-11-22") from None
    if text("event_type") not in EVENT_TYPES:
        raise ExpectationsBroken(f"{where}: `event_type` is none of {', '.join(EVENT_TYPES)}")
    try:
        expected = Decimal(text("expected").replace(",", ""))
    except InvalidOperation:
        expected = Decimal(-1)
    if not expected.is_finite() or expected < 0 or expected % 1:
        raise ExpectationsBroken(f"{where}: `expected` is no whole number of 0 or more")
    return Expected(day, text("event_type"), text("source"), text("event_name"), int(expected))
