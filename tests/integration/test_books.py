"""The books: they balance to the event, and every way of cooking them shows by minute and source."""

from datetime import timedelta

import msgspec
import pytest

from contract.event import ClientReport, StoredContext
from contract.fingerprint import id_hash
from processor.books import Books, ClientAccount, Difference, read_books
from processor.equations import LEDGERS, NAMES
from storage.spool.frame import Reject
from tests.builders import KST, Road, Sent, Spool, event, moment, new_id, today_us
from tests.checks import assert_checks_are_clean

NOON = today_us(12)
MINUTE_US = 60_000_000
BALANCED = dict.fromkeys(NAMES, True)
RAW = "loaded = rows of raw.events"
CLEAN = "clean = rows of clean.events"
LOADED = "loaded = clean + duplicate + dead-lettered + discarded + erased + purged + pending"
ACCEPTED = "accepted = loaded + dead-lettered + damaged"
DEAD = "dead-lettered = rows of ops.dead_letters"
DUPLICATE = "duplicate = rows of ops.duplicates"
RECEIVED = "received = accepted + rejected"
REJECTED = "rejected = rows of ops.rejected"


REJECT = Reject(index=9, code="missing_field", field="events[9].time", message="Missing")


@pytest.fixture
def day(road) -> Road:
    """Return a road on which a bit of everything went: two minutes, two sources, every outcome."""
    click, search = event(click_text="하나"), event(event_type="search")
    road.send(
        Sent([click, search], at_us=NOON, rejects=[REJECT]),
        Sent([event()], at_us=NOON + MINUTE_US, source="app"),
        Sent([click], at_us=NOON + MINUTE_US + 1),
        Sent([msgspec.structs.replace(click, click_text="다른 것")], at_us=NOON + MINUTE_US + 2),
    )
    return road


def cells(books: Books) -> set[tuple]:
    """Return which identity fails in which cell."""
    return {(d.identity, d.minute, d.source, d.event_type) for d in books.differences if d.identity != LEDGERS}


FIRST, SECOND = moment(NOON), moment(NOON + MINUTE_US)


def test_a_day_with_everything_balances(day):
    """Accepted, rejected, duplicate and conflict: every account of every source, and no difference."""
    books = day.books()
    assert_checks_are_clean(day.admin)
    assert (books.balanced, books.differences, books.identities) == (True, [], BALANCED)
    assert books.totals == {
        "web": {
            "spool.received": 5,
            "spool.accepted": 4,
            "spool.rejected": 1,
            "load.loaded": 4,
            "process.clean": 2,
            "process.duplicate": 1,
            "process.dead_lettered": 1,
            "table.raw": 4,
            "table.clean": 2,
            "table.duplicates": 1,
            "table.dead_letters_process": 1,
            "table.rejected": 1,
        },
        "app": {
            "spool.received": 1,
            "spool.accepted": 1,
            "load.loaded": 1,
            "process.clean": 1,
            "table.raw": 1,
            "table.clean": 1,
        },
    }


def test_the_processor_may_read_the_books(day):
    """The role that writes clean needs no more rights to prove it."""
    books = read_books(day.processor, moment(today_us(0)), moment(today_us(0, days=1)))
    assert books.balanced


def test_an_empty_day_balances(road):
    """Nothing received is nothing missing."""
    assert road.books().balanced
    assert road.books().totals == {}


def test_a_range_holds_whole_minutes(day):
    """From inclusive, until exclusive."""
    books = read_books(day.admin, SECOND, SECOND + timedelta(minutes=1))
    assert books.totals["web"]["load.loaded"] == 2
    assert read_books(day.admin, FIRST, SECOND).totals["web"]["load.loaded"] == 2
    assert books.balanced


# Sabotage


COUNT_TWICE = (
    "insert into ops.audit (stage, load_id, minute, source, event_type, outcome, events, hash_sum)"
    " select stage, load_id, minute, source, event_type, outcome, events, hash_sum from ops.audit"
    " where stage = 'load' and source = 'app'"
)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["delete from raw.events where event_type = 'search'"], {(RAW, FIRST, "web", "search")}),
        (["delete from clean.events where source = 'app'"], {(CLEAN, SECOND, "app", "click")}),
        (["insert into clean.events select * from clean.events where source = 'app'"],
         {(CLEAN, SECOND, "app", "click")}),
        (["insert into raw.events select * from raw.events where event_type = 'search'"],
         {(RAW, FIRST, "web", "search")}),
        # The same number of other events.
        (["update clean.events set event_id = gen_random_uuid() where event_type = 'search'"],
         {(CLEAN, FIRST, "web", "search")}),
        (["update raw.events set event_id = gen_random_uuid() where source = 'app'"], {(RAW, SECOND, "app", "click")}),
        # The same events elsewhere.
        (["update clean.events set received_at = received_at + interval '1 minute' where event_type = 'search'"],
         {(CLEAN, FIRST, "web", "search"), (CLEAN, SECOND, "web", "search")}),
        (["update clean.events set source = 'web' where source = 'app'"],
         {(CLEAN, SECOND, "web", "click"), (CLEAN, SECOND, "app", "click")}),
        (["update clean.events set event_type = 'exit' where event_type = 'search'"],
         {(CLEAN, FIRST, "web", "search"), (CLEAN, FIRST, "web", "exit")}),
        (["delete from ops.duplicates"], {(DUPLICATE, SECOND, "web", "click")}),
        (["insert into ops.duplicates select * from ops.duplicates"], {(DUPLICATE, SECOND, "web", "click")}),
        (["delete from ops.dead_letters"], {(DEAD, SECOND, "web", "click")}),
        (["delete from ops.rejected"], {(REJECTED, FIRST, "web", "")}),
        # The counts themselves.
        (["update ops.audit set events = events + 1 where outcome = 'clean' and source = 'app'"],
         {(LOADED, SECOND, "app", "click"), (CLEAN, SECOND, "app", "click")}),
        (["update ops.audit set hash_sum = hash_sum + 1 where outcome = 'clean' and source = 'app'"],
         {(LOADED, SECOND, "app", "click"), (CLEAN, SECOND, "app", "click")}),
        (["update ops.audit set events = events + 1 where outcome = 'accepted' and source = 'app'"],
         {(RECEIVED, SECOND, "app", ""), (ACCEPTED, SECOND, "app", "click")}),
        (["update ops.audit set minute = minute + interval '1 minute' where outcome = 'received' and source = 'app'"],
         {(RECEIVED, SECOND, "app", ""), (RECEIVED, SECOND + timedelta(minutes=1), "app", "")}),
        (["delete from ops.audit where outcome = 'duplicate'"],
         {(LOADED, SECOND, "web", "click"), (DUPLICATE, SECOND, "web", "click")}),
        ([COUNT_TWICE],
         {(ACCEPTED, SECOND, "app", "click"), (LOADED, SECOND, "app", "click"), (RAW, SECOND, "app", "click")}),
        # A load, forgotten.
        (["delete from ops.processed", "delete from ops.loads", "delete from ops.audit where load_id is not null"],
         {(identity, *cell) for identity in (LOADED, RAW) for cell in (
             (FIRST, "web", "click"), (FIRST, "web", "search"), (SECOND, "app", "click"), (SECOND, "web", "click"))}
         | {(REJECTED, FIRST, "web", "")}),
        # A duplicate and its count and its row, all gone together, but not the loader's count.
        (["delete from ops.duplicates", "delete from ops.audit where outcome = 'duplicate'"],
         {(LOADED, SECOND, "web", "click")}),
    ],
)  # fmt: skip
def test_cooked_books_do_not_balance(day, statements, expected):
    """Each difference names the identity, the minute, the source and the type; nothing else is accused."""
    for statement in statements:
        day.admin.execute(statement)
    books = day.books()
    assert not books.balanced
    assert cells(books) == expected
    assert books.identities | {LEDGERS: True} == BALANCED | {identity: False for identity, *_ in expected}


def test_a_difference_says_by_how_much(day):
    """Both sides with count and hash sum, and whether the minute is final."""
    [row] = day.rows("delete from clean.events where source = 'app' returning event_id")
    assert day.books().differences == [
        Difference(CLEAN, SECOND, "app", "click", (1, id_hash(row["event_id"])), (0, 0), final=True)
    ]


def test_two_wrongs_do_not_make_a_right(day):
    """One event away and another in its place: the count is right, the sum of hashes is not."""
    day.admin.execute("update clean.events set event_id = %s where source = 'app'", (new_id(),))
    [difference] = day.books().differences
    assert (difference.left[0], difference.right[0]) == (1, 1)
    assert difference.left[1] != difference.right[1]


# Final or not


def watermark(road: Road):
    return road.rows("select * from ops.watermark")[0]


def test_a_minute_is_open_until_the_watermark_has_passed_it(road):
    """Everything before the watermark is final; the minute it stands in is not."""
    with road.spool.living() as living:
        living.send(Sent([event()], at_us=NOON + 30_000_000))
        living.seal()
        road.load()
        road.process()
        until = road.values("select max(until) from ops.loads")[0]
        assert watermark(road) == {"finished_until": until, "all_final": False}
        whole = until.replace(second=0, microsecond=0)
        assert read_books(road.admin, FIRST, whole).final
        assert not read_books(road.admin, FIRST, whole + timedelta(minutes=1)).final


def test_a_clean_stop_makes_everything_final(day):
    """The last segment of every slot says that nothing follows."""
    assert watermark(day) == {"finished_until": moment(NOON + MINUTE_US + 2), "all_final": True}
    assert day.books().final


def test_without_a_processor_nothing_is_final(road):
    """Loaded but not processed is pending, in an open minute: not a balance, not a difference."""
    road.spool.write(Sent([event(), event()], at_us=NOON))
    road.load()
    books = road.books()
    assert (books.final, books.finished_until) == (False, None)
    assert books.totals["web"]["pending"] == 2
    assert books.balanced
    road.process()
    books = road.books()
    assert books.final
    assert "pending" not in books.totals["web"]


def test_pending_in_a_final_minute_is_a_difference(day):
    """Should a load be forgotten behind the watermark, the books say so."""
    day.admin.execute("delete from ops.audit where stage = 'process' and source = 'app'")
    day.admin.execute("delete from clean.events where source = 'app'")
    assert cells(day.books()) == {(LOADED, SECOND, "app", "click")}


def test_a_registered_silent_slot_holds_the_watermark(road):
    """A slot that exists and has finished nothing may hold anything: nobody's minutes are final."""
    silent = Spool(road.spool.path, slot=1)
    with road.spool.living() as living:
        living.send(Sent([event()], at_us=NOON))
        living.seal()
        road.register(silent)
        road.load()
        road.process()
        assert watermark(road) == {"finished_until": None, "all_final": False}
        assert not road.books().final


def test_the_watermark_is_the_slowest_slots(road):
    """Two slots that live: the one that is behind counts."""
    other = Spool(road.spool.path, slot=1)
    with road.spool.living() as fast, other.living() as slow:
        slow.send(Sent([event()], at_us=NOON))
        fast.send(Sent([event()], at_us=NOON + 10 * MINUTE_US))
        slow.seal(), fast.seal()
        road.load()
        road.load(other)
        road.process()
        by_slot = road.values("select until from ops.loads order by slot")
        assert watermark(road) == {"finished_until": by_slot[1], "all_final": False}
        assert by_slot[1] < by_slot[0]


def test_a_final_slot_holds_nobody_back(road):
    """A worker that was stopped cleanly is not waited for."""
    other = Spool(road.spool.path, slot=1)
    other.write(Sent([event()], at_us=NOON))
    with road.spool.living() as living:
        living.send(Sent([event()], at_us=NOON + 10 * MINUTE_US))
        living.seal()
        road.load()
        road.load(other)
        road.process()
        assert watermark(road) == {
            "finished_until": road.values("select until from ops.loads where slot = 0")[0],
            "all_final": False,
        }


def test_a_slot_that_started_again_is_waited_for(road):
    """Its last loaded segment was final, but a newer one is on the disk."""
    road.spool.write(Sent([event()], at_us=NOON))
    road.load()
    road.process()
    with road.spool.living():
        road.register()
        assert watermark(road) == {"finished_until": moment(NOON), "all_final": False}


def test_a_retired_slot_is_not_waited_for(road):
    """An operator said that it will not come back."""
    road.register(Spool(road.spool.path, slot=1))
    road.spool.write(Sent([event()], at_us=NOON))
    road.load()
    road.process()
    road.admin.execute("update ops.slots set retired_at = now() where slot = 1")
    assert watermark(road) == {"finished_until": moment(NOON), "all_final": True}


@pytest.mark.parametrize("missing", [1, 2])
def test_a_gap_in_the_numbers_stops_the_watermark(road, missing):
    """A segment that was never loaded may hold events of any minute after its neighbour's."""
    for number in range(1, 4):
        road.spool.write(Sent([event()], at_us=NOON + number * MINUTE_US))
    held = road.spool.sealed(missing).rename(road.spool.path / "held")
    road.load()
    road.process()
    expected = None if missing == 1 else moment(NOON + MINUTE_US)
    assert watermark(road) == {"finished_until": expected, "all_final": False}
    assert not road.books().final
    held.rename(road.spool.sealed(missing))
    road.load()
    road.process()
    assert watermark(road) == {"finished_until": moment(NOON + 3 * MINUTE_US), "all_final": True}


def test_a_heartbeat_moves_the_watermark(road):
    """An idle slot says that nothing was received until then."""
    with road.spool.living() as living:
        living.seal()
        road.load()
        road.process()
        assert watermark(road)["finished_until"] == moment(road.spool.clock.wall_us())


def test_books_are_read_in_one_snapshot(road):
    """A load that is committed while the books are read is wholly in them or not at all."""
    assert road.books().balanced
    mode = "select current_setting('transaction_isolation')"
    assert road.values(mode) == ["read committed"], "the connection is left as it was"


# The client's account


TODAY = FIRST.astimezone(KST).date()


def test_the_clients_account_stands_beside(road):
    """What instances say they made, dropped and still hold, beside what arrived; the rest vanished."""
    report = ClientReport(
        id="c-1", platform="web", app_version="2.0", created=10, pending=2, dropped={"queue_full": 1, "too_large": 1}
    )
    events = [event(client_id="c-1", seq=n) for n in range(1, 4)]
    context = StoredContext(client_id="c-1")
    road.send(Sent(events, at_us=NOON, clients=[report], rejects=[REJECT], context=context))
    books = road.books()
    assert books.clients == [
        ClientAccount(TODAY, "web", "web", "2.0", instances=1, created=10, arrived=4,
                      dropped={"queue_full": 1, "too_large": 1}, pending=2, vanished=2)
    ]  # fmt: skip
    assert books.balanced, "it never balances by force, nor fails by it"


def days_of(books: Books) -> dict:
    """Return the account by how many days ago it was."""
    return {(TODAY - c.day).days: (c.created, c.arrived, sum(c.dropped.values()), c.pending, c.vanished)
            for c in books.clients}  # fmt: skip


def test_a_missing_number_takes_its_next_neighbours_day(road):
    """What never came was made between its neighbours; what is missing at the end, by the last report."""
    ago = lambda days: today_us(9, days=-days) // 1000  # noqa: E731
    events = [event(client_id="c-1", seq=n, time=ago(days)) for n, days in ((1, 3), (4, 2), (5, 2), (8, 1))]
    report = ClientReport(id="c-1", platform="ios", app_version="2.0", created=10, pending=1, dropped={"offline": 2})
    road.send(Sent(events, at_us=NOON, clients=[report]))
    # 2 and 3 belong to the day of 4, and are the oldest: dropped. 6 and 7 vanished. 9 and 10: one vanished, one waits.
    assert days_of(road.books()) == {
        3: (1, 1, 0, 0, 0), 2: (4, 2, 2, 0, 0), 1: (3, 1, 0, 0, 2), 0: (2, 0, 0, 1, 1)
    }  # fmt: skip


def test_what_arrives_late_has_not_vanished(road):
    """The account follows the events, however late they come; a repeated report changes nothing."""
    report = ClientReport(id="c-1", created=4, pending=0)
    road.send(Sent([event(client_id="c-1", seq=n) for n in (1, 4)], at_us=NOON, clients=[report]))
    assert days_of(road.books()) == {0: (4, 2, 0, 0, 2)}
    late = [event(client_id="c-1", seq=n) for n in (2, 3)]
    road.send(Sent(late, at_us=NOON + MINUTE_US, source="web", clients=[report]))
    assert days_of(road.books()) == {0: (4, 4, 0, 0, 0)}


def test_an_instance_silent_for_a_week_has_nothing_pending(road):
    """What it held then is counted as vanished."""
    report = ClientReport(id="c-1", created=3, pending=2)
    road.send(Sent([event(client_id="c-1", seq=1)], at_us=NOON, clients=[report]))
    assert days_of(road.books()) == {0: (3, 1, 0, 2, 0)}
    road.admin.execute(
        "update ops.clients set last_seen = last_seen - interval '8 days', first_seen = last_seen - interval '8 days'"
    )
    assert days_of(road.books()) == {0: (1, 1, 0, 0, 0), 8: (2, 0, 0, 0, 2)}


def test_the_account_is_kept_by_version_and_platform(road):
    """Two versions of an app and a server: three accounts."""
    for n, (platform, version) in enumerate((("ios", "1.0"), ("ios", "1.1"), ("server", "7"))):
        report = ClientReport(id=f"c-{n}", platform=platform, app_version=version, created=n + 1)
        road.send(Sent([event(client_id=f"c-{n}", seq=1)], at_us=NOON + n, clients=[report]))
    assert [(c.platform, c.app_version, c.created, c.arrived, c.vanished) for c in road.books().clients] == [
        ("ios", "1.0", 1, 1, 0), ("ios", "1.1", 2, 1, 1), ("server", "7", 3, 1, 2)
    ]  # fmt: skip


def test_a_lying_client_cannot_break_the_books(road):
    """Figures of any size, from as many instances as somebody likes to invent."""
    huge = 2**63 - 1
    reports = [
        ClientReport(id=f"c-{n}", created=huge * (n % 2), pending=huge, dropped={"a": huge * ((n + 1) % 2)})
        for n in range(4)
    ]
    road.send(Sent([event(client_id="c-0"), event(client_id="c-0")], at_us=NOON, clients=reports))
    books = road.books()
    assert books.balanced
    [account] = books.clients
    assert (account.instances, account.arrived, account.created) == (3, 2, huge)
