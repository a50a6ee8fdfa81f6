"""The operators' files: an edit takes effect while the processor runs, a broken one never does."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from commands.doctor import examine
from commands.settings import DataSettings, Settings
from contract.errors import RuleFileBroken
from processor.run import Processor
from processor.settings import ProcessSettings
from tests.builders import Road, Sent, event, eventually, fresh_database, on_road
from tests.integration.conftest import clean_environment
from tests.mmdb import make_mmdb
from tests.patience import PATIENCE_S


class Kind(NamedTuple):
    """One of the files: two good versions, what each makes of the visit, a bad version and what is said of it."""

    setting: str
    good: bytes
    better: bytes
    bad: bytes
    says: str
    column: str
    values: tuple[str | None, str, str]


def rules(channel: str) -> bytes:
    return f'extends_builtin = true\n[[rule]]\nchannel = "{channel}"\nreferrer_host = "partner.example"\n'.encode()


def pages(name: str) -> bytes:
    return f"page_code,page_name,menu_group\nM0301,{name},국내주식\n".encode()


def places(country: str) -> bytes:
    return make_mmdb({"203.0.113.0/24": {"country": {"iso_code": country}}})


KINDS = [
    Kind(
        "channel_rules", rules("email"), rules("social"), rules("e-mail"),
        "rule 1 (line 2): channel: 'e-mail' is unknown", "channel", ("referral", "email", "social"),
    ),
    Kind(
        "page_dictionary", pages("현재가"), pages("국내주식 현재가"), pages(""),
        "line 2: page_name is empty", "page_name", (None, "현재가", "국내주식 현재가"),
    ),
    Kind(
        "geoip_file", places("KR"), places("JP"), places("KR")[:-40],
        "not a whole MaxMind DB file", "country", (None, "KR", "JP"),
    ),
]  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.setting for kind in KINDS])


@pytest.fixture(scope="module")
def database(postgres, template):
    with fresh_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
def road(database, spool_path):
    with on_road(database, spool_path) as road:
        road.processor.close()
        yield road


def settings(kind: Kind, path: Path) -> ProcessSettings:
    return ProcessSettings(**{kind.setting: str(path)}, poll_ms=5)


def write(path: Path, content: bytes) -> None:
    """Put a new version in place of the old one."""
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


def clean_one(road: Road, kind: Kind, wait: Callable[[], Any] = lambda: None) -> Any:
    """Send the visit that every kind of file says something of; return what it said."""
    stored = event(
        event_type="page_view", session_id="s", page_code="M0301", page_url="https://www.firm.kr/",
        referrer="https://partner.example/",
    )  # fmt: skip
    road.spool.write(Sent([stored], ip="203.0.113.7"))
    road.load()
    wait()
    eventually(lambda: road.values("select count(*) from clean.events where event_id = %s", stored.event_id) == [1])
    return road.clean(stored)[0][kind.column]


def no_lock_is_held(road: Road) -> bool:
    return road.values(
        "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
        " where l.locktype = 'advisory' and d.datname = current_database()"
    ) == [0]


class Running:
    """A processor at work in a thread of its own."""

    def __init__(self, road: Road, process_settings: ProcessSettings) -> None:
        self.reload = threading.Event()
        self._stop = threading.Event()
        eventually(lambda: no_lock_is_held(road))
        processor = Processor(process_settings, road.dsn, reload=self.reload)
        self._thread = threading.Thread(target=processor.run, args=(self._stop,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def said(logged: list[Any], event_: str) -> list[Any]:
    return [line for line in logged if line["event"] == event_]


@every_kind
def test_an_edit_takes_effect_while_the_processor_runs(road, kind, tmp_path):
    """And a file that breaks changes nothing, is said once with its line and why, and is taken when it is mended."""
    path = tmp_path / "file"
    write(path, kind.good)
    with capture_logs() as logged, Running(road, settings(kind, path)):
        assert clean_one(road, kind) == kind.values[1]
        path.write_bytes(kind.bad)  # in place, as editors and `cp` do: nothing may still read from it
        eventually(lambda: any(kind.says in line["reason"] for line in said(logged, "rule_file_broken")))
        assert clean_one(road, kind) == kind.values[1]
        lines = len(said(logged, "rule_file_broken"))
        assert clean_one(road, kind) == kind.values[1]
        assert len(said(logged, "rule_file_broken")) == lines
        write(path, kind.better)
        eventually(lambda: len(said(logged, "rule_file_loaded")) == 2)
        assert clean_one(road, kind) == kind.values[2]
    line = said(logged, "rule_file_broken")[-1]
    assert line["setting"] == kind.setting
    assert line["reason"].startswith(f"{path}: ")
    assert kind.says in line["reason"]


@every_kind
@pytest.mark.parametrize("gone", [False, True], ids=["broken", "gone"])
def test_the_last_good_version_stays_across_a_restart(road, kind, tmp_path, gone):
    path = tmp_path / "file"
    write(path, kind.good)
    with Running(road, settings(kind, path)):
        assert clean_one(road, kind) == kind.values[1]
    if gone:
        path.unlink()
    else:
        write(path, kind.bad)
    with capture_logs() as logged, Running(road, settings(kind, path)):
        assert clean_one(road, kind) == kind.values[1]
    [line] = said(logged, "rule_file_broken")
    assert ("No such file" if gone else kind.says) in line["reason"]
    assert line["since"] is not None


@every_kind
def test_a_first_start_with_a_broken_file_is_refused(road, kind, tmp_path):
    """There is no good version to stay with: nothing is cleaned by rules that nobody wrote."""
    path = tmp_path / "file"
    write(path, kind.bad)
    eventually(lambda: no_lock_is_held(road))
    processor = Processor(settings(kind, path), road.dsn)
    with pytest.raises(RuleFileBroken) as caught:
        processor.run(threading.Event(), once=True)
    processor.close()
    assert kind.says in str(caught.value)
    assert road.values("select count(*) from ops.rule_files") == [0]


def command(road: Road, kind: Kind, path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sillok", "process", *arguments],
        env=clean_environment() | {"SILLOK_PROCESS_DSN": road.dsn, f"SILLOK_PROCESS_{kind.setting.upper()}": str(path)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_command_says_it_in_one_sentence_and_ends_with_2(road, tmp_path):
    path = tmp_path / "pages.csv"
    write(path, KINDS[1].bad)
    eventually(lambda: no_lock_is_held(road))
    process = command(road, KINDS[1], path, "--once")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == f"sillok: {path}: line 2: page_name is empty"


def test_sighup_reads_a_file_that_looks_unchanged(road, tmp_path):
    """Same name, size and time, as some tools leave it: nobody can see it, so somebody must be able to say it."""
    kind = KINDS[0]
    path = tmp_path / "rules.toml"
    path.write_bytes(rules("social"))
    stat = path.stat()
    eventually(lambda: no_lock_is_held(road))
    process = command(road, kind, path)
    try:
        assert clean_one(road, kind) == "social"
        # Nobody may look between the two.
        process.send_signal(signal.SIGSTOP)
        path.write_bytes(rules("direct"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        process.send_signal(signal.SIGCONT)
        assert clean_one(road, kind) == "social"
        before = road.values("select sha256 from ops.rule_files")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: road.values("select sha256 from ops.rule_files") != before)
        assert clean_one(road, kind) == "direct"
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


# The page dictionary


def test_a_page_has_the_name_of_the_dictionary_unless_the_app_says_one(road, tmp_path):
    path = tmp_path / "pages.csv"
    write(path, pages("현재가"))
    own = event(page_code="M0301", page_name="내가 지은 이름", session_id="s")
    none = event(page_code="M0301", session_id="s")
    unknown = event(page_code="M9999", session_id="s")
    bare = event(session_id="s")
    road.spool.write(Sent([own, none, unknown, bare]))
    road.load()
    with Running(road, settings(KINDS[1], path)):
        eventually(lambda: road.values("select count(*) from clean.events") == [4])
    assert [row["page_name"] for row in road.clean(own, none, unknown, bare)] == [
        "내가 지은 이름",
        "현재가",
        None,
        None,
    ]
    joined = "select e.event_id, p.menu_group from clean.events e left join clean.pages p using (page_code)"
    groups = {row["event_id"]: row["menu_group"] for row in road.rows(joined)}
    assert groups == {own.event_id: "국내주식", none.event_id: "국내주식", unknown.event_id: None, bare.event_id: None}


def test_a_code_that_leaves_the_file_keeps_its_name_for_old_events_only(road, tmp_path):
    path = tmp_path / "pages.csv"
    header = b"page_code,page_name,menu_group\n"
    both = header + b"M1,one,a\nM2,two,\n"
    live = "select page_code || coalesce('-' || menu_group, '') from clean.pages where removed_at is null order by 1"
    write(path, both)
    with Running(road, settings(KINDS[1], path)) as running:
        eventually(lambda: road.values(live) == ["M1-a", "M2"])
        changed = dict(road.admin.execute("select page_code, changed_at from clean.pages").fetchall())
        write(path, header + b"M2,two,\n")
        eventually(lambda: road.values(live) == ["M2"])
        assert road.values("select page_name from clean.pages where removed_at is not null") == ["one"]
        write(path, both)
        eventually(lambda: road.values(live) == ["M1-a", "M2"])
        running.reload.set()
        eventually(lambda: not running.reload.is_set())
    after = dict(road.admin.execute("select page_code, changed_at from clean.pages").fetchall())
    assert after["M2"] == changed["M2"]
    assert after["M1"] > changed["M1"]


def test_without_the_setting_no_page_is_named(road, tmp_path):
    """The rows stay for what happened before."""
    path = tmp_path / "pages.csv"
    write(path, pages("현재가"))
    with Running(road, settings(KINDS[1], path)):
        assert clean_one(road, KINDS[1]) == "현재가"
    with Running(road, ProcessSettings(poll_ms=5)):
        assert clean_one(road, KINDS[1]) is None
    assert road.values("select page_name from clean.pages") == ["현재가"]


# What the operator is told


def findings(road: Road | None, kind: Kind, path: Path, tmp_path: Path) -> tuple[str, str]:
    everything = Settings(process=settings(kind, path), data=DataSettings(folder=str(tmp_path)))
    [found] = [f for f in examine(everything, road and road.dsn) if f.check == kind.setting]
    return found.result, found.advice


@every_kind
def test_doctor_says_how_each_file_is(road, kind, tmp_path):
    path = tmp_path / "file"
    write(path, kind.bad)
    result, advice = findings(road, kind, path, tmp_path)
    assert result == "broken; none was taken yet"
    assert advice.startswith(f"{path}: ")
    assert kind.says in advice
    write(path, kind.good)
    assert findings(road, kind, path, tmp_path) == (f"{path} is good; none was taken yet", "")
    with Running(road, settings(kind, path)):
        clean_one(road, kind)
    result, advice = findings(road, kind, path, tmp_path)
    assert result.startswith(f"{path} is good; last good of 2")
    assert advice == ""
    write(path, kind.bad)
    result, advice = findings(road, kind, path, tmp_path)
    assert result.startswith("broken; last good of 2")
    assert result.endswith(" stays")
    assert kind.says in advice


def test_doctor_looks_at_the_files_without_a_database_too(tmp_path):
    path = tmp_path / "rules.toml"
    write(path, KINDS[0].bad)
    result, advice = findings(None, KINDS[0], path, tmp_path)
    assert result == "broken; none was taken yet"
    assert "line 2" in advice
