"""A wire between a program and PostgreSQL that is cut at a chosen message of the client.

It splits what the client says into the protocol's messages (one byte of type, four of length; the first has
no type) and asks the test what to do with each. What the server says passes through as it is.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final, Literal

import psycopg

from tests.crash.processes import HOST

COPY_DATA: Final = b"d"
Cut = Literal["", "half", "before", "after"]
"""Let it pass, or cut the connection: in the middle of the message, before it, or once its answer has come."""
Judge = Callable[[bytes, bytes], Cut]
"""Message type and payload → what to do."""


class Proxy:
    """Listens on a port of its own and connects to the server's socket file for every client."""

    def __init__(self, dsn: str, judge: Judge) -> None:
        """`dsn` is the server's; the proxy's own stands in `dsn` once it runs."""
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        self._socket = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
        self._parts = parts
        self._judge = judge
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def dsn(self) -> str:
        """How to reach the server through the proxy."""
        wire = {"host": HOST, "port": str(self._port), "sslmode": "disable", "gssencmode": "disable"}
        return psycopg.conninfo.make_conninfo("", **{**self._parts, **wire})

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Run it, in a thread of its own, for the length of the block."""
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, HOST, 0))
        self._port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        thread.start()
        try:
            yield self
        finally:
            server.close()
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            from_server, there = await asyncio.open_unix_connection(self._socket)
            back = asyncio.create_task(self._pass_back(from_server, writer))
            await self._pass_on(reader, there, back)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            if back is not None:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
            for end in (there, writer):
                if end is not None:
                    end.transport.abort()
            self._tasks.discard(task)

    async def _pass_on(self, client: asyncio.StreamReader, server: asyncio.StreamWriter, back: asyncio.Task) -> None:
        """Hand on message after message until one is to be cut at, or either side ends."""
        kind = b""
        while True:
            size = await client.readexactly(4)
            payload = await client.readexactly(int.from_bytes(size) - 4)
            message = kind + size + payload
            cut = self._judge(kind, payload)
            if cut == "after":
                # What comes back now is the answer that the client will not see.
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                server.write(message)
                await server.drain()
                await self._answered(server)
                return
            if cut:
                server.write(message[: len(message) // 2] if cut == "half" else b"")
                await server.drain()
                return
            server.write(message)
            await server.drain()
            kind = await client.readexactly(1)

    async def _answered(self, server: asyncio.StreamWriter) -> None:
        """Wait until the server has said something."""
        protocol = server.transport.get_protocol()
        await protocol._stream_reader.readexactly(5)

    async def _pass_back(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await server.read(65_536):
                client.write(data)
                await client.drain()
        client.transport.abort()
