"""A trace finds every event there is, says what became of it, and says so when a row is gone."""

import json

import msgspec
import pytest

from processor.operate.dead_letters import discard_letters, list_letters
from processor.operate.erase import erase_customer
from processor.operate.purge import purge_source
from processor.operate.trace import Arrival, trace
from storage.spool.frame import Reject
from tests.builders import Road, Sent, event, moment, new_id, today_us
from tests.fakes import FakeClock
from tests.operating import sillok, write_settings

NOON = today_us(12, days=-1)
REJECTED = new_id()
REJECT = Reject(index=9, code="missing_field", field="events[9].time", message="Missing", event_id=str(REJECTED))


def find(road: Road, sent, source=None) -> list[Arrival]:
    return trace(road.operator, road.spool_folder, sent.event_id, source)


@pytest.fixture
def day(road) -> Road:
    road.spool.clock = FakeClock(NOON - 1)
    first, second = event(session_id="s", customer_id="c-1"), event(session_id="s2")
    conflict = msgspec.structs.replace(second, click_text="다른 것")
    road.sent = [first, second, conflict]
    road.send(Sent([event()], at_us=NOON), Sent([event(), first], at_us=NOON + 1, rejects=[REJECT]))
    road.send(Sent([first, second], at_us=NOON + 2), Sent([conflict], at_us=NOON + 3))
    return road


def test_a_clean_event_and_its_repeat(day):
    """Both arrivals, each with segment, group, frame and index, its load and its raw row."""
    first, repeat = find(day, day.sent[0])
    load_ids = day.values("select load_id from ops.loads order by load_id")
    assert (first.outcome, first.raw, first.load_id, first.received_at) == (
        "clean",
        "here",
        load_ids[0],
        moment(NOON + 1),
    )
    assert first.detail.startswith("session s of ")
    place = first.place
    assert (place.slot, place.segment, place.state, place.group, place.frame, place.index) == (
        0,
        1,
        "archived",
        1,
        0,
        1,
    )
    assert (repeat.outcome, repeat.raw, repeat.load_id, repeat.place.segment) == ("duplicate", "here", load_ids[1], 2)
    assert find(day, day.sent[0], "app") == []


def test_a_clean_event_without_a_session(day):
    lonely = event(event_type="exit", time=NOON // 1000)
    day.send(Sent([lonely], at_us=NOON + 4))
    [found] = find(day, lonely)
    assert found.detail.startswith("no session of ")


def test_a_dead_letter_is_told_from_the_event_it_conflicts_with(day):
    assert [a.outcome for a in find(day, day.sent[1])] == ["clean", "dead_lettered"]
    discard_letters(day.operator, [x.dead_letter_id for x in list_letters(day.operator)], "garbage")
    assert [a.outcome for a in find(day, day.sent[1])] == ["clean", "discarded"]


def test_a_rejected_event_is_found_with_its_code(day):
    [found] = trace(day.operator, day.spool_folder, REJECTED)
    assert (found.outcome, found.detail, found.raw) == ("rejected", "missing_field: events[9].time", "not loaded")


def test_an_event_nobody_ever_sent_is_nowhere(day):
    assert trace(day.operator, day.spool_folder, new_id()) == []


def test_on_its_way_it_is_pending(day):
    """Open, sealed, loaded: the place is named at every step."""
    on_its_way = event()
    with day.spool.living() as living:
        living.send(Sent([on_its_way], at_us=NOON + 60_000_000))
        [found] = find(day, on_its_way)
        assert (found.outcome, found.place.state, found.raw) == ("pending", "open", "not loaded")
        living.seal()
        [found] = find(day, on_its_way)
        assert (found.outcome, found.place.state) == ("pending", "waiting")
        day.load()
        [found] = find(day, on_its_way)
        assert (found.outcome, found.place.state, found.raw) == ("pending", "archived", "here")
        day.process()
        assert find(day, on_its_way)[0].outcome == "clean"


@pytest.mark.parametrize(
    ("forgotten", "segment"),
    [([], 1), (["ops.dedup"], 1), (["ops.dedup", "ops.duplicates"], 2)],
    ids=["remembered", "by-its-repeat", "by-the-archive-alone"],
)
def test_a_row_that_was_deleted_behind_our_back_is_called_gone(day, forgotten, segment):
    """Also when nothing in the tables knows the event any more: the archive does, newest first."""
    for table in ("raw.events", "clean.events", *forgotten):
        day.admin.execute(f"delete from {table}")
    lost = find(day, day.sent[0])[0]
    assert (lost.outcome, lost.raw, lost.place.segment) == ("lost", "the row is gone", segment)
    assert "the ledger counts it, the row is gone" in lost.detail


def test_a_raw_row_that_was_deleted_is_called_gone(day):
    day.admin.execute("delete from raw.events")
    first = find(day, day.sent[0])[0]
    assert (first.outcome, first.raw) == ("clean", "the row is gone")
    day.forget_days()
    assert find(day, day.sent[0])[0].raw == "past retention"


def test_what_was_erased_or_purged_says_so(day):
    erase_customer(day.operator, day.spool_folder, "c-1", "request 12", patience_s=0)
    found = find(day, day.sent[0])
    assert {(a.outcome, a.raw) for a in found} == {("erased", "removed")}
    test = event()
    day.send(Sent([test], at_us=NOON + 60_000_000, source="qa", is_test=True))
    purge_source(day.operator, day.spool_folder, "qa", "done", patience_s=0)
    [found] = find(day, test)
    assert (found.outcome, found.raw) == ("purged", "removed")


def test_the_command_says_where_an_event_is(day, tmp_path):
    settings = write_settings(day, tmp_path)
    done = sillok(settings, "trace", str(day.sent[0].event_id))
    assert done.returncode == 0, done.stderr
    assert "group 1, frame 0, event 1 of" in done.stdout
    done = sillok(settings, "trace", str(new_id()), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, [])
