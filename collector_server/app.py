"""The ingest plane: one handler from request to durable answer.

It sits on aiohttp's low-level server: there are three paths, so a router and middlewares would cost
more than they do. What is not on the wire of the contract is answered 404.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import structlog
from aiohttp import web
from msgspec import json

from collector_server.counters import Counters
from collector_server.decode import BatchDecoder, Decoded
from collector_server.decompress import ENCODINGS, decompress
from collector_server.keys import KeyRing, WriteKey, is_loopback
from collector_server.mask import Masker
from collector_server.refusal import Refusal, Refused
from collector_server.settings import CollectorSettings
from collector_server.unreadable import UnreadableBodies
from contract.errors import SpoolUnavailable
from storage.spool.active import Pending
from storage.spool.frame import FrameMeta, Reject

log: Final = structlog.get_logger()

EVENTS_PATH: Final = "/v1/events"
# Inflating this much takes about 0.5 ms; longer work leaves the event loop.
_INLINE_BYTES_MAX: Final = 64 * 1024
_RETRY_AFTER_S: Final = 2
_USER_AGENT_CHARS_MAX: Final = 1024
_USER_AGENTS_REMEMBERED: Final = 4096
_PREFLIGHT_SECONDS: Final = 86_400
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

# After these nobody knows where the next request begins.
_CLOSING: Final = frozenset({Refusal.BODY_TIMEOUT, Refusal.BODY_CUT_SHORT, Refusal.BAD_REQUEST, Refusal.INTERNAL})

Submit = Callable[[Pending], None]


class Collector:
    """Turns requests into durable batches. One per worker."""

    def __init__(
        self,
        settings: CollectorSettings,
        keys: KeyRing,
        decoder: BatchDecoder,
        masker: Masker,
        submit: Submit,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._decoder = decoder
        self._masked_user_agent = lru_cache(_USER_AGENTS_REMEMBERED)(partial(_stored_user_agent, masker))
        self._submit = submit
        self._counters = counters
        self._unreadable = UnreadableBodies()
        self._in_flight_bytes = 0
        self.stopping = False

    @property
    def busy(self) -> bool:
        """Say whether a batch is being received or waits for the disk."""
        return self._in_flight_bytes > 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing a client does raises out of here."""
        key: WriteKey | None = None
        try:
            if request.path != EVENTS_PATH:
                raise Refused(Refusal.NOT_FOUND, f"there is only {EVENTS_PATH} here")
            if request.method == "OPTIONS":
                response = self._preflight(request)
            elif request.method == "POST":
                key = self._authenticate(request)
                response = await self._events(request, key)
            else:
                raise Refused(Refusal.METHOD_NOT_ALLOWED, f"{EVENTS_PATH} takes POST")
        except Refused as refused:
            response = answer_refused(refused)
        if self.stopping:
            response.force_close()
        self._counters.count_request(response.status)
        _allow_origin(request, response, key)
        return response

    async def _events(self, request: web.BaseRequest, key: WriteKey) -> web.Response:
        if self.stopping:
            raise Refused(Refusal.UNAVAILABLE, "the server is stopping", retry_after_s=_RETRY_AFTER_S)
        encoding = request.headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS:
            raise Refused(Refusal.UNKNOWN_ENCODING, "send gzip, deflate, zstd or no Content-Encoding")
        budget = self._reserve(request)
        try:
            body = await self._read(request)
            try:
                if encoding:
                    body = await self._decompress(body, encoding)
                decoded = self._decoder.decode(body)
            except Refused as refused:
                self._unreadable.note(key.source, body, refused)
                raise
            self._charge(key, decoded.received)
            pending = Pending(self._meta(request, key, decoded), decoded.body, decoded.counts)
            await self._make_durable(pending)
        finally:
            self._in_flight_bytes -= budget
        self._counters.count_batch(key.source, decoded)
        return _accepted(decoded.accepted, decoded.rejects, pending.receipt)

    def _authenticate(self, request: web.BaseRequest) -> WriteKey:
        header = request.headers.get("Authorization", "")
        text = (
            header[7:].strip()
            if header[:7].lower() == "bearer "
            else request.headers.get("X-Sillok-Key") or request.query.get("key", "")
        )
        key = self._keys.find(text)
        if key is None:
            raise Refused(Refusal.UNKNOWN_KEY, "this write key is not known here: check the key and the server")
        if key.loopback_only and not is_loopback(request.remote):
            raise Refused(Refusal.KEY_NOT_ALLOWED_HERE, "this write key works on the server's own machine only")
        origin = request.headers.get("Origin")
        if origin is not None and not key.allows_origin(origin):
            raise Refused(Refusal.ORIGIN_NOT_ALLOWED, "this key may not be used from this origin: see `origins`")
        return key

    def _reserve(self, request: web.BaseRequest) -> int:
        """Take the body's size from the budget before a byte of it is read."""
        size = request.content_length
        if size is None:
            size = self._settings.body_bytes_max
        elif size > self._settings.body_bytes_max:
            raise self._body_too_large()
        if self._in_flight_bytes + size > self._settings.in_flight_bytes_max:
            raise Refused(Refusal.UNAVAILABLE, "too many bytes in flight", retry_after_s=_RETRY_AFTER_S)
        self._in_flight_bytes += size
        return size

    def _body_too_large(self) -> Refused:
        return Refused(Refusal.TOO_LARGE, f"the body is over {self._settings.body_bytes_max} bytes: split the batch")

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_timeout_ms / 1000):
                if request.headers.get("Expect", "").lower() == "100-continue":
                    await request.writer.write(_CONTINUE)
                    request.writer.output_size = 0  # it is no part of the answer
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise self._body_too_large() from None
        except TimeoutError:
            raise Refused(Refusal.BODY_TIMEOUT, "the body took too long to arrive") from None
        except (web.RequestPayloadError, ConnectionError):
            raise Refused(Refusal.BODY_CUT_SHORT, "the body ended before it was complete") from None

    async def _decompress(self, body: bytes, encoding: str) -> bytes:
        if len(body) <= _INLINE_BYTES_MAX // 8:
            return decompress(body, encoding, self._settings.batch_bytes_max)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, decompress, body, encoding, self._settings.batch_bytes_max)

    def _charge(self, key: WriteKey, events: int) -> None:
        if key.bucket is None:
            return
        wait_s = key.bucket.take(events)
        if wait_s:
            raise Refused(Refusal.OVER_RATE, "this key is over its rate", retry_after_s=wait_s)

    async def _make_durable(self, pending: Pending) -> None:
        """Return once the batch is on disk; the answer may follow."""
        pending.waiter = asyncio.get_running_loop().create_future()
        try:
            self._submit(pending)
            await pending.waiter
        except SpoolUnavailable as error:
            raise Refused(Refusal.UNAVAILABLE, str(error), retry_after_s=_RETRY_AFTER_S) from None

    def _meta(self, request: web.BaseRequest, key: WriteKey, decoded: Decoded) -> FrameMeta:
        user_agent = request.headers.get("User-Agent")
        return FrameMeta(
            source=key.source,
            received=decoded.received,
            accepted=decoded.accepted,
            is_test=key.is_test,
            relay=key.relay,
            ip=request.remote,
            user_agent=self._masked_user_agent(user_agent) if user_agent else None,
            rejects=decoded.rejects,
        )

    def _preflight(self, request: web.BaseRequest) -> web.Response:
        origin = request.headers.get("Origin", "")
        if not self._keys.any_allows_origin(origin):
            raise Refused(Refusal.ORIGIN_NOT_ALLOWED, "no key may be used from this origin: see `origins`")
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": "authorization, content-type, content-encoding, x-sillok-key",
                "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
                "Vary": "Origin",
            },
        )


def resolve(batches: list[Pending], error: BaseException | None) -> None:
    """Wake the requests of one group; runs on the event loop."""
    for pending in batches:
        if pending.waiter.done():
            continue
        if error is None:
            pending.waiter.set_result(None)
        else:
            pending.waiter.set_exception(error)


def _stored_user_agent(masker: Masker, header: str) -> str:
    """Return what a text column may hold: well-formed, without personal data, and then cut: half a number is one."""
    return masker.text(header.encode(errors="replace").decode())[:_USER_AGENT_CHARS_MAX]


def _accepted(accepted: int, rejects: list[Reject], receipt: str) -> web.Response:
    if not rejects:
        body = b'{"accepted":%d,"rejected":[],"receipt":"%s"}' % (accepted, receipt.encode())
    else:
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
        body = json.encode({"accepted": accepted, "rejected": listed, "receipt": receipt})
    return web.Response(body=body, content_type="application/json")


def answer_refused(refused: Refused) -> web.Response:
    """Return the answer that says why."""
    response = web.Response(status=refused.refusal.status, body=refused.body(), content_type="application/json")
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(refused.retry_after_s + 0.5)))
    if refused.refusal is Refusal.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST, OPTIONS"
    if refused.refusal in _CLOSING:
        response.force_close()
    return response


def _allow_origin(request: web.BaseRequest, response: web.StreamResponse, key: WriteKey | None) -> None:
    """Let the page read the answer; never with credentials, only for an origin on the key's list."""
    origin = request.headers.get("Origin")
    if origin is not None and key is not None and key.allows_origin(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
