"""Hostile clients, byte by byte: each ends in a clear refusal or a closed connection, and nobody else notices.

While each test attacks, another client goes on sending batches, and every one of them is answered 200. After
each, the worker is the same process, its memory has not grown beyond a bound, and its log holds no traceback,
no byte of the attack, and no more lines than there were bad requests.
"""

import contextlib
import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest
import zstandard

from tests.integration.conftest import CANARY, PATIENCE_S, Answer, Collector, batch, event, eventually, running

SERVE = """
body_timeout_ms = 3000
keepalive_timeout_ms = 3000
body_bytes_max = 65536
batch_bytes_max = 4194304
log_sample = 1
log_refused_per_second_max = 5
"""
GROWTH_MAX_KB = 24 * 1024
CRLF = b"\r\n"
SMUGGLED = event()
INNER = json.dumps({"events": [SMUGGLED]}).encode()
SMUGGLED_REQUEST = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nX-Sillok-Key: browser\r\nContent-Length: %d\r\n\r\n%b" % (
    len(INNER),
    INNER,
)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("hostile"), SERVE) as started:
        started.wait_until_ready()
        yield started


def send_whole(collector: Collector, data: bytes, plain: bytes = b"") -> Answer:
    """Send one request in one piece on a connection of its own, and read its answer."""
    with collector.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(data)
        return collector.read(stream, plain)


def head(*more: str | bytes, line: bytes = b"POST /v1/events HTTP/1.1") -> bytes:
    """Return a request's head that ends its connection, with more lines as they are."""
    lines = [line, b"Host: a", b"X-Sillok-Key: browser", b"Connection: close"]
    lines += [text if isinstance(text, bytes) else text.encode() for text in more]
    return CRLF.join([*lines, b"", b""])


class Bystander:
    """A client that minds its own business."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answered = 0
        self.failure: BaseException | None = None

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                plain = batch(2)
                answer = send_whole(self._collector, head(f"Content-Length: {len(plain)}") + plain, plain)
                assert answer.status == 200
                self.answered += 1
                self._stop.wait(0.02)
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.failure = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.goes_on()
        self._stop.set()
        self._thread.join()
        assert self.failure is None, repr(self.failure)

    def goes_on(self) -> None:
        """Wait until it was answered once more."""
        before = self.answered
        eventually(lambda: self.answered > before or self.failure is not None)


def peak_kb(collector: Collector) -> int:
    [worker] = collector.workers()
    text = Path(f"/proc/{worker}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))


def log_lines(collector: Collector) -> list[dict[str, object]]:
    """Return the log's lines; each is one event."""
    return [json.loads(line) for line in collector.log.read_text(encoding="utf-8").split("\n")[:-1]]


@pytest.fixture(autouse=True)
def unharmed(victim: Collector) -> Iterator[None]:
    workers, memory = victim.workers(), peak_kb(victim)
    with Bystander(victim) as bystander:
        bystander.goes_on()
        yield
    assert victim.workers() == workers, "the worker lives"
    assert peak_kb(victim) - memory < GROWTH_MAX_KB
    text = victim.log.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert "request_failed" not in text
    assert CANARY not in text
    assert not [status for status in victim.statuses if status >= 500]


def answers_to(collector: Collector, data: bytes, *, ends: bool = False) -> list[Answer]:
    """Send bytes and read every answer until the collector closes; with `ends` the client says it has no more."""
    answers = []
    with collector.connect() as connection, connection.makefile("rb") as stream:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while stream.peek(1):
                answers.append(collector.read(stream))
    return answers


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


CHUNKED = head("Transfer-Encoding: chunked")
NOT_HTTP = {
    "length twice": head("Content-Length: 2", "Content-Length: 2") + b"{}",
    "length list": head("Content-Length: 2, 2") + b"{}",
    "length signed": head("Content-Length: +2") + b"{}",
    "length hexadecimal": head("Content-Length: 0x2") + b"{}",
    "length empty": head("Content-Length: "),
    "length beyond 2^64": head("Content-Length: 18446744073709551618") + b"{}",
    "length of a thousand digits": head("Content-Length: " + "9" * 1000),
    "length with NUL": head(b"Content-Length: 2\0") + b"{}",
    "encoding unknown": head("Transfer-Encoding: xchunked") + chunked(INNER) + b"0\r\n\r\n",
    "encoding twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + chunked(INNER),
    "encoding not last": head("Transfer-Encoding: chunked, identity") + chunked(INNER),
    "encoding before length": head("Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
    "encoding with a tab before its colon": head("Transfer-Encoding\t: chunked") + chunked(INNER),
    "encoding of HTTP/1.0": head("Transfer-Encoding: chunked", "Content-Length: 4", line=b"POST / HTTP/1.0"),
    "chunk negative": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk beyond 2^64": CHUNKED + b"1" + b"0" * 17 + b"\r\nhello\r\n",
    "chunk longer than said": CHUNKED + b"2\r\nhello\r\n0\r\n\r\n",
    "chunk after a bare LF": CHUNKED + b"2\n{}\r\n0\r\n\r\n",
    "chunk without a size": CHUNKED + b"\r\n{}\r\n0\r\n\r\n",
    "bare CR in a value": head(b"X-A: one\rX-B: two"),
    "bare CR ends a line": head().replace(b"Host: a\r\n", b"Host: a\r"),
    "bare LF ends a line": head().replace(b"Host: a\r\n", b"Host: a\n"),
    "folded line": head(b"X-A: one\r\n two"),
    "folded first line": head().replace(b"Host", b" Host"),
    "NUL in a value": head(b"X-A: o\0ne"),
    "NUL in a name": head(b"X-\0A: one"),
    "NUL in the target": head(line=b"POST /v1/\0events HTTP/1.1"),
    "no colon": head(b"X-A"),
    "no name": head(b": one"),
    "space in a name": head(b"X A: one"),
    "no host": head().replace(b"Host: a\r\n", b""),
    "two hosts": head("Host: b"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "HTTP/9.9": head(line=b"POST /v1/events HTTP/9.9"),
    "method with a NUL": head(line=b"PO\0ST /v1/events HTTP/1.1"),
    "ten thousand headers": head(*(f"X-{n}: {CANARY}" for n in range(10_000))),
    "a header of a megabyte": head("X-A: " + CANARY * 90_000),
    "a name of a megabyte": head(CANARY * 90_000 + ": a"),
    "a target of a megabyte": head(line=b"GET /" + CANARY.encode() * 90_000 + b" HTTP/1.1"),
    "a megabyte without a line": b"A" * 1024 * 1024,
    "a megabyte of line ends and then nothing": CRLF * 500_000 + b"?\r\n\r\n",
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_no_two_parsers_would_read_alike_is_400_and_the_connection_ends(victim: Collector, name: str):
    answers = answers_to(victim, NOT_HTTP[name])

    assert [(answer.status, answer.code) for answer in answers] in ([(400, "bad_request")], [])


def test_http_0_9_is_a_clear_refusal(victim: Collector):
    assert [answer.status for answer in answers_to(victim, b"GET /v1/events\r\n\r\n")] == [405]


# Smuggling

HIDDEN = {
    "length and encoding": head(f"Content-Length: {len(SMUGGLED_REQUEST) + 5}", "Transfer-Encoding: chunked")
    + b"0\r\n\r\n"
    + SMUGGLED_REQUEST,
    "encoding and length": head("Transfer-Encoding: chunked", "Content-Length: 4")
    + b"%x\r\n" % len(SMUGGLED_REQUEST)
    + SMUGGLED_REQUEST,
    "a masked encoding": head("Transfer-Encoding: xchunked", "Content-Length: 2") + b"{}" + SMUGGLED_REQUEST,
    "a folded length": head("Content-Length:\r\n 2") + b"{}" + SMUGGLED_REQUEST,
    "a bare LF": head(b"X-A: b\nContent-Length: 0") + SMUGGLED_REQUEST,
    "a bare CR": head(b"X-A: b\rContent-Length: 0") + SMUGGLED_REQUEST,
    "a chunk's extension": CHUNKED + b"2;a\n\r\n{}\r\n0\r\n\r\n" + SMUGGLED_REQUEST,
    "a trailer": CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 0\r\n\r\n" + SMUGGLED_REQUEST,
    "after the last request": head("Content-Length: 2") + b"{}" + SMUGGLED_REQUEST,
    "an upgrade": head("Upgrade: websocket", "Connection: upgrade", "Content-Length: 2") + b"{}" + SMUGGLED_REQUEST,
    "a tunnel": head(line=b"CONNECT a:80 HTTP/1.1") + SMUGGLED_REQUEST,
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_request_hidden_behind_another_is_never_taken(victim: Collector, name: str):
    """A proxy before the collector may see one request where there are two; the second must not be an event."""
    answers = answers_to(victim, HIDDEN[name], ends=True)

    assert all(400 <= answer.status < 500 for answer in answers)
    assert not victim.on_disk().event_ids[SMUGGLED["event_id"]]


# Slowness


def trickle(collector: Collector, first: bytes, rest: bytes) -> bytes:
    """Send `first`, then `rest` a byte at a time, until the collector has had enough; return what it said."""
    with collector.connect() as connection:
        connection.sendall(first)
        connection.settimeout(0.1)
        patience_ends = time.monotonic() + PATIENCE_S
        said = b""
        for byte in rest:
            assert time.monotonic() < patience_ends, "a byte now and then keeps the connection"
            with contextlib.suppress(TimeoutError):
                try:
                    connection.sendall(bytes([byte]))
                    part = connection.recv(4096)
                except (BrokenPipeError, ConnectionResetError):
                    break
                said += part
                if not part:
                    break
        return said


FIRST = head("Content-Length: 2").replace(b"Connection: close\r\n", b"") + b"{}"
SLOW = {
    "a head": (b"POST /v1/ev", b"e" * 3000, b""),
    "a header": (head("Content-Length: 2")[:-2], b"X-A: " + b"a" * 3000, b""),
    "the next head": (FIRST + b"POST /v1/ev", b"e" * 3000, b"HTTP/1.1 400"),
    "a body": (head("Content-Length: 3000"), b" " * 3000, b"HTTP/1.1 408"),
    "a chunk's size": (CHUNKED, b"0" * 3000, b"HTTP/1.1 4"),
    "chunks": (CHUNKED, chunked(*[b" "] * 3000), b"HTTP/1.1 408"),
    "a chunk's extension": (CHUNKED, b"1;" + b"a" * 3000, b"HTTP/1.1 4"),
    "a trailer": (CHUNKED, b"0\r\nX-A: " + b"a" * 3000, b"HTTP/1.1 4"),
}


def test_what_trickles_is_cut_off_however_many_do_it_at_once(victim: Collector):
    """A deadline is for the whole head and the whole body, not for the next byte."""
    cases = [case for case in SLOW.values() for _ in range(8)]

    with ThreadPoolExecutor(len(cases)) as pool:
        said = list(pool.map(lambda case: trickle(victim, *case[:2]), cases))

    assert [text[: len(case[2])] for text, case in zip(said, cases, strict=True)] == [case[2] for case in cases]


def is_open(connection: socket.socket) -> bool:
    """Ask the kernel: TCP_INFO begins with the state, of which 1 is established."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


def test_a_client_that_never_reads_is_not_waited_for(victim: Collector):
    """Its requests are taken only as fast as it takes the answers, and in the end it is dropped."""
    request = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    with victim.connect() as connection:
        connection.settimeout(1)
        # More than the buffers of both sides hold: the collector reads no further, so this never ends well.
        with pytest.raises((TimeoutError, ConnectionResetError, BrokenPipeError)):
            connection.sendall(request * 1_000_000)

        eventually(lambda: not is_open(connection))


def test_endless_chunks_end_at_the_limit(victim: Collector):
    for size in (1, 1024):
        chunks = chunked(b" " * size) * (70_000 // size)
        answers = answers_to(victim, CHUNKED + chunks)
        assert [answer.code for answer in answers] in (["too_large"], [])


@pytest.mark.parametrize("rest", [b"1;" + b"a" * 4_000_000, b"0" * 4_000_000, b"0\r\n" + b"X-A: b\r\n" * 400_000])
def test_what_goes_with_chunks_is_limited_too(victim: Collector, rest: bytes):
    answers = answers_to(victim, CHUNKED + rest)

    assert all(400 <= answer.status < 500 for answer in answers)


@pytest.mark.parametrize("length", [1, 1000])
def test_a_length_the_body_does_not_reach_is_400_or_the_connections_end(victim: Collector, length: int):
    answers = answers_to(victim, head(f"Content-Length: {len(INNER) + length}") + INNER, ends=True)

    assert [answer.code for answer in answers] in (["body_cut_short"], [])
    assert not victim.on_disk().event_ids[SMUGGLED["event_id"]]


# Bombs


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ZEROS = bytes(40 * 1024 * 1024)
# A frame whose header asks for a window of 2 GiB, and frames to skip that hold nothing.
GREEDY = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
SKIPPED = b"\x50\x2a\x4d\x18" + bytes(4)
BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "gzip": ("gzip", lambda: gzip.compress(ZEROS), "too_large"),
    "zlib": ("deflate", lambda: zlib.compress(ZEROS), "too_large"),
    "raw deflate": ("deflate", lambda: raw_deflate(ZEROS), "too_large"),
    "zstd": ("zstd", lambda: zstandard.compress(ZEROS), "too_large"),
    "zstd of many frames": ("zstd", lambda: zstandard.compress(ZEROS[: 1 << 20]) * 50, "too_large"),
    "gzip of gzip": ("gzip", lambda: gzip.compress(gzip.compress(ZEROS)), "not_json"),
    "two thousand gzip members": ("gzip", lambda: gzip.compress(b"") * 2000, "broken_compression"),
    "gzip and garbage": ("gzip", lambda: gzip.compress(INNER) + b"garbage", "broken_compression"),
    "zlib and garbage": ("deflate", lambda: zlib.compress(INNER) + b"garbage", "broken_compression"),
    "zstd and garbage": ("zstd", lambda: zstandard.compress(INNER) + b"garbage", "broken_compression"),
    "gzip whose file name never ends": ("gzip", lambda: b"\x1f\x8b\x08\x08" + b"a" * 60_000, "broken_compression"),
    "zstd with a window of 2 GiB": ("zstd", lambda: GREEDY, "broken_compression"),
    "zstd of frames to skip": ("zstd", lambda: SKIPPED * 8000, "not_json"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_costs_its_cap_at_most(victim: Collector, name: str):
    encoding, make, code = BOMBS[name]
    body = make()
    assert len(body) <= 65_536, "else it is its size that is refused"

    [answer] = answers_to(victim, head(f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}") + body)

    assert answer.code == code
    assert not victim.on_disk().event_ids[SMUGGLED["event_id"]]


# The log


def counted(lines: list[dict[str, object]]) -> int:
    """Return how many refused requests these lines speak of."""
    refused = [line for line in lines if line["event"] == "request" and line["status"] != 200]
    return len(refused) + sum(int(str(line["lines"])) for line in lines if line["event"] == "requests_left_out")


def test_a_flood_of_bad_requests_costs_a_few_lines_and_every_one_is_counted(victim: Collector):
    def refused() -> int:
        _, text = victim.admin("/metrics")
        found = [line.split() for line in text.splitlines() if line.startswith('sillok_requests_total{status="4')]
        return int(sum(float(figure) for _, figure in found))

    def agrees() -> bool:
        return counted(log_lines(victim)) == refused()

    eventually(agrees)
    lines, before = len([x for x in log_lines(victim) if x.get("status") != 200]), refused()
    request = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    answers = answers_to(victim, request * 2000 + head(line=b"GET / HTTP/1.1"))

    assert len(answers) == 2001
    # More than these when a stalled client of a test before is cut off meanwhile.
    eventually(lambda: refused() >= before + 2001 and agrees())
    more = [x for x in log_lines(victim)[lines:] if x["event"] in ("request", "requests_left_out")]
    assert len([x for x in more if x.get("status") != 200]) < 1000
    assert "sillok_log_lines_left_out_total 0.0" not in victim.admin("/metrics")[1]


def test_a_request_has_one_line_that_says_what_became_of_it(victim: Collector):
    plain = json.dumps({"events": [event(), CANARY, *(event() for _ in range(16))]}).encode()
    assert victim.post(plain, "server").status == 200

    lines = [line for line in log_lines(victim) if line.get("source") == "backend" and line.get("events") == 17]

    [line] = lines
    assert {name: line[name] for name in ("event", "status", "rejected", "bytes")} == {
        "event": "request",
        "status": 200,
        "rejected": 1,
        "bytes": len(plain),
    }
    assert isinstance(line["duration_ms"], float)


@pytest.mark.parametrize(
    "text", [b"\x1b[2J\x1b]0;", b"\xe2\x80\xae\xe2\x81\xa6", b"\x07\x08\x7f", b"%0d%0a{}", b'"}{"event":"x"']
)
def test_nothing_a_client_writes_reaches_the_log(victim: Collector, text: bytes):
    """Escapes for a terminal, text that runs backwards, line ends: a line of the log is JSON in plain ASCII."""
    canary = text + CANARY.encode()
    for name in (b"User-Agent", b"Origin", b"Authorization", b"Content-Encoding", b"X-Sillok-Key", canary):
        answers_to(victim, head(name + b": " + canary, "Content-Length: 0"))
    answers_to(victim, head(line=b"GET /" + canary + b" HTTP/1.1"))
    answers_to(victim, head(f"Content-Length: {len(canary)}") + canary)

    log = victim.log.read_bytes()
    assert log.isascii()
    assert not [byte for byte in log if byte < 32 and byte != 10]
    assert all(isinstance(line, dict) for line in log_lines(victim))
