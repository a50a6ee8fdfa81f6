"""The ingest plane as an OpenAPI document: what it takes, and every answer it may give.

`python -m contract.generate` writes it to `openapi.json`; a test holds a running collector to it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from contract.wire import Refusal

_ENCODINGS: Final = ("identity", "gzip", "x-gzip", "deflate", "zstd")
# On every answer: the page that asked may read it.
_READABLE: Final = {
    "Access-Control-Allow-Origin": {"required": True, "schema": {"const": "*"}},
    "Access-Control-Expose-Headers": {"required": True, "schema": {"const": "Retry-After"}},
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "integer"}}
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
    405: {"Allow": {"description": "The methods there are.", "required": True, "schema": {"type": "string"}}},
}
# What HTTP itself can make of any request, before the path or the key is looked at.
_OF_HTTP: Final = (Refusal.BAD_REQUEST, Refusal.INTERNAL)
_OF_A_PIXEL: Final = (
    *_OF_HTTP,
    Refusal.UNKNOWN_KEY,
    Refusal.ORIGIN_NOT_ALLOWED,
    Refusal.KEY_NOT_ALLOWED_HERE,
    Refusal.OVER_RATE,
    Refusal.TOO_MANY_REFUSED,
    Refusal.UNAVAILABLE,
)
_OF_A_BATCH: Final = tuple(r for r in Refusal if r not in (Refusal.NOT_FOUND, Refusal.METHOD_NOT_ALLOWED))


def document(note: str, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document; `schemas` are those of `Batch`, `Accepted`, `ErrorBody` and what they refer to."""
    return {
        "x-generated": note,
        "openapi": "3.1.0",
        "info": {
            "title": "Sillok, the ingest plane",
            "version": "1",
            "description": "Any other path is answered 404, any other method 405, with an `ErrorBody`.",
        },
        "paths": {
            "/v1/events": {"post": _post(), "options": _options()},
            "/v1/pixel.gif": {"get": _pixel()},
            "/sillok.js": {"get": _script()},
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The write key."},
                "header": {"type": "apiKey", "in": "header", "name": "X-Sillok-Key"},
                "query": {"type": "apiKey", "in": "query", "name": "key", "description": "For `sendBeacon`."},
            },
            "schemas": dict(schemas),
        },
    }


def _post() -> dict[str, Any]:
    batch = {"$ref": "#/components/schemas/Batch"}
    return {
        "operationId": "send_batch",
        "summary": "Send a batch of events; 200 says that the accepted ones are on disk.",
        "security": [{"bearer": []}, {"header": []}, {"query": []}],
        "parameters": [
            {
                "name": "Content-Encoding",
                "in": "header",
                "description": f"How the body is compressed: {', '.join(_ENCODINGS)}, or absent.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {
            "required": True,
            "description": "As an SDK should send it. Unknown keys and over-long texts are repaired; an event that "
            "breaks a rule is rejected alone. `text/plain` holds the same JSON.",
            "content": {"application/json": {"schema": batch}, "text/plain": {"schema": {"type": "string"}}},
        },
        "responses": {
            "200": {
                "description": "The accepted events are on disk; the rejected ones are listed.",
                "headers": _READABLE,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}},
            },
            **_refusals(_OF_A_BATCH),
        },
    }


def _pixel() -> dict[str, Any]:
    texts = ("event_type", "event_name", "page_url", "page_code", "page_name", "click_text", "click_name")
    return {
        "operationId": "send_pixel",
        "summary": "One event in a query string, for pages without script: 200 says that it is on disk.",
        "description": "Every field of an event is a parameter of its name, `props.NAME` a property of the site's own.",
        "security": [{"query": []}],
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in texts],
        "responses": {
            "200": {
                "description": "A transparent pixel.",
                "headers": {
                    **_READABLE,
                    "Cache-Control": {"required": True, "schema": {"const": "no-store"}},
                    "Sillok-Rejected": {
                        "description": "The event was rejected, and kept: code and field.",
                        "schema": {"type": "string"},
                    },
                },
                "content": {"image/gif": {"schema": {"type": "string", "contentMediaType": "image/gif"}}},
            },
            **_refusals(_OF_A_PIXEL),
        },
    }


def _script() -> dict[str, Any]:
    return {
        "operationId": "load_script",
        "summary": "The browser SDK. `/sillok-VERSION.js` is the same and never changes.",
        "security": [],
        "responses": {
            "200": {
                "description": "The built file.",
                "headers": {
                    **_READABLE,
                    "Cache-Control": {"required": True, "schema": {"type": "string"}},
                    "ETag": {"required": True, "schema": {"type": "string"}},
                },
                "content": {"text/javascript": {"schema": {"type": "string"}}},
            },
            "304": {"description": "It has not changed.", "headers": _READABLE},
            **_refusals((*_OF_HTTP, Refusal.NOT_FOUND)),
        },
    }


def _options() -> dict[str, Any]:
    text = {"required": True, "schema": {"type": "string"}}
    allowed = {f"Access-Control-Allow-{name}": text for name in ("Methods", "Headers")}
    return {
        "operationId": "preflight",
        "summary": "Ask what a page may send: alike for every origin, cached for a day, never with credentials.",
        "description": "Whatever headers are asked for are allowed, at most 40 of at most 64 characters. Whether the "
        "key may be used from the page's origin says the answer to the request itself.",
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "schema": {"type": "string"}}
            for name in ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
        ],
        "responses": {
            "204": {
                "description": "It may send.",
                "headers": {**_READABLE, **allowed, "Access-Control-Max-Age": {"schema": {"const": "86400"}}},
            },
            **_refusals(_OF_HTTP),
        },
    }


def _refusals(refusals: tuple[Refusal, ...]) -> dict[str, Any]:
    """Return an answer for each status, with the codes it may carry."""
    ordered = sorted(refusals, key=lambda refusal: refusal.status)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{refusal.code}`' for refusal in found)}.",
            "headers": {**_READABLE, **_HEADERS.get(status, {})},
            "content": {"application/json": {"schema": _error_body([refusal.code for refusal in found])}},
        }
        for status, found in ((s, list(group)) for s, group in groupby(ordered, key=lambda refusal: refusal.status))
    }


def _error_body(codes: list[str]) -> dict[str, Any]:
    return {
        "allOf": [
            {"$ref": "#/components/schemas/ErrorBody"},
            {"properties": {"error": {"properties": {"code": {"enum": codes}}}}},
        ]
    }
