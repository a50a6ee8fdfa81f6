"""The courses that a run can take: one leg on a schedule, or steps that each wait for the tables."""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Final

from loadtest.driver import Driver
from loadtest.plan import Plan
from loadtest.report import Report
from loadtest.shapes import Shape
from loadtest.steps import Step, find_highest
from loadtest.verdict import Bounds
from loadtest.watch import Watch

_DRAIN_S: Final = 60.0


async def scheduled_run(driver: Driver, schedule: Iterable[float]) -> None:
    """Keep one schedule."""
    await driver.run(schedule)
    driver.close()


async def stepped_run(driver: Driver, watch: Watch, plan: Plan, report: Report, bounds: Bounds) -> None:
    """Find the highest rate; every step begins when the one before is clean, or is given up."""

    async def drive(rate: float) -> Step | None:
        row_s = driver.tally.row_s
        begins = math.ceil(driver.now_s() / row_s) * row_s
        delay = begins - driver.now_s()
        shape = Shape("constant", rate, report.seconds)
        await driver.run(delay + at for at in shape.due(plan.batch_events))
        if driver.is_stopped:
            return None
        drained_s = await _drained(driver, watch, bounds.drain_s)
        if driver.is_stopped:
            return None
        found = driver.tally.span(begins, driver.now_s())
        unanswered = max(found.failed, found.sent - found.acknowledged - found.shed)
        ours = bounds.lag_ms is not None and found.driver_lag_p99_ms > bounds.lag_ms
        broke = ""
        if not found.sent:
            broke = "nothing was sent"
        elif ours:
            broke = f"the driver was late itself: {found.driver_lag_p99_ms:.0f} ms"
        elif found.shed:
            broke = f"{found.shed:,} events were shed"
        elif unanswered:
            broke = f"{unanswered:,} events without a good answer"
        elif bounds.p99_ms is not None and found.p99_ms > bounds.p99_ms:
            broke = f"p99 {found.p99_ms:.0f} ms, wanted {bounds.p99_ms:g}"
        elif bounds.drain_s is not None and (drained_s is None or drained_s > bounds.drain_s):
            broke = f"not clean within {bounds.drain_s:g} s"
        step = Step(
            rate=round(rate, 1),
            seconds=report.seconds,
            sent=found.sent,
            acknowledged=found.acknowledged,
            shed=found.shed,
            p50_ms=found.p50_ms,
            p99_ms=found.p99_ms,
            driver_lag_p99_ms=found.driver_lag_p99_ms,
            drained_s=drained_s,
            broke=broke,
            is_limit_ours=ours,
        )
        report.steps.append(step)
        return step

    await find_highest(report.rate, drive)
    driver.close()


async def _drained(driver: Driver, watch: Watch, drain_s: float | None) -> float | None:
    """Wait until what was acknowledged is clean; return the seconds it took, or None when it took too long."""
    began = time.monotonic()
    while time.monotonic() - began < max(_DRAIN_S, 2 * (drain_s or 0.0)) and not driver.is_stopped:
        if watch.clean >= driver.tally.owed:
            return round(time.monotonic() - began, 1)
        await asyncio.sleep(0.2)
    return None
