"""Input that nobody here invented: a real web server's log through the whole road."""

import gzip
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from sillok_sdk import Client

from collector_server.settings import CollectorSettings, WriteKeySettings
from commands.settings import DataSettings, Settings
from commands.up import Installation
from loadtest.access_log import page_views, read_requests
from processor.books import Books, read_books
from storage.postgres import connect
from tests.conftest import free_port

LOG = Path(os.environ.get("TEST_ACCESS_LOG", Path(__file__).parents[3] / "shared" / "data" / "access.log.gz"))
LINES = 10_000


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[psycopg.Connection, Books]]:
    """Yield the database and the books after the log went through a `server` key."""
    if not LOG.exists():
        pytest.skip(f"the real access log is not on this machine ({LOG.name})")
    settings = Settings(
        data=DataSettings(folder=str(tmp_path_factory.mktemp("installation"))),
        serve=CollectorSettings(
            port=free_port(),
            admin_port=free_port(),
            keys=(WriteKeySettings(key="relay", source="www", kind="server"),),
        ),
    )
    # The log is of four days and ends now; the client's account is by the day of the event.
    started = datetime.now().astimezone().replace(second=0, microsecond=0) - timedelta(days=6)
    with Installation(settings) as installation:
        client = Client(f"http://127.0.0.1:{settings.serve.port}", "relay", batch_events=200)
        with gzip.open(LOG, "rt", encoding="utf-8", errors="replace") as lines:
            for fields in page_views(read_requests(lines), "http://www.semicomplete.com", time.time_ns() // 1_000_000):
                client.page_view(**fields)
        assert client.close(timeout_ms=60_000)
        installation.children["serve"].stop()
        with connect(installation.dsn) as connection:
            yield connection, _final_books(connection, started)


def _final_books(connection: psycopg.Connection, started: datetime) -> Books:
    for _ in range(600):
        until = datetime.now().astimezone().replace(second=0, microsecond=0) + timedelta(minutes=1)
        books = read_books(connection, started, until)
        if books.final and books.totals:
            return books
        time.sleep(0.1)
    raise AssertionError(f"not final: {msgspec.json.encode(books)!r}")


def test_every_line_is_clean_once_and_the_books_balance(replayed: tuple[psycopg.Connection, Books]) -> None:
    connection, books = replayed
    assert books.balanced, books.differences
    totals = books.totals["www"]
    assert (totals["spool.received"], totals["spool.accepted"], totals["process.clean"]) == (LINES, LINES, LINES)
    assert connection.execute("select count(*), count(distinct event_id) from clean.events").fetchone() == (
        LINES,
        LINES,
    )


def test_the_client_account_says_that_nothing_vanished(replayed: tuple[psycopg.Connection, Books]) -> None:
    accounts = replayed[1].clients
    assert len(accounts) > 3, "one a day"
    assert sum(account.created for account in accounts) == sum(account.arrived for account in accounts) == LINES
    assert all((account.dropped, account.pending, account.vanished) == ({}, 0, 0) for account in accounts)


def test_address_and_user_agent_are_the_visitors(replayed: tuple[psycopg.Connection, Books]) -> None:
    connection, _ = replayed
    assert connection.execute(
        "select count(distinct ip), count(*) filter (where ip is null) from clean.events"
    ).fetchone() == (1753, 0)
    assert connection.execute("select count(distinct user_agent) from clean.events").fetchone()[0] > 500


def test_sessions_and_channels_are_what_an_analyst_would_believe(replayed: tuple[psycopg.Connection, Books]) -> None:
    connection, _ = replayed
    channels = dict(connection.execute("select channel, count(*) from clean.events group by channel").fetchall())
    assert set(channels) <= {"internal", "direct", "organic_search", "referral", "social"}
    assert channels["internal"] > 4_000
    assert connection.execute(
        "select count(*) from clean.sessions where ended_at - started_at > interval '12 hours'"
    ).fetchone() == (0,)
    assert connection.execute("select sum(events), sum(page_views) from clean.sessions").fetchone() == (LINES, LINES)
    bots, people = connection.execute(
        "select count(*) filter (where is_bot), count(*) filter (where not is_bot) from clean.events"
    ).fetchone()
    assert bots > 2_000
    assert people > 6_000
