"""The wire, row by row: a real `sillok serve`, and nothing but HTTP between it and the test."""

import contextlib
import gzip
import itertools
import json
import socket
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from tests.integration.conftest import CANARY, Collector, batch, event, eventually, running

ORIGIN = "https://m.example.com"
BODY_MAX = 64 * 1024
BATCH_MAX = 256 * 1024
EVENTS_MAX = 100
LIMITS = f"""
body_bytes_max = {BODY_MAX}
batch_bytes_max = {BATCH_MAX}
batch_events_max = {EVENTS_MAX}
"""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(
        tmp_path_factory.mktemp("wire"), f"workers = 2\nbody_timeout_ms = 2000\nkeepalive_timeout_ms = 2000\n{LIMITS}"
    ) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Yield a collector without disk or memory to spare, reachable from other addresses too."""
    serve = f'host = "0.0.0.0"\nin_flight_bytes_max = {BODY_MAX + 1000}\n{LIMITS}'
    with running(tmp_path_factory.mktemp("short"), serve, f"free_bytes_min = {2**62}") as started:
        eventually(lambda: "disk" in started.admin("/readyz")[1])
        yield started


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Collector]:
    """Yield a collector that the test may stop."""
    with running(tmp_path, "workers = 1\nbody_timeout_ms = 11000") as started:
        started.wait_until_ready()
        yield started


def head(size: int | None = None, *more: str, key: str = "browser", method: str = "POST") -> bytes:
    lines = [f"{method} /v1/events HTTP/1.1", "Host: collector", f"Authorization: Bearer {key}", *more]
    lines += [] if size is None else [f"Content-Length: {size}"]
    return "\r\n".join([*lines, "", ""]).encode()


@contextlib.contextmanager
def conversation(collector: Collector) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """Open a connection of bytes: what is sent is what the test says."""
    with collector.connect() as connection, connection.makefile("rb") as stream:
        yield connection, stream


def deflate_raw(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def zstd_stream(data: bytes) -> bytes:
    """Compress as a client does that does not know the size beforehand."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


# 200


def test_a_batch_is_answered_exactly_200_with_its_count_no_rejects_and_a_receipt(collector: Collector):
    answer = collector.post(batch(3), Content_Type="application/json")

    assert answer.status == 200
    assert answer.json["accepted"] == 3
    assert answer.json["rejected"] == []
    assert answer.json["receipt"]


def test_an_event_lies_in_a_spool_file_when_its_200_arrives(collector: Collector):
    sent = event()

    assert collector.post(json.dumps({"events": [sent]}).encode()).status == 200

    assert collector.on_disk().event_ids[sent["event_id"]] == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/events", {"Authorization": "Bearer browser"}),
        ("/v1/events", {"authorization": "bearer  browser "}),
        ("/v1/events", {"X-Sillok-Key": "browser"}),
        ("/v1/events?key=browser", {}),
        ("/v1/events?key=browser", {"Content-Type": "text/plain;charset=UTF-8"}),
        ("/v1/events?key=browser&other=1", {"Origin": ORIGIN}),
    ],
)
def test_the_key_may_come_in_either_header_or_in_the_query(collector: Collector, path: str, headers: dict[str, str]):
    assert collector.request("POST", path, batch(), headers).status == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "text/plain;charset=UTF-8", ""])
def test_a_beacons_content_type_is_as_good_as_json(collector: Collector, content_type: str):
    assert collector.post(batch(), Content_Type=content_type).status == 200


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("", bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])),
        ("deflate", zlib.compress),
        ("deflate", deflate_raw),
        ("zstd", zstandard.compress),
        ("zstd", zstd_stream),
        ("zstd", lambda data: zstandard.compress(data[:50]) + zstandard.compress(data[50:])),
    ],
    ids=[
        "none", "identity", "gzip", "upper case", "x-gzip", "gzip members", "zlib", "raw deflate", "zstd",
        "zstd stream", "zstd frames",
    ],
)  # fmt: skip
def test_every_promised_encoding_is_understood(collector: Collector, encoding: str, compress: Callable[[bytes], bytes]):
    plain = batch(20)

    answer = collector.post(compress(plain), plain=plain, Content_Encoding=encoding)

    assert (answer.status, answer.json["accepted"]) == (200, 20)


def test_a_bad_event_is_listed_with_index_id_code_and_field_and_its_neighbours_are_kept(collector: Collector):
    bad = event(time=CANARY)
    plain = json.dumps({"events": [event(), bad, event(event_type=CANARY), event()]}).encode()

    answer = collector.post(plain)

    assert (answer.status, answer.json["accepted"]) == (200, 2)
    first, second = answer.json["rejected"]
    assert first == {
        "index": 1,
        "event_id": bad["event_id"],
        "code": "invalid_field",
        "field": "events[1].time",
        "message": "Expected `int`, got `str`",
    }
    assert (second["index"], second["field"]) == (2, "events[2].event_type")


def test_text_that_is_not_utf8_costs_its_event_only(collector: Collector):
    plain = json.dumps({"events": [event(), event(page_name="~"), event()]}).encode().replace(b'"~"', b'"\xb8\xc5\xbc"')

    answer = collector.post(plain)

    assert (answer.status, answer.json["accepted"]) == (200, 2)
    assert [(r["index"], r["code"]) for r in answer.json["rejected"]] == [(1, "invalid_utf8")]


def test_a_batch_of_bad_events_only_is_still_answered_200(collector: Collector):
    answer = collector.post(json.dumps({"events": [{"click_text": CANARY}, CANARY, None]}).encode())

    assert (answer.status, answer.json["accepted"]) == (200, 0)
    assert [reject["index"] for reject in answer.json["rejected"]] == [0, 1, 2]


def test_no_events_with_reports_is_legal_and_the_reports_are_kept(collector: Collector):
    reports = [{"id": str(uuid.uuid4()), "created": 9, "pending": 0, "dropped": {"queue_full": 9}}]

    answer = collector.post(json.dumps({"events": [], "clients": reports}).encode())

    assert (answer.status, answer.json["accepted"]) == (200, 0)
    assert collector.on_disk().reports[reports[0]["id"]] == 1


@pytest.mark.parametrize(
    "more",
    [
        {"clients": CANARY},
        {"clients": [CANARY, {"id": 7}, None]},
        {"sent_at": CANARY},
        {"unknown": [CANARY]},
        {"context": None, "clients": None, "sent_at": None},
    ],
    ids=["clients", "each client", "sent_at", "unknown key", "nulls"],
)
def test_what_is_wrong_beside_the_events_costs_no_event(collector: Collector, more: dict[str, object]):
    answer = collector.post(batch(2, **more))

    assert (answer.status, answer.json["accepted"]) == (200, 2)


# 400


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "not_json", None),
        (b"\x00\x00", "not_json", None),
        (b"\xff\xfe", "not_json", None),
        (CANARY.encode(), "not_json", None),
        (batch()[:-2], "not_json", None),
        (batch() * 2, "not_json", None),
        (b'{"events": ' + b"[" * 60_000, "not_json", None),
        (b'{"x": ' + b"[" * 20_000 + b"]" * 20_000 + b', "events": []}', "not_json", None),
        (b"null", "no_events", None),
        (b"[]", "no_events", None),
        (f'"{CANARY}"'.encode(), "no_events", None),
        (b"{}", "no_events", "events"),
        (b'{"events": null}', "no_events", "events"),
        (f'{{"events": "{CANARY}"}}'.encode(), "no_events", "events"),
        (f'{{"events": {{"{CANARY}": 1}}}}'.encode(), "no_events", "events"),
    ],
    ids=[
        "empty", "NUL", "not UTF-8", "a word", "cut short", "twice", "deep", "deep beside the events", "null", "array",
        "string", "no events", "null events", "string events", "object events",
    ],
)  # fmt: skip
def test_a_body_without_an_array_of_events_is_400_and_says_what_is_missing(
    collector: Collector, body: bytes, code: str, field: str | None
):
    answer = collector.post(body)

    assert (answer.status, answer.code, answer.json["error"].get("field")) == (400, code, field)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(batch(20))[:-20]),
        ("gzip", gzip.compress(batch(20))[:-1]),
        ("gzip", CANARY.encode() * 10),
        ("gzip", b""),
        ("gzip", batch()),
        ("gzip", gzip.compress(b" ") * 17),
        ("deflate", zlib.compress(batch(20))[:-1]),
        ("deflate", deflate_raw(batch(20))[:-5]),
        ("deflate", b"\xff" * 10),
        ("zstd", CANARY.encode() * 10),
        ("zstd", zstandard.compress(batch(20))[:-5]),
        ("zstd", zstd_stream(batch(20))[:-5]),
        ("zstd", zstandard.compress(batch(1)) + CANARY.encode()),
        ("zstd", b""),
    ],
    ids=[
        "gzip cut", "gzip cut in its trailer", "not gzip", "empty gzip", "plain as gzip", "17 gzip members", "zlib cut",
        "raw deflate cut", "not deflate", "not zstd", "zstd cut", "zstd stream cut", "zstd with more behind",
        "empty zstd",
    ],
)  # fmt: skip
def test_broken_compression_is_400(collector: Collector, encoding: str, body: bytes):
    answer = collector.post(body, Content_Encoding=encoding)

    assert (answer.status, answer.code) == (400, "broken_compression")


@pytest.mark.parametrize(
    "data",
    [
        head(0)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
        head(None, "Transfer-Encoding: chunked") + f"5\r\n{CANARY}\r\n".encode(),
        head(None, "Content-Length: -5"),
        head(None, "Content-Length: 5", "Content-Length: 6"),
        f"{CANARY}\r\n\r\n".encode(),
        f"GET /{CANARY * 1000} HTTP/1.1\r\n\r\n".encode(),
        head(0, f"X-Long: {CANARY * 4000}"),
        head(0, *(f"X-{n}: {CANARY}" for n in range(200))),
        head(0, f"{CANARY} : x"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100,
        f"POST http://{CANARY}:99999999/ HTTP/1.1\r\n\r\n".encode(),
    ],
    ids=[
        "two lengths", "bad chunk", "negative length", "lengths differ", "no HTTP", "long line", "long header",
        "many headers", "space in a name", "TLS", "bad target",
    ],
)  # fmt: skip
def test_what_is_not_http_is_400_in_the_wires_words_without_a_byte_of_it(collector: Collector, data: bytes):
    with conversation(collector) as (connection, stream):
        connection.sendall(data)

        assert collector.read(stream).code == "bad_request"
        assert stream.read() == b"", "nobody knows where the next request begins: the connection ends"


def test_a_content_length_below_the_body_never_makes_the_rest_a_message(collector: Collector):
    plain = batch()
    with conversation(collector) as (connection, stream):
        connection.sendall(head(len(plain) - 50) + plain)
        answers = [collector.read(stream)]
        if stream.peek(1):  # type: ignore[attr-defined]
            answers.append(collector.read(stream))
        assert stream.read() == b""

    assert {answer.status for answer in answers} == {400}


# 401, 403


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/events", {}),
        ("/v1/events", {"Authorization": f"Bearer {CANARY}"}),
        ("/v1/events", {"Authorization": "Bearer "}),
        ("/v1/events", {"Authorization": "Basic browser"}),
        ("/v1/events", {"Authorization": "Bearer BROWSER"}),
        ("/v1/events", {"X-Sillok-Key": CANARY}),
        (f"/v1/events?key={CANARY}", {}),
        ("/v1/events?key=%ff%00", {}),
    ],
)
def test_an_unknown_or_missing_key_is_401(collector: Collector, path: str, headers: dict[str, str]):
    answer = collector.request("POST", path, batch(), headers)

    assert (answer.status, answer.code) == (401, "unknown_key")


@pytest.mark.parametrize("key", ["browser", "server", "test"])
@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", f"{ORIGIN}.evil.com", f"{ORIGIN}:8443", ""])
def test_a_page_of_an_origin_that_is_not_on_the_keys_list_is_403(collector: Collector, key: str, origin: str):
    answer = collector.post(batch(), key, Origin=origin)

    assert (answer.status, answer.code) == (403, "origin_not_allowed")


def test_a_key_for_this_machine_only_is_403_from_another_address(short: Collector):
    """The peer is this machine's other address: to the collector it is another machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has the loopback address only")
        address = probe.getsockname()[0]

    answer = short.post(batch(), "local", host=address)

    assert (answer.status, answer.code) == (403, "key_not_allowed_here")
    assert short.post(batch(), "browser", host=address).status == 503
    assert short.post(batch(), "local").status == 503


# CORS


OWN_HEADERS = ["authorization", "content-type", "content-encoding", "x-sillok-key"]
# What tracing agents add to every request of a page: OpenTelemetry, Zipkin, Sentry, Datadog, New Relic, Elastic, Jaeger.
TRACING = (
    "traceparent,tracestate,baggage,b3,x-b3-traceid,x-b3-spanid,x-b3-sampled,sentry-trace,x-datadog-trace-id,"
    "x-datadog-parent-id,x-datadog-origin,x-datadog-sampling-priority,newrelic,elastic-apm-traceparent,uber-trace-id"
)


def preflight(collector: Collector, origin: str = ORIGIN, asked: str = "content-type", path: str = "/v1/events"):
    """Ask as a browser does; return the headers that are granted."""
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    answer = collector.request("OPTIONS", path, headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Methods"] == "POST"
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    return answer.headers["Access-Control-Allow-Headers"].split(", ")


@pytest.mark.parametrize("origin", [ORIGIN, "https://evil.example.com", "null", "", "capacitor://localhost"])
@pytest.mark.parametrize("path", ["/v1/events", "/v1/events?key=nobodys", "/v1/pixel.gif", "/v1/event", "/sillok.js"])
def test_a_preflight_is_granted_alike_for_every_origin_and_path(collector: Collector, origin: str, path: str):
    """It names no key; whether this one may be used here, and whether there is such a path, says the request's answer."""
    assert preflight(collector, origin, path=path) == OWN_HEADERS


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (TRACING, TRACING.split(",")),
        (" TraceParent , b3 ,, b3", ["traceparent", "b3"]),
        ("authorization,content-type", []),
        (f"{'x' * 64},{'y' * 65}", ["x" * 64]),
        ('x-ok,two words,a:b,a=b,(a),"q",x\tz,매,*', ["x-ok", "*"]),
        (",".join(f"x-{n}" for n in range(100)), [f"x-{n}" for n in range(40)]),
        ("", []),
    ],
    ids=["tracing", "untidy", "ours", "long", "no names", "many", "none"],
)
def test_whatever_headers_a_page_adds_may_be_sent_within_bounds(collector: Collector, asked: str, granted: list[str]):
    assert preflight(collector, asked=asked.encode().decode("latin-1")) == [*OWN_HEADERS, *granted]


def test_a_batch_with_a_tracing_agents_headers_is_taken(collector: Collector):
    added = dict.fromkeys(TRACING.split(","), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert collector.request("POST", "/v1/events?key=browser", batch(), {"Origin": ORIGIN, **added}).status == 200


@pytest.mark.parametrize("name", ["baggage", "tracestate", "Cookie"])
def test_a_long_header_of_somebody_else_costs_no_event(collector: Collector, name: str):
    """`baggage` may have 8,192 characters, a site that serves the collector under its own name sends its cookies."""
    headers = {"Origin": ORIGIN, name: "k=" + "v" * 16_000}
    assert collector.request("POST", "/v1/events?key=browser", batch(), headers).status == 200


def test_options_without_a_preflights_header_is_answered_by_the_path(collector: Collector):
    assert collector.request("OPTIONS", "/v1/events").status == 204
    assert collector.request("OPTIONS", "/nowhere").status == 404


@pytest.mark.parametrize(
    ("status", "code", "key", "body", "headers"),
    [
        (200, None, "browser", batch(), {}),
        (400, "no_events", "browser", b"{}", {}),
        (401, "unknown_key", "nobodys", batch(), {}),
        (403, "origin_not_allowed", "browser", batch(), {"Origin": "https://evil.example.com"}),
        (413, "too_large", "browser", b" " * (BODY_MAX + 1), {}),
        (415, "unknown_encoding", "browser", batch(), {"Content_Encoding": "br"}),
    ],
    ids=[200, 400, 401, 403, 413, 415],
)
def test_a_page_may_read_every_answer_and_its_retry_after(
    collector: Collector, status: int, code: str | None, key: str, body: bytes, headers: dict[str, str]
):
    """The headers themselves are held to this by `Collector.take`, of every answer there is in these tests."""
    answer = collector.post(body, key, **{"Origin": ORIGIN} | headers)

    assert (answer.status, answer.code if code else None) == (status, code)
    assert "Vary" not in answer.headers, "it is the same for every page"


# 404, 405


@pytest.mark.parametrize("path", ["/", "/v1/events/", "/v1/event", "/V1/events", "//v1/events", f"/{CANARY}"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_any_other_path_is_404(collector: Collector, method: str, path: str):
    answer = collector.request(method, path, headers={"Authorization": "Bearer browser"})

    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "TRACE"])
def test_any_other_method_is_405_and_names_the_right_one(collector: Collector, method: str):
    answer = collector.request(method, "/v1/events", headers={"Authorization": "Bearer browser"})

    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_head_is_405_without_a_body(collector: Collector):
    answer = collector.request("HEAD", "/v1/events")

    assert (answer.status, answer.body) == (405, b"")


# 408 and connections that do not end well


def test_a_stalled_body_is_408_and_its_connection_ends(collector: Collector):
    plain = batch()
    with conversation(collector) as (connection, stream):
        connection.sendall(head(len(plain)) + plain[:-1])

        answer = collector.read(stream)

        assert (answer.status, answer.code) == (408, "body_timeout")
        assert answer.headers["Connection"] == "close"
        assert stream.read() == b""


def test_a_body_that_trickles_is_cut_off_all_the_same(collector: Collector):
    plain = batch()
    with conversation(collector) as (connection, stream), contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head(len(plain)))
        started = time.monotonic()
        connection.settimeout(0.1)
        for n in itertools.count():
            assert time.monotonic() - started < 20, "the timeout is for the whole body, not for the next byte"
            connection.sendall(plain[n : n + 1])
            with contextlib.suppress(TimeoutError):
                if connection.recv(1, socket.MSG_PEEK):
                    break
        connection.settimeout(20)
        assert collector.read(stream).status == 408


@pytest.mark.parametrize("begun", [b"", b"POST /v1/ev", head(100)[:-4]], ids=["nothing", "a line", "a head"])
def test_a_connection_that_sends_no_request_is_closed(collector: Collector, begun: bytes):
    with conversation(collector) as (connection, stream):
        connection.sendall(begun)

        assert stream.read() == b""


def test_a_connection_is_kept_for_the_next_request_and_closed_when_idle(collector: Collector):
    with conversation(collector) as (connection, stream):
        for plain in (batch(), batch()):
            connection.sendall(head(len(plain)) + plain)
            assert collector.read(stream, plain).status == 200

        assert stream.read() == b""


def test_a_body_the_client_cuts_off_is_not_taken_and_costs_nobody_else(collector: Collector):
    cut, kept = batch(5), [batch(5) for _ in range(20)]

    def send(plain: bytes) -> int:
        with conversation(collector) as (connection, _):
            connection.sendall(head(len(cut)) + cut[:-10])
        return collector.post(plain).status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, kept)) == {200}
    found = collector.on_disk().event_ids
    assert not any(found[sent["event_id"]] for sent in json.loads(cut)["events"])
    assert all(found[sent["event_id"]] == 1 for plain in kept for sent in json.loads(plain)["events"])


def test_a_client_that_asks_first_is_told_to_go_on(collector: Collector):
    plain = batch()
    with conversation(collector) as (connection, stream):
        connection.sendall(head(len(plain), "Expect: 100-continue"))
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert stream.readline() == b"\r\n"
        connection.sendall(plain)

        assert collector.read(stream, plain).status == 200


@pytest.mark.parametrize(("key", "size", "status"), [(CANARY, 10, 401), ("browser", BODY_MAX + 1, 413)])
def test_a_client_that_asks_first_is_refused_before_it_sends(collector: Collector, key: str, size: int, status: int):
    with conversation(collector) as (connection, stream):
        connection.sendall(head(size, "Expect: 100-continue", key=key))

        assert collector.read(stream).status == status


def test_pipelined_requests_are_answered_in_their_order(collector: Collector):
    bodies = [batch(1), b"{}", batch(2), batch(3)]
    with conversation(collector) as (connection, stream):
        connection.sendall(b"".join(head(len(body)) + body for body in bodies))

        answers = [collector.read(stream, body) for body in bodies]

    assert [answer.status for answer in answers] == [200, 400, 200, 200]
    assert [answer.json.get("accepted") for answer in answers] == [1, None, 2, 3]


def test_an_http_1_0_client_is_answered_and_its_connection_closed(collector: Collector):
    plain = batch()
    with conversation(collector) as (connection, stream):
        connection.sendall(head(len(plain)).replace(b"HTTP/1.1", b"HTTP/1.0") + plain)

        assert collector.read(stream, plain).status == 200
        assert stream.read() == b""


# 413


def test_a_content_length_over_the_limit_is_413_before_a_byte_of_the_body(collector: Collector):
    with conversation(collector) as (connection, stream):
        connection.sendall(head(BODY_MAX + 1))

        answer = collector.read(stream)

    assert (answer.status, answer.code) == (413, "too_large")


def test_a_body_of_exactly_the_limit_is_taken(collector: Collector):
    plain = batch().ljust(BODY_MAX)

    assert collector.post(plain).status == 200
    assert collector.post(plain + b" ").status == 413


def test_a_chunked_body_is_taken(collector: Collector):
    plain = batch(10)

    assert collector.post(iter([plain[:100], plain[100:]]), plain=plain).status == 200


def test_a_chunked_body_over_the_limit_is_413(collector: Collector):
    answer = collector.post(iter([b" " * 1024] * 65))

    assert (answer.status, answer.code) == (413, "too_large")


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", deflate_raw),
        ("zstd", zstandard.compress),
        ("zstd", zstd_stream),
    ],
    ids=["gzip", "zlib", "raw deflate", "zstd", "zstd stream"],
)
def test_a_batch_is_measured_decompressed(collector: Collector, encoding: str, compress: Callable[[bytes], bytes]):
    fits = batch().ljust(BATCH_MAX)

    assert collector.post(compress(fits), plain=fits, Content_Encoding=encoding).status == 200
    answer = collector.post(compress(fits + b" "), Content_Encoding=encoding)
    assert (answer.status, answer.code) == (413, "too_large")


def peak_memory_kb(collector: Collector) -> int:
    """Return the sum of the workers' greatest memory so far."""
    statuses = [Path(f"/proc/{pid}/status").read_text(encoding="ascii") for pid in collector.workers()]
    return sum(int(line.split()[1]) for text in statuses for line in text.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress), ("zstd", zstd_stream)]
)
def test_a_bomb_is_413_at_the_cost_of_the_cap(collector: Collector, encoding: str, compress: Callable[[bytes], bytes]):
    bomb = compress(bytes(60 * 1024 * 1024))
    assert len(bomb) < BODY_MAX
    before, started = peak_memory_kb(collector), time.monotonic()

    assert collector.post(bomb, Content_Encoding=encoding).status == 413

    assert time.monotonic() - started < 10
    assert peak_memory_kb(collector) - before < 25 * 1024


def test_a_batch_of_too_many_events_is_413(collector: Collector):
    assert collector.post(batch(EVENTS_MAX)).status == 200
    answer = collector.post(batch(EVENTS_MAX + 1))
    assert (answer.status, answer.code) == (413, "too_large")
    answer = collector.post(json.dumps({"events": [CANARY] * (EVENTS_MAX + 1)}).encode())
    assert (answer.status, answer.code) == (413, "too_large")


# 415


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", CANARY])
def test_an_unknown_encoding_is_415(collector: Collector, encoding: str):
    answer = collector.post(batch(), Content_Encoding=encoding)

    assert (answer.status, answer.code) == (415, "unknown_encoding")


# 429


@pytest.mark.parametrize(
    ("key", "body"),
    [("slow", lambda: batch(8)), ("slow-bad", lambda: json.dumps({"events": [CANARY] * 8}).encode())],
    ids=["good events", "bad events"],
)
def test_a_key_over_its_rate_is_429_and_told_when_to_come_back(
    collector: Collector, key: str, body: Callable[[], bytes]
):
    """The first batch overdraws its worker's share: at two events a second it is paid for in four seconds."""
    assert collector.post(body(), key).status == 200

    refused = eventually(lambda: found if (found := collector.post(body(), key)).status == 429 else None)

    assert refused.code == "over_rate"
    assert 1 <= int(refused.headers["Retry-After"]) <= 5
    assert collector.post(batch(8)).status == 200, "other keys are not concerned"
    eventually(lambda: collector.post(body(), key).status == 200)


# 503


def test_a_disk_without_room_is_503_and_nothing_is_kept(short: Collector):
    answer = short.post(batch(), Origin=ORIGIN)

    assert (answer.status, answer.code) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert not short.on_disk().event_ids


def test_bodies_beyond_the_memory_budget_are_503_until_the_first_has_gone(short: Collector):
    first = batch()
    with conversation(short) as (connection, _):
        connection.sendall(head(BODY_MAX) + first)
        answer = eventually(
            lambda: found if "flight" in (found := short.post(batch(20))).json["error"]["message"] else None
        )
        assert (answer.status, answer.code) == (503, "unavailable")

    eventually(lambda: "disk" in short.post(batch(20)).json["error"]["message"])


def test_while_stopping_what_is_under_way_is_answered_and_what_is_new_is_503(own: Collector):
    under_way, new = batch(3), batch()
    with conversation(own) as (first, first_stream), conversation(own) as (second, second_stream):
        first.sendall(head(len(under_way)) + under_way[:-10])
        second.sendall(head(len(new)) + new)
        assert own.read(second_stream, new).status == 200
        own.process.terminate()
        eventually(lambda: own.admin("/readyz")[0] == 503)

        second.sendall(head(len(new)) + new)
        refused = own.read(second_stream)
        first.sendall(under_way[-10:])
        answered = own.read(first_stream, under_way)

        assert (refused.status, refused.headers["Connection"]) == (503, "close")
        assert (answered.status, answered.json["accepted"]) == (200, 3)
        assert second_stream.read() == first_stream.read() == b""

    assert own.stop() == 0
    spooled = own.spooled()
    assert spooled.event_ids == own.acknowledged
    assert spooled.final == 1, "the last segment says that nothing follows"


# All of it together


def test_no_body_however_odd_is_answered_with_anything_but_200_or_400(collector: Collector):
    values = ["null", "[]", "{}", "1e999", "-0", "9" * 400, '"\\ud800"', '"\\u0000"', "[" * 200 + "]" * 200, "true"]
    fields = ["event_id", "time", "event_type", "seq", "props", "page_url", "client_id", "session_id", CANARY]
    template = json.dumps(event(event_type="page_view"))[:-1]
    bodies = [f'{{"events": [{template}, "{f}": {v}}}]}}' for f, v in itertools.product(fields, values)]
    bodies += [f'{{"{f}": {v}, "events": []}}' for f, v in itertools.product(("clients", "context", "sent_at"), values)]

    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(lambda body: collector.post(body.encode()).status, bodies))

    assert statuses == {200, 400}


def test_both_workers_serve_the_one_port(collector: Collector):
    slots = {collector.post(batch()).json["receipt"].split(".")[0] for _ in range(40)}

    assert slots == {"0", "1"}


def test_every_receipt_is_given_once(collector: Collector):
    with ThreadPoolExecutor(8) as pool:
        receipts = [a.json["receipt"] for a in pool.map(collector.post, [batch() for _ in range(100)])]

    assert len(set(receipts)) == 100


def test_after_a_stop_the_spool_holds_exactly_what_was_acknowledged(collector: Collector):
    """The last test: it stops the collector, and counts whatever the tests before have sent."""
    assert collector.post(batch(), "server").status == collector.post(batch(), "test").status == 200

    assert collector.stop() == 0

    spooled = collector.spooled()
    assert spooled.event_ids == collector.acknowledged
    assert +spooled.accepted == +collector.accepted
    assert +spooled.rejected == +collector.rejected
    assert spooled.final == 2, "one last segment for each worker"
    assert spooled.test_sources == {"qa"}
    assert spooled.relaying_sources == {"backend"}


def test_no_log_line_repeats_what_a_client_sent(collector: Collector, short: Collector):
    for stopped in (collector, short):
        assert stopped.stop() == 0
        text = stopped.log.read_text(encoding="utf-8")
        assert CANARY not in text
        assert "Traceback" not in text
