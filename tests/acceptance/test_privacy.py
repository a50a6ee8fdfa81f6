"""Personal data through every door of a real collector: it is on no disk, in no table, no log and no answer."""

# ruff: noqa: RUF001 - look-alikes are the point

import hashlib
import http.client
import itertools
import json
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from storage.spool.reader import read_segment
from tests.acceptance.canaries import Finder, canaries, dumped, sent_as_text
from tests.acceptance.doors import DOORS, Request, batch, event, in_field
from tests.crash.oracle import drain
from tests.crash.processes import HOST, Machine, children_of

KEYS: Final = (
    "[{key = 'page', source = 'web', origins = ['https://m.example.com']}, "
    "{key = 'relay', source = 'backend', kind = 'server'}]"
)
ACCOUNTS: Final = "['[0-9]{3}-[0-9]{2}-[0-9]{6}']"
IDENTIFIERS: Final = ("session_id", "anonymous_id", "customer_id")
INNOCENT: Final = [
    "005930", "20260102-0001234", "주문번호 2026112200012345", "260102000123", "4111111111111112",
    "4111-1111-1111-1112", "1,234,567", "-0.32%", "2,650.15", "2026-11-22 10:33:05", "2026-11-22T10:33:05.123+09:00",
    "5.12.0-rc.1+20261122", "v4.2.1", "192.168.100.200", "900230-1234567", "1588-1234", "10–20대", "09:00–15:30",
    "국내주식 현재가 · 호가", "ＫＢ증권", "５００", "100%25", "%EC%A3%BC%EC%8B%9D%20%ED%99%98%EC%A0%84",
    "019b76da-c800-7000-8000-4111111111aa", "@삼성전자", "a9001011234567cdef0123456789abc0",
]  # fmt: skip


class Client:
    """Sends requests over one connection and remembers every answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: list[bytes] = []

    def send(self, request: Request) -> tuple[int, Any]:
        """Return the status and the answer's JSON, if it is that; a pixel's says the same in a header."""
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
        if answer.headers["Content-Type"] == "image/gif":
            rejected = answer.headers.get_all("Sillok-Rejected") or []
            return answer.status, {"accepted": 1 - len(rejected), "rejected": rejected}
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
