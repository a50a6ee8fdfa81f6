"""Retention: what is past its time goes with its partition, and what went is written down.

Run by the processor, and by `sillok retention`. The database decides once more what may go (`ops.drop_partition`): a
partition of raw with rows that are not processed never does, and the memory of first arrivals follows the
watermark, not the clock, because what waits in a spool is still to be compared with it.
"""

from datetime import date
from typing import Annotated, Any

import psycopg
import structlog
from msgspec import Meta, Struct
from psycopg.types.json import Jsonb

from storage.postgres import is_passing, read_sql

log: Any = structlog.get_logger()


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long things are kept, section `[retention]`."""

    raw_days: Annotated[int, Meta(ge=1)] = 7
    """Days of `raw.events`. Fewer: less to look at when something looks odd; the archive is another matter."""
    clean_months: Annotated[int, Meta(ge=2)] = 25
    """Months of `clean`. Fewer: shorter comparisons for analysts; what is dropped is gone."""
    dedup_days: Annotated[int, Meta(ge=14)] = 14
    """Days within which a second arrival finds the first. More: more disk, and a longer memory for offline phones.
    Fewer: a phone that was offline for longer is counted twice (14 at least)."""
    visitor_key_days: Annotated[int, Meta(ge=1)] = 7
    """Days after which nobody can link a derived visitor to an address any more. More: people can be linked for
    longer. Fewer: late events of that day get another visitor."""
    detail_months: Annotated[int, Meta(ge=2)] = 25
    """Months of `ops.rejected` and `ops.duplicates`. Fewer: less to answer a question about an old day with."""


class Expired(Struct, frozen=True):
    """One thing past its time."""

    table: str
    day: date
    rows: int | None = None
    """What was dropped; None where nothing was, or not yet."""


def expired(connection: psycopg.Connection, settings: RetentionSettings) -> list[Expired]:
    """Return what is past its time, oldest first."""
    rows = connection.execute(
        read_sql("processor.sql", "expired.sql"),
        {
            "raw_days": settings.raw_days,
            "clean_months": settings.clean_months,
            "dedup_days": settings.dedup_days,
            "detail_months": settings.detail_months,
        },
    ).fetchall()
    return [Expired(table, day) for table, day in rows]


def drop_expired(connection: psycopg.Connection, settings: RetentionSettings, operator: str) -> list[Expired]:
    """Drop what is past its time, each in a transaction of its own; what is still needed or busy stays till later."""
    dropped: list[Expired] = []
    for found in expired(connection, settings):
        try:
            with connection.transaction():
                dropped.append(_drop(connection, found))
        except psycopg.errors.RaiseException as error:
            log.warning("partition_kept", table=found.table, day=str(found.day), reason=error.diag.message_primary)
        except psycopg.Error as error:
            if not is_passing(error) or connection.closed:
                raise
            log.info("partition_busy", table=found.table, day=str(found.day))
    dropped = [found for found in dropped if found.rows]
    connection.execute(
        read_sql("processor.sql", "drop_expired_details.sql"),
        {
            "clean_months": settings.clean_months,
            "visitor_key_days": settings.visitor_key_days,
            "operator": operator,
            "result": Jsonb({f"{x.table} {x.day}": x.rows for x in dropped}),
        },
    )
    for found in dropped:
        log.info("partition_dropped", table=found.table, day=str(found.day), rows=found.rows)
    return dropped


def _drop(connection: psycopg.Connection, found: Expired) -> Expired:
    query = "select ops.drop_partition(%s, %s)" if found.table not in _DETAILS else "select ops.drop_details(%s, %s)"
    row = connection.execute(query, (found.table, found.day)).fetchone()
    return Expired(found.table, found.day, row[0] if row else None)


_DETAILS = ("ops.rejected", "ops.duplicates")
