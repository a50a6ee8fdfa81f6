"""`sillok demo`: the whole road in a temporary folder, from an SDK call to balanced books, without a person."""

import argparse
import logging
import socket
import tempfile
import time
from datetime import datetime, timedelta
from typing import Final

import msgspec
import psycopg
import structlog
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

from collector_server.settings import DEMO_KEY
from commands.report import print_books
from commands.settings import DataSettings, Settings
from commands.terminal import terminal
from commands.up import Installation
from contract.errors import SillokError
from loadtest.traffic import Sent, send_visits
from loadtest.visitors import visits
from processor.books import Books, read_books
from storage.logs import configure_logs
from storage.postgres import connect

log: Final = structlog.get_logger()

_VISITS: Final = 200
_SPAN_MS: Final = 5 * 60_000
_PATIENCE_S: Final = 120.0


HELP = "run everything in a temporary folder with simulated visitors, and print the books"


def add_arguments(_command: argparse.ArgumentParser) -> None:
    """Take none."""


def run(settings: Settings, _options: argparse.Namespace) -> int:
    """Run it; return 0 only when the books are final, balance, and agree with what was sent."""
    console = terminal()
    configure_logs("warning")
    logging.getLogger("sillok_sdk").setLevel(logging.ERROR)  # it would warn of every answer lost on purpose
    started = datetime.now().astimezone().replace(second=0, microsecond=0)
    with tempfile.TemporaryDirectory(prefix="sillok-demo-", ignore_cleanup_errors=True) as folder:
        console.print(f"Starting PostgreSQL, collector, loader and processor in {folder} …", highlight=False)
        with Installation(_demo_settings(settings, folder)) as installation:
            sent = _send(installation, console)
            # A clean stop seals the last segment as final: the books can close without waiting a minute.
            installation.children["serve"].stop()
            with connect(installation.dsn, application="sillok demo") as connection:
                books = _wait_until_final(connection, installation, started)
                _print_rows(connection, console)
                _print_sessions(connection, console)
            console.print(
                f"Sent {sent.events:,} events of {sent.visits} visits; "
                f"{sent.duplicates_planned:,} were sent twice on purpose.\n",
                highlight=False,
            )
            print_books(books, console)
            return _verdict(books, sent, console)


def _demo_settings(settings: Settings, folder: str) -> Settings:
    """Free ports, a temporary folder, and a key that may relay its simulated visitors' addresses."""
    replace = msgspec.structs.replace
    port, admin_port = _free_ports(2)
    return replace(
        settings,
        data=DataSettings(folder=folder),
        spool=replace(settings.spool, folder=None),
        log=replace(settings.log, level="warning"),
        serve=replace(settings.serve, port=port, admin_port=admin_port, keys=(replace(DEMO_KEY, kind="server"),)),
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _send(installation: Installation, console: Console) -> Sent:
    serve = installation.settings.serve
    now_ms = time.time_ns() // 1_000_000
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} events"))
    with installation.watched(), Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Sending through the Python SDK over HTTP", total=None)
        return send_visits(
            f"http://{serve.host}:{serve.port}",
            DEMO_KEY.key,
            visits(seed=1, count=_VISITS, start_ms=now_ms - 2 * _SPAN_MS, span_ms=_SPAN_MS),
            progress=lambda events: progress.update(task, completed=events),
        )


def _wait_until_final(connection: psycopg.Connection, installation: Installation, started: datetime) -> Books:
    patience_ends = time.monotonic() + _PATIENCE_S
    while time.monotonic() < patience_ends:
        for name in ("load", "process"):
            installation.children[name].watch()
        until = datetime.now().astimezone() + timedelta(minutes=1)
        books = read_books(connection, started, until.replace(second=0, microsecond=0))
        if books.final and books.totals:
            return books
        time.sleep(0.2)
    raise SillokError(f"the books were not final after {_PATIENCE_S:.0f} s: the loader or the processor stands still")


def _print_rows(connection: psycopg.Connection, console: Console) -> None:
    table = Table(title="Some rows of clean.events", title_justify="left")
    for name in ("time (KST)", "event_type", "page_name", "what", "channel", "device", "browser", "flags"):
        table.add_column(name, overflow="fold")
    rows = connection.execute(
        """
        with shown as (
            (select * from clean.events where session_id = (
                select session_id from clean.sessions order by (errors > 0) desc, events desc, session_id limit 1)
            order by client_id, seq limit 14)
            union all
            (select * from clean.events where 'masked' = any(flags) order by session_id, client_id, seq limit 3)
        )
        select to_char(event_time, 'HH24:MI:SS'), event_type, coalesce(page_name, page_code, ''),
            coalesce(click_text, error_message, step_name, search_text, tab_name, popup_name, checkbox_name, exit_menu,
                ''),
            channel, device_type, coalesce(browser_name, ''), array_to_string(flags, ' ')
        from shown
        """
    )
    for row in rows:
        table.add_row(*(escape(text) for text in row))  # `[rrn]` is text, not markup
    console.print(table)


def _print_sessions(connection: psycopg.Connection, console: Console) -> None:
    table = Table(title="Sessions by channel", title_justify="left")
    for name in ("channel", "sessions", "page views", "clicks", "errors", "minutes each"):
        table.add_column(name, justify="left" if name == "channel" else "right")
    rows = connection.execute(
        """
        select channel, count(*), sum(page_views), sum(clicks), sum(errors),
            round(avg(extract(epoch from ended_at - started_at)) / 60, 1)
        from clean.sessions group by channel order by 2 desc
        """
    )
    for channel, *counts in rows:
        table.add_row(channel, *(f"{n:,}" for n in counts))
    console.print(table)


def _verdict(books: Books, sent: Sent, console: Console) -> int:
    """Hold the books against what the sender knows; say every reason why not."""

    def total(*accounts: str) -> int:
        return sum(found.get(account, 0) for found in books.totals.values() for account in accounts)

    clean, duplicates = total("process.clean"), total("process.duplicate")
    dead = total("table.dead_letters_load", "table.dead_letters_process")
    reasons = [
        reason
        for failed, reason in (
            (not books.final, "the books are not final"),
            (not books.balanced, "the books do not balance"),
            (sent.gave_up, f"{sent.gave_up} SDK instances gave events up"),
            (clean != sent.events, f"clean has {clean:,} events, {sent.events:,} were sent"),
            (
                duplicates != sent.duplicates_planned,
                f"{duplicates:,} duplicates, {sent.duplicates_planned:,} planned",
            ),
            (dead, f"{dead:,} dead letters"),
        )
        if failed
    ]
    for reason in reasons:
        console.print(f"[bold red]{reason}[/]", highlight=False)
    return 1 if reasons else 0
