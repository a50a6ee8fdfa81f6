"""One connection: whole batches go the short road to the disk, everything else goes aiohttp's.

aiohttp reads the bytes, parses HTTP and bounds what waits; then it wakes a task a connection, which makes a task
a request. A batch that has arrived whole needs neither: it is taken as soon as it is parsed, and answered when
the disk has it. Meanwhile the connection looks busy to aiohttp, so that what comes after it waits in aiohttp's
own queue. What is not a plain batch, and every refusal, is left to `Collector.handle`.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from collector_server.answer import answer_refused
from collector_server.bugs import internal_error, log_bug
from collector_server.client_address import client_address, read_networks
from collector_server.refusal import Refusal, Refused
from collector_server.settings import CollectorSettings

AddressOf = Callable[[str | None, Any], str | None]
Answer = Callable[[bytes | Refused], None]


class WholeBatches(Protocol):
    """Who takes batches that have arrived whole."""

    def take_whole(self, message: RawRequestMessage, payload: StreamReader, client: str | None, answer: Answer) -> bool:
        """Take the batch and call `answer` later, on the event loop; or return False, with nothing read.

        Raise Refused when it was read and is refused.
        """


class Connection(web.RequestHandler):
    """Answers a batch by the short road, and what is not HTTP, and a bug, in the wire's words.

    aiohttp would quote the client's bytes in the answer and in the log; they may be personal data.
    """

    __slots__ = ("_idle", "_peer", "_server", "refused")

    def __init__(self, server: "Server", **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._server = server
        self._idle: asyncio.Future[None] | None = None
        """What aiohttp's task waits for, while a batch is on the short road."""
        self.refused: Refused | None = None
        """Why the request at hand was refused on the short road, after its body was read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the peer: uvloop asks the kernel each time."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self._peer: str | None = name[0] if isinstance(name, tuple) else None

    def data_received(self, data: bytes) -> None:
        """Let aiohttp parse, and take what has arrived whole."""
        idle = self._waiter
        if idle is None or idle.done():
            super().data_received(data)
            return
        self._waiter = None  # else aiohttp wakes its task
        super().data_received(data)
        self._waiter = idle
        if self._messages:
            self._take_next(idle)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume what was paused. aiohttp asks for it after each read of a body, and parses nothing once more."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _take_next(self, idle: asyncio.Future[None]) -> None:
        """Take the next request if it is a whole batch; else wake aiohttp's task."""
        message, payload = self._messages[0]
        if isinstance(message, RawRequestMessage) and self._is_whole(message, payload):
            client = self.client(message.headers)
            self._waiter, self._idle = None, idle
            try:
                if self._server.batches.take_whole(message, payload, client, self._answer):
                    return
            except Refused as refused:
                self.refused = refused
            except Exception as bug:  # noqa: BLE001 - uvloop would drop the connection without an answer
                log_bug(bug)
                self.refused = internal_error()
            self._waiter, self._idle = idle, None
        idle.set_result(None)

    def _is_whole(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Say whether a request has arrived with all of its body, and its answer can be written now."""
        has_come = payload is not EMPTY_PAYLOAD and payload.is_eof() and payload.exception() is None
        return has_come and not message.should_close and not self._paused

    def _answer(self, answer: bytes | Refused) -> None:
        """Write the answer of the batch on the short road, and go on with what came after it."""
        idle, self._idle = self._idle, None
        assert idle is not None  # noqa: S101 - one batch at a time
        if self._force_close or self._close or idle.done() or self.transport is None or self._parser is None:
            if self.transport is not None and isinstance(answer, bytes):
                self.transport.write(answer)
            idle.cancel()  # aiohttp's task ends, as if it had waited all the time
            return
        if isinstance(answer, Refused):
            self.refused = answer
            self._waiter = idle
            idle.set_result(None)
            return
        self._messages.popleft()
        self._parser.message_consumed()
        self._server.requests_count += 1
        self.transport.write(answer)
        self._waiter = idle
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        if self._messages and self._waiter is idle and not idle.done():
            self._take_next(idle)

    def client(self, headers: Any) -> str | None:
        """Return the address of whoever sent these headers."""
        address_of = self._server.address_of
        return self._peer if address_of is None else address_of(self._peer, headers)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - what must not be repeated
    ) -> web.StreamResponse:
        """Return the answer, and log where the code failed, without a value."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is already under way")
        is_bug = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        self._server.on_refused(Refusal.INTERNAL if is_bug else Refusal.BAD_REQUEST)
        if is_bug:
            log_bug(exc)
            return answer_refused(internal_error())
        return answer_refused(Refused(Refusal.BAD_REQUEST, "this cannot be read as HTTP: see the headers"))


class Server(web.Server):
    """Makes a `Connection` of every accepted socket."""

    def __init__(
        self,
        settings: CollectorSettings,
        batches: WholeBatches,
        handler: Any,
        on_refused: Callable[[Refusal], None],
        **kwargs: Any,
    ) -> None:
        """`on_refused` is told of every request that did not reach the handler, or broke it."""
        super().__init__(handler, request_factory=_request_factory(settings), **kwargs)
        networks = read_networks(settings.trusted_proxies)
        self.address_of: Final = client_address(networks) if networks else None
        self.batches: Final = batches
        self.on_refused: Final = on_refused

    def __call__(self) -> Connection:
        """Return the protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


def _request_factory(settings: CollectorSettings) -> Any:
    """Return aiohttp's own request, but with our limit on the body and the client's own address."""

    def make(message: Any, payload: Any, protocol: Connection, writer: Any, task: Any) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        limit = settings.body_bytes_max
        client = protocol.client(message.headers)
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit, remote=client)

    return make
