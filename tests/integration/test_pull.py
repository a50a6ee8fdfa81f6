"""A spool that is pulled through a firewall: who may, what arrives after cuts, and what a release does."""

import base64
import http.client
import itertools
import json
import os
import threading
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector_server.handout import read_token
from collector_server.settings import CollectorSettings
from collector_server.tls import pull_context
from contract.errors import SettingsError
from storage.loader import Loader, LoadSettings
from storage.remote import SHA256_HEADER, RemoteSpool
from storage.sink import PostgresSink
from tests.builders import Road, Spool, event
from tests.pulling import TOKEN, Wire, handing_out


def write_large(spool: Spool) -> bytes:
    """Write a segment that does not compress."""
    texts = [base64.b64encode(os.urandom(30_000)).decode() for _ in range(30)]
    return spool.sealed(spool.write(*(event(props={"text": text}) for text in texts))).read_bytes()


def ask(url: str, method: str = "GET", token: str = TOKEN) -> tuple[int, bytes]:
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_cut_transfer_goes_on_where_it_stopped(spool_path: Path, tmp_path: Path) -> None:
    data = write_large(Spool(spool_path))
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        port = int(url.rpartition(":")[2])
        with Wire(
            itertools.repeat(port), itertools.chain([3000], itertools.repeat(100_000, 12), itertools.repeat(10**9))
        ).laid() as wire:
            remote = RemoteSpool(f"http://127.0.0.1:{wire.port}", str(tmp_path / "token"))
            (slot,) = remote.slots()
            assert slot.read(1) == data
            remote.close()
    assert wire.cut >= 5
    assert wire.passed_bytes < len(data) * 1.3, "what had arrived was asked for again"


def test_what_arrives_with_another_hash_is_not_taken(spool_path: Path, tmp_path: Path) -> None:
    """The file changes between two pieces: the pieces of two files are never put together."""
    spool = Spool(spool_path)
    write_large(spool)
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        port = int(url.rpartition(":")[2])
        with Wire(
            itertools.repeat(port), itertools.chain([200_000], itertools.repeat(1, 3), itertools.repeat(10**9))
        ).laid() as wire:
            remote = RemoteSpool(f"http://127.0.0.1:{wire.port}", str(tmp_path / "token"))
            (slot,) = remote.slots()
            with pytest.raises(ConnectionError):
                slot.read(1)
            changed = bytearray(spool.sealed(1).read_bytes())
            changed[100] ^= 1
            spool.sealed(1).write_bytes(changed)
            remote._away_until = 0.0
            assert slot.read(1) == changed
            remote.close()


@pytest.mark.parametrize("token", ["", "x" * 64, TOKEN + "0", TOKEN[:-1]])
def test_without_the_token_there_is_nothing(spool_path: Path, tmp_path: Path, token: str) -> None:
    spool = Spool(spool_path)
    number = spool.write(event())
    one = f"/v1/segments/{spool.folder.spool_id}/0/{number}"
    with handing_out(spool_path, tmp_path / "token") as (url, handout):
        for method, path in (
            ("GET", "/v1/segments"), ("GET", one), ("POST", f"{one}/release?sha256={'0' * 64}"), ("GET", "/metrics"),
        ):  # fmt: skip
            assert ask(url + path, method, token) == (401, b"this token opens nothing here\n")
        assert handout.counts.refused == 4
    assert spool.folder.waiting() == [number]


def test_there_is_nothing_but_list_read_and_release(spool_path: Path, tmp_path: Path) -> None:
    spool = Spool(spool_path)
    number = spool.write(event())
    one = f"/v1/segments/{spool.folder.spool_id}/0/{number}"
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        assert ask(url + one)[0] == 200
        for method in ("PUT", "DELETE", "PATCH", "POST", "HEAD"):
            assert ask(url + one, method)[0] == 405
        for path in (
            "/", "/metrics", "/v1/events", "/v1/segments/released/x", one.replace(str(spool.folder.spool_id), "x"),
            one.replace(str(spool.folder.spool_id), TOKEN[:32]), f"/v1/segments/{spool.folder.spool_id}/0/../SPOOL.json",
            f"/v1/segments/{spool.folder.spool_id}/7/{number}", f"{one}9",
        ):  # fmt: skip
            assert ask(url + path)[0] == 404, path
        assert ask(f"{url}{one}9/release?sha256={'0' * 64}", "POST")[0] == 404
        assert ask(f"{url}{one}/release", "POST")[0] == 400
        assert ask(f"{url}{one}/release?sha256={'0' * 64}", "POST")[0] == 409
    assert spool.folder.waiting() == [number]


def test_the_answer_says_what_it_must_hash_to(spool_path: Path, tmp_path: Path) -> None:
    spool = Spool(spool_path)
    number = spool.write(event())
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        headers = {"Authorization": f"Bearer {TOKEN}", "Range": "bytes=10-"}
        connection.request("GET", f"/v1/segments/{spool.folder.spool_id}/0/{number}", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, len(answer.headers[SHA256_HEADER])) == (206, 64)
        assert answer.read() == spool.sealed(number).read_bytes()[10:]
        connection.close()


def test_a_collector_out_of_reach_stops_no_other_and_is_said_once(road: Road, tmp_path: Path) -> None:
    """The second collector's token is wrong, the third one's port is dead; the first is loaded all the same."""
    wanted = event()
    road.spool.write(wanted)
    (tmp_path / "wrong").write_text("y" * 64, encoding="ascii")
    with handing_out(road.spool.path, tmp_path / "token") as (url, _):
        logs = [
            RemoteSpool(url, str(tmp_path / "wrong")),
            RemoteSpool("http://127.0.0.1:1", str(tmp_path / "token")),
        ]
        logs[0].name = "wrong token"
        logs.append(RemoteSpool(url, str(tmp_path / "token")))
        with capture_logs() as logged:
            Loader(LoadSettings(poll_ms=1), partial(PostgresSink.open, road.dsn), logs, 7).run(
                threading.Event(), once=True
            )
        for log in logs:
            log.close()
    assert road.values("select event_id from raw.events") == [wanted.event_id]
    reasons = {line["spool"]: line["reason"] for line in logged if line["event"] == "spool_unavailable"}
    assert sorted(reasons) == ["http://127.0.0.1:1", "wrong token"]
    assert "refuses the token" in reasons["wrong token"]
    assert all("pull_port" in line["action"] for line in logged if line["event"] == "spool_unavailable")
    assert not any(TOKEN in json.dumps(line) for line in logged)


@pytest.mark.usefixtures("checked")
def test_a_database_without_what_was_released_gets_it_again(road: Road, tmp_path: Path) -> None:
    """It was restored to the past; the collector's archive has its grace period."""
    forgotten = event()
    number = road.spool.write(forgotten)
    road.spool.folder.release(number)
    with handing_out(road.spool.path, tmp_path / "token") as (url, handout):
        log = RemoteSpool(url, str(tmp_path / "token"))
        Loader(LoadSettings(poll_ms=1), partial(PostgresSink.open, road.dsn), [log], 7).run(
            threading.Event(), once=True
        )
        log.close()
        assert handout.counts.released == 1
    assert road.values("select event_id from raw.events") == [forgotten.event_id]
    assert road.spool.folder.released() == [number]


def test_a_pull_port_needs_a_secret_and_outside_this_machine_a_certificate(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pull_token_file"):
        read_token(None)
    (tmp_path / "short").write_text("short\n", encoding="ascii")
    with pytest.raises(SettingsError, match="too short"):
        read_token(str(tmp_path / "short"))
    with pytest.raises(SettingsError, match="pull_tls_certificate"):
        pull_context(CollectorSettings(pull_port=7072, pull_host="0.0.0.0"))
    with pytest.raises(SettingsError, match="https"):
        RemoteSpool("http://10.0.0.1:7072", str(tmp_path / "short"))
