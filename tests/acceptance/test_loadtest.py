"""The load test's verdict can be believed: it passes what is whole, and finds each thing that is not."""

import asyncio
import json
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from commands.up import Installation
from loadtest.driver import Driver
from loadtest.plan import Batch, Mix, Plan
from loadtest.run import scheduled_run
from loadtest.shapes import Shape
from loadtest.tally import Acknowledged, Load
from loadtest.verdict import Bounds, Verdict, expected_clean, judge, wait_until_clean
from storage.postgres import connect
from tests.acceptance.qa import finished, sillok, url
from tests.builders import eventually

MIX = Mix(duplicates=0.1, malformed=0.1, late=0.1)
# What else runs on the machine is not what is tested.
PATIENT = Bounds(achieved=0, lag_ms=60_000)


class Run:
    """One run in this process, so that it can be spoiled between the load and the verdict."""

    def __init__(self, installation: Installation, run_id: str, key: str = "qa") -> None:
        now = datetime.now(UTC)
        self.plan = Plan(1, run_id, int(now.timestamp() * 1000), 10, MIX)
        self.since = now - timedelta(minutes=1)
        self.driver = Driver(url(installation), key, self.plan, say=lambda _: None)
        asyncio.run(scheduled_run(self.driver, Shape("constant", 400, 3).due(10)))
        self.load = self.driver.load

    def settle(self, connection: psycopg.Connection) -> None:
        expected, again = expected_clean(self.plan, self.driver.acknowledged), self.load.acknowledged_again
        assert wait_until_clean(connection, self.plan, self.since, expected, again, 60) is not None

    def verdict(self, connection: psycopg.Connection, bounds: Bounds | None = None) -> Verdict:
        return judge(connection, self.plan, self.load, self.driver.acknowledged, self.since, 1.0, bounds or PATIENT)


def failing(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.holds]


def test_an_installation_that_takes_its_load_passes_and_a_second_run_is_no_duplicate(
    installation: Installation, tmp_path: Path
) -> None:
    for _ in range(2):
        status, said, errors = finished(
            sillok(installation, tmp_path, "--rate", "300", "--seconds", "3", "--malformed", "0.1", "--json")
        )
        assert status == 0, said + errors
        report = json.loads(said)
        load, verdict = report["load"], report["verdict"]
        assert load["sent"] == load["acknowledged"] > 800
        assert verdict["clean"] == load["sent"] - load["refused"]
        assert load["refused"] == verdict["rejected"] > 0
        assert verdict["loaded"] == verdict["clean"] + verdict["duplicates"]
        assert sum(row["wanted"] for row in load["rows"]) == load["sent"]


def test_the_verdict_finds_what_is_spoiled(installation: Installation) -> None:
    run = Run(installation, "spoiled")
    with connect(installation.dsn) as connection:
        run.settle(connection)
        whole = run.verdict(connection)
        assert failing(whole) == []
        assert whole.clean > 1_000
        for statement, claim in (
            ("delete from ops.rejected where event_id::text like %s", "what was refused is kept"),
            ("delete from ops.duplicates where event_id::text like %s", "what was sent twice is a duplicate"),
            ("update clean.events set is_test = false where event_id::text like %s", "the rows carry is_test"),
            (
                "insert into clean.events select * from clean.events where event_id::text like %s limit 1",
                "nothing is clean twice",
            ),
            (
                "delete from clean.events where ctid = (select ctid from clean.events where event_id::text like %s limit 1)",
                "every acknowledged event is clean",
            ),
        ):
            with connection.transaction(force_rollback=True):
                connection.execute(statement, (run.plan.id_pattern,))
                assert failing(run.verdict(connection)) == [claim]
        (number,) = connection.execute(
            "select ('x' || right(event_id::text, 12))::bit(48)::bigint from clean.events where event_id::text like %s limit 1",
            (run.plan.id_pattern,),
        ).fetchone() or (0,)
        with connection.transaction(force_rollback=True):
            connection.execute(
                "delete from clean.events where event_id::text like %s and right(event_id::text, 12) = %s",
                (run.plan.id_pattern, f"{number:012x}"),
            )
            (check,) = [check for check in run.verdict(connection).checks if not check.holds]
            assert check.found == f"1 missing, number {number}"


@pytest.mark.parametrize(
    ("bounds", "claim"),
    [
        (Bounds(p99_ms=0.001, achieved=0), "answers are quick"),
        (Bounds(achieved=1.1), "the load was taken in time"),
        (Bounds(drain_s=0.1, achieved=0), "the backlog drains"),
        (Bounds(shed=-1, achieved=0), "nothing was shed"),
        (Bounds(lag_ms=0.001, achieved=0), "the driver kept the schedule"),
    ],
)
def test_each_bound_is_held(installation: Installation, bounds: Bounds, claim: str) -> None:
    plan = Plan(1, "bounds", 0, 10, MIX)
    load = Load(sent=100, acknowledged=100, p99_ms=1.0, driver_lag_p99_ms=1.0)
    with connect(installation.dsn) as connection:
        found = judge(connection, plan, load, Acknowledged(), datetime.now(UTC), 1.0, bounds)
        assert failing(found) == [claim]


def test_a_collector_that_is_killed_under_load_loses_nothing_it_acknowledged(
    installation: Installation, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    process = sillok(installation, tmp_path, "--rate", "500", "--seconds", "8", "--max-shed", "4000", "--json")
    with connect(installation.dsn) as connection:
        loads = "select count(*) from ops.loads where loaded > 0 and until > %s"
        eventually(lambda: (connection.execute(loads, (began,)).fetchone() or (0,))[0] > 0, "nothing was loaded")
    child = installation.children["serve"]
    child.send(signal.SIGKILL)
    ends = time.monotonic() + 30
    while child.restarts == 0 and time.monotonic() < ends:
        child.watch()  # as `sillok up` does
        time.sleep(0.1)
    status, said, errors = finished(process)
    report = json.loads(said)
    assert report["load"]["tries_without_answer"] > 0
    failed = {check["name"] for check in report["verdict"]["checks"] if not check["holds"]}
    assert failed <= {"the load was taken in time", "answers are quick"}, said + errors
    assert status == bool(failed)


def test_an_interrupted_load_still_has_its_verdict(installation: Installation, tmp_path: Path) -> None:
    process = sillok(installation, tmp_path, "--rate", "200", "--seconds", "600", "--json")
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    status, said, errors = finished(process)
    assert status == 0, said + errors
    assert json.loads(said)["load"]["seconds"] < 30


def test_a_key_of_customers_is_said(installation: Installation) -> None:
    run = Run(installation, "app", key="app")
    with connect(installation.dsn) as connection:
        run.settle(connection)
        assert failing(run.verdict(connection)) == ["the rows carry is_test"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--url", "http://127.0.0.1:9"), "no collector answers at http://127.0.0.1:9"),
        (("--key", "wrong"), "does not take this key (status 401)"),
        (("--url", "http://collect.example.com"), "collect.example.com is not this machine"),
        (("--url", "https://127.0.0.1"), "write http://HOST:PORT"),
        (("--p99-ms", "fast"), "'fast' is no number above 0"),
        (("--malformed", "2"), "'2' is no share"),
        (("--batch", "2000"), "'2000' is no size of a batch"),
        (("--replay", "nowhere"), "nowhere does not exist"),
        (("--replay", "docs"), "no sealed segment is in docs"),
        (("--replay", "README.md"), "cannot be read as an access log: line 1 is not in the combined log format"),
        (("--history", "/proc/no/where.sqlite"), "cannot keep the history of runs in /proc/no/where.sqlite"),
    ],
)
def test_a_mistake_is_one_sentence(
    installation: Installation, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    status, said, errors = finished(sillok(installation, tmp_path, *arguments))
    assert (status, said) == (2, "")
    assert sentence in errors
    assert "Traceback" not in errors


def test_one_seed_run_and_start_give_the_same_bytes_and_another_run_other_ids() -> None:
    def bodies(run_id: str, seed: int = 1) -> list[bytes]:
        plan = Plan(seed, run_id, 1_790_000_000_000, 20, MIX)
        return [plan.batch(number, number * 7).body for number in range(300)]

    def ids(run_id: str) -> set[str]:
        plan = Plan(1, run_id, 1_790_000_000_000, 20, Mix(gzip=0, malformed=0))
        texts = [json.loads(plan.batch(number, number * 7).body) for number in range(300)]
        return {event["event_id"] for text in texts for event in text["events"]}

    assert bodies("a") == bodies("a") != bodies("a", seed=2)
    assert len(ids("a")) == 6_000
    assert not ids("a") & ids("b")


def test_the_market_opens_thirty_times_as_busy_within_a_second() -> None:
    shape = Shape("market-open", 3_000, 40)
    due = list(shape.due(10))
    by_second = [sum(second <= at < second + 1 for at in due) * 10 for second in range(40)]
    assert max(by_second[:10]) <= 110
    assert 2_500 < max(by_second) <= 3_000
    assert by_second.index(max(by_second)) == 11
    assert by_second[-1] < 1_000
    assert due == sorted(due)


def test_a_driver_that_is_late_itself_calls_the_run_invalid(installation: Installation) -> None:
    class Slow(Plan):
        def batch(self, number: int, offset_ms: int) -> Batch:
            time.sleep(0.02)
            return super().batch(number, offset_ms)

    plan = Slow(1, "slow", int(time.time() * 1000), 10, Mix(duplicates=0, malformed=0))
    driver = Driver(url(installation), "qa", plan, say=lambda _: None)
    asyncio.run(scheduled_run(driver, Shape("constant", 1_000, 2).due(10)))
    load = driver.load
    assert load.driver_lag_p99_ms > 100
    with connect(installation.dsn) as connection:
        verdict = judge(connection, plan, load, Acknowledged(), datetime.now(UTC), 1.0, Bounds(achieved=0))
    assert not verdict.is_valid
    assert failing(verdict)[0] == "the driver kept the schedule"
