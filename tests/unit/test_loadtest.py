"""The load test's own arithmetic: the search for the highest rate, lags, what is acknowledged, earlier runs, recordings."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.history import LIKE, History, Run
from loadtest.parts import Parts
from loadtest.plan import Mix
from loadtest.recording import LogRecording
from loadtest.replay import Replay
from loadtest.steps import Step, find_highest, highest
from loadtest.tally import Acknowledged
from loadtest.watch import Sample, lags

LOG = """\
203.0.113.7 - - [17/May/2026:10:05:03 +0000] "GET /a HTTP/1.1" 200 1 "-" "Mozilla/5.0 \u2713"
203.0.113.8 - - [17/May/2026:10:05:04 +0000] "GET /b HTTP/1.1" 404 1 "-" "curl/8"
203.0.113.7 - - [17/May/2026:10:05:05 +0000] "GET /c HTTP/1.1" 200 1 "-" "Mozilla/5.0 \u2713"
203.0.113.7 - - [17/May/2026:10:06:43 +0000] "GET /d HTTP/1.1" 200 1 "-" "Mozilla/5.0 \u2713"
"""


@given(limit=st.floats(min_value=1, max_value=1e6), first=st.floats(min_value=1, max_value=1e5))
def test_the_search_ends_within_six_percent_of_the_limit(limit: float, first: float) -> None:
    async def drive(rate: float) -> Step:
        return Step(rate=rate, seconds=1, sent=1, acknowledged=1, shed=0, p50_ms=1, p99_ms=1, driver_lag_p99_ms=0,
                    drained_s=None, broke="" if rate <= limit else "too much")  # fmt: skip

    steps = asyncio.run(find_highest(first, drive))
    best = highest(steps)
    if len(steps) < 16:
        assert best is not None
        assert best.rate <= limit < best.rate * 1.06
    assert len(steps) <= 16


def test_a_search_that_is_interrupted_keeps_what_it_found() -> None:
    rates: list[float] = []

    async def drive(rate: float) -> Step | None:
        rates.append(rate)
        return None

    assert asyncio.run(find_highest(100, drive)) == []
    assert rates == [100]


def test_a_lag_is_until_as_much_is_clean_or_at_least_until_the_last_look() -> None:
    series = [(0, 0, 0), (1, 100, 0), (2, 200, 50), (3, 200, 100), (4, 200, 200), (5, 300, 200)]
    samples = [Sample(at, acknowledged, clean, {}) for at, acknowledged, clean in series]
    assert lags(samples) == [(0, 0), (1, 2), (2, 2), (3, 1), (4, 0), (5, 0)]
    stuck = [Sample(at, 100, 0, {}) for at in range(5)]
    assert lags(stuck) == [(0, 4), (1, 3), (2, 2), (3, 1), (4, 0)]


def test_what_is_acknowledged_takes_no_memory() -> None:
    acknowledged = Acknowledged()
    for number in range(10_000):
        acknowledged.begin()
        if number % 1_000 != 7:
            acknowledged.settle(number)
    assert 6 in acknowledged
    assert 7 not in acknowledged
    assert 10_000 not in acknowledged
    assert sum(1 for _ in acknowledged) == 9_990
    assert len(acknowledged._open) == 10


def test_a_run_is_held_only_against_runs_like_it(tmp_path: Path) -> None:
    run = Run(run_id="a", started_at=datetime(2026, 11, 1, tzinfo=UTC), url="u", shape="constant", rate=1.0, seconds=1.0,
              batch_events=1, mix="as ever", machine="m", holds=True, sent=1, acknowledged=1, shed=0, missing=0, achieved_rate=1.0,
              p50_ms=1.0, p99_ms=1.0, max_ms=1.0, lag_p95_s=None, drained_s=None, highest_rate=None)  # fmt: skip
    history = History(tmp_path / "new" / "runs.sqlite")
    assert history.like(run) == []
    history.add(run)
    assert history.like(run) == []
    later = msgspec.structs.replace(run, run_id="b", started_at=run.started_at + timedelta(days=1), holds=False)
    assert history.like(later) == [run]
    history.add(later)
    history.add(later)
    last = msgspec.structs.replace(run, run_id="c", started_at=run.started_at + timedelta(days=2))
    assert History(tmp_path / "new" / "runs.sqlite").like(last) == [run, later]
    assert history.like(last, most=1) == [later]
    for name in LIKE:
        other = "x" if isinstance(getattr(last, name), str) else 7
        assert history.like(msgspec.structs.replace(last, **{name: other})) == []


def test_an_access_log_is_batches_of_one_visitor(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(LOG, "utf-8")
    recording = LogRecording(path, "https://www.example.com")
    assert list(recording.sizes) == [1, 2, 1]
    assert list(recording.offsets_ms) == [0, 1_000, 99_000]
    replay = Replay(recording, 1, "run", 1_790_000_000_000, Mix(gzip=0), speed=10)
    assert list(replay.due()) == [0, 0.1, 9.9]
    assert replay.events == 4
    batch = replay.batch(1, 100)
    assert batch.user_agent == b"Mozilla/5.0 ?"
    events = msgspec.json.decode(batch.body)["events"]
    assert [event["time"] for event in events] == [1_790_000_000_100 - 2_000, 1_790_000_000_100]
    assert [event["event_id"][-12:] for event in events] == [f"{1:012x}", f"{2:012x}"]


def test_what_a_part_used_stays_counted_when_a_process_of_it_ends() -> None:
    """A worker that died has used what it used."""
    burn = "import time\ninput()\nwhile time.process_time() < 0.5: pass\nprint('burnt', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        parts = Parts(lambda: [("loader", psutil.Process(process.pid)), ("driver", psutil.Process())])
        assert "loader" in parts.use()
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        loader = parts.use()["loader"]
        assert loader.memory_mib > 1
        used = loader.cpu_s
        assert used > 0.2
        process.communicate(b"\n")
        seen = parts.use()
    assert "loader" not in seen
    assert parts._ended["loader"] == pytest.approx(used, abs=0.2)
