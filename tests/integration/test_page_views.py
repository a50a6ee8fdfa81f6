"""Page views: each in its place in the session, with what was done on it, whatever order the events arrive in."""

from datetime import timedelta
from typing import Any

from contract.event import StoredEvent
from processor.sessions import rewrite
from tests.builders import KST, Road, Sent, event, moment, new_id, today_us

S = 1_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
RECEIVED = today_us(12)
BASE = RECEIVED - 48 * HOUR


def at(us: int, kind: str = "click", **fields: Any) -> StoredEvent:
    """Return an event of session `s` and instance `c1` at a time after BASE."""
    known = {"session_id": "s", "client_id": "c1", "anonymous_id": "v"}
    return event(**{"time": (BASE + us) // 1000, "event_type": kind, **known, **fields})


def view(us: int, code: str, **fields: Any) -> StoredEvent:
    return at(us, "page_view", page_code=code, **fields)


def visit(*events: StoredEvent) -> list[StoredEvent]:
    """Give each instance's events their numbers, as its SDK does."""
    seqs: dict[str | None, int] = {}
    for stored in events:
        stored.seq = seqs[stored.client_id] = seqs.get(stored.client_id, 0) + 1
    return list(events)


def send(road: Road, *events: StoredEvent, source: str = "web") -> None:
    road.send(Sent(list(events), source=source, at_us=RECEIVED))


def views(road: Road, source: str = "web", *columns: str) -> list[Any]:
    """Return the page views in the order of their sessions; with `columns`, these alone as tuples."""
    rows = road.rows("select * from clean.page_views where source = %s order by session_id, nth", source)
    return [tuple(row[name] for name in columns) for row in rows] if columns else rows


def versions(road: Road) -> dict[str, set[Any]]:
    """Return where every row lies and who wrote it: what is written again, even unchanged, differs."""
    return {
        table: set(road.values(f"select (tableoid, ctid, xmin)::text from {table}"))
        for table in ("clean.page_views", "clean.sessions", "clean.events")
    }


def test_a_page_view_is_one_row(road):
    """Every column, for the second of three."""
    pages = [
        {"page_code": code, "page_name": name, "page_url": f"https://www.example.com/{code.lower()}"}
        for code, name in (("A", "가"), ("B", "나"), ("C", "다"))
    ]
    events = visit(
        at(0, "page_view", **pages[0]),
        at(5 * S, "page_view", customer_id="k", referrer=pages[0]["page_url"], **pages[1]),
        at(6 * S), at(7 * S), at(8 * S, "error"), at(9 * S, "tab"), at(10 * S, "search"), at(11 * S, "popup"),
        at(12 * S + 345_000, "page_view", **pages[2]),
    )  # fmt: skip
    send(road, *events)
    row = views(road)[1]
    assert row == {
        "event_date": moment(BASE).astimezone(KST).date(),
        "entered_at": moment(BASE + 5 * S),
        "source": "web",
        "session_id": "s",
        "event_id": events[1].event_id,
        "nth": 2,
        "is_entry": False,
        "is_exit": False,
        "visitor_id": "v",
        "anonymous_id": "v",
        "customer_id": "k",
        "is_test": False,
        "is_bot": False,
        "channel": "internal",
        "page_url": "https://www.example.com/b",
        "page_host": "www.example.com",
        "page_path": "/b",
        "page_code": "B",
        "page_name": "나",
        "previous_page_url": "https://www.example.com/a",
        "previous_page_code": "A",
        "previous_page_name": "가",
        "next_page_url": "https://www.example.com/c",
        "next_page_code": "C",
        "next_page_name": "다",
        "dwell_ms": 7_345,
        "clicks": 2,
        "errors": 1,
        "other_events": 3,
    }


def test_the_way_in_and_the_way_out(road):
    """The first has no page before it, the last none after it; a visit of one page is both."""
    send(road, *visit(view(0, "A"), view(S, "B"), view(2 * S, "C")), view(0, "X", session_id="single"))
    columns = ("page_code", "nth", "is_entry", "is_exit", "previous_page_code", "next_page_code")
    assert views(road, "web", *columns) == [
        ("A", 1, True, False, None, "B"),
        ("B", 2, False, False, "A", "C"),
        ("C", 3, False, True, "B", None),
        ("X", 1, True, True, None, None),
    ]


def test_an_event_belongs_to_its_own_tab(road):
    """Two tabs take turns: a click counts for the page of the tab it was made in; the tabs follow by their beginning."""
    events = visit(
        view(0, "A1"),
        view(10 * S, "B1", client_id="c2"),
        at(20 * S),
        at(30 * S, client_id="c2"),
        at(40 * S, "error", client_id="c2"),
        view(50 * S, "A2"),
        at(60 * S, client_id="c2"),
        at(70 * S, "tab"),
    )
    send(road, *events)
    assert views(road, "web", "page_code", "nth", "clicks", "errors", "other_events") == [
        ("A1", 1, 1, 0, 0),
        ("A2", 2, 0, 0, 1),
        ("B1", 3, 2, 1, 0),
    ]


def test_what_comes_before_a_page_is_on_none(road):
    """A WebView without a page of its own, and what an instance does before its first: the session has them alone."""
    events = visit(
        at(0), view(S, "A"), at(2 * S), at(3 * S, client_id="webview"), at(4 * S, client_id="webview"), at(5 * S)
    )
    send(road, *events)
    assert views(road, "web", "clicks", "other_events") == [(2, 0)]
    assert road.values("select clicks from clean.sessions") == [5]


def test_how_long_a_page_was_looked_at(road):
    """Until the next page view; on the last page, and beside another tab, until the last event on it."""
    visits = {
        "next": visit(view(0, "A"), at(4 * S), view(9 * S, "B")),
        "last with events": visit(view(0, "A"), at(4 * S), at(7 * S)),
        "last and nothing": visit(view(0, "A")),
        "two loads of a page": visit(view(0, "A"), at(3 * S), view(5 * S, "B", client_id="c2")),
        "another tab": visit(view(0, "A"), view(5 * S, "B", client_id="c2"), at(20 * S)),
        "at once": visit(view(0, "A"), view(0, "B")),
        "a clock that fell": visit(view(60 * S, "A"), view(0, "B"), at(S)),
    }
    for name, events in visits.items():
        for stored in events:
            stored.session_id = name
        send(road, *events)
    found: dict[str, list[Any]] = {}
    for name, dwell_ms in views(road, "web", "session_id", "dwell_ms"):
        found.setdefault(name, []).append(dwell_ms)
    assert found == {
        "next": [9_000, None],
        "last with events": [7_000],
        "last and nothing": [None],
        "two loads of a page": [5_000, None],
        "another tab": [20_000, None],
        "at once": [0, None],
        "a clock that fell": [None, 1_000],
    }


def test_events_without_a_number_are_in_the_order_of_time(road):
    """An SDK of somebody else's, without instance and number."""
    events = [view(0, "A"), at(S), view(2 * S, "B"), at(3 * S), at(4 * S)]
    for stored in events:
        stored.client_id = None
    send(road, *reversed(events))
    assert views(road, "web", "page_code", "clicks", "dwell_ms") == [("A", 1, 2_000), ("B", 2, 2_000)]


def test_the_same_session_name_of_two_sources_is_two(road):
    """Pages of one app are never before or after those of another."""
    send(road, view(0, "A"), source="web")
    send(road, view(S, "B"), source="app")
    assert [views(road, s, "page_code", "nth", "previous_page_code") for s in ("web", "app")] == [
        [("A", 1, None)],
        [("B", 1, None)],
    ]


def test_a_derived_sessions_visitor_is_the_sessions(road):
    """Without an id the visitor is the day's hash, the same in both tables."""
    send(road, view(0, "A", session_id=None, anonymous_id=None))
    assert views(road, "web", "visitor_id") == [tuple(road.values("select visitor_id from clean.sessions"))]
    assert views(road, "web", "anonymous_id") == [(None,)]


# Late events


def test_a_late_page_takes_its_place(road):
    """It stands between its neighbours, which look at it; each event is on one page still."""
    events = visit(view(0, "A"), at(S), view(2 * S, "B"), at(3 * S), view(4 * S, "C"))
    send(road, *events[:2], *events[3:])
    assert views(road, "web", "page_code", "nth", "clicks", "dwell_ms") == [("A", 1, 2, 4_000), ("C", 2, 0, None)]
    send(road, events[2])
    columns = ("page_code", "nth", "clicks", "dwell_ms", "previous_page_code", "next_page_code")
    assert views(road, "web", *columns) == [
        ("A", 1, 1, 2_000, None, "B"),
        ("B", 2, 1, 2_000, "A", "C"),
        ("C", 3, 0, None, "B", None),
    ]


def test_a_late_event_touches_its_session_alone(road):
    """No other session's row is written, and of its own only those it changes."""
    for name in ("s", "other"):
        send(road, *visit(view(0, "A", session_id=name), view(MINUTE, "B", session_id=name)))
    before = versions(road)
    send(road, at(2 * MINUTE, seq=3))
    after = versions(road)
    changed = {table: len(before[table] - after[table]) for table in before}
    assert changed == {"clean.page_views": 1, "clean.sessions": 1, "clean.events": 0}
    assert {table: len(after[table]) - len(before[table]) for table in before} == {
        "clean.page_views": 0,
        "clean.sessions": 0,
        "clean.events": 1,
    }


def test_the_same_range_again_writes_nothing(road):
    """Sessions written again from the same events, sent again, or processed again: not one row is touched."""
    derived = [view(n * 20 * MINUTE, "D", session_id=None, customer_id=f"k{n // 3}") for n in range(8)]
    tabs = visit(view(0, "A"), at(S), view(2 * S, "B", client_id="c2"), at(3 * S, client_id="c2"))
    send(road, *derived, *tabs)
    before = versions(road)
    assert len(before["clean.sessions"]) == 4
    road.send(Sent([*derived, *tabs], at_us=RECEIVED + S))
    assert road.process() == []
    with road.processor.transaction():
        road.processor.execute(
            "insert into batch_sessions select row_number() over (), source, session_id, visitor_id,"
            " ops.day_of(started_at), ops.day_of(ended_at), true from clean.sessions"
        )
        rewrite(road.processor)
    assert versions(road) == before
    assert road.values("select count(*) from ops.duplicates") == [12]


def test_a_session_without_events_is_removed(road):
    """What is written again follows from the events: rows whose events have gone are gone."""
    send(road, *visit(view(0, "A"), view(S, "B")), view(0, "X", session_id="other"))
    road.admin.execute("delete from clean.events where session_id = 's'")
    with road.processor.transaction():
        road.processor.execute(
            "insert into batch_sessions select 1, source, session_id, visitor_id, session_date, session_date, true"
            " from clean.sessions where session_id = 's'"
        )
        rewrite(road.processor)
    assert views(road, "web", "page_code") == [("X",)]
    assert road.values("select session_id from clean.sessions") == ["other"]


def test_a_visit_across_midnight_lies_on_two_days(road):
    """Each page view on its own day; a late event after midnight still changes the page of before."""
    midnight = today_us(0, days=-1) - BASE
    events = visit(view(midnight - 10 * S, "A"), at(midnight + 10 * S), view(midnight + 20 * S, "B"))
    send(road, events[0])
    send(road, events[2])
    days = [(moment(BASE + midnight) + timedelta(days=n)).astimezone(KST).date() for n in (-1, 0)]
    assert views(road, "web", "page_code", "event_date", "clicks") == [("A", days[0], 0), ("B", days[1], 0)]
    send(road, events[1])
    assert views(road, "web", "page_code", "event_date", "clicks") == [("A", days[0], 1), ("B", days[1], 0)]
    parts = road.values("select distinct tableoid::regclass::text from clean.page_views")
    assert sorted(parts) == [f"clean.page_views_{day:%Y%m%d}" for day in days]


def test_an_sdk_session_of_days_is_one_visit(road):
    """Pages of three days, arriving last day first, are numbered through."""
    events = visit(view(0, "A"), view(20 * HOUR, "B"), view(40 * HOUR, "C"))
    for stored in reversed(events):
        send(road, stored)
    assert views(road, "web", "page_code", "nth", "dwell_ms") == [
        ("A", 1, 72_000_000),
        ("B", 2, 72_000_000),
        ("C", 3, None),
    ]
    assert len(set(road.values("select event_date from clean.page_views"))) == 3


def test_bridged_sessions_take_their_pages_along(road):
    """A late event makes two derived sessions one: the pages are numbered through, none is left, none is double."""
    events = [view(0, "A"), view(50 * MINUTE, "B"), at(25 * MINUTE)]
    for stored in events:
        stored.session_id = None
    send(road, *events[:2])
    assert sorted(views(road, "web", "page_code", "nth")) == [("A", 1), ("B", 1)]
    send(road, events[2])
    name = "d-" + events[0].event_id.hex
    assert views(road, "web", "session_id", "page_code", "nth", "clicks") == [(name, "A", 1, 1), (name, "B", 2, 0)]


def test_a_split_session_gives_its_pages_away(road):
    """A late login of somebody else in between: three sessions, each with its own pages."""
    events = [
        view(n * 10 * MINUTE, code, session_id=None, customer_id=customer)
        for n, (code, customer) in enumerate([("A", "k1"), ("B", "k1"), ("X", "k2"), ("C", "k1")])
    ]
    send(road, events[0], events[1], events[3])
    assert [nth for (nth,) in views(road, "web", "nth")] == [1, 2, 3]
    send(road, events[2])
    rows = road.rows("select page_code, nth, session_id from clean.page_views order by entered_at")
    assert [(row["page_code"], row["nth"]) for row in rows] == [("A", 1), ("B", 2), ("X", 1), ("C", 1)]
    assert len({row["session_id"] for row in rows}) == 3


def test_a_page_of_a_long_offline_phone_is_on_its_own_day(road):
    """Weeks late: its day's partition is made, and the session of today is one with it."""
    old = view(-20 * 24 * HOUR, "A", event_id=new_id(), seq=1)
    send(road, view(0, "B", seq=2))
    send(road, old)
    assert views(road, "web", "page_code", "nth") == [("A", 1), ("B", 2)]
