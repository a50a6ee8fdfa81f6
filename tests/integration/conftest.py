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
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from contract.event import StoredBatch
from storage.spool.folder import SpoolFolder
from storage.spool.frame import decode_meta
from storage.spool.reader import read_segment
from tests.conftest import free_port

# Stands in every body that the tests send: no answer and no log line may repeat it.
CANARY = "canary-7d1f"
PATIENCE_S = 30.0

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
key = "open"
source = "open"
origins = ["*"]

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

RETRYABLE = {
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
    "unavailable": (503, True),
}


class Answer(NamedTuple):
    """One answer, already held to what every answer must be."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


class Spooled(NamedTuple):
    """What the sealed segments hold."""

    event_ids: Counter[str]
    received: int
    rejected: int
    final: int


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
        self.settings.write_text(
            f"[serve]\nport = {self.port}\nadmin_port = {self.admin_port}\n{serve}\n{KEYS}\n"
            f'[spool]\nfolder = "{self.spool}"\n{spool}\n',
            encoding="utf-8",
        )
        self.acknowledged: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.rejected = 0
        self.statuses: Counter[int] = Counter()
        self._lock = threading.Lock()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sillok", "serve", "--config", str(self.settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
            )

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
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            return self.take(connection.getresponse(), body if isinstance(body, bytes) else b"")

    def post(
        self, body: bytes | Iterator[bytes], key: str | None = "browser", plain: bytes = b"", **headers: str
    ) -> Answer:
        """Send a batch; header names are written with underscores. `plain` is what a compressed body holds."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/events", body, sent, encode_chunked=not isinstance(body, bytes))
            return self.take(connection.getresponse(), plain or (body if isinstance(body, bytes) else b""))

    def take(self, response: http.client.HTTPResponse, sent: bytes = b"") -> Answer:
        """Hold an answer to the rules that bind every answer, and keep the books of what was acknowledged."""
        answer = Answer(response.status, response.headers, response.read())
        assert CANARY.encode() not in answer.body
        assert CANARY not in str(answer.headers)
        assert not any(name.lower() == "access-control-allow-credentials" for name in answer.headers)
        with self._lock:
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self._acknowledge(answer, sent)
        if answer.status not in (200, 204) and answer.body:
            error = answer.json["error"]
            assert set(answer.json) == {"error"}
            assert {"code", "message", "retryable"} <= set(error) <= {"code", "message", "retryable", "field"}
            assert (answer.status, error["retryable"]) == RETRYABLE[error["code"]]
            assert error["message"]
            assert answer.headers["Content-Type"].startswith("application/json")
            assert ("Retry-After" in answer.headers) == (answer.status in (429, 503))
        return answer

    def _acknowledge(self, answer: Answer, sent: bytes) -> None:
        found = answer.json
        assert set(found) == {"accepted", "rejected", "receipt"}
        assert answer.headers["Content-Type"].startswith("application/json")
        events = json.loads(sent)["events"]
        refused = {reject["index"] for reject in found["rejected"]}
        assert found["accepted"] + len(refused) == len(events)
        self.acknowledged.update(e["event_id"] for index, e in enumerate(events) if index not in refused)
        self.rejected += len(refused)

    def spooled(self) -> Spooled:
        """Read every sealed segment."""
        ids: Counter[str] = Counter()
        received = rejected = final = 0
        for slot in SpoolFolder(self.spool).slots():
            assert not slot.segments(".open"), "a clean stop leaves no open segment"
            for number in slot.segments(".sealed"):
                segment = read_segment(slot.segment_path(number))
                assert segment.footer is not None
                assert not segment.bad
                final += segment.footer.final
                for group in segment.groups:
                    for frame in segment.frames(group):
                        meta = decode_meta(frame.meta)
                        events = msgspec.json.decode(frame.body, type=StoredBatch).events
                        assert meta.accepted == len(events)
                        received += meta.received
                        rejected += len(meta.rejects)
                        ids.update(str(e.event_id) for e in events)
        return Spooled(ids, received, rejected, final)


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without anything that Sillok or libpq would read."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SILLOK_", "PG")) and k != "DATABASE_URL"}
    return {**kept, **more}


@contextlib.contextmanager
def running(folder: Path, serve: str = "", spool: str = "") -> Iterator[Collector]:
    """Run a collector; it is gone afterwards, whatever happened."""
    collector = Collector(folder, serve, spool)
    try:
        yield collector
    finally:
        collector.stop()
