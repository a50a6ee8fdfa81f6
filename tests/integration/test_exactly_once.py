"""Exactly once, whatever the clocks say: every second arrival within 14 days of the first is a duplicate.

Each test sends through real segments, and afterwards the books balance and every check finds nothing: so each
duplicate has its original, and no event is in clean twice.
"""

import threading
from collections.abc import Iterator

import msgspec
import psycopg
import pytest

from contract.errors import SillokError
from contract.event import StoredContext, decode_stored_batch
from processor.books import read_books
from storage.load import LoadReport, load_segment
from storage.postgres import connect
from storage.spool.active import Pending
from storage.spool.folder import SEALED
from storage.spool.frame import FrameMeta
from storage.spool.tally import count_events
from tests.builders import _EMPTY, DAY_US, MINUTE_US, Road, Sent, Spool, event, moment, today_us
from tests.checks import assert_checks_are_clean
from tests.fakes import FakeClock
from tests.patience import PATIENCE_S

NOON = today_us(12)
HOUR_US = 60 * MINUTE_US
# Far enough back for 14 days and more to pass before tomorrow.
FIRST = NOON - 20 * DAY_US
YEAR_MS = 365 * 86_400_000

runs = pytest.mark.parametrize("together", [True, False], ids=["one run", "a run each"])


@pytest.fixture(autouse=True)
def _everything_adds_up(road: Road) -> Iterator[None]:
    yield
    assert_checks_are_clean(road.admin)
    books = read_books(road.admin, moment(NOON - 40 * DAY_US), moment(NOON + 9 * DAY_US))
    assert books.balanced, books.differences


def arrive(road: Road, sent: Sent, at_us: int, *, process: bool = True) -> None:
    """Let one batch arrive at a moment, in a segment of its own."""
    road.spool.clock = FakeClock(at_us)
    road.spool.write(msgspec.structs.replace(sent, at_us=at_us))
    road.load()
    if process:
        road.process()


def outcomes(road: Road) -> dict[str, int]:
    """Return what became of all events, by the tables themselves; what is 0 is left out."""
    tables = {"clean": "clean.events", "duplicate": "ops.duplicates", "dead": "ops.dead_letters"}
    found = {name: road.values(f"select count(*) from {table}")[0] for name, table in tables.items()}
    return {name: count for name, count in found.items() if count}


# A second arrival


@runs
@pytest.mark.parametrize(
    "later_us",
    [
        pytest.param(0, id="at once"),
        pytest.param(2, id="across midnight"),
        pytest.param(DAY_US, id="a day later"),
        pytest.param(13 * DAY_US, id="after 13 days"),
        pytest.param(13 * DAY_US + 23 * HOUR_US, id="after 13 days and 23 hours"),
        pytest.param(14 * DAY_US, id="after 14 days to the microsecond"),
    ],
)
def test_a_retry_is_a_duplicate_for_two_weeks(road, later_us, together):
    """The first stays clean; the second is listed with the arrival it repeats."""
    first_us = today_us(0, days=-19) - 1
    sent = Sent([event(time=first_us // 1000)], sent_at=first_us // 1000)
    arrive(road, sent, first_us, process=not together)
    arrive(road, sent, first_us + later_us)
    assert outcomes(road) == {"clean": 1, "duplicate": 1}
    assert road.values("select received_at from clean.events") == [moment(first_us)]
    assert road.values("select first_received_at from ops.duplicates") == [moment(first_us)]


@pytest.mark.parametrize("offline_days", [0, 20])
def test_a_phone_that_was_offline_sends_twice(road, offline_days):
    """First and second arrival may both lie weeks after the event; only arrivals are counted."""
    happened_ms = (FIRST - offline_days * DAY_US) // 1000
    stored = event(time=happened_ms, session_id="s")
    arrive(road, Sent([stored], sent_at=FIRST // 1000), FIRST)
    arrive(road, Sent([stored], sent_at=(FIRST + 13 * DAY_US) // 1000), FIRST + 13 * DAY_US)
    assert outcomes(road) == {"clean": 1, "duplicate": 1}
    [row] = road.clean(stored)
    assert row["event_time"] == moment(happened_ms * 1000)
    assert row["flags"] == (["late"] if offline_days else [])


def test_a_first_arrival_weeks_late_beside_fresh_ones(road):
    """An old event among new ones is as much remembered as they are."""
    old = event(time=(NOON - 20 * DAY_US) // 1000, session_id="s")
    fresh = [event(session_id="s") for _ in range(3)]
    for at_us in (NOON, NOON + MINUTE_US):
        arrive(road, Sent([*fresh, old], sent_at=at_us // 1000), at_us)
    assert outcomes(road) == {"clean": 4, "duplicate": 4}


@runs
@pytest.mark.parametrize("moved_ms", [YEAR_MS, -YEAR_MS, 1, -86_400_000])
def test_a_clock_that_moved_between_tries(road, together, moved_ms):
    """`sent_at` a year on moves the second try's corrected time by a year, into another day: it is a duplicate."""
    stored = event(time=FIRST // 1000, session_id="s")
    arrive(road, Sent([stored], sent_at=FIRST // 1000), FIRST, process=not together)
    arrive(road, Sent([stored], sent_at=FIRST // 1000 + moved_ms), FIRST + HOUR_US)
    assert outcomes(road) == {"clean": 1, "duplicate": 1}
    assert road.clean(stored)[0]["event_time"] == moment(FIRST)


def test_an_earlier_arrival_that_was_stuck_for_two_weeks(road):
    """What waited in a spool is loaded last: the clean one stays clean, whichever was received first."""
    sent = Sent([event(time=FIRST // 1000)])
    arrive(road, sent, FIRST + 13 * DAY_US)
    arrive(road, sent, FIRST)
    assert outcomes(road) == {"clean": 1, "duplicate": 1}
    assert road.values("select received_at from clean.events") == [moment(FIRST + 13 * DAY_US)]


def test_every_arrival_in_two_weeks_repeats_the_first(road):
    """A client that never learns: one a day, and each names the first arrival."""
    sent = Sent([event(time=FIRST // 1000)])
    for days in range(14):
        arrive(road, sent, FIRST + days * DAY_US, process=days % 3 == 0)
    road.process()
    assert outcomes(road) == {"clean": 1, "duplicate": 13}
    assert set(road.values("select first_received_at from ops.duplicates")) == {moment(FIRST)}


@pytest.mark.parametrize(
    "batches",
    [[["a", "a", "a"]], [["a"], ["a"], ["a"]], [["a", "b", "a"], ["b", "a"]], [["a", "b"], ["b", "a"], ["a", "b"]]],
    ids=["in one batch", "in one segment", "mixed", "crosswise"],
)
@pytest.mark.parametrize("segments", [1, 2])
def test_the_same_id_several_times(road, batches, segments):
    """In one array, in one segment, across segments of one run: once clean, else duplicates."""
    events = {"a": event(), "b": event()}
    for segment in range(segments):
        road.spool.clock = FakeClock(NOON + segment * MINUTE_US)
        road.spool.write(*(Sent([events[name] for name in batch]) for batch in batches))
    road.load()
    road.process()
    arrivals = sum(map(len, batches)) * segments
    ids = len({name for batch in batches for name in batch})
    assert outcomes(road) == {"clean": ids, "duplicate": arrivals - ids}


# Two nodes


def load_at_once(dsn: str, spools: list[Spool]) -> list[LoadReport | None]:
    """Load everything of these spools, each by a loader of its own, all at the same time."""
    start = threading.Barrier(len(spools))
    reports: list[LoadReport | None] = []
    errors: list[Exception] = []

    def work(spool: Spool) -> None:
        with connect(dsn, role="sillok_loader") as connection:
            start.wait(PATIENCE_S)
            try:
                numbers = spool.folder.segments(SEALED)
                reports.extend([load_segment(connection, spool.folder, number) for number in numbers])
            except (psycopg.Error, SillokError) as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(spool,)) for spool in spools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert errors == []
    return reports


@pytest.mark.parametrize("is_one_spool", [True, False], ids=["two slots", "two machines"])
def test_two_nodes_at_once(road, tmp_path, is_one_spool):
    """The answer of one node was lost, the retry went to the other; both load at the same time."""
    other = Spool(road.spool.path, slot=1) if is_one_spool else Spool(tmp_path / "another")
    shared, own, others = ([event() for _ in range(40)] for _ in range(3))
    for spool, events in ((road.spool, own), (other, others)):
        for part in range(4):
            spool.write(Sent(events[part::4] + shared[part::4], at_us=NOON + part))
        road.register(spool)
    # A database that is asked for the same new day twice at once makes it once.
    road.forget_days()
    reports = load_at_once(road.dsn, [road.spool, other])
    assert sum(report.loaded for report in reports if report) == 160
    road.process()
    assert outcomes(road) == {"clean": 120, "duplicate": 40}
    assert set(road.values("select event_id from clean.events")) == {e.event_id for e in shared + own + others}
    assert set(road.values("select event_id from ops.duplicates")) == {e.event_id for e in shared}


def test_two_loaders_of_one_slot_load_each_segment_once(road):
    """A second loader on the same spool blocks on the ledger's key and finds the work done."""
    events = [event() for _ in range(60)]
    for part in range(6):
        road.spool.write(Sent(events[part::6], at_us=NOON + part))
    road.register()
    road.forget_days()
    reports = load_at_once(road.dsn, [road.spool, Spool(road.spool.path)])
    assert sum(report.loaded for report in reports if report) == 60
    road.process()
    assert outcomes(road) == {"clean": 60}


# What is another event, and what is a conflict


@runs
def test_the_same_id_of_another_source_is_another_event(road, together):
    """Both stay, also when one run cleans both; each source's retry is a duplicate of its own."""
    stored = event()
    for source in ("web", "mts", "web", "mts"):
        arrive(road, Sent([stored], source=source), NOON, process=not together)
    road.process()
    assert outcomes(road) == {"clean": 2, "duplicate": 2}
    assert sorted(road.values("select source from ops.duplicates")) == ["mts", "web"]


@runs
@pytest.mark.parametrize(
    "changes",
    [
        {"time": 1},
        {"click_text": "매도"},
        {"props": {"수량": 4}},
        {"seq": 2},
        {"customer_id": "c"},
        {"flags": ["masked"]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_same_id_with_other_content_is_a_conflict(road, changes, together):
    """Days later, and whatever differs: the first is clean, the other is kept whole."""
    first = event(time=FIRST // 1000, click_text="매수", props={"수량": 3}, seq=1)
    arrive(road, Sent([first]), FIRST, process=not together)
    arrive(road, Sent([msgspec.structs.replace(first, **changes)]), FIRST + 13 * DAY_US)
    assert outcomes(road) == {"clean": 1, "dead": 1}
    assert road.values("select reason from ops.dead_letters") == ["id_conflict"]
    assert road.clean(first)[0]["click_text"] == "매수"


def test_another_context_is_no_conflict(road):
    """The retry comes after an update of the app, over another network, from another tab and address."""
    stored = event()
    contexts = [
        StoredContext(app_version="5.12.0", network_type="wifi", client_id="a", customer_id="c"),
        StoredContext(app_version="5.13.0", network_type="5g", client_id="b"),
    ]
    for n, context in enumerate(contexts):
        arrive(road, Sent([stored], context=context, ip=f"192.0.2.{n}", user_agent=f"agent {n}"), NOON + n)
    assert outcomes(road) == {"clean": 1, "duplicate": 1}


def written(event_id: str, spelling: str) -> Sent:
    """Return a batch whose body is written just so."""
    body = spelling.replace("ID", event_id).encode()

    class Written(Sent):
        def pending(self) -> Pending:
            meta = FrameMeta(source="web", received=1, accepted=1)
            return Pending(meta, body, count_events(decode_stored_batch(body).events), threading.Event())

    return Written([])


PLAIN = (
    '{"events":[{"event_id":"ID","time":1780000000000,"event_type":"click","click_text":"매수 é",'
    '"props":{"a":1,"b":[1,2.5,{"c":0,"d":null}],"e":100000}}]}'
)


@runs
@pytest.mark.parametrize(
    "again",
    [
        '{"events":[{"props":{"e":100000,"b":[1,2.5,{"d":null,"c":0}],"a":1},"click_text":"매수 é","event_type":"click","time":1780000000000,"event_id":"ID"}]}',
        PLAIN.replace("매수 é", "\\ub9e4\\uc218 \\u00e9").replace('"click"', '"cl\\u0069ck"').replace('"a"', '"\\u0061"'),
        PLAIN.replace('"a":1', '"a":1.0').replace("[1,2.5", "[1e0,25e-1").replace("100000", "1E5").replace('"c":0', '"c":-0.0'),
        PLAIN.replace('{"events"', '{ "events" ').replace(",", " ,\n"),
        PLAIN.replace('"time"', '"page_name":null,"time"'),
    ],
    ids=["order of keys", "escapes", "numbers", "blanks", "a null"],
)  # fmt: skip
def test_how_the_json_was_written_is_no_conflict(road, again, together):
    """A retry that was put into JSON anew says the same."""
    event_id = str(event().event_id)
    arrive(road, written(event_id, PLAIN), NOON, process=not together)
    arrive(road, written(event_id, again), NOON + 1)
    assert outcomes(road) == {"clean": 1, "duplicate": 1}


@pytest.mark.parametrize(
    "again",
    [
        PLAIN.replace('"a":1', '"a":"1"'),
        PLAIN.replace('"a":1', '"a":true'),
        PLAIN.replace("2.5", "2.50000001"),
        PLAIN.replace("[1,2.5", "[2.5,1"),
        PLAIN.replace('"d":null', '"d":0'),
    ],
    ids=["text for number", "bool for number", "almost", "order of a list", "null for zero"],
)
def test_other_json_is_a_conflict(road, again):
    """What only looks alike is other content."""
    event_id = str(event().event_id)
    arrive(road, written(event_id, PLAIN), NOON)
    arrive(road, written(event_id, again), NOON + 1)
    assert outcomes(road) == {"clean": 1, "dead": 1}


# Originals that are not clean


@runs
def test_a_duplicate_of_a_dead_letter(road, together):
    """The first could not be cleaned; the second repeats it, and is told so after 13 days too."""
    road.reset_later("alter table clean.events drop constraint if exists no_guilt")
    road.admin.execute("alter table clean.events add constraint no_guilt check (click_text <> 'guilty')")
    sent = Sent([event(time=FIRST // 1000, click_text="guilty")])
    arrive(road, sent, FIRST, process=not together)
    arrive(road, sent, FIRST + 13 * DAY_US)
    assert outcomes(road) == {"dead": 1, "duplicate": 1}
    assert road.values("select received_at from ops.dead_letters") == [moment(FIRST)]


def test_a_row_that_was_never_loaded_repeats_nothing(road):
    """PostgreSQL refused the first at the load; once it takes it, the next arrival is the first."""
    road.reset_later("alter table raw.events drop constraint if exists no_guilt")
    road.admin.execute("alter table raw.events add constraint no_guilt check (click_text <> 'guilty')")
    sent = Sent([event(click_text="guilty")])
    arrive(road, sent, NOON)
    assert outcomes(road) == {"dead": 1}
    road.admin.execute("alter table raw.events drop constraint no_guilt")
    arrive(road, sent, NOON + 1)
    arrive(road, sent, NOON + 2)
    assert outcomes(road) == {"dead": 1, "clean": 1, "duplicate": 1}


def test_a_conflict_is_nobodys_original(road):
    """First A, then B twice, then A: the second B is a conflict like the first, A a duplicate."""
    first = event(click_text="A")
    other = msgspec.structs.replace(first, click_text="B")
    for n, stored in enumerate((first, other, other, first)):
        arrive(road, Sent([stored]), NOON + n)
    assert outcomes(road) == {"clean": 1, "dead": 2, "duplicate": 1}


# The end of the window


def drop_arrivals(road: Road, before_us: int) -> int:
    """Drop the state of every arrival day before a moment's, as retention does; return how many days went."""
    day = moment(before_us + 9 * HOUR_US).date()
    parts = road.values("select inhrelid::regclass::text from pg_inherits where inhparent = 'ops.dedup'::regclass")
    gone = [part for part in parts if part[-8:] < f"{day:%Y%m%d}"]
    for part in gone:
        road.admin.execute(f"drop table {part}")
    return len(gone)


def test_what_is_within_the_window_is_found_after_older_days_are_dropped(road):
    """The state before the window goes with its partitions, and costs nobody within it his duplicate."""
    old = Sent([event(time=(FIRST - 10 * DAY_US) // 1000)])
    young = Sent([event(time=FIRST // 1000)])
    arrive(road, old, FIRST - 10 * DAY_US)
    arrive(road, young, FIRST)
    assert drop_arrivals(road, FIRST) >= 1
    arrive(road, young, FIRST + 13 * DAY_US + 23 * HOUR_US)
    assert outcomes(road) == {"clean": 2, "duplicate": 1}


def test_a_partition_is_named_after_its_last_day(road):
    """Whoever drops by name what ended 15 days ago drops nothing that is still within the window."""
    for days in range(-20, 1):
        arrive(road, Sent([event(time=(NOON + days * DAY_US) // 1000)]), NOON + days * DAY_US)
    held = road.rows(
        "select right(tableoid::regclass::text, 8) as name, max(arrived) as youngest from ops.dedup group by 1"
    )
    assert all(f"{row['youngest']:%Y%m%d}" <= row["name"] for row in held)
    assert len(held) <= 4, "a look-up costs a probe of each"


def test_after_the_window_a_resend_is_a_new_event(road):
    """The promise ends with the state: said here so that nobody believes more. From then on it is remembered anew."""
    sent = Sent([event(time=FIRST // 1000)])
    arrive(road, sent, FIRST)
    drop_arrivals(road, FIRST + 8 * DAY_US)
    arrive(road, sent, FIRST + 16 * DAY_US)
    arrive(road, sent, FIRST + 17 * DAY_US)
    assert outcomes(road) == {"clean": 2, "duplicate": 1}
    assert road.values("select first_received_at from ops.duplicates") == [moment(FIRST + 16 * DAY_US)]
    with pytest.raises(AssertionError, match="clean_has_each_event_once"):
        assert_checks_are_clean(road.admin)
    with road.admin.transaction():
        for statement in _EMPTY:
            road.admin.execute(statement)


def test_a_processor_that_was_away_for_a_year_finds_its_days(road):
    """State can be made for any day raw may hold, however long ago: being late loses no protection."""
    day = moment(NOON - 390 * DAY_US).date()
    road.reset_later(f"drop table if exists ops.dedup_{day:%Y%m%d}")
    road.processor.execute("select ops.ensure_dedup_partition(%s)", (day,))
    with pytest.raises(psycopg.errors.RaiseException, match="too far from today"):
        road.processor.execute("select ops.ensure_dedup_partition(%s)", (moment(NOON - 500 * DAY_US).date(),))
