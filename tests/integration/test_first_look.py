"""What somebody does in the first five minutes: `up --sample`, then `sql` and `tail` in a second terminal."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from collector_server.settings import DEMO_KEY, CollectorSettings
from commands import sample
from commands.psql import find_psql
from commands.settings import DataSettings, Settings
from commands.up import Installation
from contract.calendar import SEOUL
from contract.errors import UsageError
from processor.books import Books, read_books
from storage.embedded import client_program
from storage.postgres import connect
from tests.builders import Road, Sent
from tests.builders import event as stored_event
from tests.conftest import free_port
from tests.integration.conftest import batch, clean_environment, eventually

DAYS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("first-look")


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Installation]:
    """Yield an installation that `sillok up --sample` has just filled."""
    serve = CollectorSettings(port=free_port(), admin_port=free_port())
    settings = Settings(data=DataSettings(folder=str(folder / "data")), serve=serve)
    with Installation(sample.with_key(settings)) as installation, installation.watched():
        sample.fill(installation.settings, installation.dsn, threading.Event(), DAYS)
        yield installation


@pytest.fixture(scope="module")
def settings(up: Installation, folder: Path) -> Path:
    path = folder / "sillok.toml"
    path.write_text(f'[data]\nfolder = "{up.settings.data.folder}"\n', encoding="utf-8")
    return path


def books(up: Installation) -> Books:
    today = datetime.now(SEOUL).replace(hour=0, minute=0, second=0, microsecond=0)
    with connect(up.dsn, role="sillok_processor") as connection:
        return read_books(connection, today - timedelta(days=1), today + timedelta(days=1))


def count(up: Installation, query: str) -> int:
    with connect(up.dsn) as connection:
        return connection.execute(query.encode()).fetchone()[0]


def sillok(settings: Path, command: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "sillok", command, "--config", str(settings), *arguments]
    return subprocess.run(
        line, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False, input=stdin
    )


def test_the_sample_is_there_once_however_often_it_is_asked_for(up: Installation, capsys: pytest.CaptureFixture[str]):
    events = count(up, "select count(*) from clean.events where source = 'sample'")
    assert events > 1000
    sample.fill(up.settings, up.dsn, threading.Event(), DAYS)
    # What has happened since is added, and nothing else.
    again = count(up, "select count(*) from clean.events where source = 'sample'")
    since = count(
        up, "select count(*) from clean.events where source = 'sample' and event_time > now() - interval '5 minutes'"
    )
    assert events <= again <= events + since
    assert count(up, "select count(*) from ops.duplicates") == 0
    assert "there already" in capsys.readouterr().out or again > events


def test_a_sample_that_was_cut_short_is_completed():
    now = datetime.now(SEOUL)
    whole = [event for part in sample.missing(now, DAYS, set()) for event in part.events]
    known = {event["event_id"] for event in whole[::2]}
    rest = [event for part in sample.missing(now, DAYS, known) for event in part.events]
    assert {event["event_id"] for event in rest} == {event["event_id"] for event in whole} - known
    assert len({event["event_id"] for event in whole}) == len(whole)


def test_the_samples_books_balance_and_its_days_can_be_closed(up: Installation, settings: Path):
    found = books(up)
    assert (found.balanced, found.differences) == (True, [])
    assert found.totals["sample"]["process.clean"] == count(
        up, "select count(*) from clean.events where source = 'sample'"
    )
    yesterday = datetime.now(SEOUL).date() - timedelta(days=1)
    assert sillok(settings, "reconcile", "--close", str(yesterday)).returncode == 0
    sample.fill(up.settings, up.dsn, threading.Event(), DAYS)
    done = sillok(settings, "reconcile", "--day", str(yesterday), "--json")
    assert (done.returncode, json.loads(done.stdout)["restatements"]) == (0, [])


def test_the_samples_times_are_the_visits_own(up: Installation):
    """No clock is corrected, nothing is masked but what somebody typed, and what is old says `late`."""
    with connect(up.dsn) as connection:
        flags = dict(connection.execute("select unnest(flags), count(*) from clean.events group by 1").fetchall())
        assert set(flags) <= {"late", "masked"}
        days = connection.execute(
            "select count(distinct session_date), count(distinct channel), count(distinct device_type),"
            " count(*) filter (where customer_id is not null) from clean.sessions"
        ).fetchone()
    assert (days[0] in (DAYS - 1, DAYS), days[1] >= 5, days[2] >= 3, days[3] > 20) == (True,) * 4, days


def test_real_events_are_never_mixed_with_a_sample(road: Road):
    """A purge takes tests alone out again, so what is really collected must not get a sample beside it."""
    for name in ("load", "process", "migrate"):
        with pytest.raises(UsageError, match="embedded database"):
            sample.with_key(Settings(**{name: msgspec.convert({"dsn": "host=db"}, Settings.__annotations__[name])}))
    road.send(Sent([stored_event()], source="web"))
    with pytest.raises(UsageError, match="source `web`"):
        sample.fill(Settings(), road.dsn, threading.Event(), DAYS)


def test_the_admin_root_lists_what_is_there(up: Installation):
    root = f"http://127.0.0.1:{up.settings.serve.admin_port}/"
    with urllib.request.urlopen(root, timeout=10) as answer:
        text = answer.read().decode()
    paths = [line.split()[0] for line in text.splitlines() if line.startswith("/")]
    assert set(paths) == {"/demo", "/healthz", "/readyz", "/metrics"}
    assert f":{up.settings.serve.port}/v1/events" in text
    asked = urllib.request.Request(root, headers={"Accept": "text/html,*/*"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        page = answer.read().decode()
        assert answer.headers.get_content_type() == "text/html"
    for path in paths:
        assert f'<a href="{path}">' in page
        with urllib.request.urlopen(root.rstrip("/") + path, timeout=10) as answer:
            assert answer.status == 200


def test_sql_reads_the_cleaned_tables(settings: Path, tmp_path: Path):
    done = sillok(settings, "sql", "--csv", "-c", "select source, count(*) as n from events group by 1 order by 1")
    assert done.returncode == 0, done.stderr
    [row] = [row for row in csv.DictReader(done.stdout.splitlines()) if row["source"] == "sample"]
    assert int(row["n"]) > 1000
    assert sillok(settings, "sql", stdin="select 40 + 2;").stdout.split()[2] == "42"
    (tmp_path / "q.sql").write_text("select 40 + 3;", encoding="utf-8")
    assert "43" in sillok(settings, "sql", "--file", str(tmp_path / "q.sql")).stdout
    assert sillok(settings, "sql", "--", "--tuples-only", "--command=select 44").stdout.strip() == "44"
    zone = sillok(settings, "sql", "--csv", "-c", "select now()").stdout
    assert zone.strip().endswith("+09")


@pytest.mark.parametrize(
    "attempt",
    [
        "delete from events",
        "set default_transaction_read_only = off; delete from events",
        "begin read write; update sessions set channel = 'x'",
        "reset role; reset session authorization; select * from raw.events",
        "set role postgres",
        "set session authorization postgres",
        "set role sillok_operator",
        "set default_transaction_read_only = off; create table clean.mine (n int)",
        "set default_transaction_read_only = off; create table public.mine (n int)",
        "copy (select 1) to program 'id'",
        "copy (select 1) to '/tmp/mine'",
        "alter role sillok_sql superuser",
    ],
)
def test_sql_can_change_nothing(settings: Path, attempt: str):
    done = sillok(settings, "sql", "-c", attempt)
    assert done.returncode == 1
    assert "ERROR:" in done.stderr


def test_sql_without_a_database_or_a_psql_says_what_to_do(tmp_path: Path):
    path = tmp_path / "sillok.toml"
    path.write_text(f'[data]\nfolder = "{tmp_path}/none"\n', encoding="utf-8")
    done = sillok(path, "sql", "-c", "select 1")
    assert (done.returncode, "start `sillok up`" in done.stderr) == (2, True), done.stderr
    path.write_text('[process]\ndsn = "host=db"\n', encoding="utf-8")
    done = sillok(path, "sql", "-c", "select 1")
    assert (done.returncode, "in role sillok_reader" in done.stderr) == (2, True), done.stderr
    assert find_psql(client_program("psql")) is not None
    assert client_program("no-such-program") is None


def tailing(settings: Path, *arguments: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "sillok", "tail", "--config", str(settings), *arguments]
    return subprocess.Popen(line, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_tail_shows_what_becomes_clean_and_ends_quietly(up: Installation, settings: Path, ended_by: signal.Signals):
    with tailing(settings, "--source", "demo", "--last", "0", "--json", "--type", "click") as tail:
        eventually(lambda: count(up, "select count(*) from pg_stat_activity where application_name = 'sillok tail'"))
        asked = urllib.request.Request(
            f"http://127.0.0.1:{up.settings.serve.port}/v1/events?key={DEMO_KEY.key}", batch(3)
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200
        shown = [json.loads(tail.stdout.readline()) for _ in range(3)]
        assert {(row["source"], row["event_type"]) for row in shown} == {("demo", "click")}
        assert len({row["event_id"] for row in shown}) == 3
        tail.send_signal(ended_by)
        assert (tail.wait(30), tail.stdout.read(), tail.stderr.read()) == (0, "", "")


def test_tail_begins_with_the_last_ones_and_a_terminal_cannot_be_steered(up: Installation, settings: Path):
    steering = json.dumps({"events": [json.loads(batch(1))["events"][0] | {"click_text": "\x1b[2J한글\x07"}]}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{up.settings.serve.port}/v1/events?key={DEMO_KEY.key}", steering)
    urllib.request.urlopen(asked, timeout=10).close()
    eventually(lambda: count(up, "select count(*) from clean.events where click_text like '%한글%'"))
    with tailing(settings, "--source", "demo", "--last", "1") as tail:
        head, row = tail.stdout.readline(), tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        tail.wait(30)
    assert head.startswith("time (KST)")
    assert "�[2J한글�" in row
    assert not any(letter in row for letter in "\x1b\x07")


def test_tail_ends_quietly_when_nobody_reads_any_more(settings: Path):
    with tailing(settings, "--last", "2000", "--json") as tail:
        tail.stdout.readline()
        os.close(os.dup(tail.stdout.fileno()))
        tail.stdout.close()
        assert (tail.wait(60), tail.stderr.read()) == (0, "")
