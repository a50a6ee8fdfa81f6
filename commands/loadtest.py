"""`sillok loadtest`: drive a running installation as a customer's apps would, and say whether it took it."""

import argparse
import asyncio
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

import psycopg
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from collector_server.client_address import is_loopback
from commands.database import find_migrated_dsn
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, terminal, write_json
from contract.errors import UsageError
from loadtest.connection import Connection
from loadtest.driver import Driver, Load
from loadtest.plan import Mix, Plan
from loadtest.shapes import SHAPES, Shape
from loadtest.verdict import Bounds, Verdict, expected_clean, judge, wait_until_clean
from storage.postgres import connect

HELP = "drive a running installation with simulated visitors, and judge it to the single event"
_PROBE_S: Final = 10.0
# The database's clock and ours.
_CLOCKS_APART: Final = timedelta(minutes=2)


class Report(Struct):
    """One run, whole."""

    run_id: str
    url: str
    shape: str
    seed: int
    batch_events: int
    started_at: datetime
    load: Load
    verdict: Verdict
    holds: bool


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say where, how much, for how long, and what is good enough."""
    command.add_argument("--url", default="http://127.0.0.1:7070", help="the collector (http://127.0.0.1:7070)")
    command.add_argument(
        "--key", required=True, metavar="KEY", help="a write key of kind test, whose source is the run's"
    )
    command.add_argument("--shape", choices=SHAPES, default="constant", help="the course of the load (constant)")
    command.add_argument(
        "--rate", type=_positive, default=1_000.0, metavar="N", help="events a second, at the peak (1000)"
    )
    command.add_argument("--seconds", type=_positive, default=30.0, metavar="S", help="how long (30)")
    command.add_argument("--batch", type=_batch, default=10, metavar="N", help="events in a request (10)")
    command.add_argument("--seed", type=int, default=1, metavar="N", help="which visitors (1)")
    command.add_argument("--run-id", default="", metavar="TEXT", help="what makes the ids new (the time)")
    command.add_argument("--duplicates", type=_share, default=0.02, metavar="SHARE", help="batches sent twice (0.02)")
    command.add_argument(
        "--malformed", type=_share, default=0.01, metavar="SHARE", help="batches with a bad event (0.01)"
    )
    command.add_argument("--gzip", type=_share, default=0.5, metavar="SHARE", help="batches compressed (0.5)")
    command.add_argument("--p99-ms", type=_positive, metavar="MS", help="fail when answers are slower")
    command.add_argument("--drain-s", type=_positive, metavar="S", help="fail when the backlog takes longer")
    command.add_argument("--max-shed", type=int, default=0, metavar="N", help="events that may be shed (0)")
    command.add_argument("--max-lag-ms", type=_positive, default=100.0, metavar="MS", help="of the driver itself (100)")
    command.add_argument(
        "--patience", type=_positive, default=120.0, metavar="S", help="wait so long for the tables (120)"
    )
    command.add_argument("--i-own-this-server", metavar="HOST", help="name the host, when it is not this machine")
    add_json(command)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Send, wait, judge."""
    host = _checked_host(options)
    dsn = find_migrated_dsn(settings, "process")
    started_at = datetime.now(UTC)
    run_id = options.run_id or f"{started_at:%Y%m%dT%H%M%S%f}"
    mix = Mix(duplicates=options.duplicates, malformed=options.malformed, gzip=options.gzip)
    plan = Plan(options.seed, run_id, int(started_at.timestamp() * 1000), options.batch, mix)
    shape = Shape(options.shape, options.rate, options.seconds)
    bounds = Bounds(p99_ms=options.p99_ms, drain_s=options.drain_s, shed=options.max_shed, lag_ms=options.max_lag_ms)
    console = Console(stderr=True) if options.json else terminal()
    # Before the load: a verdict that cannot be given is no use.
    with connect(dsn, role="sillok_processor", application="sillok loadtest") as connection:
        asyncio.run(_probe(host, options))
        with Live(console=console, transient=True, refresh_per_second=2) as live:
            driver = Driver(options.url, options.key, plan, shape, say=lambda load: live.update(_progress(load, shape)))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                load = runner.run(_drive(driver))
            report = Report(
                run_id, options.url, shape.name, options.seed, options.batch, started_at, load, Verdict(), holds=False
            )
            report.verdict = _judged(connection, plan, driver, report, bounds, options.patience, live)
            report.holds = report.verdict.holds
    if options.json:
        write_json(report)
    else:
        print_report(report, console)
    return OK if report.holds else PROBLEM


async def _drive(driver: Driver) -> Load:
    """Run it; Ctrl-C ends the sending, not the verdict."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, driver.stop)
    return await driver.run()


def _judged(
    connection: psycopg.Connection,
    plan: Plan,
    driver: Driver,
    report: Report,
    bounds: Bounds,
    patience_s: float,
    live: Live,
) -> Verdict:
    since = report.started_at - _CLOCKS_APART
    expected = expected_clean(plan, driver.acknowledged)
    drained_s = wait_until_clean(
        connection, plan, since, expected, patience_s, lambda clean: live.update(f"{clean:,} of {expected:,} are clean")
    )
    if drained_s is not None:
        # What was sent twice may be counted a batch of the processor later than the last clean event.
        _wait_for_duplicates(connection, plan, since, report.load.acknowledged_again, patience_s)
    return judge(connection, plan, report.load, driver.acknowledged, since, drained_s, bounds)


def _wait_for_duplicates(
    connection: psycopg.Connection, plan: Plan, since: datetime, expected: int, patience_s: float
) -> None:
    ends = time.monotonic() + patience_s
    query = "select count(*) from ops.duplicates where received_at >= %s and event_id::text like %s"
    while time.monotonic() < ends:
        row = connection.execute(query, (since, plan.id_pattern)).fetchone()
        if row is not None and row[0] >= expected:
            return
        time.sleep(0.5)


def _checked_host(options: argparse.Namespace) -> str:
    parts = urlsplit(options.url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError("--url: write http://HOST:PORT; TLS is the front's, and is not what is measured")
    is_ours = parts.hostname == "localhost" or is_loopback(parts.hostname)
    if not is_ours and options.i_own_this_server != parts.hostname:
        raise UsageError(
            f"{parts.hostname} is not this machine: say --i-own-this-server {parts.hostname} if it is yours"
        )
    return str(parts.hostname)


async def _probe(host: str, options: argparse.Namespace) -> None:
    """Ask with an empty batch whether the server is there and takes the key."""
    parts = urlsplit(options.url)
    port = parts.port or 80
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def answered(_connection: Connection, status: int, _body: bytes) -> None:
        if not answer.done():
            answer.set_result(status)

    body = b'{"events":[]}'
    try:
        loop = asyncio.get_running_loop()
        _, connection = await asyncio.wait_for(
            loop.create_connection(lambda: Connection(answered), host, port), _PROBE_S
        )
        head = (
            f"POST {parts.path.rstrip('/')}/v1/events HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {options.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.send(head.encode() + body)
        status = await asyncio.wait_for(answer, _PROBE_S)
        connection.close()
    except (OSError, TimeoutError) as error:
        raise UsageError(f"no collector answers at {options.url}: start it, or correct --url") from error
    if status in (401, 403):
        raise UsageError(f"the collector does not take this key (status {status}): see `sillok keys`")
    if status != 200:  # noqa: PLR2004 - the one success
        raise UsageError(f"the collector answers {status} to an empty batch: see `sillok doctor`")


def _progress(load: Load, shape: Shape) -> Table:
    table = Table.grid(padding=(0, 2))
    left = max(0.0, shape.seconds - load.seconds)
    table.add_row(
        f"{load.seconds:6.0f} s, {left:.0f} left", f"{load.acknowledged:,} acknowledged", f"{load.shed:,} shed"
    )
    table.add_row("", f"p50 {load.p50_ms:.1f} ms   p99 {load.p99_ms:.1f} ms", f"lag {load.driver_lag_p99_ms:.1f} ms")
    return table


def print_report(report: Report, console: Console) -> None:
    """Print a run for people."""
    load, verdict = report.load, report.verdict
    console.print(f"[bold]Load test[/] {escape(report.run_id)}: {report.shape}, {load.seconds:g} s", highlight=False)
    table = Table(title="Events", title_justify="left")
    names = ("sent", "acknowledged", "shed", "refused", "loaded", "clean", "duplicate", "missing")
    counts = (
        *(load.sent, load.acknowledged, load.shed, load.refused),
        *(verdict.loaded, verdict.clean, verdict.duplicates, verdict.missing),
    )
    for name in names:
        table.add_column(name, justify="right")
    table.add_row(*(f"{count:,}" for count in counts))
    console.print(table)
    drained = (
        "not drained"
        if verdict.drained_s is None
        else f"everything clean {verdict.drained_s:g} s after the last answer"
    )
    console.print(
        f"{load.achieved_rate:,.0f} events a second; answers p50 {load.p50_ms:.1f}, p99 {load.p99_ms:.1f}, p99.9 "
        f"{load.p999_ms:.1f}, at most {load.max_ms:.1f} ms from when they were due; {drained}",
        highlight=False,
    )
    checks = Table(title="Verdict", title_justify="left")
    for name in ("claim", "wanted", "found", "holds"):
        checks.add_column(name)
    for check in verdict.checks:
        checks.add_row(check.name, check.wanted, check.found, "[green]yes[/]" if check.holds else "[red]NO[/]")
    console.print(checks)
    if not verdict.is_valid:
        console.print("[bold red]INVALID: the driver was the limit, not the server.[/]")
    console.print("[bold green]It took the load.[/]" if report.holds else "[bold red]It did NOT take the load.[/]")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number from 0 to 1")
    return share


def _batch(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:  # noqa: PLR2004 - the wire's limit
        raise argparse.ArgumentTypeError(f"{text!r} is no size of a batch: from 1 to 1000")
    return int(text)
