"""The same visitors for teams that have Locust: its web page, its users, its distributed workers.

    pip install locust
    SILLOK_KEY=qa-key locust --locustfile locustfile.py --host http://127.0.0.1:7070

Locust waits for an answer before a user sends again, so that a server that slows down is asked less (a closed loop):
good for looking, not for a verdict on a peak, for which `sillok loadtest` keeps a schedule. Every process has batches
of its own. Settings, from the environment: SILLOK_KEY, SILLOK_BATCH (10), SILLOK_SEED (1), SILLOK_RUN_ID (the time),
and SILLOK_PROCESS_DSN: then each process ends with the same verdict on what it sent, printed, and its exit status.
"""

import functools
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from locust import FastHttpUser, constant_throughput, events, task

from loadtest.plan import Mix, Plan
from loadtest.tally import Acknowledged, Load
from loadtest.verdict import Bounds, expected_clean, judge, wait_until_clean
from storage.postgres import connect

_OK: Final = 200
_SHED: Final = (429, 503)
_CLOCKS_APART: Final = timedelta(minutes=2)
_PATIENCE_S: Final = 120.0
_ANSWER_S: Final = 10.0


class _Answer(msgspec.Struct):
    accepted: int


class Run:
    """What this process sends, and what it was answered."""

    def __init__(self) -> None:
        # A process of its own, an id of its own: two workers must not send the same events.
        run_id = f"{os.environ.get('SILLOK_RUN_ID', int(time.time()))}-{uuid.uuid4().hex[:8]}"
        self.began = datetime.now(UTC)
        batch = int(os.environ.get("SILLOK_BATCH", "10"))
        seed = int(os.environ.get("SILLOK_SEED", "1"))
        # Locust has no second sending of the same request; every batch is sent once.
        self.plan = Plan(seed, run_id, self.now_ms(), batch, Mix(duplicates=0.0))
        self.load = Load()
        self.acknowledged = Acknowledged()

    def now_ms(self) -> int:
        """Return the time."""
        return time.time_ns() // 1_000_000

    def begin(self) -> int:
        """Return the number of the next batch."""
        number = self.load.batches
        self.acknowledged.begin()
        self.load.batches += 1
        self.load.sent += self.plan.size(number)
        return number

    def verdict(self, dsn: str) -> list[str]:
        """Return the claims that do not hold."""
        since = self.began - _CLOCKS_APART
        with connect(dsn, role="sillok_processor", application="locust") as connection:
            expected = expected_clean(self.plan, self.acknowledged)
            drained_s = wait_until_clean(connection, self.plan, since, expected, 0, _PATIENCE_S)
            # How much was sent was up to the answers; those that were none are in Locust's own table.
            bounds = Bounds(achieved=None, shed=None, lag_ms=None)
            found = judge(connection, self.plan, self.load, self.acknowledged, since, drained_s, bounds)
        return [
            f"{check.name}: wanted {check.wanted}, found {check.found}" for check in found.checks if not check.holds
        ]


@functools.cache
def this_run() -> Run:
    """Return the run of this process: made when it is first asked for, after Locust has forked its workers."""
    return Run()


class Visitor(FastHttpUser):
    """One app that sends a batch each second."""

    wait_time = constant_throughput(1)

    @task
    def send(self) -> None:
        """Send the next batch."""
        run = this_run()
        number = run.begin()
        batch = run.plan.batch(number, run.now_ms() - int(run.began.timestamp() * 1000))
        headers = {
            "Authorization": f"Bearer {os.environ['SILLOK_KEY']}",
            "Content-Type": "application/json",
            "User-Agent": batch.user_agent.decode(),
            **({"Content-Encoding": "gzip"} if batch.is_gzip else {}),
        }
        body: Any = batch.body  # bytes are taken, whatever its types say
        with self.client.post("/v1/events", data=body, headers=headers, catch_response=True) as answer:
            if answer.status_code == _OK:
                run.acknowledged.settle(number)
                run.load.acknowledged += run.plan.size(number)
                run.load.refused += run.plan.size(number) - msgspec.json.decode(answer.content, type=_Answer).accepted
            elif answer.status_code in _SHED:
                run.load.shed += run.plan.size(number)


@events.init.add_listener  # type: ignore[untyped-decorator]
def _be_patient(environment: Any, **_: Any) -> None:
    """Let users have their last answers: without one nobody knows whether the batch was taken."""
    environment.stop_timeout = _ANSWER_S


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _judge(environment: Any, **_: Any) -> None:
    """Give the verdict on what this process sent."""
    run = this_run()
    dsn = os.environ.get("SILLOK_PROCESS_DSN", "")
    if not dsn or not run.load.sent:
        return
    failing = run.verdict(dsn)
    print(f"{run.load.acknowledged:,} of {run.load.sent:,} events acknowledged;", "; ".join(failing) or "all are clean")  # noqa: T201
    if failing:
        environment.process_exit_code = 1
