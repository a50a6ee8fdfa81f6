"""The driver against servers that misbehave: whatever they do, each event's answer is counted once, and none is forgotten."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable

import pytest

from loadtest.driver import Driver
from loadtest.plan import Batch, Mix, Plan
from loadtest.probe import probe
from loadtest.shapes import Shape
from loadtest.tally import Load
from loadtest.verdict import KEPT, Bounds, Verdict, checks_of

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
# A server that goes with connections still in its queue leaves their streams to the collector of garbage.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
OK = b'{"accepted":10,"rejected":[]}'


def answer(body: bytes = OK, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), more, body)


async def handlers_end() -> None:
    """Let the server's side of every connection end too, or it is left to the next test."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 10)
    await asyncio.sleep(0.02)  # transports are closed a turn later


def driven(
    how: Answer,
    *,
    seconds: float = 0.5,
    rate: float = 500,
    patience_s: float = 5.0,
    connections: int = 256,
    twice: float = 0.0,
) -> Load:
    """Drive a server of the test's own; `how` answers the n-th request."""

    async def run() -> Load:
        requests = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal requests
            try:
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head).group(1)))
                    requests += 1
                    await how(requests, writer)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        plan = Plan(1, "run", 1_790_000_000_000, 10, Mix(duplicates=twice, malformed=0, gzip=0))
        driver = Driver(url, "key", plan, say=lambda _: None, connections_max=connections)
        await driver.run(Shape("constant", rate, seconds).due(10), patience_s)
        driver.close()
        server.close()
        await handlers_end()
        return driver.load

    return asyncio.run(run())


def failing(load: Load) -> set[str]:
    return {c.name for c in checks_of(Verdict(), load, [], Bounds(), is_test=True) if not c.holds and c.name != KEPT}


def sends(*parts: bytes, close: bool = False) -> Answer:
    async def how(_number: int, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.001)
        if close:
            writer.close()

    return how


@pytest.mark.parametrize(
    "how",
    [
        sends(answer()),
        sends(answer()[:20], answer()[20:60], answer()[60:]),
        sends(b"HTTP/1.1 100 Continue\r\n\r\n", answer()),
        sends(b"HTTP/1.1 100 Continue\r\n\r\n" + answer()),
        sends(answer(more=b"Connection: close\r\n"), close=True),
        sends(answer(), close=True),
    ],
    ids=["plain", "in pieces", "interim first", "interim with it", "one request a connection", "closes without a word"],
)
def test_every_good_answer_counts_however_it_comes(how: Answer) -> None:
    load = driven(how, connections=4)
    assert load.sent == load.acknowledged == 250
    assert load.unanswered == load.failed == load.shed == 0


@pytest.mark.parametrize(
    "how",
    [
        sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1d\r\n" + OK + b"\r\n0\r\n\r\n"),
        sends(answer(b"<html>hello</html>")),
        sends(b"hello\r\n\r\n"),
        sends(close=True),
    ],
    ids=["without a length", "no JSON", "no HTTP", "nothing"],
)
def test_what_is_no_answer_of_a_collector_is_none(how: Answer) -> None:
    load = driven(how, patience_s=1.5)
    assert load.acknowledged == 0
    assert load.failed + load.unanswered == load.sent
    assert {"the load was taken in time", "every request has a good answer"} <= failing(load)


def test_a_few_refused_requests_are_not_lost_in_a_percentage() -> None:
    async def how(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"{}", b"500 Internal Server Error") if number == 7 else answer())

    load = driven(how, rate=2_000)
    assert load.failed == 10
    assert failing(load) == {"every request has a good answer"}


def test_a_server_that_is_half_as_fast_does_not_pass() -> None:
    turn = asyncio.Lock()

    async def how(_number: int, writer: asyncio.StreamWriter) -> None:
        async with turn:
            await asyncio.sleep(0.01)  # at most a thousand events a second
        writer.write(answer())

    load = driven(how, seconds=4, rate=2_000, patience_s=20, connections=64)
    assert load.acknowledged == load.sent
    assert load.achieved_rate < 1_200
    assert load.connections_busy > 0
    assert failing(load) == {"the load was taken in time"}


def test_a_second_sending_never_stands_for_the_first() -> None:
    """The first ones are refused, the planned second ones are taken: the batches were not."""

    async def how(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"{}", b"503 Service Unavailable") if number <= 25 else answer())

    load = driven(how, twice=1.0)
    assert load.requests == 50
    assert (load.shed, load.acknowledged, load.acknowledged_again, load.unanswered) == (250, 0, 0, 0)


def test_what_is_sent_follows_from_the_schedule_and_not_from_the_clock() -> None:
    """Somebody may have asked for the time of the run before it began, as the watch does."""
    made: list[tuple[int, int]] = []

    class Noting(Plan):
        def batch(self, number: int, offset_ms: int) -> Batch:
            made.append((number, offset_ms))
            return super().batch(number, offset_ms)

    async def run() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        driver = Driver(url, "key", Noting(1, "run", 0, 10), say=lambda _: None)
        driver.now_s()
        await asyncio.sleep(0.05)
        await driver.run([0.0, 0.1, 0.25], patience_s=0.1)
        driver.close()
        server.close()
        await handlers_end()

    asyncio.run(run())
    assert set(made) == {(0, 0), (1, 100), (2, 250)}


def test_a_batch_that_cannot_be_made_ends_the_run() -> None:
    class Broken(Plan):
        def batch(self, number: int, offset_ms: int):  # noqa: ARG002
            raise LookupError("the recording is gone")

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        driver = Driver(url, "key", Broken(1, "run", 0, 10), say=lambda _: None)
        try:
            await driver.run(Shape("constant", 100, 5).due(10))
        finally:
            driver.close()
            server.close()
            await handlers_end()

    with pytest.raises(LookupError, match="the recording is gone"):
        asyncio.run(run())


def test_another_web_server_is_not_taken_for_a_collector() -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(json.dumps({"hello": 1}).encode()))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            await probe(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "key")
        finally:
            server.close()
            await handlers_end()

    with pytest.raises(Exception, match="is no collector"):
        asyncio.run(run())
