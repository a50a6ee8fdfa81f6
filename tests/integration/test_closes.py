"""The daily closes: made once, when the day is final and balances; what analysts quote is restated, never replaced."""

from datetime import timedelta

import psycopg
import pytest

from contract.errors import BooksStayOpen
from processor.books import close_day, read_books
from processor.closes import day_range, read_closes
from storage.postgres import connect
from tests.builders import KST, MINUTE_US, Sent, event, moment, today_us
from tests.fakes import FakeClock

NOON = today_us(12, days=-2)
NEXT = today_us(9, days=-1)
DAY = moment(NOON).astimezone(KST).date()
DAY_AFTER = DAY + timedelta(days=1)


def happened(at_us: int = NOON, **fields):
    return event(**{"event_type": "search", "time": at_us // 1000, **fields})


@pytest.fixture
def road(road):
    """Return a road on which two events came on a day that is over."""
    road.spool.clock = FakeClock(today_us(11, days=-2))
    road.send(Sent([happened(), happened()], at_us=NOON), Sent([happened()], at_us=NOON + MINUTE_US, is_test=True))
    return road


def books_of(road, day=DAY):
    return read_books(road.admin, *day_range(day))


def test_a_close_holds_every_account_by_source_and_type(road):
    """Counts, hash sums, and for tables the sum over their contents; the role that cleans may do it."""
    received, happened_ = close_day(road.processor, DAY)
    assert [(c.kind, c.day, c.revision) for c in (received, happened_)] == [
        ("received_day", DAY, 0),
        ("event_day", DAY, 0),
    ]
    [(close, figures)] = read_closes(road.admin, "received_day", DAY, DAY)
    assert close == received
    assert {key: found[0] for key, found in figures.items()} == {
        ("web", "", "spool.received"): 3,
        ("web", "search", "spool.accepted"): 3,
        ("web", "search", "load.loaded"): 3,
        ("web", "search", "process.clean"): 3,
        ("web", "search", "table.raw"): 3,
        ("web", "search", "table.clean"): 3,
    }
    assert figures["web", "search", "table.clean"][1] == figures["web", "search", "load.loaded"][1] != 0
    assert [account for (_, _, account), found in figures.items() if found[2]] == ["table.clean"]
    [(_, figures)] = read_closes(road.admin, "event_day", DAY, DAY)
    assert {key: found[0] for key, found in figures.items()} == {
        ("web", "search", "clean"): 2,
        ("web", "search", "clean_test"): 1,
    }
    assert books_of(road).balanced


def test_a_close_is_made_once(road):
    """The second time there is nothing to write, and nothing changes."""
    assert len(close_day(road.admin, DAY)) == 2
    before = road.rows("select * from ops.closes order by kind")
    assert close_day(road.admin, DAY) == []
    assert road.rows("select * from ops.closes order by kind") == before
    with pytest.raises(psycopg.errors.UniqueViolation):
        road.admin.execute("insert into ops.closes (kind, day, revision, received_until, digest)"
                           " select kind, day, revision, received_until, '' from ops.closes where kind = 'received_day'")  # fmt: skip
    with pytest.raises(psycopg.errors.CheckViolation):
        road.admin.execute("insert into ops.closes (kind, day, revision, received_until, digest)"
                           " select kind, day, 1, received_until, '' from ops.closes where kind = 'received_day'")  # fmt: skip


def test_a_day_without_events_can_be_closed(road):
    """Nothing is a figure too."""
    close_day(road.admin, DAY - timedelta(days=1))
    [(close, figures)] = read_closes(road.admin, "received_day", DAY - timedelta(days=1), DAY)
    assert (close.day, figures) == (DAY - timedelta(days=1), {})
    assert books_of(road, close.day).balanced


def test_a_day_that_is_not_over_stays_open(road):
    today = moment(today_us(days=1)).astimezone(KST).date()
    with pytest.raises(BooksStayOpen, match="is not over yet"):
        close_day(road.admin, today)


def test_a_day_that_does_not_balance_stays_open(road):
    road.admin.execute("delete from clean.events where is_test")
    with pytest.raises(BooksStayOpen, match=f"do not balance: look at `sillok reconcile --day {DAY}`"):
        close_day(road.admin, DAY)
    assert road.values("select count(*) from ops.closes") == [0]


def test_a_day_that_is_not_final_stays_open(road):
    """What waits is named."""
    road.spool.write(Sent([happened()], at_us=NOON + 2 * MINUTE_US))
    road.load()
    with pytest.raises(BooksStayOpen, match=r"is not final: segment \w+\.0\.2 is loaded and not cleaned"):
        close_day(road.admin, DAY)


def test_a_late_event_restates_the_event_day_and_no_received_day(road):
    """It happened on the first day and was received on the second: closing the second restates the first."""
    close_day(road.admin, DAY)
    road.send(Sent([happened(event_type="click"), happened(), happened(NEXT)], at_us=NEXT))
    books = books_of(road)
    assert books.balanced, "a late event is no difference"
    assert [(r.revision, r.event_type, r.account, r.before, r.after) for r in books.restatements] == [
        (0, "click", "clean", 0, 1), (0, "search", "clean", 2, 3)
    ]  # fmt: skip
    written = close_day(road.admin, DAY_AFTER)
    assert [(c.kind, c.day, c.revision) for c in written] == [
        ("received_day", DAY_AFTER, 0), ("event_day", DAY, 1), ("event_day", DAY_AFTER, 0)
    ]  # fmt: skip
    books = books_of(road)
    assert books.balanced
    assert [(r.day, r.revision, r.closed_at, r.event_type, r.before, r.after) for r in books.restatements] == [
        (DAY, 1, written[1].closed_at, "click", 0, 1), (DAY, 1, written[1].closed_at, "search", 2, 3)
    ]  # fmt: skip
    assert close_day(road.admin, DAY) == []


def test_a_changed_event_day_is_a_difference_and_no_restatement(road):
    """What was received before the close and is another now was changed by somebody."""
    close_day(road.admin, DAY)
    road.admin.execute("update clean.events set is_test = false")
    found = {
        (d.event_type, d.left[0], d.right[0], d.detail) for d in books_of(road).differences if "event_date" in d.detail
    }
    assert found == {
        ("search", 2, 3, f"clean by event_date, against the close of event day {DAY}"),
        ("search", 1, 0, f"clean_test by event_date, against the close of event day {DAY}"),
    }


def test_an_operators_movement_restates_instead(road):
    """An erasure after the close is dated, and the next close of the day lists what it took."""
    close_day(road.admin, DAY)
    road.admin.execute("delete from raw.events where is_test")
    road.admin.execute("delete from clean.events where is_test")
    road.admin.execute(
        "insert into ops.audit (stage, minute, source, event_type, outcome, events, hash_sum)"
        " select 'operator', minute, source, event_type, o, n, case when n > 0 then hash_sum else ops.hash_sum(-hash_sum) end"
        " from ops.audit, (values ('clean', -1), ('erased', 1), ('raw_removed', 1)) v (o, n)"
        " where outcome = 'clean' and minute = %s",
        (moment(NOON + MINUTE_US),),
    )
    books = books_of(road)
    assert books.differences == []
    assert [(r.account, r.before, r.after) for r in books.restatements] == [("clean_test", 1, 0)]
    [restated] = close_day(road.admin, DAY)
    assert (restated.kind, restated.revision) == ("event_day", 1)


def test_once_raw_is_past_its_retention_the_close_stands_for_it(road):
    """Its partition may go after the close, not before."""
    partition = f"raw.events_{DAY:%Y%m%d}"
    road.admin.execute(f"alter table raw.events detach partition {partition}")
    road.admin.execute(f"alter table {partition} set schema public")
    road.reset_later(f"drop table if exists public.events_{DAY:%Y%m%d}")
    assert {d.identity for d in books_of(road).differences} == {"loaded = rows of raw.events"}
    road.admin.execute(f"alter table public.events_{DAY:%Y%m%d} set schema raw")
    road.admin.execute(
        f"alter table raw.events attach partition {partition} for values from ('{DAY} 00:00+09') to ('{DAY_AFTER} 00:00+09')"
    )
    close_day(road.admin, DAY)
    road.admin.execute(f"drop table {partition}")
    books = books_of(road)
    assert (books.balanced, books.raw_gone) == (True, [DAY])
    road.admin.execute("update ops.audit set events = events - 1 where stage = 'load'")
    assert any("load.loaded, against the close" in d.detail for d in books_of(road).differences)


def test_two_closers_at_once_write_one_close(road):
    """The second finds it made, or is refused by the key; it never writes another."""
    with connect(road.dsn) as other, other.transaction():
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from ops.closes")
        close_day(road.admin, DAY)
    assert close_day(road.admin, DAY) == []
    assert road.values("select count(*) from ops.closes") == [2]
