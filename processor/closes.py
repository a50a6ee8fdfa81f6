"""The two daily closes: what was final once, and stays so.

- The *received-day* close is made when every minute of the day is final and the books balance; once, and for ever.
  It holds every account by source and type, and a sum over the rows' contents. Later books are held against it;
  what operators do afterwards stands in dated movements, and nothing else may have moved.
- The *event-day* close counts `clean.events` by `event_date`: what analysts quote. A late event restates it: the
  next close that sees another figure is one more revision, listed with the difference.

A close has a digest over all its figures: printed, it can be kept where nobody of this machine can change it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct

from contract.calendar import SEOUL
from contract.fingerprint import HASH_MODULUS
from processor.equations import CLOSED, NOTHING, Count, Difference, add
from storage.postgres import read_sql

Kind = Literal["received_day", "event_day"]
Key = tuple[str, str, str]
"""Source, event type, account."""
Figures = dict[Key, tuple[int, int, int]]
"""Events, hash sum, content sum."""
_NONE: Final = (0, 0, 0)

# What a table's rows follow when an operator moves events: account → (movement, sign).
_FOLLOWS: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "table.raw": (("operator.loaded", 1), ("operator.raw_removed", -1)),
    "table.clean": (("operator.clean", 1),),
    "table.duplicates": (("operator.duplicate", 1),),
    "table.dead_letters_load": (("operator.load_dead_lettered", 1),),
    "table.dead_letters_process": (("operator.dead_lettered", 1),),
    "table.rejected": (("operator.rejected_removed", -1),),
}


class Close(Struct, frozen=True):
    """One row of `ops.closes`."""

    kind: Kind
    day: date
    revision: int
    received_until: datetime
    digest: str
    closed_at: datetime
    closed_by: str


class Restatement(Struct, frozen=True):
    """A figure of an event day that a later close changed; `revision` 0: none has yet, the next one will."""

    day: date
    revision: int
    closed_at: datetime | None
    source: str
    event_type: str
    account: str
    before: int
    after: int


def day_range(day: date) -> tuple[datetime, datetime]:
    """Return the Korean day's start, inclusive, and end, exclusive."""
    start = datetime(day.year, day.month, day.day, tzinfo=SEOUL)
    return start, start + timedelta(days=1)


def digest_of(kind: str, day: date, revision: int, received_until: datetime, figures: Figures) -> str:
    """Return the SHA-256 over a close and every figure of it, in hexadecimal."""
    head = f"{kind} {day.isoformat()} {revision} {received_until.timestamp():.6f}\n"
    lines = ["\t".join(map(str, (*key, *found))) + "\n" for key, found in sorted(figures.items())]
    return hashlib.sha256("".join([head, *lines]).encode()).hexdigest()


def read_closes(connection: psycopg.Connection, kind: Kind, first: date, last: date) -> list[tuple[Close, Figures]]:
    """Return the closes of these days, each with its figures, by day and revision."""
    parameters = (kind, first, last)
    figures: dict[tuple[date, int], Figures] = {}
    for day, revision, *key, events, hash_sum, content_sum in connection.execute(
        "select day, revision, source, event_type, account, events, hash_sum, content_sum from ops.close_counts"
        " where kind = %s and day between %s and %s",
        parameters,
    ):
        figures.setdefault((day, revision), {})[key[0], key[1], key[2]] = (events, int(hash_sum), int(content_sum))
    rows = connection.execute(
        "select kind, day, revision, received_until, digest, closed_at, closed_by from ops.closes"
        " where kind = %s and day between %s and %s order by day, revision",
        parameters,
    ).fetchall()
    return [(close, figures.get((close.day, close.revision), {})) for close in (Close(*row) for row in rows)]


def write_close(
    connection: psycopg.Connection, kind: Kind, day: date, revision: int, received_until: datetime, figures: Figures
) -> Close:
    """Write a close and its figures; raise UniqueViolation when another was faster."""
    row = connection.execute(
        "insert into ops.closes (kind, day, revision, received_until, digest) values (%s, %s, %s, %s, %s)"
        " returning kind, day, revision, received_until, digest, closed_at, closed_by",
        (kind, day, revision, received_until, digest_of(kind, day, revision, received_until, figures)),
    ).fetchone()
    assert row is not None  # noqa: S101 - `returning` returns
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.close_counts"
            " (kind, day, revision, source, event_type, account, events, hash_sum, content_sum)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(kind, day, revision, *key, *found) for key, found in sorted(figures.items())],
        )
    return Close(*row)


def received_figures(connection: psycopg.Connection, day: date, totals: Mapping[Key, Count]) -> Figures:
    """Return what a received day's close holds: `totals` of every account, and the contents of the tables."""
    start, end = day_range(day)
    contents = {
        (source, event_type, account): int(total)
        for source, event_type, account, total in connection.execute(
            read_sql("processor.sql", "content.sql"), {"from": start, "until": end}
        )
    }
    return {
        key: (*count, contents.get(key, 0)) for key, count in totals.items() if not key[2].startswith("check.")
    }  # fmt: skip


def event_figures(connection: psycopg.Connection, day: date, received_until: datetime) -> Figures:
    """Return what happened on a day, of what was received before a moment."""
    rows = connection.execute(
        read_sql("processor.sql", "event_days.sql"), {"day": day, "received_until": received_until}
    ).fetchall()
    return {(row[0], row[1], row[2]): (row[3], int(row[4]), int(row[5])) for row in rows}


def restatements(
    day: date, revision: int, closed_at: datetime | None, before: Figures, after: Figures
) -> list[Restatement]:
    """Return what changed from one revision to the next."""
    return [
        Restatement(day, revision, closed_at, *key, before.get(key, _NONE)[0], after.get(key, _NONE)[0])
        for key in sorted({*before, *after})
        if before.get(key, _NONE) != after.get(key, _NONE)
    ]


def check_digest(close: Close, figures: Figures) -> Iterator[Difference]:
    """Yield a difference when a close is no longer what was written."""
    if digest_of(close.kind, close.day, close.revision, close.received_until, figures) != close.digest:
        yield _difference(close, ("", "", ""), NOTHING, NOTHING, f"the {_named(close)} itself was edited")


def check_received(close: Close, then: Figures, now: Figures, *, has_raw: bool) -> Iterator[Difference]:
    """Yield every account of a closed day that moved otherwise than by a movement of an operator."""
    for key in sorted({*then, *now}):
        source, event_type, account = key
        if account.startswith("operator.") or (account == "table.raw" and not has_raw):
            continue
        moved = _moved(source, event_type, account, then, now)
        expected, found = add(then.get(key, _NONE)[:2], moved), now.get(key, _NONE)[:2]
        # The sums of rejects are nobody's: not all have an id.
        if expected[0] != found[0] or (expected[1] != found[1] and account != "table.rejected"):
            yield _difference(close, key, expected, found, f"{account}, against the {_named(close)}")
        elif not _has_moved(source, event_type, then, now) and then.get(key, _NONE)[2] != now.get(key, _NONE)[2]:
            yield _difference(close, key, expected, found, f"the content of {account}, against the {_named(close)}")


def check_event_day(close: Close, then: Figures, now: Figures, moved: set[tuple[str, str]]) -> Iterator[Difference]:
    """Yield every figure of a closed event day that changed without a late event or a movement of an operator."""
    for key in sorted({*then, *now}):
        before, after = then.get(key, _NONE), now.get(key, _NONE)
        if before != after and key[:2] not in moved:
            what = "the content of clean.events" if before[:2] == after[:2] else f"{key[2]} by event_date"
            yield _difference(close, key, before[:2], after[:2], f"{what}, against the {_named(close)}")


def _moved(source: str, event_type: str, account: str, then: Figures, now: Figures) -> Count:
    """Return how far operators' movements since the close carry a table's rows."""
    total = NOTHING
    for movement, sign in _FOLLOWS.get(account, ()):
        key = (source, event_type, movement)
        old, new = then.get(key, _NONE), now.get(key, _NONE)
        total = (total[0] + sign * (new[0] - old[0]), (total[1] + sign * (new[1] - old[1])) % HASH_MODULUS)
    return total


def _has_moved(source: str, event_type: str, then: Figures, now: Figures) -> bool:
    keys = {key for key in {*then, *now} if key[:2] == (source, event_type) and key[2].startswith("operator.")}
    return any(then.get(key, _NONE)[:2] != now.get(key, _NONE)[:2] for key in keys)


def _named(close: Close) -> str:
    revision = f" (restatement {close.revision})" if close.revision else ""
    return f"close of {close.kind.replace('_', ' ')} {close.day.isoformat()}{revision}"


def _difference(close: Close, key: Key, left: Any, right: Any, detail: str) -> Difference:
    return Difference(CLOSED, day_range(close.day)[0], key[0], key[1], left, right, final=True, detail=detail)
