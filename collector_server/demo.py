"""The demo page: click, and see what is on the disk.

What arrives is read from the spool itself, as it was stored: masked, with its flags and its rejects, of the demo
key's source alone. It shows contents, so it is there only when asked for (`demo`), which `sillok up` does for its
built-in key on this machine's own address. Only the last segments are read, and only while somebody looks.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from collector_server.settings import DEMO_KEY, CollectorSettings
from contract.errors import SpoolFormatError
from storage.spool.folder import OPEN, SEALED, SlotFolder, SpoolFolder
from storage.spool.frame import decode_meta
from storage.spool.reader import parse_segment

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {"demo.html": "text/html", "demo.css": "text/css", "demo.js": "text/javascript"}
_SEGMENTS: Final = 2
_SEGMENT_BYTES_MAX: Final = 8 * 1024 * 1024
_SHOWN: Final = 200


def add_demo(app: web.Application, serve: CollectorSettings, spool: SpoolFolder) -> None:
    """Put the page on the admin plane."""

    async def page(request: web.Request) -> web.Response:
        name = request.match_info.get("name", "demo.html")
        if name not in _FILES:
            raise web.HTTPNotFound
        scheme = "https" if serve.tls_certificate else "http"
        ingest = f"{scheme}://{request.url.host}:{serve.port}"
        text = (_STATIC / name).read_text(encoding="utf-8")
        policy = f"default-src 'self'; script-src 'self' {ingest}; connect-src 'self' {ingest}"
        return web.Response(
            text=text.replace("{ingest}", ingest).replace("{key}", DEMO_KEY.key),
            content_type=_FILES[name],
            headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
        )

    async def events(request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        since = int(after) if after.isdecimal() else 0
        found = await asyncio.get_running_loop().run_in_executor(None, read_events, spool, DEMO_KEY.source, since)
        return web.json_response(found, headers={"Cache-Control": "no-store"}, dumps=_dumps)

    app.router.add_get("/demo", page)
    app.router.add_get("/demo/events", events)
    app.router.add_get("/demo/{name}", page)


def read_events(spool: SpoolFolder, source: str, after_us: int) -> list[dict[str, Any]]:
    """Return the source's events and rejects that were received later than `after_us`, oldest first, the last 200."""
    found = [entry for slot in spool.slots() for data in _last(slot) for entry in _entries(data, source, after_us)]
    return sorted(found, key=lambda entry: (entry["received_at_us"], entry["index"]))[-_SHOWN:]


def _last(slot: SlotFolder) -> Iterator[bytes]:
    """Yield the contents of the slot's last files: the open one, those that wait, those that are loaded."""
    paths = [slot.segment_path(number, suffix) for suffix in (OPEN, SEALED) for number in slot.segments(suffix)]
    if slot.archive.exists():
        archived = (slot.archived(number) for number in slot.segments(SEALED, slot.archive)[-_SEGMENTS:])
        paths += [path for path in archived if path is not None]
    for path in paths[-2 * _SEGMENTS :]:
        try:
            if path.stat().st_size <= _SEGMENT_BYTES_MAX:
                yield slot.files.read(path)
        except FileNotFoundError:
            continue  # loaded meanwhile: the next look finds it in the archive


def _entries(data: bytes, source: str, after_us: int) -> Iterator[dict[str, Any]]:
    try:
        segment = parse_segment(data)
    except SpoolFormatError:
        return  # a file that has only just begun
    for frame in (frame for group in segment.groups for frame in segment.frames(group)):
        meta = decode_meta(frame.meta)
        if meta.source != source or frame.received_at_us <= after_us:
            continue
        body = msgspec.json.decode(frame.body)
        context = body.get("context", {})
        for index, event in enumerate(body["events"]):
            merged = {**context, **event}
            yield {"received_at_us": frame.received_at_us, "index": index, "event": merged}
        for reject in meta.rejects:
            told = {"index": reject.index, "code": reject.code, "field": reject.field, "message": reject.message}
            yield {"received_at_us": frame.received_at_us, "index": reject.index, "rejected": told}


def _dumps(found: object) -> str:
    return msgspec.json.encode(found).decode()
