"""The identities of the books, and where they do not hold.

An account is `stage.outcome` (a stage's own count), `table.…` (rows that a table holds now) or `check.…` (the same
rows under a second hash). What operators did later stands in movements, `operator.…`, signed and dated: an
account in an identity is the stage's own count plus its movements, so retrying, discarding, erasing and purging
keep every identity, and a row that somebody merely removed breaks one.

A load-stage dead letter leaves as `load_dead_lettered` -1, `loaded` +1, and +1 of what became of it.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from contract.fingerprint import HASH_MODULUS

Count = tuple[int, int]
"""Events, and the sum of their id hashes modulo 2^64."""
Cell = tuple[datetime, str, str]
"""Minute of `received_at`, source, event type."""
Accounts = dict[Cell, dict[str, Count]]
NOTHING: Final[Count] = (0, 0)


class Identity(Struct, frozen=True):
    """One equation of the books: the sum of `left` equals the sum of `right`, in every cell."""

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    by_type: bool = True
    hashed: bool = True
    """Hash sums are held against each other too."""
    needs_raw: bool = False
    """Rows of `raw.events` are counted: they are gone after their retention."""


class Difference(Struct, frozen=True):
    """One place in which an identity does not hold."""

    identity: str
    minute: datetime
    """The minute; for a close its day, for a segment or a run its first minute."""
    source: str
    event_type: str
    left: Count
    right: Count
    final: bool
    detail: str = ""
    """Which segment, run or account, where the cell does not say it."""


_LOADED: Final = ("load.loaded", "operator.loaded")
_CLEAN: Final = ("process.clean", "operator.clean")
_DUPLICATE: Final = ("process.duplicate", "operator.duplicate")
_LOAD_DEAD: Final = ("load.dead_lettered", "operator.load_dead_lettered")
_PROCESS_DEAD: Final = ("process.dead_lettered", "operator.dead_lettered")
_GONE: Final = ("operator.discarded", "process.erased", "operator.erased", "operator.purged")

LOST_GROUPS: Final = "lost groups = written off"
IDENTITIES: Final = (
    Identity("received = accepted + rejected", ("spool.received",), ("spool.accepted", "spool.rejected"),
             by_type=False, hashed=False),
    # What recovery found damaged was accepted too, but in no valid frame.
    Identity("accepted = loaded + dead-lettered + damaged", ("spool.accepted", "spool.damaged"),
             (*_LOADED, *_LOAD_DEAD, "load.damaged")),
    Identity(LOST_GROUPS, ("spool.lost_groups",), ("operator.lost_groups",), hashed=False),
    Identity("loaded = clean + duplicate + dead-lettered + discarded + erased + purged + pending", _LOADED,
             (*_CLEAN, *_DUPLICATE, *_PROCESS_DEAD, *_GONE, "pending")),
    Identity("rejected = rows of ops.rejected", ("spool.rejected",), ("table.rejected", "operator.rejected_removed"),
             by_type=False, hashed=False),
    Identity("loaded = rows of raw.events", _LOADED, ("table.raw", "operator.raw_removed"), needs_raw=True),
    Identity("clean = rows of clean.events", _CLEAN, ("table.clean",)),
    Identity("duplicate = rows of ops.duplicates", _DUPLICATE, ("table.duplicates",)),
    Identity("dead-lettered = rows of ops.dead_letters", (*_LOAD_DEAD, *_PROCESS_DEAD),
             ("table.dead_letters_load", "table.dead_letters_process")),
)  # fmt: skip

# Said of cells in which all the above hold, no operator moved anything and nothing was erased on arrival (such a row
# keeps its place in raw and has none elsewhere): the sums agree, the rows do not.
_SECOND_LOOKS: Final = (
    Identity("raw.events = clean + duplicates + dead letters, row by row", ("check.raw",),
             ("check.clean", "check.duplicates", "check.dead_letters_process", "check.waiting"), needs_raw=True),
    Identity("each row of clean.events = its row of raw.events", ("check.changed",), (), needs_raw=True),
)  # fmt: skip
NO_PENDING: Final = "pending = 0 in a final minute"
LEDGERS: Final = "ledger and runs = their counts"
KNOWN_ACCOUNTS: Final = "every count is of a known account"
CLOSED: Final = "what was closed has not changed"
NAMES: Final = (*(i.name for i in (*IDENTITIES, *_SECOND_LOOKS)), NO_PENDING, LEDGERS, KNOWN_ACCOUNTS, CLOSED)

# A segment that was written off: nobody knows what it held, so it stands in no equation, but in the books by its name.
_KNOWN: Final = {account for identity in IDENTITIES for account in (*identity.left, *identity.right)} | {
    "operator.lost_segments"
}


def find_differences(
    accounts: Accounts, is_final: Callable[[datetime], bool], has_raw: Callable[[datetime], bool]
) -> Iterator[Difference]:
    """Yield every cell in which something does not hold; `has_raw` tells of which minutes raw is still kept."""
    strange: set[tuple[datetime, str]] = set()
    for identity in IDENTITIES:
        for difference in _hold(identity, accounts, is_final, has_raw):
            strange.add((difference.minute, difference.source))
            yield difference
    moved = {(minute, source) for (minute, source, _), found in accounts.items() for name in found
             if name.startswith("operator.") or name == "process.erased"}  # fmt: skip
    for identity in _SECOND_LOOKS:
        for difference in _hold(identity, accounts, is_final, has_raw):
            if (difference.minute, difference.source) not in strange | moved:
                yield difference
    for cell, found in sorted(accounts.items()):
        if found.get("pending", NOTHING)[0] and is_final(cell[0]):
            yield _at(NO_PENDING, cell, found["pending"], NOTHING, final=True)
        for account in sorted(found):
            if account not in _KNOWN and not account.startswith("check."):
                yield _at(KNOWN_ACCOUNTS, cell, found[account], NOTHING, final=is_final(cell[0]), detail=account)


def _hold(
    identity: Identity, accounts: Accounts, is_final: Callable[[datetime], bool], has_raw: Callable[[datetime], bool]
) -> Iterator[Difference]:
    cells: dict[Cell, tuple[Count, Count]] = {}
    for (minute, source, event_type), found in accounts.items():
        if identity.needs_raw and not has_raw(minute):
            continue
        cell = (minute, source, event_type if identity.by_type else "")
        left, right = cells.get(cell, (NOTHING, NOTHING))
        cells[cell] = (
            add(left, *(found.get(name, NOTHING) for name in identity.left)),
            add(right, *(found.get(name, NOTHING) for name in identity.right)),
        )
    for cell, (left, right) in sorted(cells.items()):
        if left[0] != right[0] or (identity.hashed and left[1] != right[1]):
            yield _at(identity.name, cell, left, right, final=is_final(cell[0]))


def _at(identity: str, cell: Cell, left: Count, right: Count, *, final: bool, detail: str = "") -> Difference:
    return Difference(identity, *cell, left, right, final, detail)


def add(*counts: Count) -> Count:
    """Return the sum of counts."""
    return sum(c[0] for c in counts), sum(c[1] for c in counts) % HASH_MODULUS


def by_type(accounts: Accounts, minutes: Callable[[datetime], bool]) -> dict[tuple[str, str, str], Count]:
    """Return (source, event type, account) → count over the minutes that are asked for."""
    totals: dict[tuple[str, str, str], Count] = {}
    for (minute, source, event_type), found in accounts.items():
        if minutes(minute):
            for account, count in found.items():
                key = (source, event_type, account)
                totals[key] = add(totals.get(key, NOTHING), count)
    return totals


def by_source(accounts: Accounts) -> dict[str, dict[str, int]]:
    """Return source → account → events, checks left out."""
    totals: dict[str, dict[str, int]] = {}
    for (source, _, account), (events, _) in by_type(accounts, lambda _: True).items():
        if not account.startswith("check."):
            found = totals.setdefault(source, {})
            found[account] = found.get(account, 0) + events
    return totals


def by_minute(accounts: Accounts) -> Iterable[tuple[datetime, dict[str, int]]]:
    """Return each minute with its accounts' events over all sources and types, checks left out."""
    minutes: dict[datetime, dict[str, int]] = {}
    for (minute, _, _), found in accounts.items():
        totals = minutes.setdefault(minute, {})
        for account, (events, _) in found.items():
            if not account.startswith("check."):
                totals[account] = totals.get(account, 0) + events
    return sorted(minutes.items())
