"""Sessions: the SDK's where it has one, else cut from each visitor's events, whatever order these arrive in."""

from datetime import timedelta
from ipaddress import ip_address
from itertools import permutations
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.event import EVENT_TYPES, TYPES_OF_DOING, StoredEvent
from tests.builders import KST, Road, Sent, event, moment, new_id, today_us
from tests.plain import cut

pytestmark = pytest.mark.usefixtures("checked")
S = 1_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
# Everything is received at one time; what happened when is the client's to say.
RECEIVED = today_us(12)
BASE = RECEIVED - 48 * HOUR


def at(us: int, **fields: Any) -> StoredEvent:
    """Return an event of visitor `v` at a time after BASE."""
    return event(**{"time": (BASE + us) // 1000, "anonymous_id": "v", **fields})


def send(road: Road, *events: StoredEvent, source: str = "web") -> None:
    road.send(Sent(list(events), source=source, at_us=RECEIVED))


def sessions(road: Road, source: str = "web") -> list[dict[str, Any]]:
    return road.rows("select * from clean.sessions where source = %s order by started_at, session_id", source)


def grouped(road: Road, events: list[StoredEvent], source: str = "web") -> list[list[int]]:
    """Return the sessions as lists of event numbers, by the events' own rows."""
    rows = road.rows("select event_id, session_id from clean.events where source = %s", source)
    by_id = {row["event_id"]: row["session_id"] for row in rows}
    found: dict[str, list[int]] = {}
    for number in sorted(range(len(events)), key=lambda n: (events[n].time, events[n].event_id)):
        found.setdefault(by_id[events[number].event_id], []).append(number)
    return list(found.values())


def assert_cut(road: Road, events: list[StoredEvent], source: str = "web") -> None:
    """Hold clean.events and clean.sessions to the plain cut."""
    expected = cut(events)
    rows = road.rows("select event_id, session_id from clean.events where source = %s", source)
    assert {row["event_id"]: row["session_id"] for row in rows} == expected
    summed: dict[str, list[StoredEvent]] = {}
    for stored in events:
        summed.setdefault(expected[stored.event_id], []).append(stored)
    assert [
        (r["session_id"], r["events"], r["started_at"], r["ended_at"], r["customer_id"]) for r in sessions(road, source)
    ] == sorted(
        (
            (
                name, len(own), moment(min(e.time for e in own) * 1000), moment(max(e.time for e in own) * 1000),
                next((e.customer_id for e in own if e.customer_id), None),
            )
            for name, own in summed.items()
        ),
        key=lambda row: (row[2], row[0]),
    )  # fmt: skip


# The SDK's own


SDK = [
    {"us": 0, "event_type": "page_view", "client_id": "c1", "seq": 1, "page_url": "https://www.example.com/a?utm_source=naver",
         "page_code": "A", "page_name": "가", "referrer": "https://search.naver.com/", "app_version": "1.0"},
    {"us": 9 * S, "event_type": "click", "client_id": "c1", "seq": 2},
    {"us": 8 * S, "event_type": "error", "client_id": "c1", "seq": 3, "customer_id": "k1"},
    {"us": 20 * S, "event_type": "page_view", "client_id": "c2", "seq": 1, "page_url": "https://www.example.com/b", "page_code": "B",
         "page_name": "나"},
    {"us": 21 * S, "event_type": "exit", "client_id": "c2", "seq": 2, "exit_menu": "잔고"},
]  # fmt: skip


def sdk_events(session_id: str = "s-1") -> list[StoredEvent]:
    return [at(**{**fields, "session_id": session_id, "platform": "web"}) for fields in SDK]


def test_an_sdk_session_is_one_row(road):
    """Every column, from the session's events in the order (client_id, seq), instances by their first event."""
    events = sdk_events()
    send(road, *events)
    [row] = sessions(road)
    assert row == dict.fromkeys(row) | {
        "source": "web",
        "session_id": "s-1",
        "session_date": moment(BASE).astimezone(KST).date(),
        "started_at": moment(BASE),
        "ended_at": moment(BASE + 21 * S),
        "is_visit": True,
        "active_from": moment(BASE),
        "active_until": moment(BASE + 20 * S),
        "is_derived": False,
        "is_test": False,
        "is_bot": False,
        "visitor_id": "v",
        "customer_id": "k1",
        "events": 5,
        "page_views": 2,
        "clicks": 1,
        "errors": 1,
        "entry_page_url": "https://www.example.com/a?utm_source=naver",
        "entry_page_code": "A",
        "entry_page_name": "가",
        "exit_page_url": "https://www.example.com/b",
        "exit_page_code": "B",
        "exit_page_name": "나",
        "exit_menu": "잔고",
        "channel": "organic_search",
        "referrer_host": "search.naver.com",
        "utm_source": "naver",
        "platform": "web",
        "app_version": "1.0",
        "device_type": "other",
    }


def test_an_sdk_session_does_not_depend_on_the_order_of_arrival(road):
    """Loaded event by event, in any order, the row is the same to the last column."""
    orders = [(4, 3, 2, 1, 0), (2, 0, 4, 1, 3), (1, 2, 0, 3, 4)]
    originals = sdk_events()
    anonymous = msgspec.structs.replace(originals[4], anonymous_id=None)
    for number, order in enumerate(orders):
        copies = [msgspec.structs.replace(e, event_id=new_id()) for e in [*originals[:4], anonymous]]
        for nth in order:
            send(road, copies[nth], source=f"s{number}")
    send(road, *originals[:4], anonymous, source="all")
    rows = road.rows("select to_jsonb(s) - 'source' as row from clean.sessions s")
    assert len(rows) == 4
    assert all(row == rows[0] for row in rows)


def test_who_goes_on_has_not_left(road):
    """A reload looks like an exit: only that of the session's end is one, whatever the order of arrival."""
    left = {"event_type": "exit", "session_id": "s"}
    seen = {"event_type": "page_view", "session_id": "s"}
    one = [
        at(0, **seen, client_id="c1", seq=1), at(10 * S, **left, exit_menu="잔고", client_id="c1", seq=2),
        at(12 * S, **seen, client_id="c2", seq=1),
    ]  # fmt: skip
    last = at(20 * S, **left, exit_menu="주문", client_id="c2", seq=2)
    told = []
    for number, order in enumerate(permutations([*one, last])):
        for stored in order:
            send(road, msgspec.structs.replace(stored, event_id=new_id()), source=f"s{number}")
        told += [row["exit_menu"] for row in sessions(road, f"s{number}")]
    assert told == ["주문"] * 24
    send(road, *one, source="web")
    assert [row["exit_menu"] for row in sessions(road)] == [None]
    send(road, last, source="web")
    assert [row["exit_menu"] for row in sessions(road)] == ["주문"]


def test_an_exit_is_followed_within_its_instance_by_number_and_in_others_by_time(road):
    """A tab that stays open after another was left is where the visitor still is; a clock that jumps back says nothing."""
    own = {"client_id": "c1", "session_id": "s"}
    seen, left = own | {"event_type": "page_view"}, own | {"event_type": "exit", "exit_menu": "잔고"}
    courses = {
        "back": ([at(30 * S, **seen, seq=1), at(0, **left, seq=2)], "잔고"),
        "again": ([at(0, **seen, seq=1), at(30 * S, **left, seq=2), at(20 * S, **seen, seq=3)], None),
        "other": (
            [at(0, **seen, seq=1), at(9 * S, **left, seq=2), at(5 * S, **{**seen, "client_id": "c2"}, seq=1)],
            "잔고",
        ),
        "still": (
            [at(0, **seen, seq=1), at(9 * S, **left, seq=2), at(15 * S, **{**seen, "client_id": "c2"}, seq=1)],
            None,
        ),
        "alone": ([at(0, **{**left, "event_type": "click"}, seq=1)], "잔고"),
    }
    for source, (events, menu) in courses.items():
        send(road, *events, source=source)
        assert [row["exit_menu"] for row in sessions(road, source)] == [menu], source


def test_the_same_session_name_of_two_sources_is_two(road):
    """A session's id is unique per source."""
    send(road, at(0, session_id="s"), source="web")
    send(road, at(5, session_id="s"), source="app")
    assert [len(sessions(road, source)) for source in ("web", "app")] == [1, 1]
    assert [sessions(road, source)[0]["events"] for source in ("web", "app")] == [1, 1]


def test_an_sdk_session_is_never_cut(road):
    """The SDK knows its own rule: a pause of hours changes nothing, nor does midnight."""
    send(road, at(0, session_id="s"), at(20 * HOUR, session_id="s"))
    [row] = sessions(road)
    assert (row["events"], row["ended_at"] - row["started_at"]) == (2, timedelta(hours=20))


def test_derived_events_never_join_an_sdk_session(road):
    """A visitor's events with and without a session id stand apart."""
    events = [at(0, session_id="s"), at(1 * MINUTE), at(2 * MINUTE, session_id="s")]
    send(road, *events)
    assert grouped(road, events) == [[0, 2], [1]]
    assert [r["is_derived"] for r in sessions(road)] == [False, True]


# Derived


@pytest.mark.parametrize(("gap", "count"), [(30 * MINUTE, 1), (30 * MINUTE + 1000, 2)])
def test_half_an_hour_of_silence_ends_a_session(road, gap, count):
    """30 minutes are still the same session, a millisecond more is another."""
    events = [at(0), at(gap)]
    send(road, *events)
    assert len(sessions(road)) == count
    assert_cut(road, events)


def test_a_derived_session_is_one_row(road):
    """It is named after its first event and says that it was derived."""
    events = [at(0, event_type="page_view", page_code="A", customer_id="k"), at(MINUTE), at(2 * MINUTE)]
    send(road, *events)
    [row] = sessions(road)
    said = {name: value for name, value in row.items() if value is not None}
    assert said == {
        "source": "web",
        "session_id": "d-" + events[0].event_id.hex,
        "session_date": moment(BASE).astimezone(KST).date(),
        "started_at": moment(BASE),
        "ended_at": moment(BASE + 2 * MINUTE),
        "is_visit": True,
        "active_from": moment(BASE),
        "active_until": moment(BASE + 2 * MINUTE),
        "is_derived": True,
        "is_test": False,
        "is_bot": False,
        "visitor_id": "v",
        "customer_id": "k",
        "events": 3,
        "page_views": 1,
        "clicks": 2,
        "errors": 0,
        "entry_page_code": "A",
        "exit_page_code": "A",
        "channel": "direct",
        "device_type": "other",
    }
    assert all("session_derived" in row["flags"] for row in road.clean(*events))


def test_another_customer_is_another_session(road):
    """A shared device: what the first did is not counted for the second."""
    customers = [None, "k1", None, "k1", "k2", None, "k1"]
    events = [at(n * MINUTE, customer_id=c) for n, c in enumerate(customers)]
    send(road, *events)
    assert grouped(road, events) == [[0, 1, 2, 3], [4, 5], [6]]
    assert_cut(road, events)


def test_a_login_is_the_same_session(road):
    """Before it the customer is not known, which is no other customer; nor is one of before the silence."""
    events = [at(0, customer_id="k1"), at(40 * MINUTE), at(41 * MINUTE, customer_id="k2")]
    send(road, *events)
    assert grouped(road, events) == [[0], [1, 2]]
    assert_cut(road, events)


def test_twelve_hours_end_a_session(road):
    """A screen that is never left alone is cut at 12 h, and at 24 h, from its first event."""
    events = [at(n * 20 * MINUTE) for n in range(80)]
    send(road, *events)
    assert [row["events"] for row in sessions(road)] == [36, 36, 8]
    assert_cut(road, events)


def test_midnight_does_not_end_a_session(road):
    """23:50 to 00:10 in Seoul is one visit, on the day it began."""
    midnight = today_us(0, days=-1)
    events = [event(time=(midnight + n * MINUTE) // 1000, anonymous_id="v") for n in (-10, -1, 1, 10)]
    for stored in events:
        send(road, stored)
    [row] = sessions(road)
    assert (row["events"], row["session_date"]) == (4, moment(midnight - 1).astimezone(KST).date())
    assert_cut(road, events)


def test_visitors_are_told_apart(road):
    """Each visitor, and each source, has sessions of its own."""
    events = [at(0), at(0, anonymous_id="w"), at(MINUTE), at(MINUTE, anonymous_id="w")]
    send(road, *events)
    assert sorted(grouped(road, events)) == [[0, 2], [1, 3]]


# What only belongs


SERVER_EVENT = {"event_type": "custom", "event_name": "order_filled", "platform": "server"}
BELONGING = [{"event_type": "error"}, {"event_type": "exit"}, {"event_type": "popup"}, SERVER_EVENT]
DOING = [
    *({"event_type": kind} for kind in sorted(TYPES_OF_DOING)),
    *({"event_type": "custom", "event_name": "zoom", "platform": p} for p in (None, "web", "android", "ios")),
]


def found_in(road: Road, *events: StoredEvent) -> list[str | None]:
    """Return each event's session."""
    return [row["session_id"] for row in road.clean(*events)]


def test_the_database_knows_what_a_person_does(road):
    """`ops.is_doing` says of every kind of event and platform what the contract says."""
    for kind in EVENT_TYPES:
        for platform in (None, "web", "android", "ios", "server"):
            expected = kind in TYPES_OF_DOING or (kind == "custom" and platform != "server")
            assert road.values("select ops.is_doing(%s, %s)", kind, platform) == [expected], (kind, platform)


@pytest.mark.parametrize("fields", BELONGING, ids=lambda f: f["event_type"])
def test_what_happens_without_a_person_is_no_visit(road, fields):
    """Alone it begins no session: it is clean, has none, and the visitor was not there."""
    lonely = at(0, **fields)
    send(road, lonely)
    assert found_in(road, lonely) == [None]
    assert sessions(road) == []


@pytest.mark.parametrize("fields", DOING, ids=lambda f: f"{f['event_type']}-{f.get('platform')}")
def test_what_a_person_does_is_a_visit(road, fields):
    send(road, at(0, **fields))
    [row] = sessions(road)
    assert (row["is_visit"], row["active_from"]) == (True, moment(BASE))


@pytest.mark.parametrize("fields", BELONGING, ids=lambda f: f["event_type"])
@pytest.mark.parametrize(("after", "joins"), [(0, True), (30 * MINUTE, True), (30 * MINUTE + 1000, False)])
def test_it_joins_the_visit_that_was_there_for_half_an_hour(road, fields, after, joins):
    """A tab closed after lunch is none of the morning's, and none of its own."""
    events = [at(0, event_type="page_view", page_url="https://www.example.com/?utm_source=naver"), at(after, **fields)]
    send(road, *events)
    [row] = sessions(road)
    assert found_in(road, *events) == [row["session_id"], row["session_id"] if joins else None]
    assert row["events"] == 1 + joins


def test_a_failing_poll_keeps_no_session_alive(road):
    """Eight hours of errors, one every minute: the visit was at their beginning, and another one is at their end."""
    polls = [at(n * MINUTE, event_type="error", client_id="c", seq=n + 1) for n in range(1, 480)]
    visit, later = at(0, client_id="c", seq=1), at(480 * MINUTE, client_id="c", seq=481)
    send(road, visit, *polls, later)
    first, second = sessions(road)
    assert (first["events"], first["active_until"]) == (31, moment(BASE))
    assert second["session_id"] == "d-" + later.event_id.hex
    # Those of the last half hour are the next visit's.
    assert (second["events"], second["active_from"]) == (31, moment(BASE + 480 * MINUTE))
    assert found_in(road, *polls).count(None) == 479 - 30 - 30


def test_it_joins_the_visit_that_begins_after_it_but_an_exit_does_not(road):
    """A page may fail before it is viewed; but it is not left before it is entered."""
    error, leaving, view = at(0, event_type="error"), at(0, event_type="exit"), at(20 * MINUTE)
    send(road, error, leaving)
    assert found_in(road, error, leaving) == [None, None]
    send(road, view)
    assert found_in(road, error, leaving, view) == ["d-" + view.event_id.hex, None, "d-" + view.event_id.hex]


def test_it_joins_an_sdks_session_too(road):
    """What an SDK sends without a session, because nobody does it, joins its visitor's session, in either order."""
    error, view, end = (
        at(MINUTE, event_type="error"), at(0, session_id="s", event_type="page_view"), at(2 * MINUTE, event_type="exit")
    )  # fmt: skip
    send(road, error)
    send(road, view)
    send(road, end)
    assert found_in(road, error, view, end) == ["s", "s", "s"]
    [row] = sessions(road)
    assert (row["events"], row["errors"], row["is_derived"]) == (3, 1, False)
    assert [r["flags"] for r in road.clean(error, view)] == [["late", "session_derived"], ["late"]]


def test_the_nearer_of_two_visits_has_it(road):
    """The one that was there already before the one that comes; of those that were, the one begun last."""
    early, late, between = at(0, session_id="a"), at(40 * MINUTE, session_id="b"), at(25 * MINUTE, event_type="popup")
    send(road, between)
    send(road, late)
    assert found_in(road, between) == ["b"]
    send(road, early)
    assert found_in(road, between) == ["a"]
    send(road, at(24 * MINUTE, session_id="c"))
    assert found_in(road, between) == ["c"]
    assert {row["session_id"]: row["events"] for row in sessions(road)} == {"a": 1, "b": 1, "c": 2}


def test_it_joins_no_session_of_another_customer(road):
    """An error that names a customer says nothing of another's visit."""
    his, hers = at(MINUTE, event_type="error", customer_id="k1"), at(MINUTE, event_type="error", customer_id="k2")
    send(road, at(0, customer_id="k1"), his, hers)
    [row] = sessions(road)
    assert found_in(road, his, hers) == [row["session_id"], None]
    assert row["customer_id"] == "k1"


def test_it_joins_nobody_elses_session(road):
    """Another visitor, another source."""
    error = at(MINUTE, event_type="error")
    send(road, at(0, anonymous_id="w"), error)
    send(road, at(0, anonymous_id="v"), source="app")
    assert found_in(road, error) == [None]


def test_it_prolongs_no_session_and_moves_no_cut(road):
    """Two visits 50 minutes apart stay two, whatever fails in between; the 12 hours count from the first click."""
    events = [at(0), at(25 * MINUTE, event_type="error"), at(50 * MINUTE)]
    send(road, *events)
    assert grouped(road, events) == [[0, 1], [2]]
    # A later run sees that the second visit is near, and that it is another.
    send(road, at(51 * MINUTE))
    assert [row["active_from"] for row in sessions(road)] == [moment(BASE), moment(BASE + 50 * MINUTE)]


def test_an_sdks_session_of_an_exit_alone_is_there_but_no_visit(road):
    """It was named, so its events can be followed; whoever counts visits leaves it out."""
    leaving = at(0, event_type="exit", session_id="s", exit_menu="잔고")
    send(road, leaving)
    [row] = sessions(road)
    assert (row["session_id"], row["is_visit"], row["active_from"], row["events"]) == ("s", False, None, 1)
    send(road, at(-MINUTE, session_id="s", event_type="page_view"))
    [row] = sessions(road)
    assert (row["is_visit"], row["active_until"], row["events"]) == (True, moment(BASE - MINUTE), 2)


def test_a_visitor_without_id_keeps_what_belongs_to_him(road):
    """Address and agent find the visit as they make it; others' do not."""

    def heard(us: int, ip: str, **fields: Any) -> StoredEvent:
        stored = event(time=(BASE + us) // 1000, **fields)
        road.spool.write(Sent([stored], ip=ip, user_agent="A", at_us=RECEIVED))
        return stored

    error, other = heard(MINUTE, "192.0.2.1", event_type="error"), heard(MINUTE, "192.0.2.2", event_type="error")
    road.load()
    road.process()
    assert found_in(road, error, other) == [None, None]
    view = heard(0, "192.0.2.1")
    road.load()
    road.process()
    assert found_in(road, error, other, view) == ["d-" + view.event_id.hex, None, "d-" + view.event_id.hex]


# Without any id


def test_a_visitor_without_id_is_address_and_agent_of_a_day(road):
    """Equal address and agent are one visitor, others are others; the next day's key links nothing."""
    midnight = today_us(0, days=-1)
    noon = midnight - 12 * HOUR

    def visit(us: int, ip: str, agent: str) -> StoredEvent:
        stored = event(time=us // 1000)
        road.spool.write(Sent([stored], ip=ip, user_agent=agent, at_us=RECEIVED))
        return stored

    same = [visit(noon, "192.0.2.1", "A"), visit(noon + MINUTE, "192.0.2.1", "A")]
    others = [visit(noon, "192.0.2.2", "A"), visit(noon, "192.0.2.1", "B")]
    late, early = visit(midnight - MINUTE, "192.0.2.1", "A"), visit(midnight + MINUTE, "192.0.2.1", "A")
    road.load()
    road.process()
    assert sorted(row["events"] for row in sessions(road)) == [1, 1, 1, 1, 2]
    found = {row["event_id"]: row["session_id"] for row in road.clean(*same, *others, late, early)}
    assert found[same[0].event_id] == found[same[1].event_id]
    assert len({found[e.event_id] for e in (same[0], *others, late, early)}) == 5
    visitors = {row["session_id"]: row["visitor_id"] for row in sessions(road)}
    assert visitors[found[same[0].event_id]] == visitors[found[late.event_id]]
    assert visitors[found[late.event_id]] != visitors[found[early.event_id]]
    assert all(len(visitor) == 32 for visitor in visitors.values())
    assert ip_address("192.0.2.1") in road.values("select ip from clean.events")


# Late events


def test_a_late_event_bridges_two_sessions(road):
    """They become one: the events move, the emptied session is gone, nothing else is touched."""
    events = [at(0), at(50 * MINUTE), at(25 * MINUTE), at(51 * MINUTE, anonymous_id="w")]
    send(road, events[0], events[1], events[3])
    assert grouped(road, events[:2] + events[3:]) == [[0], [1], [2]]
    before = [row for row in sessions(road) if row["visitor_id"] == "w"]
    send(road, events[2])
    assert grouped(road, events) == [[0, 2, 1], [3]]
    assert [row["session_id"] for row in sessions(road) if row["visitor_id"] == "v"] == ["d-" + events[0].event_id.hex]
    assert [row for row in sessions(road) if row["visitor_id"] == "w"] == before
    assert sum(row["events"] for row in sessions(road)) == 4


def test_a_late_event_before_the_first_renames_the_session(road):
    """The session begins earlier and is named after its new first event."""
    events = [at(20 * MINUTE), at(30 * MINUTE), at(0)]
    send(road, *events[:2])
    send(road, events[2])
    assert grouped(road, events) == [[2, 0, 1]]
    [row] = sessions(road)
    assert (row["session_id"], row["started_at"]) == ("d-" + events[2].event_id.hex, moment(BASE))


def test_a_late_login_splits_a_session(road):
    """The event that arrives last shows that somebody else was there in between."""
    events = [at(0, customer_id="k1"), at(20 * MINUTE, customer_id="k1"), at(10 * MINUTE, customer_id="k2")]
    send(road, *events[:2])
    send(road, events[2])
    assert grouped(road, events) == [[0], [2], [1]]
    assert_cut(road, events)


def test_a_late_event_moves_the_cuts_of_a_long_visit(road):
    """An earlier beginning shifts every later 12 h mark: all sessions behind it are cut anew."""
    long = [at(n * 25 * MINUTE) for n in range(1, 75)]
    first = at(0)
    send(road, *long)
    send(road, first)
    assert_cut(road, [first, *long])


def test_a_long_visit_loaded_piece_by_piece_is_cut_as_a_whole(road):
    """A run that sees only the last hours knows from when the 12 h count, and which customer was there."""
    events = [at(n * 25 * MINUTE, customer_id="k" if n in {3, 20} else None) for n in range(90)]
    events += [at(90 * 25 * MINUTE, customer_id="other"), at(91 * 25 * MINUTE)]
    for start in range(0, 92, 7):
        send(road, *events[start : start + 7])
    assert_cut(road, events)


def test_events_of_one_moment_have_an_order(road):
    """At the same millisecond the id decides, whichever arrived first."""
    events = [at(0, event_id=UUID(int=n), customer_id=c) for n, c in ((7, "k1"), (8, "k2"), (9, "k1"))]
    for number, order in enumerate(permutations(range(3))):
        for nth in order:
            send(road, events[nth], source=f"p{number}")
        assert_cut(road, events, f"p{number}")


steps = st.sampled_from([0, 1, 10, 29, 30, 31, 45, 300, 710, 721])
customers = st.sampled_from([None, None, "k1", "k2"])


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(steps, customers), min_size=3, max_size=5), st.data())
def test_any_order_of_arrival_gives_the_same_sessions(road, visit, data):
    """The same events, in twelve orders and cut into loads anywhere, always end in the plain cut."""
    minutes, made = 0, []
    for step, customer in visit:
        minutes += step
        made.append(at(minutes * MINUTE, customer_id=customer))
    orders = [data.draw(st.permutations(range(len(made)))) for _ in range(12)]
    cuts = [data.draw(st.lists(st.integers(0, len(made) - 1), min_size=len(made), max_size=len(made))) for _ in orders]
    names = [f"{new_id().hex}" for _ in orders]
    for load in range(len(made)):
        batches = [
            Sent([made[nth] for nth, part in zip(order, cut, strict=True) if part == load], source=name, at_us=RECEIVED)
            for order, cut, name in zip(orders, cuts, names, strict=True)
        ]
        road.send(*(batch for batch in batches if batch.events))
    for name in names:
        assert_cut(road, made, name)


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([20, 28, 29]), customers), min_size=60, max_size=80), st.randoms())
def test_long_visits_in_any_order_are_cut_alike(road, visit, rng):
    """Visits of more than a day, loaded in a few shuffled parts: the 12 h marks and customers come out right."""
    minutes, made = 0, []
    for step, customer in visit:
        minutes += step
        made.append(at(minutes * MINUTE, customer_id=customer if rng.random() < 0.1 else None))
    names = [f"{new_id().hex}" for _ in range(6)]
    parts = [[rng.randrange(4) for _ in made] for _ in names]
    for load in range(4):
        road.send(
            *(
                Sent([e for e, part in zip(made, own, strict=True) if part == load], source=name, at_us=RECEIVED)
                for name, own in zip(names, parts, strict=True)
                if load in own
            )
        )
    for name in names:
        assert_cut(road, made, name)
