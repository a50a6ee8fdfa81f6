"""One kept-alive HTTP/1.1 connection, one request at a time, with nothing between it and the loop."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_ENDS: Final = b"\r\n\r\n"
_INTERIM: Final = 200
NO_ANSWER: Final = 0

Answered = Callable[["Connection", int, bytes], None]


class Connection(asyncio.Protocol):
    """Sends a request and hands its answer on; status 0 is a connection that ended without one.

    An answer must say its length: the collector's do, and what does not is not the collector's.
    """

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._is_waiting = False

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def send(self, request: bytes) -> None:
        """Send a request; its answer comes by the callback."""
        self._is_waiting = True
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        """End it; a request that waits has no answer."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in what came; hand on an answer that is whole."""
        received = self._received = self._received + data if self._received else data
        head = received.find(_HEAD_ENDS)
        if head < 0:
            return
        status = int(received[9:12]) if received[9:12].isdigit() else NO_ANSWER
        if NO_ANSWER < status < _INTERIM:
            self._received = b""
            self.data_received(received[head + 4 :])
            return
        found = _LENGTH.search(received, 0, head + 2)
        if status == NO_ANSWER or found is None:
            self.close()
            return
        ends = head + 4 + int(found.group(1))
        if len(received) < ends:
            return
        self._received = b""
        if len(received) > ends or _CLOSES.search(received, 0, head + 2):
            self.close()
        self._finish(status, received[head + 4 : ends])

    def connection_lost(self, _error: Exception | None) -> None:
        """Say that no answer will come."""
        self._finish(NO_ANSWER, b"")

    def _finish(self, status: int, body: bytes) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._answered(self, status, body)
