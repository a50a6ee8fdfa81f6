"""The books: every identity of the promise, cell by cell, with counts and hash sums, tolerance zero.

    received = accepted + rejected                                   by minute and source
    accepted = loaded + dead_lettered + damaged                      by minute, source and type
    loaded   = clean + duplicate + dead_lettered + discarded + erased + purged + pending

Each stage's count is also held against the table it counted, against the ledger's row of its load or run, and,
once the day is closed, against the close, so that a row removed, added or changed later is found; see
`equations.py` for the identities and `closes.py` for the closes. A minute is final once the watermark has passed
its end; until then it is shown as open.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any, Final

import psycopg
from msgspec import Struct

from contract.calendar import SEOUL
from contract.errors import BooksStayOpen
from processor.clients import ClientAccount, read_clients
from processor.closes import (
    Close,
    Figures,
    Restatement,
    check_digest,
    check_event_day,
    check_received,
    day_range,
    event_figures,
    read_closes,
    received_figures,
    restatements,
    write_close,
)
from processor.equations import (
    IDENTITIES,
    LEDGERS,
    NAMES,
    Accounts,
    Difference,
    by_minute,
    by_source,
    by_type,
    find_differences,
)
from processor.outside import Outside
from processor.watermark import STALLED_AFTER, Slot, Watermark, known_until, read_watermark, waiting_for
from processor.written_off import Damage, read_written_off, with_names
from storage.postgres import read_sql

__all__ = ["IDENTITIES", "Books", "ClientAccount", "Close", "Difference", "close_day", "read_books"]

_MINUTE: Final = timedelta(minutes=1)


class Books(Struct, kw_only=True):
    """The books of a range of `received_at`."""

    range_from: datetime
    range_until: datetime
    read_at: datetime
    finished_until: datetime | None
    """The watermark: everything received before it is loaded and processed."""
    final: bool
    stalled: bool
    """The range is not final and its watermark stands still, for longer than loading and cleaning take; or a slot's
    clock is ahead of the database's, so that it will not become final by waiting."""
    balanced: bool
    totals: dict[str, dict[str, int]]
    """Source → account → events."""
    minutes: list[tuple[datetime, dict[str, int]]]
    """Each minute with its accounts, over all sources."""
    identities: dict[str, bool]
    differences: list[Difference]
    slots: list[Slot]
    closes: list[Close]
    restatements: list[Restatement]
    raw_gone: list[date]
    """Days whose raw rows are past their retention: not counted, and held against the close where there is one."""
    clients: list[ClientAccount]
    written_off: list[Damage] = []
    """Losses of the range that stand in it as damaged by an operator's word."""
    written: list[Close] = []
    """The closes that were made just now."""
    outside: list[Outside] = []
    """What should have happened by somebody else's count, where it was given."""
    outside_tolerance: str = ""
    outside_left_out: int = 0
    """Expectations of other days than those of the range."""

    @property
    def holds(self) -> bool:
        """Everything agrees that can be known now: a processor that stands still is not a balance."""
        return self.balanced and not self.stalled and all(row.holds for row in self.outside)

    @property
    def waiting(self) -> list[Slot]:
        """The slots that the watermark waits for: on a range that goes on, only those that stand still."""
        moment = self.range_until if self.range_until <= self.read_at else self.read_at - STALLED_AFTER
        return [slot for slot in self.slots if slot.holds_up(moment)]


def read_books(connection: psycopg.Connection, range_from: datetime, range_until: datetime) -> Books:
    """Recount a range; whole minutes, from inclusive, until exclusive."""
    with connection.transaction():
        # One snapshot for all accounts: otherwise a load committed in between would look like a difference.
        connection.execute("set transaction isolation level repeatable read read only")
        return _read(connection, range_from, range_until)[0]


def close_day(connection: psycopg.Connection, day: date) -> list[Close]:
    """Close a received day and the event days it touched; return what was written, nothing the second time.

    Raises BooksStayOpen when the day is not over, not final, or does not balance.
    """
    start, end = day_range(day)
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        books, accounts = _read(connection, start, end)
        if books.read_at < end:
            raise BooksStayOpen(f"{day} is not over yet")
        if not books.final:
            raise BooksStayOpen(f"{day} is not final: {waiting_for(books.waiting, books.read_at)}")
        if not books.balanced:
            raise BooksStayOpen(f"the books of {day} do not balance: look at `sillok reconcile --day {day}` first")
        received_until = max(end, known_until(books.slots, books.finished_until) or end)
        written: list[Close] = []
        if not any(close.kind == "received_day" for close in books.closes):
            figures = received_figures(connection, day, by_type(accounts, lambda _: True))
            written.append(write_close(connection, "received_day", day, 0, received_until, figures))
        for event_day in _event_days(connection, day):
            written += _close_event_day(connection, event_day, received_until)
    return written


def _close_event_day(connection: psycopg.Connection, day: date, received_until: datetime) -> list[Close]:
    """Close an event day, or restate it when its figures are others by now."""
    known = read_closes(connection, "event_day", day, day)
    if known:
        # Slots that start again pull the watermark back; what was counted once stays in.
        received_until = max(received_until, known[-1][0].received_until)
    figures = event_figures(connection, day, received_until)
    if known and known[-1][1] == figures:
        return []
    return [write_close(connection, "event_day", day, len(known), received_until, figures)]


def _event_days(connection: psycopg.Connection, day: date) -> list[date]:
    """Return the day itself, and the closed event days on which something happened that was received on it."""
    start, end = day_range(day)
    touched = connection.execute(
        "select distinct event_date from clean.events where received_at >= %s and received_at < %s"
        " and event_date in (select day from ops.closes where kind = 'event_day')",
        (start, end),
    )
    return sorted({day, *(found for (found,) in touched)})


def _read(connection: psycopg.Connection, range_from: datetime, range_until: datetime) -> tuple[Books, Accounts]:
    accounts = _accounts(connection, range_from, range_until)
    watermark = read_watermark(connection, range_until)
    days = _whole_days(range_from, range_until)
    closes = [found for kind in ("received_day", "event_day") for found in _closes(connection, kind, days)]
    closed = [close.day for close, _ in closes if close.kind == "received_day"]
    raw_gone = _raw_gone(connection, range_from, range_until, closed)
    differences = [
        *_in_the_range(connection, range_from, range_until, accounts, watermark, raw_gone),
        *_against_closes(connection, accounts, closes, raw_gone),
    ]
    failed = {difference.identity for difference in differences}
    final = watermark.is_past(range_until)
    due = min(range_until, watermark.read_at) - STALLED_AFTER
    books = Books(
        range_from=range_from,
        range_until=range_until,
        read_at=watermark.read_at,
        finished_until=watermark.finished_until,
        final=final,
        stalled=not final
        and any(slot.waits_for == "clock" or (range_from < due and slot.holds_up(due)) for slot in watermark.slots),
        balanced=not differences,
        totals=by_source(accounts),
        minutes=list(by_minute(accounts)),
        identities={name: name not in failed for name in NAMES},
        differences=differences,
        slots=watermark.slots,
        closes=[close for close, _ in closes],
        restatements=_restated(connection, closes, known_until(watermark.slots, watermark.finished_until)),
        raw_gone=raw_gone,
        clients=read_clients(connection, range_from, range_until),
        written_off=read_written_off(connection, range_from, range_until),
    )
    return books, accounts


def _accounts(connection: psycopg.Connection, range_from: datetime, range_until: datetime) -> Accounts:
    accounts: Accounts = {}
    for name in ("books.sql", "changed.sql"):
        for row in connection.execute(read_sql("processor.sql", name), {"from": range_from, "until": range_until}):
            minute, source, event_type, account, events, hash_sum = row
            accounts.setdefault((minute, source, event_type), {})[account] = (events, int(hash_sum))
    return accounts


def _in_the_range(
    connection: psycopg.Connection,
    range_from: datetime,
    range_until: datetime,
    accounts: Accounts,
    watermark: Watermark,
    raw_gone: list[date],
) -> list[Difference]:
    """Return what does not hold in the range's own counts."""

    def is_final(minute: datetime) -> bool:
        return watermark.is_past(minute + _MINUTE)

    ledgers = connection.execute(read_sql("processor.sql", "ledgers.sql"), {"from": range_from, "until": range_until})
    differences = [
        *find_differences(accounts, is_final, lambda minute: minute.astimezone(SEOUL).date() not in raw_gone),
        *(
            Difference(LEDGERS, minute, "", "", (a, int(a_sum)), (b, int(b_sum)), is_final(minute), what)
            for minute, what, a, a_sum, b, b_sum in ledgers
        ),
    ]
    return with_names(connection, range_from, range_until, differences)


def _whole_days(range_from: datetime, range_until: datetime) -> list[date]:
    """Return the Korean days that lie wholly in the range."""
    first = (range_from.astimezone(SEOUL) + timedelta(days=1, microseconds=-1)).date()
    days = (range_until.astimezone(SEOUL).date() - first).days
    return [first + timedelta(days=n) for n in range(days)]


def _closes(connection: psycopg.Connection, kind: Any, days: list[date]) -> list[tuple[Close, Figures]]:
    return read_closes(connection, kind, days[0], days[-1]) if days else []


def _raw_gone(
    connection: psycopg.Connection, range_from: datetime, range_until: datetime, closed: list[date]
) -> list[date]:
    """Return the days whose rows of raw.events retention dropped, and closed ones that have none any more."""
    return [
        day
        for (day,) in connection.execute(
            read_sql("processor.sql", "raw_gone.sql"), {"from": range_from, "until": range_until, "closed": closed}
        )
    ]


def _against_closes(
    connection: psycopg.Connection, accounts: Accounts, closes: list[tuple[Close, Figures]], raw_gone: list[date]
) -> Iterator[Difference]:
    """Yield what a closed day has lost, gained or changed since its close."""
    last_revision = {close.day: close.revision for close, _ in closes if close.kind == "event_day"}
    for close, figures in closes:
        yield from check_digest(close, figures)
        if close.kind == "received_day":
            in_day: Callable[[datetime], bool] = lambda minute, day=close.day: minute.astimezone(SEOUL).date() == day  # type: ignore[misc]  # noqa: E731
            now = received_figures(connection, close.day, by_type(accounts, in_day))
            yield from check_received(close, figures, now, has_raw=close.day not in raw_gone)
        elif close.revision == last_revision[close.day]:
            moved = connection.execute(
                "select distinct source, event_type from ops.audit where stage = 'operator' and counted_at >= %s",
                (close.closed_at,),
            ).fetchall()
            now = event_figures(connection, close.day, close.received_until)
            yield from check_event_day(close, figures, now, set(moved))


def _restated(
    connection: psycopg.Connection, closes: list[tuple[Close, Figures]], received_until: datetime | None
) -> list[Restatement]:
    """Return every restatement of these event days, and what the next close will restate."""
    found: list[Restatement] = []
    last: dict[date, Figures] = {}
    counted: dict[date, datetime] = {}
    for close, figures in closes:
        if close.kind == "event_day":
            if close.revision:
                found += restatements(close.day, close.revision, close.closed_at, last[close.day], figures)
            last[close.day], counted[close.day] = figures, close.received_until
    for day, figures in last.items():
        until = max(counted[day], received_until or counted[day])
        found += restatements(day, 0, None, figures, event_figures(connection, day, until))
    return found
