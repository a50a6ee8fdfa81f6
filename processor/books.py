"""The books: every identity of the promise, cell by cell, with counts and hash sums, tolerance zero.

    received = accepted + rejected                                   by minute and source
    accepted = loaded + dead_lettered + damaged                      by minute, source and type
    loaded   = clean + duplicate + dead_lettered + discarded + erased + pending

Each stage's count is also held against the table it counted, so that a row removed or added later is
found. A minute is final once the watermark has passed its end; until then it is shown as open.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
from msgspec import Struct

from contract.fingerprint import HASH_MODULUS
from storage.postgres import read_sql

Count = tuple[int, int]
Cell = tuple[datetime, str, str]
_NOTHING: Final[Count] = (0, 0)
_MINUTE: Final = timedelta(minutes=1)


class Identity(Struct, frozen=True):
    """One equation of the books: the sum of `left` equals the sum of `right`, in every cell."""

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    by_type: bool = True
    hashed: bool = True


# Each account is the stage's own count and what operators moved since.
_LOADED: Final = ("load.loaded", "operator.loaded")
_CLEAN: Final = ("process.clean", "operator.clean")
_DUPLICATE: Final = ("process.duplicate", "operator.duplicate")
_DEAD_BY_LOADER: Final = ("load.dead_lettered", "operator.load_dead_lettered")
_DEAD_BY_PROCESSOR: Final = ("process.dead_lettered", "operator.dead_lettered")
_GONE: Final = ("operator.discarded", "process.erased", "operator.erased", "operator.purged")

IDENTITIES: Final = (
    Identity("received = accepted + rejected", ("spool.received",), ("spool.accepted", "spool.rejected"),
             by_type=False, hashed=False),
    # What recovery found damaged was accepted too, but in no valid frame.
    Identity("accepted = loaded + dead-lettered + damaged", ("spool.accepted", "spool.damaged"),
             (*_LOADED, *_DEAD_BY_LOADER, "load.damaged")),
    Identity("lost groups = written off", ("spool.lost_groups",), ("operator.lost_groups",), hashed=False),
    Identity("loaded = clean + duplicate + dead-lettered + discarded + erased + pending", _LOADED,
             (*_CLEAN, *_DUPLICATE, *_DEAD_BY_PROCESSOR, *_GONE, "pending")),
    Identity("rejected = rows of ops.rejected", ("spool.rejected",), ("table.rejected", "operator.rejected_removed"),
             by_type=False, hashed=False),
    Identity("loaded = rows of raw.events", _LOADED, ("table.raw", "operator.raw_removed")),
    Identity("clean = rows of clean.events", _CLEAN, ("table.clean",)),
    Identity("duplicate = rows of ops.duplicates", _DUPLICATE, ("table.duplicates",)),
    Identity("dead-lettered = rows of ops.dead_letters", (*_DEAD_BY_LOADER, *_DEAD_BY_PROCESSOR),
             ("table.dead_letters_load", "table.dead_letters_process")),
)  # fmt: skip


class Difference(Struct, frozen=True):
    """One cell in which an identity does not hold."""

    identity: str
    minute: datetime
    source: str
    event_type: str
    left: Count
    right: Count
    final: bool


class ClientAccount(Struct, frozen=True):
    """What the SDK instances of one app version say of themselves, beside what arrived."""

    source: str
    platform: str
    app_version: str
    instances: int
    created: int
    arrived: int
    dropped: int
    pending: int
    vanished: int


class Books(Struct, kw_only=True):
    """The books of a range of `received_at`."""

    range_from: datetime
    range_until: datetime
    finished_until: datetime | None
    """The watermark: everything received before it is loaded and processed."""
    final: bool
    balanced: bool
    totals: dict[str, dict[str, int]]
    """Source → account → events."""
    identities: dict[str, bool]
    differences: list[Difference]
    clients: list[ClientAccount]


def read_books(connection: psycopg.Connection, range_from: datetime, range_until: datetime) -> Books:
    """Recount a range; whole minutes, from inclusive, until exclusive."""
    parameters = {"from": range_from, "until": range_until}
    with connection.transaction():
        # One snapshot for all accounts: otherwise a load committed in between would look like a difference.
        connection.execute("set transaction isolation level repeatable read read only")
        rows = connection.execute(read_sql("processor.sql", "books.sql"), parameters).fetchall()
        finished_until, all_final = connection.execute(
            "select finished_until, all_final from ops.watermark"
        ).fetchone() or (None, None)
        clients = connection.execute(read_sql("processor.sql", "client_account.sql"), parameters).fetchall()
    accounts: dict[Cell, dict[str, Count]] = {}
    for minute, source, event_type, account, events, hash_sum in rows:
        accounts.setdefault((minute, source, event_type), {})[account] = (events, int(hash_sum))

    def is_final(minute: datetime) -> bool:
        return bool(all_final) or (finished_until is not None and minute + _MINUTE <= finished_until)

    differences = [d for identity in IDENTITIES for d in _differences(identity, accounts, is_final)]
    differences += [
        Difference("pending = 0 in a final minute", *cell, found["pending"], _NOTHING, final=True)
        for cell, found in sorted(accounts.items())
        if found.get("pending", _NOTHING)[0] and is_final(cell[0])
    ]
    failed = {difference.identity for difference in differences}
    return Books(
        range_from=range_from,
        range_until=range_until,
        finished_until=finished_until,
        final=bool(all_final) or (finished_until is not None and range_until <= finished_until),
        balanced=not differences,
        totals=_totals(accounts),
        identities={identity.name: identity.name not in failed for identity in IDENTITIES},
        differences=differences,
        clients=[ClientAccount(*row) for row in clients],
    )


def _differences(identity: Identity, accounts: dict[Cell, dict[str, Count]], is_final: Any) -> Iterator[Difference]:
    cells: dict[Cell, tuple[Count, Count]] = {}
    for (minute, source, event_type), found in accounts.items():
        cell = (minute, source, event_type if identity.by_type else "")
        left, right = cells.get(cell, (_NOTHING, _NOTHING))
        cells[cell] = (_sum(left, found, identity.left), _sum(right, found, identity.right))
    for cell, (left, right) in sorted(cells.items()):
        if left[0] != right[0] or (identity.hashed and left[1] != right[1]):
            yield Difference(identity.name, *cell, left, right, final=is_final(cell[0]))


def _sum(start: Count, found: dict[str, Count], names: tuple[str, ...]) -> Count:
    parts = [start, *(found.get(name, _NOTHING) for name in names)]
    return sum(p[0] for p in parts), sum(p[1] for p in parts) % HASH_MODULUS


def _totals(accounts: dict[Cell, dict[str, Count]]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for (_, source, _), found in accounts.items():
        by_account = totals.setdefault(source, {})
        for account, (events, _) in found.items():
            by_account[account] = by_account.get(account, 0) + events
    return totals
