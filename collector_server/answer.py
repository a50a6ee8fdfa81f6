"""Answers as bytes: the 200 of a batch, and the refusals."""

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from msgspec import json

from collector_server.cors import READABLE, READABLE_LINES
from collector_server.refusal import Refusal, Refused
from storage.spool.frame import Reject

# After these nobody knows where the next request begins.
_CLOSING: Final = frozenset({Refusal.BODY_TIMEOUT, Refusal.BODY_CUT_SHORT, Refusal.BAD_REQUEST, Refusal.INTERNAL})


class _Prebuilt(web.StreamResponse):
    """A 200 that keeps the connection, written in one piece.

    aiohttp's own way goes over a dictionary of headers and four coroutines, which a small request feels.
    """

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._keep_alive = True
        self._body = body

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Take the connection; everything is written at once by `write_eof`."""
        self._payload_writer = request.writer
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Write head and body, and wait while the client reads slower than it asks."""
        writer = self._payload_writer
        body = self._body
        assert isinstance(body, bytes)  # noqa: S101
        assert writer is not None  # noqa: S101
        await writer.write(accepted_bytes(body) + data)
        self._eof_sent = True


@lru_cache(1)
def _head(second: int) -> bytes:
    """Return the head of a 200, for one second's `Date`, with a place for the length."""
    date = formatdate(second, usegmt=True).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nDate: " + date + b"\r\n"
    return head + READABLE_LINES + b"\r\n"


def accepted_bytes(body: bytes) -> bytes:
    """Return a whole 200 that keeps the connection."""
    return _head(int(time.time())) % len(body) + body


def accepted_body(accepted: int, rejects: list[Reject], receipt: str) -> bytes:
    """Return the body of a 200."""
    if not rejects:
        return b'{"accepted":%d,"rejected":[],"receipt":"%s"}' % (accepted, receipt.encode())
    listed = [
        {
            "index": r.index,
            **({"event_id": r.event_id} if r.event_id else {}),
            "code": r.code,
            "field": r.field,
            "message": r.message,
        }
        for r in rejects
    ]
    return json.encode({"accepted": accepted, "rejected": listed, "receipt": receipt})


def answer_accepted(request: web.BaseRequest, body: bytes, *, plain: bool) -> web.StreamResponse:
    """Return the 200; `plain` says that the connection will not be closed."""
    if plain and request.version == HttpVersion11 and request.keep_alive:
        return _Prebuilt(body)
    return web.Response(body=body, content_type="application/json", headers=READABLE)


def answer_refused(refused: Refused) -> web.Response:
    """Return the answer that says why."""
    response = web.Response(
        status=refused.refusal.status, body=refused.body(), content_type="application/json", headers=READABLE
    )
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(refused.retry_after_s + 0.5)))
    if refused.refusal is Refusal.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = refused.allow
    if refused.refusal in _CLOSING:
        response.force_close()
    return response
