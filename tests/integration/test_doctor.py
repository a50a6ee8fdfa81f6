"""`sillok doctor` and the database: all well says so, and each fault is named with what to do."""

import json
import subprocess
import sys

import psycopg
import pytest

from commands.doctor_database import Finding, examine_database
from processor.checks import Check, all_checks, run_checks
from storage.postgres import connect
from storage.spool.settings import SpoolSettings
from tests.builders import MINUTE_US, Road, Sent, event, fresh_database, today_us
from tests.integration.conftest import clean_environment

LOOKED_AT = [
    "database",
    "migrations",
    "database disk",
    "database clock",
    "partitions",
    "loads",
    "watermark",
    "dead letters",
    "sessions",
    "checked",
]


def findings(connection: psycopg.Connection) -> dict[str, Finding]:
    found = list(examine_database(connection))
    assert len({f.check for f in found}) == len(found)
    return {f.check: f for f in found}


def advised(connection: psycopg.Connection) -> dict[str, str]:
    """Return what the doctor advises, but for the servers of the tests, which do not sync."""
    found = {name: finding.advice for name, finding in findings(connection).items() if finding.advice}
    assert "fsync and full_page_writes on" in found.pop("database disk")
    return found


@pytest.fixture
def well(road: Road) -> Road:
    twice = event(session_id="s")
    road.send(Sent([twice, event()]), Sent([twice]))
    return road


@pytest.mark.parametrize("role", [None, "sillok_processor"])
def test_a_healthy_database_is_said_to_be_so(well, role):
    """Every part and every check, also for a user that may act as the processor and no more."""
    with connect(well.dsn, role=role) as connection:
        found = findings(connection)
    assert list(found)[: len(LOOKED_AT)] == LOOKED_AT
    assert set(found) >= {check.name.replace("_", " ") for check in all_checks() if check.needs is None}
    assert {f.result for name, f in found.items() if name not in LOOKED_AT} == {"holds"}
    assert found["checked"].result.startswith("what came since 20")
    assert found["dead letters"] == Finding("dead letters", "none")
    assert found["loads"].result.startswith("0 with 0 events wait")


def test_the_doctor_changes_nothing(well):
    """The trial of tomorrow's partitions is taken back."""
    partitions = "select count(*) from pg_inherits"
    before = well.values(partitions)
    assert advised(well.admin) == {}
    assert well.values(partitions) == before


@pytest.mark.parametrize(
    ("fault", "undo", "check", "advice"),
    [
        ("insert into ops.dead_letters overriding system value values (1, 'load', 1, null, now(), 'web', 'click', null, 'row_refused', '')",
         "delete from ops.dead_letters", "dead letters",
         "see `sillok dead-letters list`; mend the cause, then `retry`, or `discard` what cannot be mended"),
        ("update clean.sessions set clicks = 99", "delete from clean.sessions",
         "sessions agree with events", "see processor/checks/sessions_agree_with_events.sql"),
        ("grant select on raw.events to sillok_reader", "revoke select on raw.events from sillok_reader",
         "roles have only what they need", "see processor/checks/roles_have_only_what_they_need.sql"),
        ("revoke execute on function ops.ensure_clean_partition from sillok_processor",
         "grant execute on function ops.ensure_clean_partition to sillok_processor",
         "partitions", "ops.ensure_clean_partition: permission denied for function ensure_clean_partition"),
        ("delete from ops.processed; update ops.loads set loaded_at = now() - interval '2 minutes'",
         "delete from ops.loads", "loads", "is `sillok process` running?"),
    ],
    ids=["dead letter", "check", "right too many", "right too few", "no processor"],
)  # fmt: skip
def test_a_fault_is_named_with_what_to_do(well, fault, undo, check, advice):
    """One fault, one advice, where it belongs."""
    well.reset_later(undo)
    well.admin.execute(fault)
    found = advised(well.admin)
    assert found.pop(check) == advice
    assert not found or check == "loads"


def test_a_session_that_never_ends_is_named(well):
    """Every batch of the processor reads a session that it adds to, whole."""
    well.reset_later("delete from clean.sessions")
    well.admin.execute("update clean.sessions set events = 20001 where session_id = 's'")
    found = findings(well.admin)["sessions"]
    assert found.result == "the longest of seven days has 20,001 events"
    assert found.advice.startswith("session s of web never ends")


def test_a_silent_slot_is_said(road):
    """Nothing came for minutes, and no clean stop: its collector is gone."""
    road.spool.clock = type(road.spool.clock)(today_us(0) - 5 * MINUTE_US)
    with road.spool.living(SpoolSettings()) as living:
        living.send(event())
        living.seal()
        road.load()
        road.process()
        assert advised(road.admin) == {"watermark": "a slot is silent: is its collector running? See ops.slot_progress"}


def test_a_database_before_its_migrations_is_looked_at_no_further(postgres):
    with fresh_database(postgres, "template1") as dsn, connect(dsn) as connection:
        found = findings(connection)
    assert list(found) == ["database", "migrations"]
    assert found["migrations"].advice == "run `sillok migrate`"


def test_a_check_that_takes_too_long_is_said_and_the_others_run(well):
    """A busy database: no check holds up the doctor, or stands for the others."""
    slow = Check("slow", "", None, "select pg_sleep(60)")
    with connect(well.dsn) as connection:
        connection.execute("set statement_timeout = 1000")
        first, second = run_checks(connection, checks=[slow, Check("quick", "", None, "select 1 as n")], safely=True)
    assert first.failure == "canceling statement due to statement timeout"
    assert (second.failure, second.offenders) == ("", [{"n": 1}])


def test_the_command_prints_the_same_as_json(well, tmp_path):
    """For a monitor: every finding with its advice, exit status 1 when there is any."""
    done = subprocess.run(
        [sys.executable, "-m", "sillok", "doctor", "--json"],
        env=clean_environment(SILLOK_PROCESS_DSN=well.dsn, SILLOK_DATA_FOLDER=str(tmp_path / "data")),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = {f["check"]: f for f in json.loads(done.stdout)}
    assert done.returncode == 1
    assert printed.keys() >= {*LOOKED_AT, "disk sync", "duplicates have an original"}
    assert printed["duplicates have an original"] == {
        "check": "duplicates have an original",
        "result": "holds",
        "advice": "",
    }


def test_only_recent_rows_are_looked_at(road):
    """What was received last week is the tests' and the audits' to check, so that the doctor stays quick."""
    old_us = today_us(12, days=-6)
    road.spool.clock = type(road.spool.clock)(old_us)
    road.send(Sent([event(session_id="s", time=old_us // 1000 - MINUTE_US // 1000)]))
    road.admin.execute("update clean.events set channel = 'magic'")
    assert advised(road.admin) == {}


def test_no_more_than_a_million_events_are_looked_at(well):
    """On a large day the checks begin later."""
    well.admin.execute("update ops.loads set loaded_at = loaded_at - interval '1 hour' where segment = 1")
    (oldest,) = well.values("select min(loaded_at) from ops.loads")
    assert findings(well.admin)["checked"].result < f"what came since {oldest:%Y-%m-%d %H:%M:%S} KST"
    well.spool.write(event())
    well.load()
    well.admin.execute("update ops.loads set loaded = 600000, accepted = 600000, dead_lettered = 0")
    (newest,) = well.values("select max(loaded_at) from ops.loads")
    assert findings(well.admin)["checked"].result == f"what came since {newest:%Y-%m-%d %H:%M:%S} KST"
