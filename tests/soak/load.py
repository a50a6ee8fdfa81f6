"""The load and its verdict: all that the soak knows of the load test."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import uvloop

from loadtest.driver import Driver
from loadtest.plan import Plan
from loadtest.run import scheduled_run
from loadtest.shapes import Shape
from loadtest.tally import Load
from loadtest.verdict import Bounds, Verdict, expected_clean, judge, wait_until_clean

_BATCH = 10
_CLOCKS_APART = timedelta(minutes=2)
# What a load above what the machine can clean has left behind takes its time; it is told.
_PATIENCE_S = 3600.0
_COUNTED = "select coalesce(sum(events), 0)::bigint from ops.audit where stage = 'process' and outcome = 'clean'"
_ROWS = 300
# What is shed or slow in a fault is in the report; what is lost or twice fails the run.
_BOUNDS = Bounds(achieved=None, shed=None)


class Run:
    """One load on a site, and what became of it."""

    def __init__(self, url: str, key: str, rate: float, seconds: float, seed: int) -> None:
        self.started_at = datetime.now(UTC)
        run_id = f"soak-{self.started_at:%Y%m%dT%H%M%S}"
        self._plan = Plan(seed, run_id, int(self.started_at.timestamp() * 1000), _BATCH)
        self._since = self.started_at - _CLOCKS_APART
        self._drained_s: float | None = None
        self._shape = Shape("soak", rate, seconds)
        self._driver = Driver(url, key, self._plan, say=lambda _load: None, row_s=max(1.0, seconds / _ROWS))

    def send(self) -> Load:
        """Keep the schedule to its end, before everything else where we may: a driver that is late measures itself."""
        if os.geteuid() == 0:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)  # this thread's alone
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scheduled_run(self._driver, self._shape.due(_BATCH)))
        return self._driver.load

    def wait(self, connection: psycopg.Connection, say: Callable[[int], None]) -> None:
        """Wait until everything acknowledged is clean; not for ever."""
        expected, again = expected_clean(self._plan, self._driver.acknowledged), self._driver.load.acknowledged_again

        def counted() -> int:
            (clean,) = connection.execute(_COUNTED).fetchone() or (0,)
            say(clean)
            time.sleep(5)
            return int(clean)

        self._drained_s = wait_until_clean(connection, self._plan, self._since, expected, again, _PATIENCE_S, counted)

    def verdict(self, connection: psycopg.Connection) -> Verdict:
        """Ask the tables, once the books are final: a duplicate may be counted later than the last clean event."""
        acknowledged = self._driver.acknowledged
        return judge(connection, self._plan, self._driver.load, acknowledged, self._since, self._drained_s, _BOUNDS)
