"""The load test's other courses: steps, what was recorded, Locust; its page and its history."""

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from commands.up import Installation
from storage.postgres import connect
from tests.acceptance.qa import finished, sillok, url
from tests.integration.conftest import clean_environment
from tests.pages import assert_stands_alone

LOG = """\
203.0.113.7 - - [17/May/2026:10:05:03 +0000] "GET /a HTTP/1.1" 200 1 "-" "Mozilla/5.0 (Windows NT 10.0) Chrome/142.0.0.0"
203.0.113.8 - - [17/May/2026:10:05:04 +0000] "GET /b HTTP/1.1" 404 1 "https://search.naver.com/" "curl/8"
203.0.113.7 - - [17/May/2026:10:05:05 +0000] "GET /c HTTP/1.1" 200 1 "-" "Mozilla/5.0 (Windows NT 10.0) Chrome/142.0.0.0"
203.0.113.7 - - [17/May/2026:10:06:43 +0000] "GET /d HTTP/1.1" 200 1 "-" "Mozilla/5.0 (Windows NT 10.0) Chrome/142.0.0.0"
"""


def report_of(process: "subprocess.Popen[str]") -> dict:
    status, said, errors = finished(process)
    assert status == 0, said + errors
    return json.loads(said)


def test_steps_find_the_rate_at_which_it_breaks(installation: Installation, tmp_path: Path) -> None:
    """The key lets 300 events a second through, and a burst of two seconds: more than 900 in one second are too many."""
    report = report_of(
        sillok(installation, tmp_path, "--shape", "step", "--rate", "500", "--seconds", "1", "--p99-ms", "9000",
               "--malformed", "0", "--duplicates", "0", "--json", key="narrow")
    )  # fmt: skip
    steps = report["steps"]
    held = [step["rate"] for step in steps if not step["broke"]]
    broke = [step["rate"] for step in steps if step["broke"]]
    assert [step["rate"] for step in steps][:3] == [500, 750, 1125]
    assert all("were shed" in step["broke"] for step in steps if step["broke"])
    assert 750 <= max(held) < min(broke) <= max(held) * 1.06
    assert report["verdict"]["missing"] == 0
    assert report["verdict"]["checks"][-2] == {
        "name": "a rate was held", "holds": True, "wanted": "at least 500", "found": f"{max(held):,.0f} events a second",
    }  # fmt: skip
    assert all(step["drained_s"] is not None for step in steps)


def test_a_spool_is_replayed_as_new_events_of_the_same_visitors(installation: Installation, tmp_path: Path) -> None:
    first = report_of(sillok(installation, tmp_path, "--rate", "200", "--seconds", "3", "--json"))
    slot = Path(installation.settings.data.folder) / "spool" / "slot-0000"
    copy = tmp_path / "copy"
    ends = time.monotonic() + 30
    while any(slot.glob("*.sealed")) and time.monotonic() < ends:
        time.sleep(0.1)
    shutil.copytree(slot / "archive", copy)
    again = report_of(sillok(installation, tmp_path, "--replay", str(copy), "--speed", "4", "--json"))
    assert again["load"]["sent"] >= first["verdict"]["loaded"]
    assert again["load"]["refused"] == 0
    assert again["verdict"]["clean"] == again["load"]["acknowledged"] == again["load"]["sent"]
    with connect(installation.dsn) as connection:
        before, after = (
            connection.execute(
                "select page_code, event_type, session_id, browser_name, count(*) from clean.events"
                f" where received_at {side} %s group by 1, 2, 3, 4",
                (again["started_at"],),
            ).fetchall()
            for side in ("<", ">=")
        )
    # What had arrived twice is in the recording twice, and is two events of the replay.
    assert {row[:-1] for row in before} == {row[:-1] for row in after}
    assert sum(row[-1] for row in before) <= sum(row[-1] for row in after) == again["load"]["sent"]


def test_an_access_log_is_replayed_at_its_pace(installation: Installation, tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(LOG.encode()))
    report = report_of(
        sillok(installation, tmp_path, "--replay", str(path), "--speed", "50", "--site", "https://www.example.com/",
               "--duplicates", "0", "--json")
    )  # fmt: skip
    assert report["load"]["sent"] == report["verdict"]["clean"] == 4
    assert report["load"]["batches"] == 3
    assert 1.8 < report["load"]["seconds"] < 8
    with connect(installation.dsn) as connection:
        rows = connection.execute(
            "select page_url, browser_name, channel, anonymous_id, event_time from clean.events"
            " where source = 'qa' and received_at >= %s order by event_time",
            (report["started_at"],),
        ).fetchall()
    assert [row[0] for row in rows] == [f"https://www.example.com/{page}" for page in "abcd"]
    assert [row[1] for row in rows] == ["Chrome", "curl", "Chrome", "Chrome"]
    assert rows[1][2] == "organic_search"
    assert len({row[3] for row in rows}) == 2
    # Within a batch events are as far apart as they were.
    assert (rows[2][4] - rows[0][4]).total_seconds() == 2
    assert all(before[4] < after[4] for before, after in pairwise(rows))


def test_a_page_is_written_and_a_run_is_held_against_those_like_it(installation: Installation, tmp_path: Path) -> None:
    page = tmp_path / "run.html"
    earlier = []
    for rate in ("150", "150"):
        report = report_of(
            sillok(installation, tmp_path, "--rate", rate, "--seconds", "2", "--html", str(page), "--json")
        )
        earlier.append([run["run_id"] for run in report["earlier"]])
        assert_stands_alone(page.read_text("utf-8"))
        assert report["run_id"] in page.read_text("utf-8")
        assert report["samples"][-1]["clean"] == report["verdict"]["clean"]
        assert {"collector", "loader", "processor", "database", "driver"} <= set(report["samples"][-1]["parts"])
    assert [len(found) for found in earlier] == [0, 1]


def test_waiting_for_the_tables_can_be_cut_short_and_what_is_not_clean_is_said(
    installation: Installation, tmp_path: Path
) -> None:
    installation.children["process"].send(signal.SIGSTOP)
    try:
        process = sillok(installation, tmp_path, "--rate", "100", "--seconds", "1", "--patience", "100", "--json")
        time.sleep(7)
        process.send_signal(signal.SIGINT)
        status, said, errors = finished(process)
    finally:
        installation.children["process"].send(signal.SIGCONT)
    assert status == 1, said + errors
    failing = [check["name"] for check in json.loads(said)["verdict"]["checks"] if not check["holds"]]
    assert "every acknowledged event is clean" in failing
    assert "Traceback" not in errors


def test_a_database_that_ends_its_connections_is_asked_again(installation: Installation, tmp_path: Path) -> None:
    process = sillok(installation, tmp_path, "--rate", "100", "--seconds", "3", "--json")
    with connect(installation.dsn) as connection:
        for _ in range(12):
            time.sleep(0.5)
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'sillok loadtest'"
            )
    report = report_of(process)
    assert report["load"]["acknowledged"] == report["load"]["sent"] > 200
    assert report["samples"][-1]["clean"] == report["verdict"]["clean"]


def test_without_the_database_nothing_is_sent(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "away.toml").write_text('[process]\ndsn = "host=127.0.0.1 port=9 dbname=x"\n', "utf-8")
    status, said, errors = finished(sillok(installation, tmp_path, "--config", str(tmp_path / "away.toml")))
    assert (status, said) == (2, "")
    assert "PostgreSQL cannot be reached" in errors
    assert "nothing was sent" in errors
    assert "Traceback" not in errors


def test_locust_sends_the_same_visitors_and_ends_with_the_verdict(installation: Installation) -> None:
    if find_spec("locust") is None:
        pytest.skip("Locust is not installed")
    command = [sys.executable, "-m", "locust", "--locustfile", "loadtest/locustfile.py", "--host", url(installation)]
    command += ["--headless", "--users", "8", "--spawn-rate", "8", "--run-time", "3s", "--processes", "2"]
    environment = {**clean_environment(), "SILLOK_KEY": "qa", "SILLOK_PROCESS_DSN": installation.dsn}
    done = subprocess.run(
        [*command, "--only-summary"], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("all are clean") == 2


def test_a_row_of_its_source_that_is_gone_is_found_by_the_books(installation: Installation, tmp_path: Path) -> None:
    """All of the run is clean, but what was clean a minute ago is not what the processor counted."""
    report_of(sillok(installation, tmp_path, "--rate", "100", "--seconds", "1", "--json"))
    with connect(installation.dsn) as connection:
        connection.execute(
            "create table ops.saved as select * from clean.events where source = 'qa' order by received_at desc limit 1"
        )
        connection.execute("delete from clean.events where event_id = (select event_id from ops.saved)")
        try:
            status, said, errors = finished(sillok(installation, tmp_path, "--rate", "100", "--seconds", "1", "--json"))
        finally:
            connection.execute("insert into clean.events select * from ops.saved")
            connection.execute("drop table ops.saved")
    assert status == 1, said + errors
    report = json.loads(said)
    assert [check["name"] for check in report["verdict"]["checks"] if not check["holds"]] == ["the books balance"]
    assert "differences: clean = rows of clean.events" in said
