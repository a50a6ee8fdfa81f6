"""A pull plane between enemies: a stolen token, a collector that somebody has taken over, a stranger at the port."""

import contextlib
import hashlib
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from storage.loader import Loader, LoadSettings
from storage.remote import RemoteSpool
from storage.sink import PostgresSink
from tests.builders import Road, Spool, event
from tests.conftest import free_port
from tests.integration.conftest import running
from tests.integration.test_pull import ask
from tests.pulling import TOKEN, handing_out

_SPOOL_ID = "00000000-0000-4000-8000-000000000001"
Say = Callable[[socket.socket], None]


def answering(body: bytes, *, length: int | None = None) -> Say:
    head = f"HTTP/1.1 200 OK\r\nSillok-SHA256: {'0' * 64}\r\nContent-Length: {length or len(body)}\r\n\r\n"

    def say(wire: socket.socket) -> None:
        wire.sendall(head.encode() + body)

    return say


def for_ever(piece: bytes, pause_s: float = 0.0, head: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Say:
    def say(wire: socket.socket) -> None:
        wire.sendall(head)
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            wire.sendall(piece)
            time.sleep(pause_s)

    return say


@contextlib.contextmanager
def taken_over(say: Say, token_file: Path) -> Iterator[str]:
    """Be a collector that answers every request with whatever it likes; yield its address."""
    token_file.write_text(TOKEN, encoding="ascii")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while self.request.recv(65_536):
                    say(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def listing(slot: object, newest: object = 1, segments: str = "[1]") -> bytes:
    slots = f'[{{"slot":{slot},"newest":{newest},"segments":{segments}}}]'
    return f'{{"spool_id":"{_SPOOL_ID}","slots":{slots}}}'.encode()


@pytest.mark.parametrize(
    "say",
    [
        answering(listing(-1)),
        answering(listing(10**12)),
        answering(listing(0, newest=10**30)),
        answering(listing(0, segments=f"[{10**19}]")),
        answering(b"[" * 100_000),
        for_ever(b"[1," * 100_000),
        for_ever(b"X", 0.1, b"HTTP/1.1 200 OK\r\n"),
        for_ever(b"1", 0.1),
        answering(listing(0), length=10**12),
    ],
    ids=["negative slot", "huge slot", "huge newest", "huge segment", "deep", "endless", "head by head", "drop by drop", "huge length"],
)  # fmt: skip
def test_what_a_collector_that_was_taken_over_says_is_refused_in_time(tmp_path: Path, say: Say) -> None:
    """However it goes about it: the loader hears an OSError of this log, and goes on to the others."""
    with taken_over(say, tmp_path / "token") as url:
        remote = RemoteSpool(url, str(tmp_path / "token"), visit_s_max=0.3)
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            remote.slots()
        assert time.monotonic() - started < 5
        remote.close()


def test_a_collector_that_was_taken_over_stops_no_other(road: Road, tmp_path: Path) -> None:
    """A number that no database can hold was taken for a database that is away, and nothing was loaded any more."""
    wanted = event()
    road.spool.write(wanted)
    say = answering(listing(10**12))
    with taken_over(say, tmp_path / "token") as theirs, handing_out(road.spool.path, tmp_path / "token") as (ours, _):
        logs = [RemoteSpool(url, str(tmp_path / "token")) for url in (theirs, ours)]
        Loader(LoadSettings(poll_ms=1), partial(PostgresSink.open, road.dsn), logs, 7).run(threading.Event(), once=True)
        for log in logs:
            log.close()
    assert road.values("select event_id from raw.events") == [wanted.event_id]


def test_a_visit_that_was_broken_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A slow line, or a slow enemy: each visit has its time, and what has come is kept."""
    data = os.urandom(60_000)
    asked: list[bytes] = []

    def say(wire: socket.socket) -> None:
        first = len(asked) * 20_000
        asked.append(b"")
        status = b"206 Partial Content" if first else b"200 OK"
        sha256 = hashlib.sha256(data).hexdigest().encode()
        length = str(len(data) - first).encode()
        wire.sendall(b"HTTP/1.1 %b\r\nSillok-SHA256: %b\r\nContent-Length: %b\r\n\r\n" % (status, sha256, length))
        wire.sendall(data[first : first + 20_000])
        if first + 20_000 < len(data):
            wire.recv(1)  # until the other side hangs up

    with taken_over(say, tmp_path / "token") as url:
        remote = RemoteSpool(url, str(tmp_path / "token"), visit_s_max=0.5)
        for _ in range(2):
            with pytest.raises(ConnectionError, match="it goes on after the others"):
                remote.read("/v1/segments/x")
            remote._away_until = 0.0
        assert remote.read("/v1/segments/x") == data
        remote.close()
    assert len(asked) == 3


def test_a_stolen_token_hides_no_segment_from_a_loader_that_stays_connected(road: Road, tmp_path: Path) -> None:
    """Somebody releases what was not loaded; the loader compares the archive with its ledger every hour."""
    with handing_out(road.spool.path, tmp_path / "token") as (url, _):
        log = RemoteSpool(url, str(tmp_path / "token"))
        loader = Loader(LoadSettings(poll_ms=1), partial(PostgresSink.open, road.dsn), [log], 7)
        assert loader._turn(threading.Event(), lambda: None) == []
        hidden = event()
        number = road.spool.write(hidden)
        sha256 = hashlib.sha256(road.spool.sealed(number).read_bytes()).hexdigest()
        one = f"{url}/v1/segments/{road.spool.folder.spool_id}/0/{number}"
        assert ask(f"{one}/release?sha256={sha256}", "POST")[0] == 204
        assert loader._turn(threading.Event(), lambda: None) == []
        loader._compared_at[url] -= 3601
        assert len(loader._turn(threading.Event(), lambda: None)) == 1
        loader.close()
        log.close()
    assert road.values("select event_id from raw.events") == [hidden.event_id]


def test_a_segment_that_became_shorter_is_read_again(spool_path: Path, tmp_path: Path) -> None:
    """A range that begins behind its end is no reason to ask for it for ever."""
    spool = Spool(spool_path)
    path = spool.sealed(spool.write(event()))
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        remote = RemoteSpool(url, str(tmp_path / "token"))
        (slot,) = remote.slots()
        remote._begun = (slot._path(1), "0" * 64, bytearray(path.stat().st_size + 1))
        assert slot.read(1) == path.read_bytes()
        remote.close()


def test_two_slots_files_that_look_alike_have_each_its_own_hash(spool_path: Path, tmp_path: Path) -> None:
    """Copied from a backup, files may bear one time to the nanosecond."""
    spools = [Spool(spool_path, slot=slot) for slot in (0, 1)]
    alike = event()
    for spool in spools:
        spool.write(alike)
        os.utime(spool.sealed(1), ns=(10**18, 10**18))
    sizes = {spool.sealed(1).stat().st_size for spool in spools}
    assert len(sizes) == 1, "alike but for their contents"
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        remote = RemoteSpool(url, str(tmp_path / "token"))
        assert [slot.read(1) for slot in remote.slots()] == [spool.sealed(1).read_bytes() for spool in spools]
        remote.close()


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    """At the pull port and at the admin plane, as at the door: a stranger may not hold what they are served with."""
    token, pull_port = tmp_path / "token", free_port()
    token.write_text(TOKEN, encoding="ascii")
    settings = f'pull_port = {pull_port}\npull_token_file = "{token}"\nkeepalive_timeout_ms = 300'
    with running(tmp_path, settings) as collector:
        collector.wait_until_ready()
        for port in (pull_port, collector.admin_port):
            for said in (b"", b"GET /v1/segments HT"):
                with socket.create_connection(("127.0.0.1", port), 10) as wire:
                    wire.sendall(said)
                    assert wire.recv(1000) == b"", said
