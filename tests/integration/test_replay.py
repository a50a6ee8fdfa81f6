"""A replay brings back what was lost behind our back, doubles nothing, and raises nobody from the dead."""

import json

import msgspec
import pytest

from processor.operate.dead_letters import discard_letters, list_letters
from processor.operate.erase import erase_customer
from processor.operate.purge import purge_source
from processor.operate.replay import Replayed, replay
from tests.builders import Road, Sent, event, moment, today_us
from tests.fakes import FakeClock
from tests.operating import sillok, write_settings

NOON = today_us(12, days=-1)
MINUTE_US = 60_000_000


def again(road: Road) -> Replayed:
    return replay(road.operator, road._dictionaries, road.spool_folder, moment(NOON), moment(NOON + 10 * MINUTE_US))


@pytest.fixture
def day(road) -> Road:
    """Return a road with clean events with and without a session, a repeat within a request, a later one, a conflict."""
    road.spool.clock = FakeClock(NOON - 1)
    first, second, third = event(session_id="s", customer_id="c-1"), event(anonymous_id="a"), event(anonymous_id="a")
    conflict = msgspec.structs.replace(first, click_text="다른 것")
    road.sent = [first, second, third]
    road.send(Sent([first, second, second], at_us=NOON), Sent([third], at_us=NOON + 1))
    road.send(Sent([first], at_us=NOON + MINUTE_US), Sent([conflict], at_us=NOON + MINUTE_US + 1),
              Sent([event(session_id="t")], at_us=NOON + MINUTE_US + 2, source="qa", is_test=True))  # fmt: skip
    assert road.books().balanced
    return road


def state(road: Road) -> list:
    """Return all that counts, but for numbers that only name a run."""
    tables = {
        "raw.events": "load_id, received_at, source, event_id, content_hash",
        "clean.events": "*",
        "clean.sessions": "*",
        "ops.duplicates": "load_id, received_at, source, event_id, first_received_at",
        "ops.dead_letters": "load_id, received_at, source, event_id, reason",
        "ops.dedup": "*",
    }
    return [
        road.values(f"select t::text from (select {what} from {table}) t order by 1") for table, what in tables.items()
    ]


def test_a_replay_of_what_is_whole_changes_nothing(day):
    before = state(day)
    assert again(day) == Replayed(segments=2)
    assert state(day) == before
    assert day.values("select count(*) from ops.audit where stage = 'operator'") == [0]
    assert day.books().balanced


@pytest.mark.parametrize(
    "sabotage",
    [
        ["delete from clean.events", "delete from clean.sessions"],
        ["delete from raw.events"],
        ["delete from raw.events", "delete from clean.events", "delete from clean.sessions"],
        ["delete from ops.duplicates"],
        ["delete from ops.dead_letters"],
        ["delete from clean.events where source = 'qa'", "delete from raw.events where anonymous_id = 'a'"],
        [
            "delete from clean.events",
            "delete from clean.sessions",
            "delete from ops.duplicates",
            "delete from ops.dedup",
        ],
    ],
    ids=["clean", "raw", "raw-and-clean", "duplicates", "letters", "a-bit-of-each", "clean-and-its-memory"],
)
def test_what_was_lost_comes_back_as_it_was(day, sabotage):
    """Row for row, sessions too; no count moves, for they were right all along; a second replay has nothing to do."""
    before = state(day)
    for statement in sabotage:
        day.admin.execute(statement)
    assert not day.books().balanced
    again(day)
    assert state(day) == before
    assert day.values("select count(*) from ops.audit where stage = 'operator'") == [0]
    assert day.books().balanced
    assert again(day) == Replayed(segments=2)


def test_clean_comes_back_past_raws_time(day):
    """The raw rows are borrowed from the archive and given back."""
    before = day.values("select t::text from clean.events t order by 1")
    day.forget_days()
    day.admin.execute("delete from clean.events")
    assert again(day).raw_restored == 0
    assert day.values("select t::text from clean.events t order by 1") == before
    assert day.values("select count(*) from raw.events") == [0]


def test_a_load_the_processor_waits_for_gets_its_rows_back(road):
    """Rows lost between loading and processing: the run would never add up without them."""
    road.spool.clock = FakeClock(NOON - 1)
    road.spool.write(Sent([event(), event()], at_us=NOON))
    road.load()
    road.admin.execute("delete from raw.events")
    assert again(road) == Replayed(segments=1, raw_restored=2)
    road.process()
    assert road.books().balanced
    assert road.values("select count(*) from clean.events") == [2]


def test_what_was_erased_purged_or_given_up_stays_away(day):
    erase_customer(day.operator, day.spool_folder, "c-1", "request 12", patience_s=0)
    purge_source(day.operator, day.spool_folder, "qa", "done", patience_s=0)
    discard_letters(day.operator, [letter.dead_letter_id for letter in list_letters(day.operator)], "garbage")
    assert day.books().balanced
    before = state(day)
    assert again(day) == Replayed(segments=2)
    assert state(day) == before
    assert day.books().balanced


def test_a_segment_the_ledger_forgot_is_loaded_anew(day):
    with day.admin.transaction():
        for table in ("ops.processed", "ops.loads", "ops.audit", "raw.events", "clean.events", "clean.sessions", "ops.dedup",
                      "ops.duplicates", "ops.dead_letters"):  # fmt: skip
            day.admin.execute(f"delete from {table}")
    assert again(day) == Replayed(segments=2, loaded=2)
    day.process()
    assert day.books().balanced
    assert day.values("select count(*) from clean.events") == [4]


def test_the_command_replays_a_day(day, tmp_path):
    day.admin.execute("delete from clean.events where source = 'qa'")
    start = f"{moment(NOON).isoformat()}"
    end = f"{moment(NOON + 10 * MINUTE_US).isoformat()}"
    done = sillok(write_settings(day, tmp_path), "replay", "--from", start, "--to", end, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["clean_restored"] == 1
    assert day.books().balanced
