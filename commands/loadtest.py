"""`sillok loadtest`: drive a running installation as a customer's apps would, and say whether it took it."""

import argparse
import asyncio
import platform
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
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
from loadtest.tally import Load
from loadtest.verdict import BOOKS, HELD, Bounds, Check, Verdict, expected_clean, judge, wait_until_clean
from loadtest.watch import Watch
from processor.books import read_books
from storage.postgres import connect

HELP = "drive a running installation with simulated visitors, and judge it to the single event"
# The database's clock and ours.
_CLOCKS_APART: Final = timedelta(minutes=2)
_MINUTE: Final = timedelta(minutes=1)
_ROWS_MAX: Final = 300

add_arguments = loadtest_options.add_arguments


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Send, wait, judge."""
    host = loadtest_options.checked_host(options)
    report, plan = _planned(options)
    history = History(options.history)
    bounds = Bounds(p99_ms=options.p99_ms, drain_s=options.drain_s, shed=options.max_shed, lag_ms=options.max_lag_ms)
    console = Console(stderr=True) if options.json else terminal()
    try:
        dsn = find_migrated_dsn(settings, "process")
        connect(dsn, role="sillok_processor", application="sillok loadtest").close()
    except DatabaseUnavailable as error:
        raise UsageError(f"{error}; the verdict is read there, so nothing was sent") from error
    asyncio.run(probe(options.url, options.key))
    with Live(console=console, transient=True, refresh_per_second=2) as live:
        watch = Watch(dsn, plan, report.started_at - _CLOCKS_APART, has_parts=loadtest_options.is_local(host))
        with watch:
            driver = Driver(
                options.url,
                options.key,
                plan,
                say=lambda load: live.update(progress_of(load, report)),
                row_s=max(1.0, report.seconds / _ROWS_MAX),
            )
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_drive(driver, watch, plan, report, bounds))
            # The event loop leaves its own behind.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            report.load = driver.load
            report.verdict = _verdict(
                dsn, watch, plan, driver, report, _bounds_of(report, bounds), options.patience, live
            )
        report.settle(watch.samples)
    report.earlier = history.like(report.row())
    history.add(report.row())
    if options.html:
        write_page(options.html, render_run(report))
    if options.json:
        write_json(report)
    else:
        print_report(report, console)
    return OK if report.holds else PROBLEM


def _planned(options: argparse.Namespace) -> tuple[Report, Batches]:
    """Return what will be sent, and the report of it, still empty."""
    started_at = datetime.now(UTC)
    run_id = options.run_id or f"{started_at:%Y%m%dT%H%M%S%f}"
    start_ms = int(started_at.timestamp() * 1000)
    mix = Mix(duplicates=options.duplicates, malformed=options.malformed, gzip=options.gzip)
    plan: Batches
    if options.replay:
        recording = open_recording(options.replay, options.site.rstrip("/"))
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
        rate=round(rate, 1),
        seconds=round(seconds, 1),
        seed=options.seed,
        batch_events=batch,
        started_at=started_at,
        machine=platform.node(),
        load=Load(),
        verdict=Verdict(),
    )
    return report, plan


async def _drive(driver: Driver, watch: Watch, plan: Batches, report: Report, bounds: Bounds) -> None:
    """Run it; Ctrl-C ends the sending, not the verdict."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, driver.stop)
    watch.follow(driver.now_s, lambda: driver.load.acknowledged - driver.load.refused)
    if isinstance(plan, Replay):
        await scheduled_run(driver, plan.due())
    elif report.rate_grows and isinstance(plan, Plan):
        await stepped_run(driver, watch, plan, report, bounds)
    else:
        shape = Shape(report.shape, report.rate, report.seconds)
        await scheduled_run(driver, shape.due(report.batch_events))


def _bounds_of(report: Report, bounds: Bounds) -> Bounds:
    """Return what the whole run is held to; where the purpose was to break it, only that nothing is lost."""
    if not report.rate_grows:
        return bounds
    return msgspec.structs.replace(
        bounds, p99_ms=None, drain_s=None, shed=sys.maxsize, achieved=0.0, lag_ms=float("inf")
    )


def _verdict(
    dsn: str,
    watch: Watch,
    plan: Batches,
    driver: Driver,
    report: Report,
    bounds: Bounds,
    patience_s: float,
    live: Live,
) -> Verdict:
    """Judge over a connection of its own, and over another when that one is lost: the database may be restarted."""
    ends = time.monotonic() + patience_s
    while True:
        try:
            with connect(dsn, role="sillok_processor", application="sillok loadtest") as connection:
                return _judged(connection, watch, plan, driver, report, bounds, patience_s, live)
        except (DatabaseUnavailable, psycopg.OperationalError) as error:
            if time.monotonic() > ends:
                raise UsageError(f"there is no verdict on run {report.run_id}: PostgreSQL cannot be reached") from error
            time.sleep(1)


def _judged(
    connection: psycopg.Connection,
    watch: Watch,
    plan: Batches,
    driver: Driver,
    report: Report,
    bounds: Bounds,
    patience_s: float,
    live: Live,
) -> Verdict:
    """Wait for the tables, ask them, and ask the books; Ctrl-C ends the waiting, not the verdict."""
    since = report.started_at - _CLOCKS_APART
    expected = expected_clean(plan, driver.acknowledged)

    def counted() -> int:
        live.update(f"{watch.clean:,} of {expected:,} are clean")
        return watch.clean

    drained_s = None
    try:
        drained_s = wait_until_clean(
            connection, plan, since, expected, report.load.acknowledged_again, patience_s, counted
        )
    except KeyboardInterrupt:
        live.console.print("The waiting is over: the verdict is of what is clean now.")
    verdict = judge(connection, plan, report.load, driver.acknowledged, since, drained_s, bounds)
    verdict.checks.append(_books_balance(connection, watch.source, report.started_at - _MINUTE))
    if report.rate_grows:
        best = report.highest
        found = f"{best.rate:,.0f} events a second" if best else "not even the first step"
        verdict.checks.append(Check(HELD, best is not None, f"at least {report.rate:,.0f}", found))
    return verdict


def _books_balance(connection: psycopg.Connection, source: str | None, since: datetime) -> Check:
    """Hold the books of the run's source, in its minutes, to tolerance zero."""
    books = read_books(connection, since.replace(second=0, microsecond=0), datetime.now(UTC) + _MINUTE)
    differences = [difference for difference in books.differences if difference.source in ("", source)]
    named = f": {differences[0].identity}" if differences else ""
    return Check(BOOKS, not differences, "0 differences", f"{len(differences):,} differences{named}")
