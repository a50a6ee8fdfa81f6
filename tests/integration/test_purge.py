"""A purge removes all of a test's source, and nothing of anybody else's; the books balance."""

import pytest

from contract.errors import UsageError
from processor.operate.purge import purge_source
from storage.spool.frame import Reject
from tests.builders import Road, Sent, event, today_us
from tests.fakes import FakeClock

NOON = today_us(12, days=-1)
REJECT = Reject(index=9, code="missing_field", field="events[9].time", message="Missing", body="{}")


def purge(road: Road, source: str = "qa"):
    return purge_source(road.operator, road.spool_folder, source, "after the load test", patience_s=0)


@pytest.fixture
def tested(road) -> Road:
    """Return a road with a test's events, one of them twice, a reject, and somebody's own."""
    road.spool.clock = FakeClock(NOON - 1)
    test, own = [event(session_id="t") for _ in range(3)], event(session_id="t")
    road.sent = [*test, own]
    road.send(
        Sent(test, at_us=NOON, source="qa", is_test=True, rejects=[REJECT]),
        Sent([test[0]], at_us=NOON + 1, source="qa", is_test=True),
        Sent([own], at_us=NOON + 2),
    )
    assert road.books().balanced
    return road


def test_a_tests_source_is_gone_and_nothing_else(tested):
    assert purge(tested).events == 4
    for table in ("clean.events", "clean.sessions", "raw.events", "ops.duplicates", "ops.rejected", "ops.dedup"):
        assert tested.values(f"select distinct source from {table}") in ([], ["web"]), table
    assert tested.clean(tested.sent[3])
    assert tested.books().balanced
    moved = dict(
        tested.admin.execute(
            "select outcome, sum(events)::int from ops.audit where stage = 'operator' group by 1"
        ).fetchall()
    )
    assert moved == {"clean": -3, "duplicate": -1, "purged": 4, "raw_removed": 4, "rejected_removed": 1}
    assert purge(tested).events == 0, "a second purge finds nothing"
    assert tested.values("select reason from ops.actions") == ["after the load test"] * 2


def test_a_source_with_one_event_that_is_no_tests_is_refused(tested):
    tested.send(Sent([event()], at_us=NOON + 3, source="qa"))
    with pytest.raises(UsageError, match="only a test's source can be purged"):
        purge(tested)
    assert tested.values("select count(*) from clean.events where source = 'qa'") == [4]
    assert tested.values("select count(*) from ops.actions") == [0]


def test_after_a_purge_the_source_can_test_again(tested):
    """The same ids sent anew are new: nothing remembers them."""
    purge(tested)
    tested.send(Sent(tested.sent[:3], at_us=today_us(12, days=1), source="qa", is_test=True))
    assert tested.values("select count(*) from clean.events where source = 'qa'") == [3]
    assert tested.books().balanced
