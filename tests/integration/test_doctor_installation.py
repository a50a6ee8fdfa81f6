"""`sillok doctor` on an installation as `docs/operate.md` makes it: green with each of its settings files.

It looks at what the file is about; where another part knows what is wrong, its own words are passed on.
"""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from commands.doctor import examine
from commands.doctor_database import Finding
from commands.settings import load_settings
from storage.embedded import EmbeddedPostgres
from storage.postgres import connect
from tests.builders import Road, Spool, event
from tests.conftest import free_port
from tests.integration.conftest import eventually, running
from tests.operating import sillok

_USERS = {"load": "sillok_loader", "process": "sillok_processor", "operate": "sillok_operator"}
# The servers of the tests do not sync, and the test's machine may have no NTP.
_OF_THE_TEST = {"database disk", "clock"}


@pytest.fixture
def installed(road: Road, tmp_path: Path) -> Iterator[Path]:
    """Return the folder of the settings files; the users are made as the document says."""
    road.send(event())
    for section, role in _USERS.items():
        road.admin.execute(f"create user doctor_{section} in role {role}")
        dsn = psycopg.conninfo.make_conninfo(road.dsn, user=f"doctor_{section}")
        shared = (
            f'[data]\nfolder = "{road.spool.path.parent}"\n' if section != "process" else "[retention]\nraw_days = 7\n"
        )
        write(tmp_path / f"{section}.toml", f'{shared}[{section}]\ndsn = "{dsn}"\n')
    write(tmp_path / "migrate.toml", f'[migrate]\ndsn = "{road.dsn}"\n')
    yield tmp_path
    with connect(road.dsn) as admin:
        for section in _USERS:
            admin.execute(f"drop owned by doctor_{section}; drop user doctor_{section}")


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def doctor(config: Path, *arguments: str) -> tuple[dict[str, Finding], int]:
    done = sillok(config, "doctor", "--json", *arguments)
    found = [Finding(**finding) for finding in json.loads(done.stdout)]
    return {finding.check: finding for finding in found}, done.returncode


def advised(found: dict[str, Finding]) -> dict[str, str]:
    return {name: f.advice for name, f in found.items() if f.advice and name not in _OF_THE_TEST}


@pytest.mark.parametrize("on", [(), ("--on", "inside")], ids=["as the file says", "inside"])
@pytest.mark.parametrize("section", ["load", "process", "operate", "migrate"])
def test_each_file_of_a_healthy_installation_is_green(installed: Path, section: str, on: tuple[str, ...]) -> None:
    found, _ = doctor(installed / f"{section}.toml", *on)
    assert advised(found) == {}
    assert {f"[{section}] user", "database", "database clock", "partitions"} <= found.keys()
    reads_clean = section != "load"
    assert ("watermark" in found, "duplicates have an original" in found) == (reads_clean, reads_clean)
    assert not {"collector", "write keys", "key log"} & found.keys(), "nobody asked for a collector"
    assert ("spool" in found) == (section == "load" and not on), "the loader's spool, and nobody else's"


def test_a_collectors_file_asks_for_no_database(tmp_path: Path) -> None:
    with running(tmp_path) as collector:
        collector.wait_until_ready()
        found, status = doctor(collector.settings)
    assert advised(found) == {}
    assert found["collector"].result == f"ready (200) on port {collector.port}"
    assert not {name for name in found if "database" in name}
    assert status == (1 if found["clock"].advice else 0)


def test_a_loader_that_pulls_has_no_spool_of_its_own(installed: Path) -> None:
    (installed / "token").write_text("x" * 40, encoding="ascii")
    (installed / "token").chmod(0o600)
    collector = f'[[load.collectors]]\nurl = "http://127.0.0.1:{free_port()}"\ntoken_file = "{installed}/token"\n'
    path = installed / "load.toml"
    write(path, path.read_text(encoding="utf-8") + collector)
    found, _ = doctor(path)
    assert not {"spool", "data folder", "disk sync", "file system"} & found.keys()
    (reached,) = [name for name in found if name.startswith("collector http")]
    assert advised(found).keys() == {reached}


def test_without_a_file_everything_is_looked_at(tmp_path: Path) -> None:
    found = {f.check: f for f in examine(load_settings(None, {"SILLOK_DATA_FOLDER": str(tmp_path)}), None, on=None)}
    assert found.keys() >= {"data folder", "spool", "write keys", "collector", "database"}
    assert "`sillok up`" in found["database"].advice


@pytest.mark.parametrize("user", ["load", "process"])
def test_a_user_that_was_made_without_its_role_is_told_once(road: Road, installed: Path, user: str) -> None:
    road.admin.execute(f"revoke {_USERS[user]} from doctor_{user}")
    found, status = doctor(installed / f"{user}.toml")
    assert status == 1
    assert advised(found).keys() == {f"[{user}] user"}
    assert f"grant {_USERS[user]} to <user>" in found[f"[{user}] user"].advice


@pytest.mark.parametrize("user", ["load", "process"])
def test_a_user_that_does_not_inherit_is_healthy(road: Road, installed: Path, user: str) -> None:
    """The programs take their role themselves."""
    road.admin.execute(f"alter user doctor_{user} noinherit")
    assert advised(doctor(installed / f"{user}.toml")[0]) == {}


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("host=127.0.0.1 port=1 dbname=analytics user=x", "start it, or check host and port of [process] dsn"),
        ("host=/nowhere dbname=analytics user=x", "start it, or check host and port of [process] dsn"),
        ("host=no-such-host.invalid user=x", "start it, or check host and port of [process] dsn"),
        ("host 127.0.0.1", "not one PostgreSQL can read"),
    ],
)
def test_a_database_that_is_not_there_is_told_once(tmp_path: Path, dsn: str, words: str) -> None:
    write(tmp_path / "process.toml", f'[process]\ndsn = "{dsn}"\n')
    found, status = doctor(tmp_path / "process.toml")
    assert status == 1
    assert list(advised(found)) == ["[process] user"]
    assert words in found["[process] user"].advice


def test_a_database_that_does_not_exist_is_told(road: Road, tmp_path: Path) -> None:
    dsn = psycopg.conninfo.make_conninfo(road.dsn, dbname="no_such_database")
    write(tmp_path / "process.toml", f'[process]\ndsn = "{dsn}"\n')
    assert '"no_such_database" does not exist' in doctor(tmp_path / "process.toml")[0]["[process] user"].advice


def test_a_user_whose_transactions_begin_read_only_is_healthy(road: Road, installed: Path) -> None:
    """The programs say themselves that theirs write."""
    road.admin.execute("alter user doctor_process set default_transaction_read_only = on")
    assert advised(doctor(installed / "process.toml")[0]) == {}


def test_a_database_in_another_encoding_is_told_once(road: Road, tmp_path: Path) -> None:
    """Whatever the connection itself finds out is passed on, not what it was tried for."""
    name = "doctor_in_euc_kr"
    road.admin.execute(f"create database {name} template template0 encoding 'EUC_KR' locale 'C'")
    try:
        write(
            tmp_path / "migrate.toml", f'[migrate]\ndsn = "{psycopg.conninfo.make_conninfo(road.dsn, dbname=name)}"\n'
        )
        found, status = doctor(tmp_path / "migrate.toml")
    finally:
        road.admin.execute(f"drop database {name}")
    assert status == 1
    assert advised(found).keys() == {"[migrate] user"}
    assert "EUC_KR" in found["[migrate] user"].advice


def test_a_standby_is_told_from_its_primary(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    server.stop()
    (tmp_path / "postgres" / "standby.signal").touch()
    dsn = server.start()
    try:
        write(tmp_path / "migrate.toml", f'[migrate]\ndsn = "{dsn}"\n')
        found, status = doctor(tmp_path / "migrate.toml")
    finally:
        server.stop()
    assert status == 1
    assert advised(found).keys() == {"database"}
    assert found["database"].result.endswith("a standby in recovery")
    assert "name the primary" in found["database"].advice


@pytest.mark.parametrize(("number", "advice"), [(9999, "install the newer Sillok"), (None, "run `sillok migrate`")])
def test_another_schema_is_told_once(road: Road, installed: Path, number: int | None, advice: str) -> None:
    last = "select max(number) from ops.migrations"
    if number:
        road.reset_later(f"delete from ops.migrations where number = {number}")
        road.admin.execute(f"insert into ops.migrations (number, name) values ({number}, 'of_tomorrow')")
    else:
        (newest,) = road.values(last)
        (name,) = road.values("select name from ops.migrations where number = %s", newest)
        road.reset_later(f"insert into ops.migrations (number, name) values ({newest}, '{name}')")
        road.admin.execute("delete from ops.migrations where number = %s", (newest,))
    found, _ = doctor(installed / "process.toml")
    assert advised(found).keys() == {"migrations"}
    assert advice in found["migrations"].advice


# The collector's own words


def test_a_full_disk_is_told_in_the_collectors_words(tmp_path: Path) -> None:
    with running(tmp_path, spool=f"free_bytes_min = {2**62}") as collector:
        eventually(lambda: "disk" in collector.admin("/readyz")[1])
        found, _ = doctor(collector.settings)
    assert found["collector"].result == "not ready: slot 0: the spool's disk is almost full"
    assert found["collector"].advice.startswith("make space on the spool's disk")
    assert "start it" not in str(found["collector"])


def test_a_used_up_quota_is_told_in_the_collectors_words(tmp_path: Path) -> None:
    with running(tmp_path, spool="bytes_max = 2_000\nheartbeat_ms = 200") as collector:
        eventually(lambda: "quota" in collector.admin("/readyz")[1], 60)
        found, _ = doctor(collector.settings)
    assert "quota" in found["collector"].result
    assert "[spool] bytes_max" in found["collector"].advice


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        (200, b"<html>It works!</html>", "an answer (200) that is no collector's"),
        (404, b"", "an answer (404) that is no collector's"),
        (503, b"[]", "an answer (503) that is no collector's"),
        (503, b'{"ready":false,"waiting":{"slot 3":"the spool\'s disk failed"}}', "not ready: slot 3: the spool's disk failed"),
        (503, b'{"ready":false,"waiting":{"slot 0":"starting"}}', "not ready: slot 0: starting"),
    ],
)  # fmt: skip
def test_whatever_answers_is_told(tmp_path: Path, status: int, body: bytes, result: str) -> None:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        write(tmp_path / "c.toml", f"[serve]\nadmin_port = {server.server_port}\n")
        settings = load_settings(str(tmp_path / "c.toml"), {"SILLOK_DATA_FOLDER": str(tmp_path)})
        found = {f.check: f for f in examine(settings, None, on="collector", config=str(tmp_path / "c.toml"))}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert found["collector"].result == result
    assert found["collector"].advice
    assert "start it" not in found["collector"].advice


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_collector_that_is_not_there_is_to_be_started(tmp_path: Path, host: str) -> None:
    write(
        tmp_path / "c.toml",
        f'[data]\nfolder = "{tmp_path}"\n[serve]\nadmin_host = "{host}"\nadmin_port = {free_port()}\n',
    )
    advice = doctor(tmp_path / "c.toml")[0]["collector"].advice
    assert advice == "start it with `sillok up` or `sillok serve`" or "see its log" in advice.lower()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_a_folder_that_may_not_be_looked_into_is_told_once(tmp_path: Path) -> None:
    """As an operator who is not the collector's user: one line, and what he may see of the rest."""
    home = tmp_path / "data"
    Spool(home / "spool").write(event())
    home.chmod(0o700)
    settings = load_settings(None, {"SILLOK_DATA_FOLDER": str(home)})
    read, write_ = os.pipe()
    child = os.fork()
    if child == 0:
        os.seteuid(65534)
        told = [(f.check, f.result, f.advice) for f in examine(settings, None, on="collector")]
        os.write(write_, json.dumps(told).encode())
        os._exit(0)
    os.close(write_)
    with os.fdopen(read, "rb") as pipe:
        found = {check: (result, advice) for check, result, advice in json.loads(pipe.read())}
    os.waitpid(child, 0)
    assert "cannot be looked into" in found["data folder"][0]
    assert "run the doctor as root" in found["data folder"][1]
    assert {name for name, (_, advice) in found.items() if advice} - _OF_THE_TEST == {"data folder", "collector"}


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_certificate_that_is_missing_is_told_by_its_path(tmp_path: Path, missing: str) -> None:
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key")}
    for name, path in files.items():
        if name != missing:
            path.touch(mode=0o600)
    serve = "".join(f'tls_{name} = "{path}"\n' for name, path in files.items())
    write(tmp_path / "c.toml", f'[data]\nfolder = "{tmp_path}"\n[serve]\n{serve}')
    found, _ = doctor(tmp_path / "c.toml")
    assert str(files[missing]) in found["ingest certificate"].advice
