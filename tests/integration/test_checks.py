"""Each check of `processor/checks` finds an offender that is planted, and that one alone."""

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec
import pytest

from contract import generate
from contract.event import EVENT_TYPES
from processor.checks import all_checks, run_checks
from processor.enrich.channel_file import Channel
from storage.postgres import connect
from tests.builders import DAY_US, MINUTE_US, Road, Sent, event, moment, today_us

NOON = today_us(12)

# What is spoiled → the checks that must see it, and how many rows they return.
PLANTED = {
    "insert into ops.actions (operator, command, arguments, reason, result) values ('x', 'y', '{}', '', '{}')": {
        "actions_are_chained": 1,
    },
    "delete from clean.events where click_text = 'twice'": {
        "duplicates_have_an_original": 1,
        "sessions_agree_with_events": 1,
    },
    "insert into clean.events select * from clean.events where click_text = 'twice'": {
        "clean_has_each_event_once": 1,
        "sessions_agree_with_events": 1,
    },
    # A second copy whose first lies in another partition, under another arrival.
    """insert into clean.events select (jsonb_populate_record(e, jsonb_build_object(
        'received_at', e.received_at + interval '1 minute', 'session_id', 's'))).*
        from clean.events e where click_text = 'twice'""": {
        "clean_has_each_event_once": 1,
        "clean_holds_the_first_arrival": 1,
        "sessions_agree_with_events": 1,
    },
    "delete from ops.dedup where event_id = (select event_id from clean.events where click_text = 'twice')": {
        "clean_holds_the_first_arrival": 1,
    },
    "delete from clean.sessions where session_id = 's' and source = 'web'": {"events_have_a_session": 1},
    "update clean.events set session_id = 'nobody' where click_text = 'twice'": {
        "events_have_a_session": 1,
        "sessions_agree_with_events": 1,
    },
    "update clean.events set session_id = null where click_text = 'twice'": {
        "events_have_a_session": 1,
        "sessions_agree_with_events": 1,
    },
    "update clean.sessions set is_visit = false where session_id = 's' and source = 'web'": {
        "sessions_agree_with_events": 1,
    },
    "update clean.sessions set active_until = active_until - interval '1 ms' where session_id = 's' and source = 'web'": {
        "sessions_agree_with_events": 1,
    },
    "update clean.sessions set clicks = clicks + 1 where session_id = 's' and source = 'web'": {
        "sessions_agree_with_events": 1
    },
    "update clean.sessions set ended_at = ended_at + interval '1 ms' where session_id = 's' and source = 'web'": {
        "sessions_agree_with_events": 1,
    },
    "update clean.sessions set session_date = session_date + 1 where session_id = 's' and source = 'web'": {
        "sessions_agree_with_events": 1,
    },
    'insert into clean.sessions select (jsonb_populate_record(s, \'{"session_id": "empty"}\')).* from clean.sessions s limit 1': {
        "sessions_agree_with_events": 1,
    },
    "update clean.events set event_time = event_time + interval '12 hours' where click_text = 'twice'": {
        "event_date_is_the_korean_day": 1,
        "sessions_agree_with_events": 1,
    },
    "update clean.events set flags = '{late,strange}' where click_text = 'twice'": {"words_are_known": 1},
    "update clean.events set channel = 'magic' where click_text = 'twice'": {"words_are_known": 1},
    "update clean.events set device_type = 'toaster', event_type = 'tap' where event_type = 'search'": {
        "words_are_known": 2,
    },
    "update ops.loads set segment = segment + 2 where segment = 2": {"ledger_is_gapless": 1, "finished_is_finished": 1},
    "update ops.loads set segment = segment + 9": {"ledger_is_gapless": 1, "finished_is_finished": 1},
    "update ops.audit set events = events + 1 where stage = 'load' and event_type = 'search'": {"loads_are_counted": 1},
    "update ops.audit set hash_sum = hash_sum + 1 where stage = 'load' and event_type = 'search'": {
        "loads_are_counted": 1,
    },
    "delete from ops.audit where stage = 'spool' and event_type = 'search'": {"loads_are_counted": 1},
    "update ops.audit set events = events - 1 where stage = 'process' and outcome = 'duplicate'": {
        "runs_are_counted": 1
    },
    "update ops.audit set hash_sum = hash_sum + 1 where stage = 'process' and outcome = 'dead_lettered'": {
        "runs_are_counted": 1,
    },
    "update ops.runs set loaded = loaded + 1 where run_id = (select min(run_id) from ops.runs)": {
        "runs_are_counted": 1
    },
    "update raw.events set load_id = -1 where event_type = 'search'": {"raw_has_its_load": 1},
    "insert into ops.waiting select load_id, loaded from ops.loads where segment = 1": {
        "waiting_is_what_is_unprocessed": 1,
    },
    "update ops.finished set segment = segment + 1": {"finished_is_finished": 1},
    # The operator may act as loader and processor, and has it too.
    "grant update on clean.events to sillok_processor": {"roles_have_only_what_they_need": 2},
    "grant select on ops.dead_letters, raw.events to sillok_reader": {"roles_have_only_what_they_need": 2},
    "grant delete on ops.loads to sillok_loader": {"roles_have_only_what_they_need": 2},
    "grant delete on ops.actions to sillok_operator": {"roles_have_only_what_they_need": 1},
    "grant update on ops.audit to sillok_operator": {"roles_have_only_what_they_need": 1},
    "do $$ begin execute format('grant select on %s to sillok_reader',"
    " (select inhrelid::regclass from pg_inherits where inhparent = 'raw.events'::regclass limit 1)); end $$": {
        "roles_have_only_what_they_need": 1
    },
    "grant select on clean.sessions to public": {"roles_have_only_what_they_need": 2},
    "alter role sillok_reader createdb": {"roles_have_only_what_they_need": 1},
}

PAGE_VIEW = "(select event_id from clean.events where event_type = 'page_view' order by seq limit 1)"
# The same for tables that a later migration makes.
PLANTED_THERE = {
    f"delete from clean.page_views where event_id = {PAGE_VIEW}": {
        "page_views_agree_with_events": 1,
        "page_views_are_in_order": 1,
    },
    f"update clean.page_views set entered_at = entered_at + interval '1 ms' where event_id = {PAGE_VIEW}": {
        "page_views_agree_with_events": 1,
    },
    f"update clean.page_views set session_id = 'nobody' where event_id = {PAGE_VIEW}": {
        "page_views_agree_with_events": 2,
        "page_views_are_in_order": 1,
    },
    f"update clean.page_views set next_page_code = 'M9' where event_id = {PAGE_VIEW}": {"page_views_are_in_order": 1},
    "update clean.page_views set clicks = clicks + 99": {"page_views_are_in_order": 2},
    "update clean.page_views set is_exit = true": {"page_views_are_in_order": 1},
    """alter table clean.identities drop constraint one_customer_at_a_time;
    insert into clean.identities select (jsonb_populate_record(i, jsonb_build_object('known_from', i.known_from +
        interval '1 s', 'valid', tstzrange(lower(i.valid) + interval '1 s', upper(i.valid))))).* from clean.identities i""": {
        "identities_do_not_overlap": 1,
    },
    "update clean.identities set is_shared = true, is_backfilled = false, valid = tstzrange(lower(valid) - interval '1 s', null)": {
        "shared_devices_are_not_backfilled": 1,
    },
}


@pytest.fixture
def day(road: Road) -> Road:
    """Return a road with a bit of everything: every outcome, two sources, two segments, one more that waits."""
    twice = event(click_text="twice", session_id="s", time=NOON // 1000)
    visit = {"session_id": "v", "anonymous_id": "a", "client_id": "i"}
    road.send(
        Sent(
            [
                event(event_type="page_view", page_code="M1", time=NOON // 1000 + 1, seq=1, **visit),
                event(event_type="login", customer_id="c", time=NOON // 1000 + 2, seq=2, **visit),
                event(event_type="page_view", page_code="M2", time=NOON // 1000 + 3, seq=3, **visit),
            ],
            at_us=NOON,
        ),
        Sent([twice, event(session_id="s", time=NOON // 1000 + 1), event()], at_us=NOON),
        Sent([event(event_type="search", session_id="s")], at_us=NOON, source="app"),
    )
    road.send(
        Sent([twice], at_us=NOON + MINUTE_US),
        Sent([msgspec.structs.replace(twice, click_text="other")], at_us=NOON + MINUTE_US + 1),
    )
    return road


def found(road: Road, since: datetime | None = None) -> dict[str, int]:
    """Return how many rows each check returns, without those that return none."""
    return {o.name: len(o.offenders) for o in run_checks(road.admin, since) if o.offenders}


def test_nothing_offends_in_a_day_with_everything(day):
    """Each check runs, also as the processor's role, and finds nothing."""
    assert found(day) == {}
    there = [c.name for c in all_checks() if c.needs is None or day.values("select to_regclass(%s)", c.needs) != [None]]
    assert [o.name for o in run_checks(day.processor)] == there


@pytest.mark.parametrize("statement", PLANTED, ids=range(len(PLANTED)))
def test_a_planted_offender_is_found(day, statement):
    """By the check that is there for it; the others see it only where it is wrong for them too."""
    with day.admin.transaction(force_rollback=True):
        day.admin.execute("set local session_replication_role = replica")
        day.admin.execute(statement.encode())
        assert found(day) == PLANTED[statement]


@pytest.mark.parametrize("statement", PLANTED_THERE, ids=range(len(PLANTED_THERE)))
def test_a_planted_offender_is_found_in_a_table_that_may_be_there(day, statement):
    """The same for checks that need a table."""
    expected = PLANTED_THERE[statement]
    needed = next(check.needs for check in all_checks() if check.name in expected)
    if day.values("select to_regclass(%s)", needed) == [None]:
        pytest.skip(f"{needed} is not there yet")
    with day.admin.transaction(force_rollback=True):
        day.admin.execute("set local session_replication_role = replica")
        day.admin.execute(statement.encode())
        assert found(day) == expected


def test_every_check_has_an_offender_that_it_finds():
    """A check that cannot fail is none."""
    planted = {**PLANTED, **PLANTED_THERE}
    assert {name for names in planted.values() for name in names} == {check.name for check in all_checks()}


def test_a_load_that_is_forgotten_by_the_queue_is_found(day):
    """A ledger row that neither waits nor was claimed would never be cleaned."""
    day.spool.write(event())
    day.load()
    assert found(day) == {}
    with day.admin.transaction(force_rollback=True):
        day.admin.execute("delete from ops.waiting")
        assert found(day) == {"waiting_is_what_is_unprocessed": 1}


def test_a_claim_taken_back_waits_again(day):
    """An operator who takes a claim back finds the load waiting and the slot's mark gone, whatever he forgot."""
    with day.admin.transaction(force_rollback=True):
        day.admin.execute("delete from ops.processed where load_id = (select max(load_id) from ops.processed)")
        assert day.values("select count(*) from ops.waiting") == [1]
        assert day.values("select finished_segment from ops.slot_progress") == [1]


@pytest.mark.parametrize(("days", "is_found"), [(2, True), (-1, False)])
def test_a_range_bounds_the_rows_that_are_looked_at(day, days, is_found):
    """`since` is what makes the doctor quick."""
    with day.admin.transaction(force_rollback=True):
        day.admin.execute("update clean.events set channel = 'magic' where click_text = 'twice'")
        assert found(day, moment(NOON - days * DAY_US)) == ({"words_are_known": 1} if is_found else {})


def test_rows_before_the_range_make_no_false_alarm(day):
    """Whatever moment the range begins at: sessions, runs and duplicates that reach back are not torn apart."""
    day.spool.clock = type(day.spool.clock)(NOON + 2 * MINUTE_US)
    day.send(*(Sent([event(session_id="s", time=(NOON + n * MINUTE_US) // 1000)]) for n in range(5)))
    moments = [moment(NOON + seconds * 1_000_000) for seconds in (-1, 0, 1, 60, 61, 120, 200, 50_000)]
    for since in (*moments, *(datetime.now(UTC) - timedelta(seconds=s) for s in (0, 1, 2, 3))):
        assert found(day, since) == {}


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.name)
def test_a_check_says_what_it_proves(check):
    """Its head has what the doctor shows, and what an operator needs to judge it."""
    assert check.proves.endswith(".")
    for key in ("Grain", "Reads", "Cost"):
        assert re.search(rf"^-- {key}: ", check.sql, re.MULTILINE), key


def test_a_check_of_a_table_that_is_not_there_is_left_out(day):
    """A file may be ahead of the tables."""
    check = msgspec.structs.replace(all_checks()[0], needs="clean.not_there", sql="select * from clean.not_there")
    assert list(run_checks(day.admin, checks=[check])) == []


def test_the_known_words_are_the_contracts():
    """The list in the check is the one of the contract and of the enrichments."""
    sql = next(check.sql for check in all_checks() if check.name == "words_are_known")
    listed: dict[str, set[str]] = {}
    for column, word in re.findall(r"\('(\w+)', '(\w+)'\)", sql):
        listed.setdefault(column, set()).add(word)
    assert listed.pop("device_type") == {"desktop", "mobile", "tablet", "bot", "other"}
    assert listed == {
        "event_type": set(EVENT_TYPES),
        "channel": set(get_args(Channel)),
        "flags": {*generate._DOOR_FLAGS, *generate._PROCESSOR_FLAGS},
    }


def test_the_reader_needs_no_rights_for_them(day):
    """Checks are the operators': analysts read clean and nothing else."""
    with connect(day.dsn, role="sillok_reader") as reader, pytest.raises(Exception, match="permission denied"):
        list(run_checks(reader))
