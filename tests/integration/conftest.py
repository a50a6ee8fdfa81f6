"""A real `sillok serve` in a process of its own, and a client that holds every answer to the wire's rules."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import pytest

from contract.event import StoredBatch
from storage.embedded import EmbeddedPostgres
from storage.spool.folder import OPEN, SEALED, SpoolFolder
from storage.spool.frame import decode_meta
from storage.spool.reader import read_segment
from tests.builders import Road, fresh_database, on_road
from tests.checks import assert_checks_are_clean
from tests.conftest import free_port, make_template, without_fsync
from tests.patience import PATIENCE_S
from tests.postgres15 import DebianPostgres

# Stands in every body that the tests send: no answer and no log line may repeat it.
CANARY = "canary-7d1f"

KEYS = """
[[serve.keys]]
key = "browser"
source = "web"
origins = ["https://m.example.com"]

[[serve.keys]]
key = "server"
source = "backend"
kind = "server"

[[serve.keys]]
key = "test"
source = "qa"
kind = "test"

[[serve.keys]]
key = "slow"
source = "slow"
events_per_second_max = 4

[[serve.keys]]
key = "slow-bad"
source = "slow-bad"
events_per_second_max = 4

[[serve.keys]]
key = "local"
source = "local"
loopback_only = true
"""

SOURCES = {
    "browser": "web",
    "server": "backend",
    "test": "qa",
    "slow": "slow",
    "slow-bad": "slow-bad",
    "local": "local",
}

# Every code of the wire: its status and whether the same bytes may be taken later.
CODES = {
    "not_json": (400, False),
    "no_events": (400, False),
    "broken_compression": (400, False),
    "bad_request": (400, True),
    "body_cut_short": (400, True),
    "unknown_key": (401, True),
    "origin_not_allowed": (403, True),
    "key_not_allowed_here": (403, True),
    "not_found": (404, False),
    "method_not_allowed": (405, False),
    "body_timeout": (408, True),
    "too_large": (413, False),
    "unknown_encoding": (415, True),
    "over_rate": (429, True),
    "too_many_refused": (429, True),
    "unavailable": (503, True),
}


class Answer(NamedTuple):
    """One answer, already held to what every answer must be."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


class Spooled:
    """What the sealed segments hold."""

    def __init__(self) -> None:
        self.event_ids: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.test_sources: set[str] = set()
        self.relaying_sources: set[str] = set()
        self.final = 0

    def add(self, path: Path) -> None:
        """Add one segment, sealed or open."""
        segment = read_segment(path)
        assert not segment.bad
        self.final += segment.footer is not None and segment.footer.final
        for group in segment.groups:
            for frame in segment.frames(group):
                meta = decode_meta(frame.meta)
                stored = msgspec.json.decode(frame.body, type=StoredBatch)
                assert meta.received == meta.accepted + len(meta.rejects)
                assert meta.accepted == len(stored.events)
                self.event_ids.update(str(e.event_id) for e in stored.events)
                self.accepted[meta.source] += meta.accepted
                self.rejected[meta.source] += len(meta.rejects)
                self.reports.update(r.id for r in stored.clients)
                self.test_sources |= {meta.source} if meta.is_test else set()
                self.relaying_sources |= {meta.source} if meta.relay else set()


def eventually(claim: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Return the claim's first true value; fail when it stays false."""
    patience_ends = time.monotonic() + patience_s
    while not (value := claim()):
        assert time.monotonic() < patience_ends, "it did not come true in time"
        time.sleep(0.02)
    return value


def event(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid4()),
        "time": time.time_ns() // 1_000_000,
        "event_type": "click",
        "click_text": CANARY,
        **fields,
    }


def batch(count: int = 1, **more: Any) -> bytes:
    return json.dumps({"events": [event() for _ in range(count)], **more}).encode()


class Collector:
    """One `sillok serve` on free ports and a spool of its own."""

    def __init__(self, folder: Path, serve: str = "", spool: str = "", *, name: str = "sillok") -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.folder = folder
        self.spool = folder / "spool"
        self.log = folder / f"{name}.log"
        self.settings = folder / f"{name}.toml"
        self.keys_file = folder / "keys.jsonl"
        self.settings.write_text(
            f"[serve]\nport = {self.port}\nadmin_port = {self.admin_port}\n"
            f'keys_file = "{self.keys_file}"\n{serve}\n{KEYS}\n'
            f'[spool]\nfolder = "{self.spool}"\n{spool}\n',
            encoding="utf-8",
        )
        self.acknowledged: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.sources = dict(SOURCES)
        self._lock = threading.Lock()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sillok", "serve", "--config", str(self.settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
            )

    def sillok(self, *arguments: str) -> str:
        """Run a command with this collector's settings; return what it prints."""
        command = [sys.executable, "-m", "sillok", *arguments, "--config", str(self.settings)]
        done = subprocess.run(
            command, env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make_key(self, source: str, *arguments: str) -> str:
        """Make a key with `sillok keys`; the collector knows it after the next SIGHUP."""
        made = json.loads(self.sillok("keys", "make", "--json", "--source", source, *arguments))
        self.sources[made["key"]] = source
        return str(made["key"])

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of this name."""
        lines = [
            json.loads(line)
            for line in self.log.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
            if line[:1] == "{"
        ]
        return [line for line in lines if line["event"] == event]

    def wait_until_ready(self) -> None:
        eventually(lambda: self.admin("/readyz")[0] == 200)

    def admin(self, path: str) -> tuple[int, str]:
        """Return status and text of the admin plane; 0 while nobody listens there."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def stop(self) -> int:
        """Stop it as an operator would; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection((host, self.port), timeout=PATIENCE_S)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] = b"",
        headers: dict[str, str] | None = None,
        *,
        plain: bytes = b"",
        key: str = "browser",
        host: str = "127.0.0.1",
    ) -> Answer:
        """Send one request on a connection of its own. `plain` is what a compressed or chunked body holds."""
        connection = http.client.HTTPConnection(host, self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes))
            response = connection.getresponse()
            sent = plain or (body if isinstance(body, bytes) else b"")
            return self.take(Answer(response.status, response.headers, response.read()), sent, key)

    def post(
        self,
        body: bytes | Iterator[bytes],
        key: str = "browser",
        *,
        plain: bytes = b"",
        host: str = "127.0.0.1",
        **headers: str,
    ) -> Answer:
        """Send a batch with a key in `Authorization`; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {key}"
        return self.request("POST", "/v1/events", body, sent, plain=plain, key=key, host=host)

    def read(self, stream: BinaryIO, sent: bytes = b"", key: str = "browser") -> Answer:
        """Read the next answer of a connection."""
        status = int(stream.readline().split()[1])
        headers = http.client.parse_headers(stream)
        return self.take(Answer(status, headers, stream.read(int(headers["Content-Length"]))), sent, key)

    def take(self, answer: Answer, sent: bytes, key: str) -> Answer:
        """Hold an answer to the rules that bind every answer, and keep the books of what was acknowledged."""
        assert CANARY.encode() not in answer.body
        assert CANARY not in str(answer.headers)
        assert not any(name.lower() == "access-control-allow-credentials" for name in answer.headers)
        assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"], "a page reads it, whatever it says"
        assert answer.headers.get_all("Access-Control-Expose-Headers") == ["Retry-After"]
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self._acknowledge(answer, sent, self.sources[key])
        if answer.status not in (200, 204) and answer.body:
            error = answer.json["error"]
            assert set(answer.json) == {"error"}
            assert {"code", "message", "retryable"} <= set(error) <= {"code", "message", "retryable", "field"}
            assert (answer.status, error["retryable"]) == CODES[error["code"]]
            assert error["message"]
            assert answer.headers["Content-Type"].startswith("application/json")
            assert ("Retry-After" in answer.headers) == (answer.status in (429, 503))
        return answer

    def _acknowledge(self, answer: Answer, sent: bytes, source: str) -> None:
        found = answer.json
        assert set(found) == {"accepted", "rejected", "receipt"}
        assert answer.headers["Content-Type"].startswith("application/json")
        batch = json.loads(sent.decode(errors="replace"))
        refused = {reject["index"] for reject in found["rejected"]}
        assert all({"index", "code", "field", "message"} <= set(reject) for reject in found["rejected"])
        assert found["accepted"] + len(refused) == len(batch["events"])
        self.acknowledged.update(e["event_id"] for index, e in enumerate(batch["events"]) if index not in refused)
        self.accepted[source] += found["accepted"]
        self.rejected[source] += len(refused)

    def spooled(self) -> Spooled:
        """Read every sealed segment of a stopped collector."""
        found = Spooled()
        for slot in SpoolFolder(self.spool).slots():
            assert not slot.segments(OPEN), "a clean stop leaves no open segment"
            for number in slot.segments(SEALED):
                found.add(slot.segment_path(number))
        return found

    def on_disk(self) -> Spooled:
        """Read every segment of a running collector."""
        found = Spooled()
        for path in sorted(self.spool.glob("slot-*/*.*")):
            with contextlib.suppress(FileNotFoundError):  # sealed meanwhile
                found.add(path)
        return found


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without anything that Sillok or libpq would read."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SILLOK_", "PG")) and k != "DATABASE_URL"}
    return {**kept, **more}


@contextlib.contextmanager
def running(folder: Path, serve: str = "", spool: str = "", *, name: str = "sillok") -> Iterator[Collector]:
    """Run a collector; it is gone afterwards, whatever happened."""
    collector = Collector(folder, serve, spool, name=name)
    try:
        yield collector
    finally:
        collector.stop()


@pytest.fixture(scope="session", params=["18 (embedded)", "15 (Debian)"])
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the DSN of the newest and of the oldest PostgreSQL that is supported."""
    folder = tmp_path_factory.mktemp("postgres")
    server: EmbeddedPostgres | DebianPostgres
    if request.param.startswith("18"):
        server = EmbeddedPostgres(folder)
    elif DebianPostgres.is_installed():
        server = DebianPostgres(folder)
    else:
        pytest.skip("PostgreSQL 15 from Debian's packages is not on this machine")
    dsn = server.start()
    without_fsync(dsn)
    yield dsn
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Return a template of this server: the one of the other tests is on a server of theirs."""
    return make_template(postgres)


@pytest.fixture(scope="module")
def database(postgres: str, template: str) -> Iterator[str]:
    """Yield the DSN of a database that one module's tests share, one after the other."""
    with fresh_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
def road(database: str, tmp_path: Path) -> Iterator[Road]:
    """Yield the way from a spool of the test's own to the books, in an empty database."""
    with on_road(database, tmp_path / "spool") as opened:
        yield opened


@pytest.fixture
def checked(road: Road) -> Iterator[None]:
    """Hold the tables to every check of `processor/checks` after the test."""
    yield
    assert_checks_are_clean(road.admin)
