"""What is kept how long: `sillok retention --list`, the one list of what Sillok stores, and when each part leaves."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import psycopg
from msgspec import Struct

from processor.retention import RetentionSettings
from storage.postgres import read_sql

_FOR_EVER: Final = "for ever"


class Kept(Struct, frozen=True, kw_only=True):
    """One thing that is stored."""

    where: str
    what: str
    kept: str
    """How long, in words."""
    setting: str = ""
    """What changes it; empty where nothing does."""
    oldest: date | None = None
    bytes: int | None = None
    """What it takes of the disk; None where this machine does not know."""


def tables_kept(connection: psycopg.Connection, settings: RetentionSettings) -> Iterator[Kept]:
    """Yield what the database keeps."""
    held = {name: (oldest, size) for name, oldest, size in connection.execute(read_sql("processor.sql", "kept.sql"))}
    months, details = f"{settings.clean_months} months", f"{settings.detail_months} months"
    clean, detail = "[retention] clean_months", "[retention] detail_months"
    listed = (
        ("raw.events", "every accepted event, as it was sent", f"{settings.raw_days} days", "[retention] raw_days"),
        ("clean.events", "the cleaned events", months, clean),
        ("clean.sessions", "their sessions", months, clean),
        ("clean.page_views", "their page views", months, clean),
        ("clean.identities", "which customer a device was, and when", f"{_FOR_EVER}, or until erased", ""),
        ("ops.identity_events", "from what that follows", f"{_FOR_EVER}, or until erased", ""),
        ("ops.dedup", "ids and sources of first arrivals", f"{settings.dedup_days} days, and to its week's end",
         "[retention] dedup_days"),
        ("ops.visitor_keys", "the keys of derived visitors", f"{settings.visitor_key_days} days",
         "[retention] visitor_key_days"),
        ("ops.rejected", "rejected events, with their reasons", details, detail),
        ("ops.duplicates", "that an event came again", details, detail),
        ("ops.dead_letters", "accepted events that could not be cleaned", "until retried or discarded", ""),
        ("ops.discarded", "names of dead letters that were given up", _FOR_EVER, ""),
        ("ops.clients", "counts that SDK instances report", _FOR_EVER, ""),
        ("ops.loads", "the ledger of loads", _FOR_EVER, ""),
        ("ops.audit", "the books' counts", _FOR_EVER, ""),
        ("ops.actions", "who did what; a customer as a keyed hash", _FOR_EVER, ""),
        ("ops.tombstones", "keyed hashes of erased events", _FOR_EVER, ""),
    )  # fmt: skip
    for where, what, kept, setting in listed:
        oldest, size = held.get(where, (None, 0))
        yield Kept(where=where, what=what, kept=kept, setting=setting, oldest=oldest, bytes=size)
