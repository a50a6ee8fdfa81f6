"""The ingest plane: one handler from request to durable answer.

It sits on aiohttp's low-level server: there are three paths, so a router and middlewares would cost
more than they do. What is not on the wire of the contract is answered 404.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from time import monotonic
from typing import Final

import structlog
from aiohttp import web

from collector_server import pixel
from collector_server.answer import accepted_body, answer_accepted, answer_refused
from collector_server.bad_requests import BadRequests
from collector_server.client_address import is_from_here
from collector_server.counters import Counters
from collector_server.decode import BatchDecoder, Decoded
from collector_server.decompress import ENCODINGS, decompress
from collector_server.keys import KeyRing, WriteKey
from collector_server.mask import Masker
from collector_server.refusal import Refusal, Refused
from collector_server.request_log import RequestLog
from collector_server.settings import CollectorSettings
from collector_server.unreadable import UnreadableBodies
from contract.errors import SpoolUnavailable
from storage.spool.active import Pending
from storage.spool.frame import FrameMeta

log: Final = structlog.get_logger()

EVENTS_PATH: Final = "/v1/events"
# Inflating this much takes about 0.5 ms; longer work leaves the event loop.
_INLINE_BYTES_MAX: Final = 64 * 1024
_RETRY_AFTER_S: Final = 2
_USER_AGENT_CHARS_MAX: Final = 1024
_USER_AGENTS_REMEMBERED: Final = 4096
# A batch waits for this many turns of a busy event loop, about 0.2 ms each, and for one of an idle one. Without it
# groups are of one or two batches where a disk is fast, and a batch of 50 events costs a fifth more CPU.
_TURNS_MAX: Final = 8
_PREFLIGHT_SECONDS: Final = 86_400
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

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
        request_log: RequestLog,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._decoder = decoder
        self._masked_user_agent = lru_cache(_USER_AGENTS_REMEMBERED)(partial(_stored_user_agent, masker))
        self._submit = submit
        self._counters = counters
        self._bad_requests = BadRequests(settings.refused_per_minute_max / settings.workers)
        self._request_log = request_log
        self._unreadable = UnreadableBodies()
        self._in_flight_bytes = 0
        self._turn: list[Pending] = []
        self.stopping = False

    @property
    def busy(self) -> bool:
        """Say whether a batch is being received or waits for the disk."""
        return self._in_flight_bytes > 0

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of bodies being received or waiting for the disk."""
        return self._in_flight_bytes

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing a client does raises out of here."""
        origin = request.headers.get("Origin")
        key: WriteKey | None = None
        response: web.StreamResponse
        started = monotonic()
        try:
            if request.path == EVENTS_PATH and request.method == "POST":
                key = self._authenticate(request, origin)
                body = await self._events(request, key, started)
                response = answer_accepted(request, body, plain=origin is None and not self.stopping)
            elif request.path == pixel.PIXEL_PATH:
                pixel.check_method(request)
                key = self._authenticate(request, origin)
                response = await self._pixel(request, key, started)
            elif request.path != EVENTS_PATH:
                raise Refused(Refusal.NOT_FOUND, f"there is only {EVENTS_PATH} and {pixel.PIXEL_PATH} here")
            elif request.method == "OPTIONS":
                response = self._preflight(origin or "")
            else:
                raise Refused(Refusal.METHOD_NOT_ALLOWED, f"{EVENTS_PATH} takes POST")
        except Refused as refused:
            judged = self._bad_requests.judge(refused, request.remote)
            response = answer_refused(judged)
            source = key.source if key else None
            self._request_log.refused(judged.refusal, source=source, size=request.content_length, started=started)
        if self.stopping:
            response.force_close()
        self._counters.count_request(response.status)
        if origin is not None and key is not None and key.allows_origin(origin):
            _allow_origin(response, origin)
        return response

    async def _pixel(self, request: web.BaseRequest, key: WriteKey, started: float) -> web.Response:
        body = pixel.body_of(request.query.items(), request.headers)
        budget = self._book(len(body))
        try:
            decoded = self._decoder.decode(body)
            await self._take(request, key, decoded, len(body), started)
        finally:
            self._in_flight_bytes -= budget
        return pixel.answer(decoded.rejects)

    async def _events(self, request: web.BaseRequest, key: WriteKey, started: float) -> bytes:
        """Make a batch durable; return the answer's body."""
        encoding = request.headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS:
            raise Refused(Refusal.UNKNOWN_ENCODING, "send gzip, deflate, zstd or no Content-Encoding")
        budget = self._reserve(request)
        try:
            body = self._read_at_once(request)
            if body is None:
                body = await self._read(request)
            try:
                if encoding:
                    body = await self._decompress(body, encoding)
                decoded = self._decoder.decode(body)
            except Refused as refused:
                self._unreadable.note(key.source, body, refused)
                raise
            receipt = await self._take(request, key, decoded, len(body), started)
        finally:
            self._in_flight_bytes -= budget
        return accepted_body(decoded.accepted, decoded.rejects, receipt)

    async def _take(self, request: web.BaseRequest, key: WriteKey, decoded: Decoded, size: int, started: float) -> str:
        """Return the batch's receipt, once it is on disk."""
        self._charge(key, decoded.received)
        pending = Pending(self._meta(request, key, decoded), decoded.body, decoded.counts)
        await self._make_durable(pending)
        self._counters.count_batch(key.source, decoded)
        self._request_log.accepted(key.source, decoded, size, started)
        return pending.receipt

    def _authenticate(self, request: web.BaseRequest, origin: str | None) -> WriteKey:
        header = request.headers.get("Authorization", "")
        text = (
            header[7:].strip()
            if header[:7].lower() == "bearer "
            else request.headers.get("X-Sillok-Key") or request.query.get("key", "")
        )
        key = self._keys.find(text)
        if key is None:
            raise Refused(Refusal.UNKNOWN_KEY, "this write key is not known here: check the key and the server")
        if key.loopback_only and not is_from_here(request):
            raise Refused(Refusal.KEY_NOT_ALLOWED_HERE, "this write key works on the server's own machine only")
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
        return self._book(size)

    def _book(self, size: int) -> int:
        if self.stopping:
            raise Refused(Refusal.UNAVAILABLE, "the server is stopping", retry_after_s=_RETRY_AFTER_S)
        if self._in_flight_bytes + size > self._settings.in_flight_bytes_max:
            raise Refused(Refusal.UNAVAILABLE, "too many bytes in flight", retry_after_s=_RETRY_AFTER_S)
        self._in_flight_bytes += size
        return size

    def _body_too_large(self) -> Refused:
        return Refused(Refusal.TOO_LARGE, f"the body is over {self._settings.body_bytes_max} bytes: split the batch")

    def _read_at_once(self, request: web.BaseRequest) -> bytes | None:
        """Return the body if all of it has arrived with the head, as most do: no timer, no copy."""
        content = request.content
        if not content.is_eof() or content.exception() is not None:
            return None
        body = content.read_nowait()
        if len(body) > self._settings.body_bytes_max:
            raise self._body_too_large()
        return body

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
        loop = asyncio.get_running_loop()
        pending.waiter = loop.create_future()
        self._turn.append(pending)
        if len(self._turn) == 1:
            loop.call_soon(self._hand_over, 1, _TURNS_MAX)
        try:
            await pending.waiter
        except SpoolUnavailable as error:
            raise Refused(Refusal.UNAVAILABLE, str(error), retry_after_s=_RETRY_AFTER_S) from None

    def _hand_over(self, before: int, turns_left: int) -> None:
        """Give the writer what the last turns of the event loop brought, once a turn brings nothing more.

        Handed over one by one, the first would wake the writer's thread and the others miss its group.
        """
        if len(self._turn) > before and turns_left:
            asyncio.get_running_loop().call_soon(self._hand_over, len(self._turn), turns_left - 1)
            return
        batches, self._turn = self._turn, []
        for pending in batches:
            try:
                self._submit(pending)
            except SpoolUnavailable as error:
                resolve([pending], error)

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

    def _preflight(self, origin: str) -> web.Response:
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


def _allow_origin(response: web.StreamResponse, origin: str) -> None:
    """Let the page read the answer; never with credentials."""
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    response.headers["Vary"] = "Origin"
