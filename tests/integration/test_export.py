"""An export holds the range's rows and nobody's name unless a reason is given; no cell of it is a formula."""

import csv
import json
import sqlite3
import subprocess
import sys

import pytest
from pyarrow import parquet

from contract.errors import UsageError
from processor.operate.export import PEOPLE, export
from storage.postgres import connect
from tests.builders import Road, Sent, event, moment, today_us
from tests.integration.conftest import clean_environment
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


def write(road: Road, path, format_, tables=("events",), *, has_people=False):
    with connect(road.dsn, role="sillok_reader") as reader:
        return export(reader, path, format_, tables, *RANGE, has_people=has_people)


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
