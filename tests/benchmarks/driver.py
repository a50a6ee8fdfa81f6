"""`python -m tests.benchmarks.driver`: how many events a second one driver of the load test makes, sends and settles.

Against a server that reads a request and says 200 at once, in a process of its own: what is measured is the driver
alone. The rate wanted is far beyond what can be kept, so that the driver is always late and never waits.
"""

import asyncio
import multiprocessing
import os
import re
import resource
import socket
import sys
import time

import uvloop

from loadtest.driver import Driver
from loadtest.plan import Mix, Plan
from loadtest.run import scheduled_run
from loadtest.shapes import Shape
from tests.benchmarks.results import record

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
BATCH = 50
_RATE = 1_000_000
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_BODY = b'{"accepted":%d,"rejected":[]}' % BATCH
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class _AlwaysYes(asyncio.Protocol):
    def __init__(self) -> None:
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (head := self._waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._waiting, 0, head + 2)
            ends = head + 4 + (int(found.group(1)) if found else 0)
            if len(self._waiting) < ends:
                return
            self._waiting = self._waiting[ends:]
            self._transport.write(_ANSWER)


def _serve(listening: socket.socket) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_AlwaysYes, sock=listening)
        await server.serve_forever()

    uvloop.run(forever())


def main() -> int:
    """Print one line per mix."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = multiprocessing.Process(target=_serve, args=(listening,), daemon=True)
    server.start()
    try:
        for name, mix in (("plain", Mix(gzip=0)), ("half of them gzip", Mix()), ("gzip", Mix(gzip=1))):
            _case(f"http://127.0.0.1:{listening.getsockname()[1]}", name, mix)
    finally:
        server.terminate()
        server.join()
    record("load test", "memory of the driver", _memory_mib(), "MiB")
    return 0


def _case(url: str, name: str, mix: Mix) -> None:
    plan = Plan(1, "bench", time.time_ns() // 1_000_000, BATCH, mix)
    driver = Driver(url, "key", plan, say=lambda _: None)
    began, before = time.monotonic(), time.process_time()
    uvloop.run(scheduled_run(driver, Shape("constant", _RATE, SECONDS).due(BATCH)))
    seconds, cpu = time.monotonic() - began, time.process_time() - before
    events = driver.load.acknowledged
    print(
        f"one driver, batches of {BATCH}, {name}: {events / seconds:,.0f} events/s, {events / cpu:,.0f} per CPU-second, "
        f"{cpu / driver.load.requests * 1e6:.0f} µs a batch; at most {_memory_mib():.0f} MiB"
    )
    record("load test", f"one driver, {name}", events / seconds, "events/s")
    record("load test", f"one driver, {name}: CPU", cpu / events * 1e6, "µs an event")


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
