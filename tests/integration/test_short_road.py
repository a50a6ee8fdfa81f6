"""The short road of whole batches beside aiohttp's own: order, refusals, endings. A real server, a batch taker of ours."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage

from collector_server.connection import Answer, Connection, Server
from collector_server.refusal import Refusal, Refused
from collector_server.settings import CollectorSettings
from tests.patience import PATIENCE_S

_DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshort"


class Taker:
    """Takes what is sent to /short, and answers when it is told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.answers: list[Answer] = []
        self.refused: list[str] = []
        self.at_once: Exception | None = None

    def take_whole(self, message: RawRequestMessage, payload: StreamReader, client: str | None, answer: Answer) -> bool:
        assert client == "127.0.0.1"
        if message.path != "/short":
            return False
        self.bodies.append(payload.read_nowait())
        if self.at_once is not None:
            raise self.at_once
        self.answers.append(answer)
        return True

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        if connection.refused is not None:
            refused, connection.refused = connection.refused, None
            self.refused.append(refused.refusal.code)
            return web.Response(status=refused.refusal.status, text="refused")
        return web.Response(text="long " + (await request.read()).decode())

    async def answer(self, place: int, answer: bytes | Refused = _DONE) -> None:
        """Answer the batch that was taken as the `place`-th, once it is there."""
        await until(lambda: len(self.answers) > place)
        self.answers[place](answer)


@asynccontextmanager
async def serving(taker: Taker, keepalive_timeout: float = 60) -> AsyncIterator[tuple[web.ServerRunner, int]]:
    """Serve on a free port; whatever the test did, no task is left at the end."""
    before = asyncio.all_tasks()
    server = Server(CollectorSettings(), taker, taker.handle, lambda _: None, keepalive_timeout=keepalive_timeout)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner, runner.addresses[0][1]
    finally:
        await runner.cleanup()
    await until(lambda: not asyncio.all_tasks() - before)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - it is the outside that is waited for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and close at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def post(body: bytes, path: bytes = b"/short") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (path, len(body), body)


async def answers(reader: asyncio.StreamReader, number: int) -> list[bytes]:
    """Read so many answers; return status and body of each."""
    found = []
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(number):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            found.append(head[9:12] + b" " + await reader.readexactly(size))
    return found


def test_what_comes_after_a_batch_waits_for_its_answer() -> None:
    """Pipelined requests are answered in their order, whichever road they go."""

    async def run() -> None:
        taker = Taker()
        async with serving(taker) as (_, port), connected(port) as (reader, writer):
            writer.write(post(b"1") + post(b"a", b"/long") + post(b"2"))
            await taker.answer(0)
            # What has queued up behind a long one goes on with it.
            assert await answers(reader, 3) == [b"200 short", b"200 long a", b"200 long 2"]
            writer.write(post(b"3") + post(b"b", b"/long"))
            await taker.answer(1)
            assert await answers(reader, 2) == [b"200 short", b"200 long b"]
            assert taker.bodies == [b"1", b"3"]

    uvloop.run(run())


def test_one_batch_of_a_connection_is_under_way_at_a_time() -> None:
    """A second one is not even taken before the first is answered: answers cannot change places."""

    async def run() -> None:
        taker = Taker()
        async with serving(taker) as (_, port), connected(port) as (reader, writer):
            many = 100  # more than aiohttp queues: reading pauses and goes on
            writer.write(b"".join(post(b"%d" % n) for n in range(many)))
            for n in range(many):
                await taker.answer(n, _DONE.replace(b"short", b"%05d" % n))
                assert len(taker.bodies) <= n + 2
            assert await answers(reader, many) == [b"200 %05d" % n for n in range(many)]

    uvloop.run(run())


@pytest.mark.parametrize("later", [True, False])
def test_a_refusal_is_answered_by_the_long_road(later: bool) -> None:
    """Refused at once or only by the disk: `handle` says so, and the connection lives on."""

    async def run() -> None:
        taker = Taker()
        refused = Refused(Refusal.UNAVAILABLE, "no disk")
        async with serving(taker) as (_, port), connected(port) as (reader, writer):
            if later:
                writer.write(post(b"1"))
                await taker.answer(0, refused)
            else:
                taker.at_once = refused
                writer.write(post(b"1"))
            assert await answers(reader, 1) == [b"503 refused"]
            taker.at_once = None
            writer.write(post(b"2"))
            await taker.answer(int(later))
            assert await answers(reader, 1) == [b"200 short"]
        assert taker.refused == ["unavailable"]

    uvloop.run(run())


def test_a_bug_on_the_short_road_is_an_answer_and_not_a_lost_connection() -> None:
    """The client is told that it was ours."""

    async def run() -> None:
        taker = Taker()
        taker.at_once = ZeroDivisionError("a bug")
        async with serving(taker) as (_, port), connected(port) as (reader, writer):
            writer.write(post(b"1"))
            assert await answers(reader, 1) == [b"500 refused"]
        assert taker.refused == ["internal"]

    uvloop.run(run())


def test_what_has_not_arrived_whole_goes_the_long_road() -> None:
    """A body in two pieces, no body, and a client that closes after its request."""

    async def run() -> None:
        taker = Taker()
        async with serving(taker) as (_, port), connected(port) as (reader, writer):
            request = post(b"1234")
            writer.write(request[:-2])
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(request[-2:] + post(b"") + b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await answers(reader, 3) == [b"200 long 1234", b"200 long ", b"200 long "]
            writer.write(post(b"5").replace(b"Host", b"Connection: close\r\nHost"))
            assert await answers(reader, 1) == [b"200 long 5"]
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""
        assert taker.bodies == []

    uvloop.run(run())


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    """Its batch is answered into the void, and aiohttp's task ends: `serving` looks for it."""

    async def run() -> None:
        taker = Taker()
        async with serving(taker) as (_, port), connected(port) as (_, writer):
            writer.write(post(b"1") + post(b"2"))
            await until(lambda: bool(taker.answers))
            writer.transport.abort()
            await asyncio.sleep(0.05)
            await taker.answer(0)
        assert taker.bodies == [b"1"]

    uvloop.run(run())


def test_a_server_that_stops_first_leaves_nothing_behind() -> None:
    """The answer that comes after the end reaches nobody and breaks nothing."""

    async def run() -> None:
        taker = Taker()
        async with serving(taker) as (runner, port), connected(port) as (reader, writer):
            writer.write(post(b"1"))
            await until(lambda: bool(taker.answers))
            await runner.cleanup()
            await taker.answer(0)
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""

    uvloop.run(run())


def test_an_idle_connection_is_closed_after_a_batch_too() -> None:
    """The time counts from the last answer, and not while a batch waits for the disk."""

    async def run() -> None:
        taker = Taker()
        async with serving(taker, keepalive_timeout=0.3) as (_, port), connected(port) as (reader, writer):
            writer.write(post(b"1"))
            await asyncio.sleep(0.6)  # longer than it may be idle
            await taker.answer(0)
            assert await answers(reader, 1) == [b"200 short"]
            async with asyncio.timeout(PATIENCE_S):
                assert await reader.read() == b""

    uvloop.run(run())
