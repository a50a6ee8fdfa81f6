"""Identities: whose a device was, and when; a shared one is nobody's before a login."""

from itertools import permutations
from typing import Any

import psycopg
import pytest

from contract.event import StoredEvent
from tests.builders import Road, Sent, event, moment, today_us

S = 1_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
RECEIVED = today_us(12)
BASE = RECEIVED - 48 * HOUR


def at(us: int, kind: str = "click", customer: str | None = None, **fields: Any) -> StoredEvent:
    """Return an event of device `d` at a time after BASE."""
    known = {"session_id": "s", "anonymous_id": "d"}
    return event(**{"time": (BASE + us) // 1000, "event_type": kind, "customer_id": customer, **known, **fields})


def login(us: int, customer: str = "k1") -> StoredEvent:
    return at(us, "login", customer)


def send(road: Road, *events: StoredEvent, source: str = "web") -> None:
    road.send(Sent(list(events), source=source, at_us=RECEIVED))


def owners(road: Road, source: str = "web") -> list[tuple[Any, ...]]:
    """Return (customer, from, until, ended by, marks), times in microseconds after BASE, in order of time."""

    def after(time: Any) -> int | None:
        return None if time is None else round((time - moment(BASE)).total_seconds() * 1_000_000)

    rows = road.rows(
        "select *, lower(valid) as valid_from, upper(valid) as valid_until from clean.identities"
        " where source = %s order by anonymous_id, valid",
        source,
    )
    return [
        (
            row["customer_id"],
            after(row["valid_from"]),
            after(row["valid_until"]),
            row["ended_by"],
            "".join(mark for mark in ("backfilled", "shared") if row[f"is_{mark}"]),
        )
        for row in rows
    ]


def test_an_identity_is_one_row(road):
    """Every column: a device that was looked at, then logged in on."""
    send(road, at(0), login(MINUTE), at(2 * MINUTE))
    [row] = road.rows("select * from clean.identities")
    valid = row.pop("valid")
    assert (valid.lower, valid.upper, valid.lower_inc) == (moment(BASE), None, True)
    assert row == {
        "source": "web",
        "anonymous_id": "d",
        "customer_id": "k1",
        "known_from": moment(BASE + MINUTE),
        "is_backfilled": True,
        "is_shared": False,
        "ended_by": None,
    }


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([login(0)], [("k1", 0, None, None, "")], id="a login as the first event"),
        pytest.param(
            [login(0), at(MINUTE, "logout"), login(2 * MINUTE)],
            [("k1", 0, MINUTE, "logout", ""), ("k1", 2 * MINUTE, None, None, "")],
            id="a logout ends it, a second login begins it again",
        ),
        pytest.param(
            [at(0), login(MINUTE), login(2 * MINUTE, "k2")],
            [("k1", MINUTE, 2 * MINUTE, "other_customer", "shared"), ("k2", 2 * MINUTE, None, None, "shared")],
            id="another login ends it, and nothing is given back",
        ),
        pytest.param(
            [at(0), login(MINUTE), at(2 * MINUTE, "logout"), login(3 * MINUTE, "k2")],
            [("k1", MINUTE, 2 * MINUTE, "logout", "shared"), ("k2", 3 * MINUTE, None, None, "shared")],
            id="one after the other",
        ),
        pytest.param(
            [at(0), at(MINUTE, "logout"), login(2 * MINUTE)],
            [("k1", 2 * MINUTE, None, None, "")],
            id="a logout before the first login: somebody else may have been there",
        ),
        pytest.param([at(0), at(MINUTE, "logout", "k1")], [], id="a logout alone begins nothing"),
        pytest.param(
            [at(0), at(MINUTE, "logout", "k2"), login(2 * MINUTE)],
            [("k1", 2 * MINUTE, None, None, "shared")],
            id="who logs out was there, too",
        ),
        pytest.param(
            [at(0), at(MINUTE, customer="k1"), at(2 * MINUTE)],
            [("k1", 0, None, None, "backfilled")],
            id="an event that names a customer is as good as a login",
        ),
        pytest.param([at(0), at(MINUTE, "login")], [], id="a login of nobody says nothing"),
        pytest.param(
            [login(0), at(MINUTE, customer="k1"), at(5 * MINUTE, "logout"), at(6 * MINUTE, customer="k1"), at(11 * MINUTE, customer="k1")],
            [("k1", 0, 5 * MINUTE, "logout", ""), ("k1", 11 * MINUTE, None, None, "")],
            id="named without a login, a customer is known anew within ten minutes",
        ),
        pytest.param(
            [login(0), at(MINUTE, anonymous_id=None, customer="k2"), at(2 * MINUTE, anonymous_id="e")],
            [("k1", 0, None, None, "")],
            id="without a device nothing is said, of another one only of that",
        ),
    ],
)  # fmt: skip
def test_whose_a_device_was(road, events, expected):
    """What the events say, in order, in the opposite order one by one, and in two halves."""
    half = len(events) // 2
    send(road, *events, source="in order")
    for stored in reversed(events):
        send(road, stored, source="backwards")
    for part in (events[half:], events[:half]):
        if part:
            send(road, *part, source="halves")
    assert [owners(road, source) for source in ("in order", "backwards", "halves")] == [expected] * 3


def test_a_late_login_of_somebody_else_takes_back_what_was_given(road):
    """Days later a phone says that another customer was there first: the device is shared, the back-fill is gone."""
    send(road, at(0), login(30 * HOUR))
    assert owners(road) == [("k1", 0, None, None, "backfilled")]
    send(road, login(HOUR, "k2"))
    assert owners(road) == [
        ("k2", HOUR, 30 * HOUR, "other_customer", "shared"),
        ("k1", 30 * HOUR, None, None, "shared"),
    ]


def test_an_earlier_first_event_reaches_further_back(road):
    """The device was seen before all that was known of it."""
    send(road, at(MINUTE), login(2 * MINUTE))
    send(road, at(0))
    assert owners(road) == [("k1", 0, None, None, "backfilled")]


def test_two_sources_do_not_know_each_other(road):
    """The same device id of two apps is two devices."""
    send(road, login(0, "k1"), source="web")
    send(road, login(0, "k2"), source="app")
    assert [owners(road, s) for s in ("web", "app")] == [[("k1", 0, None, None, "")], [("k2", 0, None, None, "")]]


def test_at_one_moment_the_order_is_always_the_same(road):
    """A logout first, then customers by id: whichever arrives first."""
    events = [login(0, "k2"), login(0, "k1"), at(0, "logout")]
    for number, order in enumerate(permutations(range(3))):
        for nth in order:
            send(road, events[nth], source=f"p{number}")
        assert owners(road, f"p{number}") == [("k2", 0, None, None, "shared")]


def test_only_what_changes_is_written(road):
    """Another device's rows, and rows that still hold, stay where they are."""
    send(road, login(0), at(MINUTE, "logout"), at(0, "login", "k9", anonymous_id="e"))
    before = set(road.values("select (ctid, xmin)::text from clean.identities"))
    send(road, at(2 * MINUTE), at(20 * MINUTE, anonymous_id="e", customer="k9"))
    assert set(road.values("select (ctid, xmin)::text from clean.identities")) == before
    send(road, login(3 * MINUTE))
    after = set(road.values("select (ctid, xmin)::text from clean.identities"))
    assert before < after
    assert len(after) == 3


def test_a_customers_every_event_is_not_remembered(road):
    """One that names the customer on each event costs a row for ten minutes."""
    send(road, *(at(n * 10 * S, customer="k1") for n in range(120)))
    kinds = road.values("select kind from ops.identity_events order by kind")
    assert kinds == ["named", "named", "seen"]


def test_two_customers_cannot_own_a_device_at_once(road):
    """PostgreSQL refuses it, whatever wrote it; one after the other, and on another device or app, it takes."""
    send(road, login(0), at(MINUTE, "logout"))
    row = "insert into clean.identities values (%s, %s, 'k2', tstzrange(%s, null), %s, false, true, null)"
    with pytest.raises(psycopg.errors.ExclusionViolation):
        road.admin.execute(row, ("web", "d", moment(BASE + MINUTE - S), moment(BASE + MINUTE)))
    for source, device in (("web", "e"), ("app", "d")):
        road.admin.execute(row, (source, device, moment(BASE), moment(BASE)))
    road.admin.execute(row, ("web", "d", moment(BASE + MINUTE), moment(BASE + MINUTE)))


def test_an_analyst_finds_each_events_customer(road):
    """One join gives an event the customer who owned its device then, also where the event names none."""
    events = [at(0), login(MINUTE), at(2 * MINUTE), at(3 * MINUTE, "logout"), at(4 * MINUTE)]
    send(road, *events)
    road.admin.execute("set role sillok_reader")
    found = road.rows(
        "select e.event_time, coalesce(e.customer_id, i.customer_id) as customer from clean.events e"
        " left join clean.identities i on i.source = e.source and i.anonymous_id = e.anonymous_id and e.event_time <@ i.valid"
        " order by e.event_time"
    )
    road.admin.execute("reset role")
    assert [row["customer"] for row in found] == ["k1", "k1", "k1", None, None]
