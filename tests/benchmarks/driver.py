"""`python -m tests.benchmarks.driver`: how many events a second one driver process makes, sends and settles.

Against a server that reads a request and says 200 at once, in a process of its own: what is measured is the driver
alone. The rate is far beyond what can be kept, so that the driver is always late and never waits.
"""

import asyncio
import multiprocessing
import os
import re
import resource
import sys
import time

import uvloop

from loadtest.driver import Driver
from loadtest.plan import Mix, Plan
from loadtest.shapes import Shape
from tests.conftest import free_port

SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
BATCH = 50
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


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
            body = b'{"accepted":%d,"rejected":[]}' % BATCH
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


def _serve(port: int) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_AlwaysYes, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(forever())


def main() -> int:
    """Print one line per mix."""
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(port,), daemon=True)
    server.start()
    time.sleep(1.5)
    for name, mix in (("plain", Mix(gzip=0)), ("half gzip", Mix()), ("gzip", Mix(gzip=1))):
        plan = Plan(1, "bench", int(time.time() * 1000), BATCH, mix)
        driver = Driver(f"http://127.0.0.1:{port}", "key", plan, say=lambda _: None)
        before = time.process_time()
        load = uvloop.run(driver.run(Shape("constant", 1_000_000, SECONDS).due(BATCH)))
        cpu = time.process_time() - before
        print(
            f"{name}: {load.acknowledged / load.seconds:,.0f} events/s, {load.acknowledged / cpu:,.0f} per CPU-second, "
            f"{cpu / load.requests * 1e6:.0f} µs a batch of {BATCH}; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
        )
    server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
