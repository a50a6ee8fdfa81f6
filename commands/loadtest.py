"""`sillok loadtest`: drive a running installation as a customer's apps would, and say whether it took it."""

import argparse
import asyncio
import platform
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import uvloop
from rich.console import Console
from rich.live import Live

from commands import loadtest_options
from commands.database import find_migrated_dsn
from commands.loadtest_report import print_report, progress_of
from commands.pages.loadtest import render_run
from commands.pages.page import write_page
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, terminal, write_json
from contract.errors import DatabaseUnavailable, UsageError
from loadtest.driver import Driver
from loadtest.history import History
from loadtest.plan import Batches, Mix, Plan
from loadtest.probe import probe
from loadtest.recording import open_recording
from loadtest.replay import Replay
from loadtest.report import Report
from loadtest.run import scheduled_run, stepped_run
from loadtest.shapes import Shape
from loadtest.steps import STEPS_MAX
from loadtest.tally import Load
from loadtest.verdict import BOOKS, HELD, KEPT, Bounds, Check, Verdict, expected_clean, judge, wait_until_clean
from loadtest.watch import Watch
from processor.books import read_books
from storage.postgres import connect

HELP = "drive a running installation with simulated visitors, and judge it to the single event"
# The database's clock and ours.
_CLOCKS_APART: Final = timedelta(minutes=2)
_MINUTE: Final = timedelta(minutes=1)
_ROWS_MAX: Final = 300
# Where to break it was the purpose, only nothing may be lost.
_TO_BREAK_IT: Final = Bounds(achieved=None, shed=None, lag_ms=None)

add_arguments = loadtest_options.add_arguments


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Send, wait, judge, keep, tell."""
    host = loadtest_options.checked_host(options)
    report, plan = _planned(options)
    history = History(loadtest_options.history_file(options))
    try:
        dsn = find_migrated_dsn(settings, "process")
        connect(dsn, role="sillok_processor", application="sillok loadtest").close()
    except DatabaseUnavailable as error:
        raise UsageError(f"{error}; the verdict is read there, so nothing was sent") from error
    asyncio.run(probe(options.url, options.key))
    console = Console(stderr=True) if options.json else terminal()
    with (
        Live(console=console, transient=True, refresh_per_second=2) as live,
        Watch(dsn, plan, report.started_at - _CLOCKS_APART, has_parts=loadtest_options.is_local(host)) as watch,
    ):
        trial = _Trial(options, dsn, plan, report, watch, live)
        trial.drive()
        trial.judge()
    report.settle(watch.samples)
    report.earlier = history.like(report.row())
    if options.json:
        write_json(report)
    else:
        print_report(report, console)
    if options.html:
        write_page(options.html, render_run(report))
    history.add(report.row())
    return OK if report.holds else PROBLEM


def _planned(options: argparse.Namespace) -> tuple[Report, Batches]:
    """Return what will be sent, and the report of it, still empty."""
    recording = open_recording(options.replay, options.site.rstrip("/")) if options.replay else None
    # Now, when what was recorded has been read: that can take minutes.
    started_at = datetime.now(UTC)
    run_id = options.run_id or f"{started_at:%Y%m%dT%H%M%S%f}"
    start_ms = int(started_at.timestamp() * 1000)
    mix = Mix(duplicates=options.duplicates, malformed=options.malformed, gzip=options.gzip)
    plan: Batches
    if recording is not None:
        plan = replay = Replay(recording, options.seed, run_id, start_ms, mix, speed=options.speed)
        shape, seconds, batch = f"replay of {options.replay.name}", replay.seconds, 0
        rate = replay.events / max(seconds, 1.0)
    else:
        plan = Plan(options.seed, run_id, start_ms, options.batch, mix)
        shape, seconds, rate, batch = options.shape, options.seconds, options.rate, options.batch
    report = Report(
        run_id=run_id,
        url=options.url,
        shape=shape,
        rate=rate,
        seconds=seconds,
        seed=options.seed,
        batch_events=batch,
        started_at=started_at,
        mix=f"{mix.duplicates:g} twice, {mix.malformed:g} malformed, {mix.gzip:g} gzip",
        machine=platform.node(),
        load=Load(),
        verdict=Verdict(),
    )
    return report, plan


class _Trial:
    """The load and its verdict; Ctrl-C ends what is under way, never the verdict."""

    def __init__(
        self, options: argparse.Namespace, dsn: str, plan: Batches, report: Report, watch: Watch, live: Live
    ) -> None:
        self._dsn, self._plan, self._report, self._watch, self._live = dsn, plan, report, watch, live
        self._patience_s: float = options.patience
        self._since = report.started_at - _CLOCKS_APART
        self._ended = 0.0
        self._bounds = Bounds(
            p99_ms=options.p99_ms, drain_s=options.drain_s, shed=options.max_shed, lag_ms=options.max_lag_ms
        )
        self._driver = Driver(
            options.url,
            options.key,
            plan,
            say=lambda load: live.update(progress_of(load, report)),
            row_s=max(1.0, report.seconds * (STEPS_MAX if report.rate_grows else 1) / _ROWS_MAX),
            connections_max=options.connections,
        )

    def drive(self) -> None:
        """Send."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._drive())
        # The event loop leaves its own handler behind.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._ended = time.monotonic()
        self._report.load = self._driver.load

    async def _drive(self) -> None:
        driver, plan, report = self._driver, self._plan, self._report
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, driver.stop)
        self._watch.follow(driver.now_s, lambda: driver.tally.owed)
        if isinstance(plan, Replay):
            await scheduled_run(driver, plan.due())
        elif report.rate_grows and isinstance(plan, Plan):
            await stepped_run(driver, self._watch, plan, report, self._bounds)
        else:
            await scheduled_run(driver, Shape(report.shape, report.rate, report.seconds).due(report.batch_events))

    def judge(self) -> None:
        """Wait and judge over a connection of its own, and over another when that is lost: databases are restarted."""
        ends = self._ended + self._patience_s
        while True:
            try:
                with connect(self._dsn, role="sillok_processor", application="sillok loadtest") as connection:
                    drained_s = self._drained(connection)
                    verdict = self._judged(connection, drained_s)
                    # What was counted as clean may have been of batches that were never acknowledged.
                    while verdict.missing and drained_s is not None and time.monotonic() < ends:
                        time.sleep(1)
                        verdict = self._judged(connection, drained_s)
                    self._report.verdict = verdict
                    return
            except (DatabaseUnavailable, psycopg.OperationalError) as error:
                if time.monotonic() > ends:
                    raise UsageError(
                        f"there is no verdict on run {self._report.run_id}: PostgreSQL cannot be reached"
                    ) from error
                time.sleep(1)

    def _drained(self, connection: psycopg.Connection) -> float | None:
        """Wait for the tables, until patience or a person ends it; return how long that took."""
        watch, report = self._watch, self._report
        try:
            expected = expected_clean(self._plan, self._driver.acknowledged)

            def counted() -> int:
                self._live.update(f"{watch.clean:,} of {expected:,} are clean")
                return watch.clean

            again = report.load.acknowledged_again
            return wait_until_clean(
                connection, self._plan, self._since, expected, again, self._patience_s, counted, self._ended
            )
        except KeyboardInterrupt:
            # From here on it takes seconds, and a second one ends it.
            self._live.console.print("The waiting is over: the verdict is of what is clean now.")
            return None

    def _judged(self, connection: psycopg.Connection, drained_s: float | None) -> Verdict:
        report, acknowledged = self._report, self._driver.acknowledged
        bounds = _TO_BREAK_IT if report.rate_grows else self._bounds
        verdict = judge(connection, self._plan, report.load, acknowledged, self._since, drained_s, bounds)
        source = self._watch.source
        if source is not None or not report.load.acknowledged:
            verdict.checks.append(_books_balance(connection, source, report.started_at - _MINUTE))
        else:
            verdict.checks.append(Check(BOOKS, holds=False, wanted="0 differences", found="nothing was loaded"))
        if report.rate_grows:
            best, ours = report.highest, any(step.is_limit_ours for step in report.steps)
            found = f"{best.rate:,.0f} events a second" if best else "not even the first step"
            verdict.checks.append(Check(HELD, best is not None, f"at least {report.rate:,.0f}", found))
            verdict.checks.append(
                Check(KEPT, not ours, "in every step", "not in every step" if ours else "in every step")
            )
        return verdict


def _books_balance(connection: psycopg.Connection, source: str | None, since: datetime) -> Check:
    """Hold the books of the run's source, in its minutes, to tolerance zero."""
    books = read_books(connection, since.replace(second=0, microsecond=0), datetime.now(UTC) + _MINUTE)
    differences = [difference for difference in books.differences if difference.source in ("", source)]
    named = f": {differences[0].identity}" if differences else ""
    return Check(BOOKS, not differences, "0 differences", f"{len(differences):,} differences{named}")
