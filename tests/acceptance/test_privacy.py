"""Personal data through every door of a real collector: it is on no disk, in no table, no log and no answer.

A new door is one more line in `DOORS`.
"""

# ruff: noqa: RUF001 - look-alikes are the point

import gzip
import hashlib
import http.client
import itertools
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import psycopg
import pytest

from storage.spool.reader import read_segment
from tests.acceptance.canaries import Canary, Finder, canaries, dumped, sent_as_text
from tests.crash.oracle import drain
from tests.crash.processes import HOST, Machine, children_of

KEYS: Final = (
    "[{key = 'page', source = 'web', origins = ['https://m.example.com']}, "
    "{key = 'relay', source = 'backend', kind = 'server'}]"
)
ACCOUNTS: Final = "['[0-9]{3}-[0-9]{2}-[0-9]{6}']"
PATH: Final = "/v1/events"


class Request(NamedTuple):
    """What is sent."""

    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    path: str = PATH
    key: str = "page"
    method: str = "POST"


def event(**fields: Any) -> dict[str, Any]:
    return {"event_id": str(uuid.uuid4()), "time": time.time_ns() // 1_000_000, "event_type": "click", **fields}


def batch(*events: Any, **more: Any) -> bytes:
    return dumped({"events": list(events), **more})


def in_event(make: Callable[[Canary], dict[str, Any]]) -> Callable[[Canary], Request]:
    return lambda canary: Request(batch(event(**make(canary))))


def in_field(name: str, around: str = "%s") -> Callable[[Canary], Request]:
    return in_event(lambda canary: {name: around.replace("%s", canary.text)})


def in_context(make: Callable[[Canary], dict[str, Any]], key: str = "page") -> Callable[[Canary], Request]:
    return lambda canary: Request(batch(event(), context=make(canary)), key=key)


def in_header(name: str, around: str = "%s") -> Callable[[Canary], Request]:
    def request(canary: Canary) -> Request:
        # Anything may stand in a header; http.client wants bytes for it.
        value = around.replace("%s", sent_as_text(canary.text))
        return Request(batch(event()), {name: value})

    return request


def not_utf8(canary: Canary) -> Request:
    return Request(batch(event(page_name="~", click_text=canary.text)).replace(b'"~"', b'"\xb8\xc5"'))


def too_deep(canary: Canary) -> Request:
    value: Any = canary.text
    for _ in range(40):
        value = [value]
    return Request(batch(event(props={"a": value})))


def beside(**more: Callable[[Canary], Any]) -> Callable[[Canary], Request]:
    return lambda canary: Request(batch(event(), **{name: make(canary) for name, make in more.items()}))


def as_body(make: Callable[[Canary], bytes], **headers: str) -> Callable[[Canary], Request]:
    return lambda canary: Request(make(canary), {name.replace("_", "-"): value for name, value in headers.items()})


def text(canary: Canary) -> bytes:
    return sent_as_text(canary.text).encode()


# Every door: how a canary goes through it, and what is answered: how many events are accepted and rejected, or a status.
MASKED: Final = (1, 0)
REJECTED: Final = (0, 1)
DOORS: Final[dict[str, tuple[Callable[[Canary], Request], tuple[int, int] | int]]] = {
    "a text": (in_field("click_text"), MASKED),
    "a text, in a sentence": (in_field("page_name", "홍길동(%s)님의 화면"), MASKED),
    "an error's message": (in_field("error_message", "입력값 오류: %s"), MASKED),
    "a search": (in_field("search_text"), MASKED),
    "a campaign": (in_field("utm_content"), MASKED),
    "an instance's id": (in_field("client_id"), MASKED),
    "a URL's path": (in_field("page_url", "https://m.example.com/고객/%s/화면"), MASKED),
    "a URL's query": (in_field("referrer", "https://m.example.com/?q=%s&page=1"), MASKED),
    "a URL's query that stays": (in_field("error_page", "https://m.example.com/?utm_content=%s#a"), MASKED),
    "a URL's fragment": (in_field("page_url", "https://m.example.com/#%s"), MASKED),
    "props": (in_event(lambda c: {"props": {"가": c.text}}), MASKED),
    "a number in props": (in_event(lambda c: {"props": {"가": c.number}}), MASKED),
    "a key of props": (in_event(lambda c: {"props": {c.text: 1}}), MASKED),
    "deep in props": (in_event(lambda c: {"props": {"가": [{"나": [c.number, {c.text: c.text}]}]}}), MASKED),
    "an unknown key's value": (in_event(lambda c: {"whatever": c.number}), MASKED),
    "an unknown key": (in_event(lambda c: {c.text: True}), MASKED),
    "a context": (in_context(lambda c: {"page_name": c.text, "whatever": c.number}), MASKED),
    "a context's props": (in_context(lambda c: {"props": {c.text: c.number}}), MASKED),
    "a relayed user agent": (in_context(lambda c: {"user_agent": f"App/1 {c.text}"}, key="relay"), MASKED),
    "a relayed address": (in_context(lambda c: {"ip": c.text}, key="relay"), MASKED),
    "sent_at": (beside(sent_at=lambda c: c.text), MASKED),
    "an unknown key beside the events": (beside(whatever=lambda c: [c.text, {c.text: c.number}]), MASKED),
    "a report's id": (beside(clients=lambda c: [{"id": c.text, "created": 1}]), MASKED),
    "a report's reason": (beside(clients=lambda c: [{"id": "가", "dropped": {c.text: 1}}]), MASKED),
    "the User-Agent header": (in_header("User-Agent", "App/1 (%s)"), MASKED),
    "any other header": (in_header("X-Forwarded-For"), MASKED),
    "a rejected event's time": (in_event(lambda c: {"time": c.text}), REJECTED),
    "a rejected event's neighbours": (in_event(lambda c: {"time": "x", "props": {c.text: c.number}}), REJECTED),
    "a rejected event's URL": (
        in_event(lambda c: {"time": "x", "page_url": f"https://m.example.com/{c.text}?q={c.text}"}), REJECTED,
    ),
    "a rejected event's ids": (in_event(lambda c: {"time": "x", "session_id": c.text, "customer_id": c.text}), REJECTED),
    "an event's id": (in_event(lambda c: {"event_id": c.text}), REJECTED),
    "an event's type": (in_event(lambda c: {"event_type": c.text}), REJECTED),
    "a platform": (in_event(lambda c: {"platform": c.text}), REJECTED),
    "seq": (in_event(lambda c: {"seq": c.text}), REJECTED),
    "props that are none": (in_event(lambda c: {"props": c.text}), REJECTED),
    "an event that is none": (lambda c: Request(batch(c.number)), REJECTED),
    "an event that is not UTF-8": (not_utf8, REJECTED),
    "an event too deep": (too_deep, REJECTED),
    "an event too large": (in_event(lambda c: {"props": {c.text: "가" * 20_000}}), REJECTED),
    "props too large": (in_event(lambda c: {"props": {c.text: "가" * 5_000}}), REJECTED),
    "a custom event without a name": (in_event(lambda c: {"event_type": "custom", "click_text": c.text}), REJECTED),
    "a context that is refused": (in_context(lambda c: {"page_name": c.text, "screen_width": c.text}), REJECTED),
    "a body that is no JSON": (as_body(text), 400),
    "a body that is cut short": (as_body(lambda c: batch(event(click_text=c.text))[:-3]), 400),
    "a body without events": (as_body(lambda c: dumped({c.text: c.number, "events": c.text})), 400),
    "a body that is no gzip": (as_body(text, Content_Encoding="gzip"), 400),
    "a body that is gzip cut short": (
        as_body(lambda c: gzip.compress(batch(event(click_text=c.text)))[:-3], Content_Encoding="gzip"), 400,
    ),
    "an unknown encoding": (as_body(text, Content_Encoding="9001011234567"), 415),
    "a key": (lambda c: Request(batch(event()), key=sent_as_text(c.text)), 401),
    "an origin": (in_header("Origin", "https://%s.example.com"), 403),
    "a path": (lambda c: Request(b"", path="/" + _in_target(c)), 404),
    "a key in the query": (lambda c: Request(b"", path=f"{PATH}?key={_in_target(c)}", key=""), 401),
}  # fmt: skip
IDENTIFIERS: Final = ("session_id", "anonymous_id", "customer_id")
INNOCENT: Final = [
    "005930", "20260102-0001234", "주문번호 2026112200012345", "260102000123", "4111111111111112",
    "4111-1111-1111-1112", "1,234,567", "-0.32%", "2,650.15", "2026-11-22 10:33:05", "2026-11-22T10:33:05.123+09:00",
    "5.12.0-rc.1+20261122", "v4.2.1", "192.168.100.200", "900230-1234567", "1588-1234", "10–20대", "09:00–15:30",
    "국내주식 현재가 · 호가", "ＫＢ증권", "５００", "100%25", "%EC%A3%BC%EC%8B%9D%20%ED%99%98%EC%A0%84",
    "019b76da-c800-7000-8000-4111111111aa", "@삼성전자", "a9001011234567cdef0123456789abc0",
]  # fmt: skip


def _in_target(canary: Canary) -> str:
    """Return it as a request's target may hold it."""
    return "".join(
        c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in sent_as_text(canary.text)
    )


class Client:
    """Sends requests over one connection and remembers every answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: list[bytes] = []

    def send(self, request: Request) -> tuple[int, Any]:
        """Return the status and the answer's JSON, if it is that."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=60)
        try:
            connection.putrequest(request.method, request.path)
            headers = {"X-Sillok-Key": request.key, "Content-Length": str(len(request.body)), **request.headers}
            for name, value in headers.items():
                connection.putheader(name, value.encode())
            connection.endheaders(request.body)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.answers.append(str(answer.headers).encode() + b"\n" + body)
        return answer.status, json.loads(body) if answer.headers["Content-Type"] == "application/json" else None


@pytest.fixture
def machine(tmp_path: Path, dsn: str) -> Iterator[Machine]:
    machine = Machine(tmp_path, dsn)
    machine.collector = machine.program(
        "serve",
        SILLOK_SERVE_KEYS=KEYS,
        SILLOK_SERVE_ACCOUNT_PATTERNS=ACCOUNTS,
        SILLOK_LOG_LEVEL="debug",
        **machine.ports(),
    )
    yield machine
    machine.clean_up()


def test_personal_data_is_found_nowhere_whatever_the_door_and_the_writing(
    machine: Machine, connection: psycopg.Connection
) -> None:
    machine.collector.start()
    machine.wait_until_ready()
    assert all(_has_no_core_dumps(pid) for pid in children_of(machine.collector.pid))
    client, finder = Client(machine.port), Finder()
    supply = canaries()
    accepted = rejected = 0
    with ThreadPoolExecutor(8) as pool:
        for door, (make, expected) in DOORS.items():
            sent = [*itertools.islice(supply, SET)]
            finder.let_loose(sent, door)
            for canary, (status, answer) in zip(sent, pool.map(client.send, map(make, sent)), strict=True):
                if isinstance(expected, int):
                    assert status == expected, (door, canary.name)
                    continue
                assert status == 200, (door, canary.name, answer)
                assert (answer["accepted"], len(answer["rejected"])) == expected, (door, canary.name, answer)
                accepted, rejected = accepted + expected[0], rejected + expected[1]
        for field in IDENTIFIERS:
            sent = [c for c in itertools.islice(supply, SET) if c.kind in ("resident number", "foreigner number")]
            finder.let_loose(sent, field)
            for canary, (_, answer) in zip(sent, pool.map(client.send, map(in_field(field), sent)), strict=True):
                codes = {"personal_identifier", "identifier_too_long"}
                assert codes >= {reject["code"] for reject in answer["rejected"]} > set(), (field, canary.name)
                rejected += 1
    assert machine.collector.terminate() == 0

    for name, data in (*_spooled(machine.spool), ("the answers", b"\n".join(client.answers))):
        assert finder.found_in(data) == [], name

    machine.loader.start()
    machine.processor.start()
    drain(machine, connection)
    assert _count(connection, "clean.events") == accepted
    assert _count(connection, "ops.rejected") == rejected
    assert _count(connection, "clean.events where 'masked' = any(flags)") > 15 * SET
    for name, data in _tables(connection):
        assert finder.found_in(data) == [], name
    assert machine.loader.terminate() == 0
    assert machine.processor.terminate() == 0
    for path in (p for p in machine.folder.rglob("*") if p.is_file()):
        assert finder.found_in(path.read_bytes()) == [], path.name


def test_the_finder_finds_every_canary_that_flies() -> None:
    """Else the test above could not fail: whatever the writing, in a log line, a row or a file."""
    finder = Finder()
    for canary in itertools.islice(canaries(), SET):
        finder.let_loose([canary], "a test")
        for written in (
            dumped({"a": canary.text}),
            sent_as_text(canary.text).encode(),
            dumped(dumped(canary.text).decode()),
        ):
            assert finder.found_in(b'{"n": 1, "x": ' + written + b"}") == [f"{canary.name}, through a test"], written


def test_innocent_numbers_arrive_as_they_were_sent(machine: Machine, connection: psycopg.Connection) -> None:
    now = time.time_ns() // 1_000_000
    moments = [now + hours * 3_600_000 for hours in range(-9_000, 9_000)]
    # Those of the form of a resident number: there are some every few years, and hundreds in 2027.
    formed = [m for m in moments if re.fullmatch(r"\d\d(0[1-9]|1[0-2])(0[1-9]|1\d|2[0-8])[1-8]\d{6}", str(m))]
    moments = [*moments[::2_000], *formed[:: len(formed) // 20 + 1]]
    numbers = [*moments, 5930, 71_500, 1_234_567, 0.32, 2650.15, 4_111_111_111_111_112, 2_026_010_200_012_345, 10**15]
    texts = [*INNOCENT, *map(str, moments)]
    sent = {}
    for value in [*texts, *numbers]:
        one = event(props={"값": value, "목록": [value]}, **({"click_text": value} if isinstance(value, str) else {}))
        if isinstance(value, str):
            one["props"][value] = 1
        sent[one["event_id"]] = one
    machine.start()
    client = Client(machine.port)
    for one in sent.values():
        assert client.send(Request(batch(one)))[0] == 200
    # In one body too, where one may hide another.
    again = [{**one, "event_id": str(uuid.uuid4())} for one in sent.values()]
    assert client.send(Request(batch(*again)))[1]["accepted"] == len(again)
    sent.update({one["event_id"]: one for one in again})
    assert machine.collector.terminate() == 0
    drain(machine, connection)

    rows = connection.execute("select event_id::text, click_text, props, flags from clean.events").fetchall()

    assert {row[0] for row in rows} == set(sent)
    for event_id, click_text, props, flags in rows:
        assert (click_text, props) == (sent[event_id].get("click_text"), sent[event_id]["props"])
        assert "masked" not in flags


def test_of_a_body_that_cannot_be_read_its_length_hash_and_reason_are_logged(
    machine: Machine,
) -> None:
    machine.collector.start()
    machine.wait_until_ready()
    client = Client(machine.port)
    bodies = {b"no JSON": "not_json", b'{"time": 1}': "no_events"}
    for body in bodies:
        assert client.send(Request(body))[0] == 400
    assert client.send(Request(b"no gzip", {"Content-Encoding": "gzip"}))[0] == 400
    assert machine.collector.terminate() == 0

    lines = [json.loads(line) for line in machine.collector.output.read_bytes().splitlines()]
    unreadable = [line for line in lines if line["event"] == "body_unreadable"]

    expected = [*bodies.items(), (b"no gzip", "broken_compression")]
    assert [(line["reason"], line["source"], line["body_bytes"], line["sha256"]) for line in unreadable] == [
        (reason, "web", len(body), hashlib.sha256(body).hexdigest()) for body, reason in expected
    ]


# How many canaries there are before the next begin with the same kind and writing.
SET: Final = len({c.name for c in itertools.islice(canaries(), 500)})


def _has_no_core_dumps(pid: int) -> bool:
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
    [core] = [line.split() for line in limits if line.startswith("Max core file size")]
    return core[4:6] == ["0", "0"] and int(Path(f"/proc/{pid}/coredump_filter").read_text(encoding="ascii"), 16) == 0


def _spooled(spool: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of the spool, and what is in the segments."""
    for path in sorted(p for p in spool.rglob("*") if p.is_file()):
        yield path.name, path.read_bytes()
        if path.suffix == ".sealed":
            segment = read_segment(path)
            assert not segment.bad
            for group in segment.groups:
                for frame in segment.frames(group):
                    yield f"the meta of {path.name}", frame.meta
                    yield f"a body of {path.name}", frame.body


def _tables(connection: psycopg.Connection) -> Iterator[tuple[str, bytes]]:
    """Yield every table's rows as text."""
    names = connection.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('raw', 'clean', 'ops')"
    ).fetchall()
    assert len(names) > 10
    for (name,) in names:
        rows = connection.execute(f"select row_to_json(t)::text from {name} t").fetchall()  # type: ignore[arg-type]
        yield name, "\n".join(row[0] for row in rows).encode()


def _count(connection: psycopg.Connection, what: str) -> int:
    [(count,)] = connection.execute(f"select count(*) from {what}").fetchall()  # type: ignore[arg-type]
    return count
