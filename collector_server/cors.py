"""Cross-origin requests: the preflight, and the headers that let a page read its answer. Never with credentials.

Every answer may be read by the page that asked, the refusals too: else its developer is told "blocked by CORS" in place
of the sentence that says what to do. That gives nothing away, for an answer says no more than what was sent. Who may
send is another question: it has the key's `origins` for it, and the answer is the request's own 403.
"""

import re
from collections.abc import Iterator
from typing import Final

from aiohttp import web
from multidict import CIMultiDictProxy

# Without credentials every origin is the same one; none has to be told apart, or kept apart in a cache.
READABLE: Final = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
READABLE_LINES: Final = "".join(f"{name}: {value}\r\n" for name, value in READABLE.items()).encode()

_OWN_HEADERS: Final = ("authorization", "content-type", "content-encoding", "x-sillok-key")
_PREFLIGHT_SECONDS: Final = 86_400
# Tracing agents add a handful to every request of a page; a list that is longer is nobody's.
_ASKED_MAX: Final = 40
_NAME: Final = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]{1,64}")


def is_preflight(method: str, headers: CIMultiDictProxy[str]) -> bool:
    """Say whether a browser asks what a page may send."""
    return method == "OPTIONS" and "Access-Control-Request-Method" in headers


def preflight(headers: CIMultiDictProxy[str]) -> web.Response:
    """Answer OPTIONS, alike for every origin and path: whatever headers are asked for may be sent, and are ignored."""
    return web.Response(
        status=204,
        headers={
            **READABLE,
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": ", ".join(dict.fromkeys((*_OWN_HEADERS, *_asked(headers)))),
            "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
        },
    )


def _asked(headers: CIMultiDictProxy[str]) -> Iterator[str]:
    """Yield the names that are asked for and are names, as many as are granted."""
    names = ",".join(headers.getall("Access-Control-Request-Headers", ())).split(",", _ASKED_MAX)[:_ASKED_MAX]
    return (name for name in (text.strip().lower() for text in names) if _NAME.fullmatch(name))
