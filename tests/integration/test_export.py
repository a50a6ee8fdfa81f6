"""An export holds the range's rows and nobody's name unless a reason is given; no cell of it is a formula."""

import contextlib
import csv
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
from datetime import datetime

import pytest
from pyarrow import parquet

from contract.errors import UsageError
from processor.operate.export import PEOPLE, export
from storage.postgres import connect
from tests.builders import Road, Sent, event, moment, today_us
from tests.integration.conftest import clean_environment, eventually
from tests.operating import sillok, write_settings
from tests.patience import PATIENCE_S

NOON = today_us(12)
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "국내주식 =1"]
RANGE = moment(NOON), moment(NOON + 60_000_000)


@pytest.fixture
def day(road) -> Road:
    """Return a road with events of one minute, and one of the next."""
    events = [event(session_id="s", customer_id="customer-1", anonymous_id="a", click_text=text, time=NOON // 1000 + n,
                    props={"열쇠": [1]}) for n, text in enumerate(FORMULAS)]  # fmt: skip
    later = event(session_id="s", customer_id="customer-1", time=NOON // 1000 + 60_000)
    road.send(
        Sent([*events, later], at_us=NOON + 60_000_000, sent_at=NOON // 1000 + 60_000, ip="10.0.0.7", user_agent="x/1")
    )
    return road


def write(road: Road, path, format_, tables=("events",), *, has_people=False, watch=lambda _done, _total: None):
    with connect(road.dsn, role="sillok_reader") as reader:
        return export(reader, path, format_, tables, *RANGE, has_people=has_people, watch=watch)


def test_sqlite_holds_every_table_of_the_range(day, tmp_path):
    done = write(day, tmp_path / "x.db", "sqlite", ("events", "sessions"))
    assert (done.rows["events"], done.rows["sessions"]) == (7, 1)
    found = sqlite3.connect(tmp_path / "x.db")
    texts = [text for (text,) in found.execute("select click_text from events order by event_time")]
    assert texts == FORMULAS, "a database is no spreadsheet: texts stay as they are"
    [(props, flags, is_test)] = found.execute("select distinct props, flags, is_test from events").fetchall()
    assert (json.loads(props), json.loads(flags), is_test) == ({"열쇠": [1]}, [], 0)
    names = {row[1] for table in ("events", "sessions") for row in found.execute(f"pragma table_info({table})")}
    found.close()
    assert not names & PEOPLE


def test_csv_opens_in_excel_and_runs_nothing(day, tmp_path):
    write(day, tmp_path / "x.csv", "csv")
    raw = (tmp_path / "x.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf"), "Excel takes it for UTF-8"
    with (tmp_path / "x.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["click_text"] for row in rows) == sorted([f"'{text}" for text in FORMULAS[:-1]] + FORMULAS[-1:])
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values())
    assert not set(rows[0]) & PEOPLE


def test_parquet_keeps_the_types(day, tmp_path):
    write(day, tmp_path / "x.parquet", "parquet", has_people=True)
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.num_rows == 7
    assert str(table.schema.field("event_time").type) == "timestamp[us, tz=Asia/Seoul]"
    assert str(table.schema.field("event_date").type).startswith("date32")
    assert sorted(table.column("click_text").to_pylist()) == sorted(FORMULAS)
    assert set(table.column("ip").to_pylist()) == {"10.0.0.7"}


def test_a_file_that_is_there_is_never_replaced(day, tmp_path):
    (tmp_path / "x.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is there already"):
        write(day, tmp_path / "x.csv", "csv")
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == "mine"


HARD = [
    "",
    "\\.",
    "\\N",
    '"',
    'a,"b"',
    "a\nb",
    "a\r\nb",
    " ",
    "한글 ⭐ 𠮷",
    "\\t",
    "NULL",
    "null",
    "true",
    "1",
    "'",
    "\u2028",
]


@pytest.mark.parametrize("format_", ["sqlite", "csv", "parquet"])
def test_every_text_and_every_gap_comes_out_as_it_went_in(road, tmp_path, format_):
    events = [event(session_id="s", click_text=text, seq=n + 1, time=NOON // 1000 + n, checkbox_checked=n % 2 == 0,
                    props={"n": text}) for n, text in enumerate(HARD)]  # fmt: skip
    events.append(event(session_id="s", seq=len(HARD) + 1, time=NOON // 1000 + len(HARD)))
    road.send(Sent(events, at_us=NOON + 60_000_000, sent_at=NOON // 1000 + 60_000, ip="2001:db8::1"))
    path = tmp_path / f"x.{format_}"
    assert write(road, path, format_, has_people=True).rows == {"events": len(HARD) + 1}
    names = ("click_text", "props", "checkbox_checked", "seq", "event_time", "ip", "flags", "event_id")
    stored = road.rows(f"select {', '.join(names)} from clean.events order by seq")
    if format_ == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = sorted(csv.DictReader(file), key=lambda row: int(row["seq"]))
        expected = [
            {
                "click_text": row["click_text"] or "",
                "checkbox_checked": {True: "true", False: "false"}.get(row["checkbox_checked"], ""),
            }
            for row in stored
        ]
    elif format_ == "sqlite":
        database = sqlite3.connect(path)
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("select * from events order by seq")]
        database.close()
        expected = [
            {"click_text": row["click_text"], "checkbox_checked": row["checkbox_checked"], "seq": row["seq"]}
            for row in stored
        ]
    else:
        found = sorted(parquet.read_table(path).to_pylist(), key=lambda row: row["seq"])
        same = ("click_text", "checkbox_checked", "seq", "event_time", "flags")
        expected = [{name: row[name] for name in same} for row in stored]
    for row, plain, text in zip(found, expected, stored, strict=True):
        assert {name: row[name] for name in plain} == plain
        assert (row["ip"], row["event_id"]) == ("2001:db8::1", str(text["event_id"]))
        assert (json.loads(row["props"]) if row["props"] else None) == text["props"]
        if format_ != "parquet":
            assert datetime.fromisoformat(row["event_time"]) == text["event_time"]
            assert (row["event_time"][-6:], json.loads(row["flags"])) == ("+09:00", text["flags"])


@pytest.mark.parametrize("format_", ["sqlite", "csv", "parquet"])
def test_a_file_is_its_owners_alone_from_its_first_byte(day, tmp_path, format_):
    seen, folder = [], tmp_path / "out"
    folder.mkdir()

    def look(_done, _total):
        seen.extend(f"{path.stat().st_mode & 0o777:o}" for path in folder.iterdir())

    before = os.umask(0)
    try:
        write(day, folder / "x", format_, has_people=True, watch=look)
    finally:
        os.umask(before)
    assert set(seen) == {"600"}
    assert [f"{path.stat().st_mode & 0o777:o}" for path in folder.iterdir()] == ["600"]


def test_how_far_it_is_is_said_of_how_much(day, tmp_path):
    told = []
    write(day, tmp_path / "x", "sqlite", ("events", "sessions"), watch=lambda done, total: told.append((done, total)))
    assert (told[0], told[-1]) == ((0, 8), (8, 8))


def test_a_file_that_appears_meanwhile_is_not_replaced(day, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()

    def appear(_done, _total):
        (folder / "x.csv").write_text("mine", encoding="utf-8")

    with pytest.raises(UsageError, match="is there already"):
        write(day, folder / "x.csv", "csv", watch=appear)
    assert [path.read_text(encoding="utf-8") for path in folder.iterdir()] == ["mine"]


@contextlib.contextmanager
def held(day, tmp_path, format_):
    """Yield an export of people's data that has begun its file and waits for its first row, and the file's folder."""
    settings, folder = write_settings(day, tmp_path), tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "sillok", "export", "--from", RANGE[0].isoformat(), "--to", RANGE[1].isoformat(),
               "--format", format_, "--out", str(folder / "x"), "--reason", "test", "--config", str(settings)]  # fmt: skip
    with connect(day.dsn) as blocking, blocking.transaction():
        blocking.execute("lock table clean.events in access exclusive mode")
        with subprocess.Popen(command, env=clean_environment(), stderr=subprocess.PIPE, text=True) as running:
            try:
                eventually(lambda: list(folder.glob("x.*.part")))
                [draft] = folder.iterdir()
                assert draft.stat().st_mode & 0o777 == 0o600
                yield running, folder
            finally:
                running.kill()


@pytest.mark.parametrize("format_", ["sqlite", "csv", "parquet"])
@pytest.mark.parametrize("stopped_by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_export_that_is_stopped_leaves_nothing(day, tmp_path, format_, stopped_by):
    with held(day, tmp_path, format_) as (running, folder):
        running.send_signal(stopped_by)
        assert (running.wait(60), running.stderr.read()) == (1, f"sillok: stopped: nothing was written to {folder}/x\n")
        assert list(folder.iterdir()) == []
    assert [row["command"] for row in day.rows("select command from ops.actions")] == ["export"]


def test_an_export_whose_database_goes_away_says_so_and_leaves_nothing(day, tmp_path):
    with held(day, tmp_path, "csv") as (running, folder):
        with connect(day.dsn) as other:
            waiting = (
                "select pid from pg_stat_activity where application_name = 'sillok export' and wait_event_type = 'Lock'"
            )
            [(pid,)] = eventually(lambda: other.execute(waiting).fetchall())
            other.execute("select pg_terminate_backend(%s)", (pid,))
        assert running.wait(60) == 1
        [line] = running.stderr.read().splitlines()
        assert line.startswith("sillok: the database went away")
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize("format_", ["sqlite", "csv", "parquet"])
def test_an_export_that_finds_no_room_says_so_and_leaves_nothing(day, tmp_path, format_):
    """A limit on the file's size stands for the full disk: the same call fails, and needs no root."""
    settings, folder = write_settings(day, tmp_path), tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-B", "-m", "sillok", "export", "--from", RANGE[0].isoformat(), "--to", RANGE[1].isoformat(),
               "--format", format_, "--out", str(folder / "x"), "--config", str(settings)]  # fmt: skip
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
    )  # fmt: skip
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"sillok: cannot write {folder}/x: ")
    assert "None" not in line
    assert list(folder.iterdir()) == []


def test_on_a_terminal_a_bar_shows_how_far_it_is(day, tmp_path):
    settings = write_settings(day, tmp_path)
    command = [sys.executable, "-m", "sillok", "export", "--from", RANGE[0].isoformat(), "--to", RANGE[1].isoformat(),
               "--out", str(tmp_path / "x"), "--config", str(settings)]  # fmt: skip
    ours, theirs = os.openpty()
    environment = {**clean_environment(), "TERM": "xterm"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a terminal says that it ends
            while more := os.read(ours, 65536):
                shown += more
        assert running.wait(60) == 0
    os.close(ours)
    assert b"rows" in shown
    assert re.search(rb"\d+/\d+", shown)


def test_people_come_along_for_a_reason_and_the_audit_says_so(day, tmp_path):
    """Who took what, of which range, and why; also of an export without people."""
    settings = write_settings(day, tmp_path)
    start, end = (at.isoformat() for at in RANGE)
    arguments = ["export", "--from", start, "--to", end, "--format", "csv", "--json", "--out"]
    assert sillok(settings, *arguments, str(tmp_path / "a.csv")).returncode == 0
    done = sillok(settings, *arguments, str(tmp_path / "b.csv"), "--reason", "audit of 2026")
    assert (done.returncode, json.loads(done.stdout)["has_people"]) == (0, True), done.stderr
    assert "customer-1" not in (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert "customer-1" in (tmp_path / "b.csv").read_text(encoding="utf-8")
    rows = day.rows(
        "select command, arguments ->> 'people' as people, reason, result from ops.actions order by action_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("export", "false", "", {}), ("export done", "false", "", {"events": 7}),
        ("export", "true", "audit of 2026", {}), ("export done", "true", "audit of 2026", {"events": 7}),
    ]  # fmt: skip


def test_without_pyarrow_parquet_says_what_to_install(day, tmp_path):
    settings = write_settings(day, tmp_path)
    start, end = (at.isoformat() for at in RANGE)
    code = "import sys; sys.modules['pyarrow'] = None; import sillok; raise SystemExit(sillok.main(sys.argv[1:]))"
    arguments = ["export", "--from", start, "--to", end, "--format", "parquet", "--out", str(tmp_path / "x.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--config", str(settings)],
        env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'sillok[parquet]'" in done.stderr
    assert not (tmp_path / "x.parquet").exists()
