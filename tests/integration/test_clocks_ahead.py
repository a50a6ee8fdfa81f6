"""A collector whose clock is ahead of the database's: said by the slot's name, never final, and never taken back."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

import pytest

from commands.doctor_database import Finding, examine_database
from commands.metrics import render
from storage.postgres import connect
from storage.spool.settings import SpoolSettings
from tests.builders import Living, Road, Spool, event
from tests.fakes import FakeClock
from tests.operating import sillok, write_settings

_DAY_S = 86_400
# From longer than any test takes to the furthest that `ops.ensure_raw_partition` takes.
AHEAD_S = [3_600, 3 * _DAY_S, 7 * _DAY_S]
GRACE_S = 600


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def living(road: Road) -> Iterator[Living]:
    """Yield a collector that lives, and whose clock was right ten minutes ago."""
    with collecting(road.spool) as living:
        yield living


def collecting(spool: Spool) -> AbstractContextManager[Living]:
    spool.clock = FakeClock(now_us() - GRACE_S * 1_000_000)
    return spool.living(SpoolSettings())


def take(road: Road, living: Living, *, at_us: int | None = None) -> None:
    """Set the collector's clock, and take one event of its all the way."""
    if at_us is not None:
        living.clock.step((at_us - living.clock.wall_us()) / 1e6)
        living.turn()
    living.send(event(time=now_us() // 1000))
    living.seal()
    spool = Spool(road.spool.path, slot=living.folder.slot)
    road.load(spool)
    road.process()


def watermark(road: Road) -> tuple[datetime | None, bool]:
    [row] = road.rows("select finished_until, all_final from ops.watermark")
    return row["finished_until"], row["all_final"]


def database_now(road: Road) -> datetime:
    [now] = road.values("select clock_timestamp()")
    return now


def doctor(road: Road, role: str = "sillok_processor") -> dict[str, Finding]:
    with connect(road.dsn, role=role) as connection:
        return {finding.check: finding for finding in examine_database(connection)}


def advice(road: Road, role: str = "sillok_processor") -> str:
    return " ".join(f.advice for f in doctor(road, role).values() if f.check.startswith(("watermark", "clock of")))


def slot_name(living: Living) -> str:
    return f"slot {living.folder.slot} of spool {str(living.folder.spool_id)[:8]}"


@pytest.mark.parametrize("ahead_s", AHEAD_S)
def test_the_watermark_waits_where_the_clock_was_right_and_never_runs_back(
    road: Road, living: Living, ahead_s: int
) -> None:
    """Days that have not come are never final; once the clock is right, the watermark goes on from where it was."""
    take(road, living)
    right, _ = watermark(road)
    seen = [right]
    for _ in range(3):
        take(road, living, at_us=now_us() + ahead_s * 1_000_000)
        seen.append(watermark(road)[0])
    assert seen == [right] * 4
    take(road, living, at_us=now_us() - 2_000_000)
    after, _ = watermark(road)
    assert right < after <= database_now(road)
    take(road, living)
    assert after < watermark(road)[0] <= database_now(road)


def test_of_a_collector_that_was_never_right_nothing_is_finished(road: Road, living: Living) -> None:
    take(road, living, at_us=now_us() + 3 * _DAY_S * 1_000_000)
    assert watermark(road) == (None, False)
    road.admin.execute("update ops.slots set seen_at = now() - interval '1 hour'")
    (lag_s,) = re.findall(r"^sillok_watermark_lag_seconds (\S+)$", render(road.processor), re.MULTILINE)
    assert 3_600 <= float(lag_s) < 3_700, "nobody takes what is not finished for what does not lag"


@pytest.mark.parametrize("ahead_s", AHEAD_S)
def test_a_clean_stop_makes_nothing_final_that_has_not_come(road: Road, ahead_s: int) -> None:
    with collecting(road.spool) as living:
        take(road, living)
        right, _ = watermark(road)
        take(road, living, at_us=now_us() + ahead_s * 1_000_000)
    road.load()
    road.process()
    assert watermark(road) == (right, False)


def test_one_collector_ahead_holds_up_the_others_and_is_told_from_them(road: Road, living: Living) -> None:
    take(road, living)
    right, _ = watermark(road)
    with collecting(Spool(road.spool.path, slot=7)) as other:
        take(road, other, at_us=now_us() + 3_600_000_000)
        take(road, living, at_us=now_us())
        assert watermark(road)[0] is None, "of the other nothing can be believed yet"
        assert slot_name(other) in advice(road)
        assert slot_name(living) not in advice(road)
        take(road, other, at_us=now_us())
        assert right < watermark(road)[0]


@pytest.mark.parametrize("ahead_s", AHEAD_S)
def test_everybody_says_so_by_the_slots_name(road: Road, living: Living, tmp_path: Path, ahead_s: int) -> None:
    """Doctor, reconcile and metrics: as an alarm, and nobody says that it is final."""
    take(road, living)
    assert slot_name(living) not in str(doctor(road)), "what is right is not spoken of"
    take(road, living, at_us=now_us() + ahead_s * 1_000_000)
    for role in ("sillok_processor", "sillok_loader"):
        assert slot_name(living) in advice(road, role)
    settings = write_settings(road, tmp_path)
    for arguments in ((), ("--from", f"{database_now(road):%Y-%m-%dT00:00%z}", "--until", "2099-01-01")):
        told = sillok(settings, "reconcile", *arguments)
        printed = " ".join(told.stdout.split())
        assert told.returncode == 1, told.stdout + told.stderr
        assert slot_name(living) in printed
        assert "NOT final" in printed
        assert "(final)" not in printed
        books = json.loads(sillok(settings, "reconcile", *arguments, "--json").stdout)
        assert (books["final"], books["stalled"]) == (False, True)
    metric = re.search(r'sillok_slot_ahead_seconds\{slot="0",spool="(\w{8})"\} (\S+)', render(road.processor))
    assert metric, render(road.processor)
    assert metric[1] == str(living.folder.spool_id)[:8]
    assert ahead_s - 1_800 < float(metric[2]) <= ahead_s + 30


def test_a_clock_that_was_put_right_is_no_alarm_any_more(road: Road, living: Living, tmp_path: Path) -> None:
    """What stands ahead stays told until its time has come; there is nothing left to do."""
    take(road, living, at_us=now_us() + 3_600_000_000)
    take(road, living, at_us=now_us())
    told = doctor(road)[f"clock of {slot_name(living)}"]
    assert (told.result[:28], told.advice) == ("was ahead and is right again", "")
    assert advice(road).strip() == ""
    assert "sillok_slot_ahead_seconds{" not in render(road.processor)
    assert sillok(write_settings(road, tmp_path), "reconcile").returncode == 0


def test_first_arrivals_are_not_forgotten_early(road: Road, living: Living) -> None:
    """Deduplication's memory goes by the watermark: a week ahead it would have ended a week too soon."""
    take(road, living)
    before = road.values("select ops.day_of(finished_until) from ops.watermark")
    take(road, living, at_us=now_us() + 7 * _DAY_S * 1_000_000)
    assert road.values("select ops.day_of(finished_until) from ops.watermark") == before


def test_clocks_that_differ_by_moments_are_no_fault(road: Road, living: Living) -> None:
    take(road, living, at_us=now_us() + 500_000)
    assert advice(road).strip() == ""
    assert watermark(road)[0] <= database_now(road)
