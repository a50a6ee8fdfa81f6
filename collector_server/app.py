"""The ingest plane: from request to durable answer.

It sits on aiohttp's low-level server: there are a few paths, so a router and middlewares would cost
more than they do. What is not on the wire of the contract is answered 404. `handle` answers any request;
`take_whole` takes, without a task of its own, what most are: a batch that has arrived whole and is good.
"""

import asyncio
import re
from functools import lru_cache, partial
from http import HTTPStatus
from time import monotonic
from typing import Final

import structlog
from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDictProxy

from collector_server import cors, pixel
from collector_server.admission import RETRY_AFTER_S, Admission
from collector_server.answer import accepted_body, accepted_bytes, answer_accepted, answer_refused
from collector_server.bad_requests import BadRequests
from collector_server.connection import Answer, Connection
from collector_server.counters import Counters
from collector_server.decode import BatchDecoder, Decoded, with_header_masked
from collector_server.decompress import ENCODINGS, decompress
from collector_server.handover import Handover, Submit
from collector_server.keys import KeyRing, WriteKey
from collector_server.mask import Masker
from collector_server.refusal import Refusal, Refused
from collector_server.request_log import RequestLog
from collector_server.script import SCRIPT_PATH, Script, is_script
from collector_server.settings import CollectorSettings
from collector_server.unreadable import UnreadableBodies
from contract.errors import SpoolUnavailable
from storage.spool.active import Pending
from storage.spool.frame import FrameMeta

log: Final = structlog.get_logger()

EVENTS_PATH: Final = "/v1/events"
# Inflating so much takes about 0.5 ms; longer work leaves the event loop.
_INLINE_BYTES_MAX: Final = 8 * 1024
_USER_AGENT_CHARS_MAX: Final = 1024
_USER_AGENTS_REMEMBERED: Final = 4096
# How pages send, which would else need a preflight: the key and nothing else, with nothing to decode in it.
_KEY_IN_PATH: Final = "?key="
_PLAIN_KEY: Final = re.compile(r"[0-9A-Za-z_-]+")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


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
        script: Script,
    ) -> None:
        self._settings = settings
        self._decoder = decoder
        self._masked_user_agent = lru_cache(_USER_AGENTS_REMEMBERED)(partial(_flagged_user_agent, masker))
        self._submit = submit
        self._counters = counters
        self._bad_requests = BadRequests(settings.refused_per_minute_max / settings.workers)
        self._request_log = request_log
        self._script = script
        self._unreadable = UnreadableBodies()
        self._admission = Admission(settings, keys)
        self._handover = Handover(submit)

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of bodies being received or waiting for the disk."""
        return self._admission.in_flight_bytes

    def stop(self) -> None:
        """Take nothing new; what is under way is answered."""
        self._admission.stopping = True

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing a client does raises out of here."""
        origin = request.headers.get("Origin")
        key: WriteKey | None = None
        response: web.StreamResponse
        started = monotonic()
        try:
            if cors.is_preflight(request.method, request.headers):
                response = cors.preflight(request.headers)
            elif request.path == EVENTS_PATH and request.method == "POST":
                key = self._authenticate(request, origin)
                body = await self._events(request, key, started)
                response = answer_accepted(request, body, plain=not self._admission.stopping)
            elif request.path == pixel.PIXEL_PATH:
                pixel.check_method(request)
                key = self._authenticate(request, origin)
                response = await self._pixel(request, key, started)
            elif is_script(request.path):
                response = self._script.answer(request)
            elif request.path != EVENTS_PATH:
                here = f"{EVENTS_PATH}, {pixel.PIXEL_PATH} and {SCRIPT_PATH}"
                raise Refused(Refusal.NOT_FOUND, f"there is only {here} here")
            elif request.method == "OPTIONS":
                response = cors.preflight(request.headers)
            else:
                raise Refused(Refusal.METHOD_NOT_ALLOWED, f"{EVENTS_PATH} takes POST")
        except Refused as refused:
            judged = self._bad_requests.judge(refused, request.remote)
            response = answer_refused(judged)
            source = key.source if key else None
            self._request_log.refused(judged.refusal, source=source, size=request.content_length, started=started)
        if self._admission.stopping:
            response.force_close()
        self._counters.count_request(response.status)
        return response

    def take_whole(self, message: RawRequestMessage, payload: StreamReader, client: str | None, answer: Answer) -> bool:
        """Take a batch that has arrived whole; return False, with nothing read, for what only `handle` does.

        `answer` is called once the batch is on disk, or cannot be. Raise Refused for a bad batch.
        """
        path, _, query_key = message.path.partition(_KEY_IN_PATH)
        if path != EVENTS_PATH or message.method != "POST" or message.version != HttpVersion11:
            return False
        if message.path != path and not _PLAIN_KEY.fullmatch(query_key):
            return False
        started = monotonic()
        headers = message.headers
        encoding = headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS or (encoding and payload.total_raw_bytes > _INLINE_BYTES_MAX):
            return False
        origin = headers.get("Origin")
        key = self._admission.authenticate(headers, client, origin, query_key)
        body = payload.read_nowait()
        self._admission.check_size(len(body))
        booked = self._admission.book(len(body))
        try:
            decoded = self._decode(key, body, encoding)
            pending = self._pending(key, decoded, client, headers)
        except BaseException:
            self._admission.release(booked)
            raise
        pending.waiter = partial(self._answer_whole, answer, key, decoded, booked, started)
        self._handover.put(pending)
        return True

    def _answer_whole(
        self,
        answer: Answer,
        key: WriteKey,
        decoded: Decoded,
        booked: int,
        started: float,
        receipt: str,
        error: BaseException | None,
    ) -> None:
        self._admission.release(booked)
        if error is not None:
            answer(Refused(Refusal.UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S))
            return
        self._count(key, decoded, booked, started)
        self._counters.count_request(HTTPStatus.OK)
        answer(accepted_bytes(accepted_body(decoded.accepted, decoded.rejects, receipt)))

    async def _pixel(self, request: web.BaseRequest, key: WriteKey, started: float) -> web.Response:
        body = pixel.body_of(request.query.items(), request.headers)
        booked = self._admission.book(len(body))
        try:
            decoded = self._decoder.decode(body)
            await self._take(request, key, decoded, len(body), started)
        finally:
            self._admission.release(booked)
        return pixel.answer(decoded.rejects)

    async def _events(self, request: web.BaseRequest, key: WriteKey, started: float) -> bytes:
        """Make a batch durable; return the answer's body."""
        connection = request.protocol
        if isinstance(connection, Connection) and connection.refused is not None:
            refused, connection.refused = connection.refused, None
            raise refused
        encoding = request.headers.get("Content-Encoding", "").lower()
        if encoding not in ENCODINGS:
            raise Refused(Refusal.UNKNOWN_ENCODING, "send gzip, deflate, zstd or no Content-Encoding")
        booked = self._admission.reserve(request.content_length)
        try:
            body = await self._read(request)
            if encoding and len(body) > _INLINE_BYTES_MAX:
                body, encoding = await self._decompress(key, body, encoding), ""
            decoded = self._decode(key, body, encoding)
            receipt = await self._take(request, key, decoded, len(body), started)
        finally:
            self._admission.release(booked)
        return accepted_body(decoded.accepted, decoded.rejects, receipt)

    async def _take(self, request: web.BaseRequest, key: WriteKey, decoded: Decoded, size: int, started: float) -> str:
        """Return the batch's receipt, once it is on disk."""
        pending = self._pending(key, decoded, request.remote, request.headers)
        try:
            receipt = await self._handover.durable(pending)
        except SpoolUnavailable as error:
            raise Refused(Refusal.UNAVAILABLE, str(error), retry_after_s=RETRY_AFTER_S) from None
        self._count(key, decoded, size, started)
        return receipt

    def _count(self, key: WriteKey, decoded: Decoded, size: int, started: float) -> None:
        self._counters.count_batch(key.source, decoded)
        self._request_log.accepted(key.source, decoded, size, started)

    def _authenticate(self, request: web.BaseRequest, origin: str | None) -> WriteKey:
        return self._admission.authenticate(request.headers, request.remote, origin, request.query.get("key", ""))

    def _decode(self, key: WriteKey, body: bytes, encoding: str = "") -> Decoded:
        """Decode a body that is not compressed, or so little that decompressing it takes no time."""
        try:
            return self._decoder.decode(decompress(body, encoding, self._settings.batch_bytes_max))
        except Refused as refused:
            self._unreadable.note(key.source, body, refused)
            raise

    async def _read(self, request: web.BaseRequest) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_timeout_ms / 1000):
                if request.headers.get("Expect", "").lower() == "100-continue":
                    await request.writer.write(_CONTINUE)
                    request.writer.output_size = 0  # it is no part of the answer
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise self._admission.too_large() from None
        except TimeoutError:
            raise Refused(Refusal.BODY_TIMEOUT, "the body took too long to arrive") from None
        except (web.RequestPayloadError, ConnectionError):
            raise Refused(Refusal.BODY_CUT_SHORT, "the body ended before it was complete") from None

    async def _decompress(self, key: WriteKey, body: bytes, encoding: str) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, decompress, body, encoding, self._settings.batch_bytes_max)
        except Refused as refused:
            self._unreadable.note(key.source, body, refused)
            raise

    def _pending(self, key: WriteKey, decoded: Decoded, client: str | None, headers: CIMultiDictProxy[str]) -> Pending:
        """Return the batch with what the server adds to it; raise Refused when the key is over its rate."""
        self._admission.charge(key, decoded.received)
        header = headers.get("User-Agent")
        user_agent, is_masked = self._masked_user_agent(header) if header else (None, False)
        meta = FrameMeta(
            source=key.source,
            received=decoded.received,
            accepted=decoded.accepted,
            is_test=key.is_test,
            relay=key.relay,
            ip=client,
            user_agent=user_agent,
            rejects=decoded.rejects,
        )
        body = with_header_masked(decoded.body, relay=key.relay) if is_masked else decoded.body
        return Pending(meta, body, decoded.counts)


def _stored_user_agent(masker: Masker, header: str) -> str:
    """Return what a text column may hold: well-formed, without personal data, and then cut: half a number is one."""
    return masker.cut(masker.text(_well_formed(header)), _USER_AGENT_CHARS_MAX)


def _flagged_user_agent(masker: Masker, header: str) -> tuple[str, bool]:
    """Return what is stored of the header, and whether something in it is masked."""
    stored = _stored_user_agent(masker, header)
    return stored, stored != _well_formed(header)[:_USER_AGENT_CHARS_MAX]


def _well_formed(header: str) -> str:
    return header.encode(errors="replace").decode()
