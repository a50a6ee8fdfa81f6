"""The browser SDK, served by the collector itself: an on-prem site has no CDN.

`/sillok.js` is the newest and looked at again after minutes; `/sillok-<version>.js` never changes. Both are public: a
page of any origin may load them, also one that checks their integrity. Read once, when the worker starts.
"""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Final, Self

import structlog
from aiohttp import web

from collector_server.cors import READABLE
from collector_server.refusal import Refusal, Refused

log: Final = structlog.get_logger()

BUILT: Final = Path(__file__).parent / "static" / "sillok.js"
SCRIPT_PATH: Final = "/sillok.js"
_VERSIONED: Final = re.compile(r"/sillok-([0-9A-Za-z.+-]+)\.js")
_FIRST_LINE: Final = re.compile(rb"/\*! sillok ([0-9A-Za-z.+-]+) \*/")
_NEWEST: Final = "public, max-age=300"
_FOREVER: Final = "public, max-age=31536000, immutable"


class Script:
    """The built file and its headers."""

    def __init__(self, plain: bytes | None) -> None:
        first = _FIRST_LINE.match(plain or b"")
        self.version: Final = first[1].decode() if first else None
        self._plain: Final = plain or b""
        self._gzip: Final = gzip.compress(self._plain, 9, mtime=0)
        self._etag: Final = f'"{hashlib.sha256(self._plain).hexdigest()[:32]}"'

    @classmethod
    def read(cls, path: Path = BUILT) -> Self:
        """Read the built file; an installation without it serves events all the same."""
        try:
            return cls(path.read_bytes())
        except OSError as error:
            log.warning("script_missing", reason=str(error), action="install sillok again to serve /sillok.js")
            return cls(None)

    def answer(self, request: web.BaseRequest) -> web.Response:
        """Return the file, or 304; raise Refused for another version and another method."""
        if request.method not in ("GET", "HEAD"):
            raise Refused(Refusal.METHOD_NOT_ALLOWED, f"{SCRIPT_PATH} takes GET", allow="GET, HEAD")
        asked = _VERSIONED.fullmatch(request.path)
        if self.version is None or (asked is not None and asked[1] != self.version):
            raise Refused(Refusal.NOT_FOUND, f"the browser SDK here is {self.version or 'not installed'}")
        headers = {
            "Cache-Control": _NEWEST if asked is None else _FOREVER,
            "ETag": self._etag,
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
            **READABLE,
            "Cross-Origin-Resource-Policy": "cross-origin",
        }
        if self._etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        is_small = "gzip" in request.headers.get("Accept-Encoding", "")
        if is_small:
            headers["Content-Encoding"] = "gzip"
        return web.Response(
            body=self._gzip if is_small else self._plain,
            content_type="text/javascript",
            charset="utf-8",
            headers=headers,
        )


def is_script(path: str) -> bool:
    """Say whether a path names the browser SDK, of whatever version."""
    return path == SCRIPT_PATH or _VERSIONED.fullmatch(path) is not None
