"""Any order and any batching of the same events gives the same sessions, page views and identities: the plain ones."""

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.event import StoredEvent
from tests import plain
from tests.builders import Road, Sent, event, new_id, today_us

RECEIVED = today_us(12)
# Visits begin in the evening, and many end after midnight.
EVENING_MS = (RECEIVED - 63 * 3_600_000_000) // 1000
MINUTE_MS = 60_000
ORDERS, LOADS = 6, 4

SESSIONS = """
select session_id, (extract(epoch from started_at) * 1000)::bigint as started_ms,
    (extract(epoch from ended_at) * 1000)::bigint as ended_ms, is_derived,
    is_visit, (extract(epoch from active_from) * 1000)::bigint as active_from_ms,
    (extract(epoch from active_until) * 1000)::bigint as active_until_ms, visitor_id, customer_id, events, page_views,
    clicks, errors, entry_page_code, exit_page_code, exit_menu
from clean.sessions where source = %s order by session_id collate "C"
"""
PAGE_VIEWS = """
select session_id, event_id, nth, is_entry, is_exit, previous_page_code, next_page_code, dwell_ms, clicks, errors, other_events
from clean.page_views where source = %s order by session_id collate "C", nth
"""
IDENTITIES = """
select anonymous_id, customer_id, (extract(epoch from lower(valid)) * 1000)::bigint as from_ms,
    (extract(epoch from upper(valid)) * 1000)::bigint as until_ms, (extract(epoch from known_from) * 1000)::bigint as known_from_ms,
    is_backfilled, is_shared, ended_by
from clean.identities where source = %s order by anonymous_id collate "C", lower(valid)
"""

steps = st.sampled_from([0, 1, 1, 5, 9, 10, 29, 30, 31, 45, 300, 720])
kinds = st.sampled_from(
    ["page_view", "page_view", "click", "login", "logout", "tab", "error", "exit", "popup", "custom", "error", "exit"]
)
platforms = st.sampled_from([None, "web", "server", "server"])
sdk_sessions = st.sampled_from([None, None, "s1", "s2"])
clients = st.sampled_from(["c1", "c1", "c2", None])
people = st.sampled_from([None, None, "k1", "k1", "k2"])
devices = st.sampled_from(["v", "v", "w"])
rarely = st.sampled_from([None] * 12 + ["k1", "k2"])

SETTLED: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}


@st.composite
def lives(draw: st.DrawFn) -> list[StoredEvent]:
    """Return what happened on two devices within some hours, in order."""
    minutes, numbers, made = 0, dict.fromkeys(("c1", "c2", None), 0), []
    for _ in range(draw(st.integers(4, 9))):
        minutes += draw(steps)
        kind, client = draw(kinds), draw(clients)
        numbers[client] += 1
        made.append(
            event(
                event_id=new_id(), time=EVENING_MS + minutes * MINUTE_MS, event_type=kind, client_id=client,
                seq=numbers[client] if client else None, session_id=draw(sdk_sessions), anonymous_id=draw(devices),
                customer_id=draw(people), page_code=f"P{len(made)}", exit_menu=f"M{len(made)}" if kind == "exit" else None,
                event_name="c" if kind == "custom" else None, platform=draw(platforms),
            )
        )  # fmt: skip
    return made


def send(road: Road, made: list[StoredEvent], loads_of: dict[str, list[list[StoredEvent]]]) -> None:
    """Send the same events to every source, each in its own order, cut into its own loads."""
    for load in range(LOADS):
        batches = [Sent(loads[load], source=name, at_us=RECEIVED) for name, loads in loads_of.items() if loads[load]]
        if batches:
            road.send(*batches)
    assert road.values("select count(*) from clean.events where source = any(%s)", list(loads_of)) == [
        len(made) * len(loads_of)
    ]


def whole(road: Road, table: str, source: str) -> list[Any]:
    """Return every column of a source's rows."""
    return sorted(road.values(f"select (to_jsonb(t) - 'source')::text from {table} t where source = %s", source))


def assert_any_order(road: Road, made: list[StoredEvent], rng: random.Random) -> None:
    """Six orders, each cut into up to four loads anywhere: all as the plain model says, and alike to the last column."""
    loads_of: dict[str, list[list[StoredEvent]]] = {}
    for order in range(ORDERS):
        parts: list[list[StoredEvent]] = [[] for _ in range(LOADS)]
        # The first in order and one by one as far as the loads reach, the second all at once, the others anyhow.
        shuffled = made if order < 2 else rng.sample(made, len(made))
        for nth, stored in enumerate(shuffled):
            parts[min(nth, LOADS - 1) if order == 0 else 0 if order == 1 else rng.randrange(LOADS)].append(stored)
        loads_of[f"{order}-{new_id().hex}"] = parts
    send(road, made, loads_of)
    first, *others = loads_of
    names = plain.sessions(made)
    for source in loads_of:
        found = road.rows("select event_id, session_id from clean.events where source = %s", source)
        assert {row["event_id"]: row["session_id"] for row in found} == names
        assert road.rows(SESSIONS, source) == plain.session_rows(made)
        assert road.rows(PAGE_VIEWS, source) == plain.page_view_rows(made)
        assert road.rows(IDENTITIES, source) == plain.identity_rows(made)
    for table in ("clean.sessions", "clean.page_views", "clean.identities"):
        expected = whole(road, table, first)
        assert all(whole(road, table, source) == expected for source in others)


@settings(max_examples=12, **SETTLED)
@given(lives(), st.integers(0, 2**32))
def test_any_order_and_batching_gives_the_same_tables(road, made, seed):
    """Two devices, tabs, sessions of the SDK's and derived ones, logins and logouts, at the edges of every rule."""
    assert_any_order(road, made, random.Random(seed))


@settings(max_examples=3, **SETTLED)
@given(
    st.lists(st.tuples(st.sampled_from([20, 28, 29]), kinds, rarely, rarely), min_size=60, max_size=70),
    st.integers(0, 2**32),
)
def test_long_visits_in_any_order_give_the_same_tables(road, visit, seed):
    """More than a day without a pause: what an early event says reaches over many sessions, past every 12 h mark."""
    minutes, made = 0, []
    for nth, (step, kind, named, unnumbered) in enumerate(visit):
        minutes += step
        made.append(
            event(
                event_id=new_id(), time=EVENING_MS + minutes * MINUTE_MS, event_type=kind, client_id="c1",
                seq=None if unnumbered else nth + 1, anonymous_id="v", customer_id=named, page_code=f"P{nth}",
                event_name="c" if kind == "custom" else None,
            )
        )  # fmt: skip
    assert_any_order(road, made, random.Random(seed))
