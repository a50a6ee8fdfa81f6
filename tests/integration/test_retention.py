"""What is past its time goes with its partition and is written down; what is still needed stays, whatever is asked."""

import json
from datetime import date, datetime, timedelta

import pytest

from contract.calendar import SEOUL
from processor.books import read_books
from processor.closes import day_range
from processor.operate.keeping import tables_kept
from processor.retention import RetentionSettings, drop_expired, expired
from tests.builders import Road, Sent, event, moment, today_us
from tests.fakes import FakeClock
from tests.operating import sillok, write_settings

TODAY = moment(today_us(days=1)).astimezone(SEOUL).date()


def partitions(road: Road, parent: str) -> list[date]:
    names = road.values(
        "select relname::text from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = %s::regclass",
        parent,
    )
    return sorted(datetime.strptime(name[-8:], "%Y%m%d").date() for name in names)  # noqa: DTZ007


def received(road: Road, days: int) -> None:
    """Let an event be received so many days ago."""
    at = today_us(12, days=1 - days)
    road.spool.clock = FakeClock(at - 1)
    road.spool.write(Sent([event(time=at // 1000)], at_us=at))
    road.load()


def drop(road: Road, **settings: int):
    return {
        (x.table, (TODAY - x.day).days): x.rows
        for x in drop_expired(road.processor, RetentionSettings(**settings), "test")
    }


@pytest.fixture
def empty(road) -> Road:
    """Return a road without a partition."""
    road.forget_days()
    for parent in ("clean.events", "ops.dedup"):
        for part in road.values(
            "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass", parent
        ):
            road.admin.execute(f"drop table {part}")
    return road


def test_a_day_of_raw_goes_when_its_time_is_over(empty):
    """With what it held written down; a day that is not past its time stays."""
    received(empty, 9), received(empty, 7)
    empty.process()
    assert drop(empty) == {("raw.events", 9): 1}
    assert partitions(empty, "raw.events") == [TODAY - timedelta(days=7)]
    [kept] = empty.rows("select parent, day, rows, hash_sum from ops.dropped_partitions")
    old = empty.values("select ops.hash_sum(ops.id_hash(event_id)) from clean.events order by received_at limit 1")[0]
    assert kept == {"parent": "raw.events", "day": TODAY - timedelta(days=9), "rows": 1, "hash_sum": old}
    [action] = empty.rows("select operator, command, result from ops.actions")
    assert (action["operator"], action["command"]) == ("test", "retention")
    books = read_books(empty.admin, *day_range(TODAY - timedelta(days=9)))
    assert (books.balanced, books.raw_gone) == (True, [TODAY - timedelta(days=9)])
    assert books.totals["web"]["process.clean"] == 1
    assert list(action["result"]["dropped"].values()) == [1]
    assert drop(empty) == {}
    assert empty.values("select count(*) from ops.actions") == [1], "nothing done is nothing to say"


def test_a_day_of_raw_that_retention_did_not_drop_is_missed(empty):
    """The books pass over what is written down as dropped, and over nothing else."""
    received(empty, 9)
    empty.process()
    empty.forget_days()
    books = read_books(empty.admin, *day_range(TODAY - timedelta(days=9)))
    assert {difference.identity for difference in books.differences} >= {"loaded = rows of raw.events"}


def test_a_day_of_raw_that_is_not_processed_is_never_dropped(empty):
    """Asked by the settings or by hand."""
    received(empty, 9)
    assert drop(empty) == {}
    with pytest.raises(Exception, match="not processed"):
        empty.processor.execute("select ops.drop_partition('raw.events', %s)", (TODAY - timedelta(days=9),))
    empty.process()
    assert drop(empty) == {("raw.events", 9): 1}


@pytest.mark.parametrize(
    ("parent", "days"), [("raw.events", 0), ("clean.events", 30), ("ops.dedup", 14), ("ops.loads", 99)]
)
def test_no_role_can_drop_what_is_still_needed(empty, parent, days):
    received(empty, 0)
    empty.process()
    with pytest.raises(Exception, match="still needed"):
        empty.processor.execute("select ops.drop_partition(%s, %s)", (parent, TODAY - timedelta(days=days)))


def test_first_arrivals_are_forgotten_by_the_watermark_not_by_the_clock(empty):
    """What waits in a spool for weeks must still find its first arrival; a week is kept until its last day may go."""
    sunday = 20 + (TODAY - timedelta(days=20)).isoweekday() % 7
    received(empty, sunday)
    empty.process()
    assert ("ops.dedup", sunday) not in drop(empty), "nothing is finished that was received later"
    received(empty, sunday - 14)
    assert ("ops.dedup", sunday) not in drop(empty)
    empty.process()
    assert ("ops.dedup", sunday) not in drop(empty), "14 days before what is finished"
    received(empty, sunday - 15)
    empty.process()
    assert drop(empty)["ops.dedup", sunday] == 1
    assert TODAY - timedelta(days=sunday - 14) in partitions(empty, "ops.dedup")


def test_clean_days_go_with_their_sessions(empty):
    received(empty, 1)
    empty.process()
    old = TODAY - timedelta(days=100)
    empty.admin.execute("select ops.ensure_clean_partition(%s)", (old,))
    for table, column in (("clean.events", "event_date"), ("clean.sessions", "session_date")):
        names = empty.values(
            "select attname::text from pg_attribute where attrelid = %s::regclass and attnum > 0", table
        )
        values = ", ".join("%(day)s" if n == column else "'old'" if n == "session_id" else n for n in names)
        empty.admin.execute(f"insert into {table} ({', '.join(names)}) select {values} from {table}", {"day": old})
    assert drop(empty, clean_months=25) == {}
    assert drop(empty, clean_months=2) == {("clean.events", 100): 1}
    assert empty.values("select count(*) from clean.sessions") == [1]
    assert old not in partitions(empty, "clean.events")


def test_details_and_visitor_keys_go(empty):
    received(empty, 0)
    empty.process()
    empty.admin.execute(
        "insert into ops.visitor_keys values (%s, 'x'), (%s, 'y')",
        (TODAY - timedelta(days=8), TODAY - timedelta(days=6)),
    )
    empty.admin.execute(
        "insert into ops.duplicates values (1, 1, now() - interval '100 days', 'web', 'click', gen_random_uuid(), now())"
    )
    assert drop(empty, detail_months=2) == {("ops.duplicates", 100): 1}
    assert empty.values("select day from ops.visitor_keys where day < %s - 1", TODAY) == [TODAY - timedelta(days=6)]


def test_a_dry_run_drops_nothing(empty):
    received(empty, 9)
    empty.process()
    assert [(x.table, x.rows) for x in expired(empty.operator, RetentionSettings())] == [("raw.events", None)]
    assert partitions(empty, "raw.events") == [TODAY - timedelta(days=9)]


def test_what_is_kept_how_long_is_printed(road: Road, tmp_path) -> None:
    """With this site's own settings, the oldest day, and what it takes of the disk; nothing is dropped."""
    road.forget_days()
    received(road, 2)
    road.process()
    settings = write_settings(road, tmp_path, "[retention]\nraw_days = 11\nclean_months = 13\n")
    done = sillok(settings, "retention", "--list", "--json")
    assert done.returncode == 0, done.stderr
    found = {kept["where"]: kept for kept in json.loads(done.stdout)}
    assert (found["raw.events"]["kept"], found["clean.events"]["kept"]) == ("11 days", "13 months")
    assert found["raw.events"]["setting"] == "[retention] raw_days"
    assert found["raw.events"]["oldest"] == str(TODAY - timedelta(days=2))
    assert found["raw.events"]["bytes"] > 0
    assert found[f"{road.spool.path}, archive"]["bytes"] > 0
    table = sillok(settings, "retention", "--list")
    assert "[retention] raw_days" in " ".join(table.stdout.split())
    assert road.values("select count(*) from raw.events") == [1]
    assert sillok(settings, "retention", "--list", "--dry-run").returncode == 2


def test_every_table_with_something_of_a_person_is_in_the_list(road: Road) -> None:
    personal = road.values(
        "select distinct c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relkind in ('r', 'p') and not c.relispartition"
        " and c.relnamespace::regnamespace::text in ('raw', 'clean', 'ops')"
        " and a.attname in ('customer_id', 'anonymous_id', 'visitor_id', 'client_id', 'event_id', 'ip', 'body')"
    )
    assert set(personal) <= {kept.where for kept in tables_kept(road.operator, RetentionSettings())}
