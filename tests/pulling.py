"""A spool handed out by the product's own pull listener, and a wire to it that is cut after so many bytes."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from email.utils import formatdate
from pathlib import Path

from aiohttp import web

from collector_server.handout import Handout
from collector_server.settings import CollectorSettings
from storage.spool.folder import SpoolFolder
from tests.conftest import free_port
from tests.patience import PATIENCE_S

TOKEN = "0123456789abcdef" * 4
_HOST = "127.0.0.1"


@contextlib.contextmanager
def looping(start: Callable[[], Awaitable[Callable[[], Awaitable[None]]]]) -> Iterator[None]:
    """Run a server in a thread of its own; `start` returns what ends it."""
    loop, started = asyncio.new_event_loop(), threading.Event()

    def run() -> None:
        end = loop.run_until_complete(start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(end())
        loop.run_until_complete(asyncio.sleep(0.05))  # what was aborted is closed in the loop's next turns
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(PATIENCE_S)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@contextlib.contextmanager
def handing_out(
    spool: Path,
    token_file: Path,
    *,
    port: int | None = None,
    context: ssl.SSLContext | None = None,
    clock_off_s: float = 0.0,
) -> Iterator[tuple[str, Handout]]:
    """Serve a spool on a pull port of this process, whose answers bear a clock of their own; yield its address."""
    token_file.write_text(TOKEN + "\n", encoding="ascii")
    port = port or free_port()
    handout = Handout(CollectorSettings(pull_port=port, pull_token_file=str(token_file)), SpoolFolder(spool), 7)

    async def stamp(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() + clock_off_s, usegmt=True)

    async def start() -> Callable[[], Awaitable[None]]:
        app = handout.app()
        app.on_response_prepare.append(stamp)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, _HOST, port, ssl_context=context).start()
        return runner.cleanup

    with looping(start):
        yield f"{'https' if context else 'http'}://{_HOST}:{port}", handout


class Wire:
    """A way to ports or sockets' files, the next one for each connection.

    `cuts` says of each after how many bytes of answers it ends.
    """

    def __init__(
        self, targets: Iterator[int | Path], cuts: Iterable[int] = (), *, host: str = _HOST, port: int | None = None
    ) -> None:
        self.host, self.port = host, port or free_port()
        self.passed_bytes = 0
        self.cut = 0
        self._targets = targets
        self._cuts = iter(cuts)
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def laid(self) -> Iterator["Wire"]:
        async def start() -> Callable[[], Awaitable[None]]:
            server = await asyncio.start_server(self._serve, self.host, self.port)

            async def end() -> None:
                server.close()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

            return end

        with looping(start):
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        limit = next(self._cuts, None)
        there = None
        try:
            back, there = await _reach(next(self._targets))
            pumps = [
                asyncio.create_task(self._pump(reader, there, None)),
                asyncio.create_task(self._pump(back, writer, limit)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (there, writer):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(16_384):
                if limit is not None:
                    data = data[:limit]
                    limit -= len(data)
                    self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()
                if limit == 0:
                    self.cut += 1
                    return


async def _reach(target: int | Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, Path):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection(_HOST, target)
