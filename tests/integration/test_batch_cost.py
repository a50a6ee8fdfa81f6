"""A batch costs what its own rows cost, however large the day and however old what the planner knows of it."""

from tests.builders import Road, Sent, event, today_us

RECEIVED = today_us(12)
HOUR_US = 3_600_000_000
SESSIONS = 4000


def read_whole(road: Road, *tables: str) -> dict[str, int]:
    """Return how many rows were read so far by reading tables, or their partitions, from end to end."""
    road.processor.execute("select pg_stat_force_next_flush()")
    road.processor.execute("select 1")
    road.admin.execute("select pg_stat_clear_snapshot()")
    return {
        table: road.values(
            "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_all_tables"
            " where relname = %s or relid in (select inhrelid from pg_inherits where inhparent = to_regclass(%s))",
            table.rpartition(".")[2], table,
        )[0]
        for table in tables
    }  # fmt: skip


def views_of(sessions: range, at_us: int) -> Sent:
    """Return one page view of each session."""
    at_ms = at_us // 1000
    views = [
        event(event_type="page_view", time=at_ms, session_id=f"s{n}", anonymous_id=f"v{n}", client_id=f"c{n}", seq=1)
        for n in sessions
    ]
    return Sent(views, at_us=at_us)


def test_sessions_that_go_on_are_looked_up(road):
    """Earlier page views of the touched sessions change, and the day is not read for it."""
    tables = ("clean.events", "clean.page_views")
    road.send(views_of(range(SESSIONS), RECEIVED))
    road.admin.execute("analyze")
    before = read_whole(road, *tables)
    road.send(views_of(range(500), RECEIVED + 60_000_000))
    assert read_whole(road, *tables) == before
    assert road.values("select count(*) from clean.page_views where nth = 2") == [500]
    assert road.values("select count(*) from clean.page_views where nth = 1 and not is_exit") == [500]


def test_duplicates_are_not_held_against_each_row(road):
    """The planner has never heard of the hour the batch arrived in, and takes it for one row."""
    first = views_of(range(SESSIONS), RECEIVED)
    road.send(first)
    road.admin.execute("analyze")
    before = read_whole(road, "batch_repeats")
    later = views_of(range(SESSIONS), RECEIVED + HOUR_US)
    repeats = 300
    road.send(Sent([*later.events, *first.events[:repeats]], at_us=RECEIVED + HOUR_US))
    assert road.values("select count(*) from ops.duplicates") == [repeats]
    after = read_whole(road, "batch_repeats")
    assert after["batch_repeats"] - before["batch_repeats"] <= 20 * repeats


def errors_of(visitors: range, at_us: int) -> Sent:
    """Return a click and an error of each visitor, without a session of an SDK's."""
    pair = [("click", 0), ("error", 1)]
    own = [
        event(event_type=kind, time=at_us // 1000 + late_ms, anonymous_id=f"v{n}", session_id=None)
        for n in visitors
        for kind, late_ms in pair
    ]
    return Sent(own, at_us=at_us)


def test_what_belongs_to_a_session_is_looked_up(road):
    """An error finds its visitor's session, and a session its errors, and the day is not read for it."""
    tables = ("clean.events", "clean.sessions", "clean.page_views")
    road.send(errors_of(range(SESSIONS), RECEIVED))
    road.admin.execute("analyze")
    before = read_whole(road, *tables)
    road.send(errors_of(range(500), RECEIVED + 60_000_000))
    after = read_whole(road, *tables)
    assert all(after[table] - before[table] < 100 for table in tables), (before, after)
    assert road.values("select count(*) from clean.sessions where events = 4 and errors = 2") == [500]
