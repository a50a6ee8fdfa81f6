"""Cross-origin requests: the preflight, and the headers that let a page read its answer. Never with credentials."""

from functools import lru_cache
from typing import Final

from aiohttp import web

from collector_server.keys import KeyRing
from collector_server.refusal import Refusal, Refused

_PREFLIGHT_SECONDS: Final = 86_400
_ORIGINS_REMEMBERED: Final = 256


def preflight(keys: KeyRing, origin: str) -> web.Response:
    """Answer OPTIONS; raise Refused when no key may be used from this origin."""
    if not keys.any_allows_origin(origin):
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


def allow_origin(response: web.StreamResponse, origin: str) -> None:
    """Let the page read the answer."""
    response.headers.update(_headers(origin))


@lru_cache(_ORIGINS_REMEMBERED)
def origin_lines(origin: str) -> bytes:
    """Return the same as lines of a head."""
    return "".join(f"{name}: {value}\r\n" for name, value in _headers(origin).items()).encode(errors="surrogateescape")


def _headers(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }
