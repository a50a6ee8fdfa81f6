"""The pull listener: sealed segments for a loader on the other side of a firewall, which opens the connection.

    GET  /v1/segments                                          what waits, by slot
    GET  /v1/segments/released                                 what is in its grace period, by slot
    GET  /v1/segments/SPOOL/SLOT/SEGMENT                       the bytes; `Range` continues a transfer that was cut
    POST /v1/segments/SPOOL/SLOT/SEGMENT/release?sha256=HEX    its load is committed: into the archive

There is nothing else, and all of it needs the token. Nothing here changes, makes or removes a segment: the most that a
stolen token can do, beyond reading, is to have a segment archived that is not loaded, which the loader takes back
within the hour, and at its next connection to the database: its ledger does not know it.
"""

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import structlog
from aiohttp import web
from msgspec import Struct

from collector_server.settings import CollectorSettings
from contract.errors import SegmentChanged, SettingsError
from storage.remote import SHA256_HEADER, Listing, SlotListing
from storage.spool.folder import SlotFolder, SpoolFolder

log: Final = structlog.get_logger()

_TOKEN_CHARS_MIN: Final = 32
_HASHES_KEPT: Final = 256
_HOUSEKEEPING_S: Final = 60.0
_DAY_S: Final = 86_400
_T = TypeVar("_T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def read_token(path: str | None) -> str:
    """Return the secret; raise SettingsError when there is none, or one that can be guessed."""
    if path is None:
        raise SettingsError("[serve.pull_token_file] is needed with `pull_port`: make one with `openssl rand -hex 32`")
    try:
        token = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"[serve.pull_token_file] cannot read {path}: {error}; check path and permissions"
        ) from None
    if len(token) < _TOKEN_CHARS_MIN:
        raise SettingsError(f"[serve.pull_token_file] {path} is too short: make it with `openssl rand -hex 32`")
    return token


class PullCounts(Struct):
    """What the pull listener did since the start."""

    refused: int = 0
    """Requests without the token."""
    released: int = 0
    sent_bytes: int = 0
    """Of the segments asked for, a transfer that was cut counted whole."""


class Handout:
    """Answers a loader; one per collector, in its supervisor."""

    def __init__(self, settings: CollectorSettings, spool: SpoolFolder, archive_grace_days: float) -> None:
        self._authorization = f"Bearer {read_token(settings.pull_token_file)}".encode()
        self._spool = spool
        self._grace_s = archive_grace_days * _DAY_S
        self._hashes: OrderedDict[tuple[int, str, int, int], str] = OrderedDict()
        self.counts = PullCounts()

    def app(self) -> web.Application:
        """Return what is served on the pull port."""
        app = web.Application(middlewares=[self._guard])
        one = "/v1/segments/{spool_id}/{slot:[0-9]{1,9}}/{segment:[0-9]{1,18}}"
        app.router.add_get("/v1/segments", self._waiting, allow_head=False)
        app.router.add_get("/v1/segments/released", self._released, allow_head=False)
        app.router.add_get(one, self._read, allow_head=False)
        app.router.add_post(one + "/release", self._release)
        return app

    async def expire(self) -> None:
        """Let archived segments go once their grace period is over, for ever: the loader cannot."""
        while True:
            try:
                await _off_loop(self._spool.expire, time.time() - self._grace_s)
            except OSError as error:
                log.error("archive_not_expired", reason=str(error), action="tried again in a minute")
            await asyncio.sleep(_HOUSEKEEPING_S)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").encode(errors="replace")
        if not hmac.compare_digest(shown, self._authorization):
            self.counts.refused += 1
            if self.counts.refused & (self.counts.refused - 1) == 0:  # the 1st, 2nd, 4th …: a flood fills no log
                log.warning("pull_refused", address=request.remote, times=self.counts.refused)
            raise web.HTTPUnauthorized(text="this token opens nothing here\n")
        try:
            return await handler(request)
        except FileNotFoundError:
            raise web.HTTPNotFound(text="there is no such segment here\n") from None
        except OSError as error:
            log.error("pull_failed", reason=str(error))
            raise web.HTTPServiceUnavailable(text=f"the spool's disk refuses: {error.strerror}\n") from error

    async def _waiting(self, _request: web.Request) -> web.Response:
        return _json(await _off_loop(self._list, SlotFolder.waiting))

    async def _released(self, _request: web.Request) -> web.Response:
        return _json(await _off_loop(self._list, SlotFolder.released))

    def _list(self, numbers: Callable[[SlotFolder], list[int]]) -> Listing:
        """List segments first and slots last: who reads it never knows of a segment whose slot he has not seen."""
        found = {slot.slot: numbers(slot) for slot in self._spool.slots()}
        slots = [SlotListing(slot.slot, slot.newest(), found.get(slot.slot, [])) for slot in self._spool.slots()]
        return Listing(self._spool.spool_id, slots)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        slot, segment = self._named(request)
        path, sha256 = await _off_loop(self._find, slot, segment)
        self.counts.sent_bytes += path.stat().st_size
        return web.FileResponse(path, headers={SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"})

    def _find(self, slot: SlotFolder, segment: int) -> tuple[Path, str]:
        """Return a segment's file and hash, its name on the disk; raise FileNotFoundError."""
        path = slot.segment_path(segment)
        if not path.exists():
            path = slot.archived(segment) or path
        status = path.stat()
        key = (slot.slot, path.name, status.st_mtime_ns, status.st_size)
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(slot.read(segment)).hexdigest()
            while len(self._hashes) > _HASHES_KEPT:
                self._hashes.popitem(last=False)
        return path, self._hashes[key]

    async def _release(self, request: web.Request) -> web.Response:
        slot, segment = self._named(request)
        try:
            sha256 = bytes.fromhex(request.query["sha256"])
        except (KeyError, ValueError):
            raise web.HTTPBadRequest(text="say ?sha256= of what was loaded, in hexadecimal digits\n") from None
        if not await _off_loop(lambda: 0 < segment <= slot.last_segment()):
            raise FileNotFoundError
        try:
            await _off_loop(slot.release, segment, sha256)
        except SegmentChanged as error:
            log.error("release_refused", slot=slot.slot, segment=segment, reason=str(error))
            raise web.HTTPConflict(text=f"{error}\n") from error
        self.counts.released += 1
        return web.Response(status=204)

    def _named(self, request: web.Request) -> tuple[SlotFolder, int]:
        """Return slot and number of the path; raise FileNotFoundError for what is of another spool, or no slot."""
        try:
            spool_id = UUID(request.match_info["spool_id"])
        except ValueError:
            raise FileNotFoundError from None
        slot = self._spool.slot(int(request.match_info["slot"]))
        if spool_id != self._spool.spool_id or not slot.path.is_dir():
            raise FileNotFoundError
        return slot, int(request.match_info["segment"])


async def _off_loop(work: Callable[..., _T], *arguments: object) -> _T:
    return await asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def _json(listing: Listing) -> web.Response:
    return web.json_response(text=listing.encode().decode())
