"""COPY into `raw.events`: binary, with explicit types, so that nothing in a text can end it."""

from collections.abc import Iterable
from typing import Any, Final

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from storage.rows import COLUMN_TYPES, COLUMNS

_COPY: Final = f"copy raw.events ({', '.join(COLUMNS)}) from stdin (format binary)"


class _JsonbBytes(Dumper):
    """JSON that is already text, as binary jsonb: version byte 1, then the text."""

    format = Format.BINARY
    oid = psycopg.adapters.types["jsonb"].oid

    def dump(self, obj: bytes) -> Buffer | None:
        return b"\1" + obj


def copy_rows(connection: psycopg.Connection, rows: Iterable[tuple[Any, ...]]) -> int:
    """Copy rows into `raw.events`; return COPY's own count."""
    with connection.cursor() as cursor:
        cursor.adapters.register_dumper(bytes, _JsonbBytes)
        with cursor.copy(_COPY) as copy:
            copy.set_types(COLUMN_TYPES)
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount
