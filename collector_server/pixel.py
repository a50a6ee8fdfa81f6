"""`GET /v1/pixel.gif?key=…&event_type=…`: one event in a query string, for pages without script.

The query becomes the body of a batch of one, and goes the road of every other batch: decoder, masks, spool.

- A field's name is its parameter; where a name stands twice, the last one counts. Whole numbers and booleans
  (`true`, `false`, `1`, `0`) are read where the contract has them; what cannot be read is left to the decoder's words.
- `props.NAME=text` is a property. So are names that are no field, as in any event.
- The server makes `event_id` and `time`; a query that carries them keeps them as properties.
- `page_url` is the page's own by default: an image's `Referer` is the page it stands on.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from aiohttp import web

from collector_server.cors import READABLE
from collector_server.refusal import Refusal, Refused
from contract.event import Event, encode
from storage.spool.frame import Reject

PIXEL_PATH: Final = "/v1/pixel.gif"
# One transparent pixel.
GIF: Final = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)  # fmt: skip
_SERVERS_OWN: Final = frozenset({"event_id", "time"})
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
_INT_CHARS_MAX: Final = 20


def _fields_of(type_: type) -> frozenset[str]:
    """Return the event's fields of this type, whatever is annotated around it."""
    hints = get_type_hints(Event)

    def holds(hint: Any) -> bool:
        return hint is type_ or (get_origin(hint) in (Annotated, Union, UnionType) and any(map(holds, get_args(hint))))

    return frozenset(name for name, hint in hints.items() if holds(hint))


_INTS: Final = _fields_of(int)
_BOOLS: Final = _fields_of(bool)


def check_method(request: web.BaseRequest) -> None:
    """Raise Refused for anything but GET: HEAD must not make an event, and a GET needs no preflight."""
    if request.method != "GET":
        raise Refused(Refusal.METHOD_NOT_ALLOWED, f"{PIXEL_PATH} takes GET", allow="GET")


def body_of(query: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> bytes:
    """Return the query's event as the body of a batch."""
    now_ms = time.time_ns() // 1_000_000
    event: dict[str, Any] = {}
    props: dict[str, str] = {}
    for name, text in ((_well_formed(name), _well_formed(text)) for name, text in query):
        if name in _SERVERS_OWN:
            props[name] = text
        elif name.startswith("props."):
            props[name.removeprefix("props.")] = text
        elif name != "key":
            event[name] = _value(name, text)
    if page := headers.get("Referer"):
        event.setdefault("page_url", _well_formed(page))
    if props:
        event.setdefault("props", props)
    event |= {"event_id": str(_uuid7(now_ms)), "time": now_ms}
    return encode({"events": [event], "sent_at": now_ms})


def answer(rejects: Sequence[Reject]) -> web.Response:
    """Return the pixel: the event is on disk, accepted or kept as a reject, which only a developer's tools show."""
    headers = {**READABLE, "Cache-Control": "no-store"}
    response = web.Response(body=GIF, content_type="image/gif", headers=headers)
    for reject in rejects:
        said = f"{reject.code} {reject.field}"
        response.headers["Sillok-Rejected"] = said if said.isascii() and said.isprintable() else reject.code
    return response


def _value(name: str, text: str) -> object:
    if name in _INTS and text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= _INT_CHARS_MAX:
        return int(text)
    if name in _BOOLS:
        return _TRUTHS.get(text, text)
    return text


def _well_formed(text: str) -> str:
    """Bytes that are no UTF-8 arrive as lone surrogates, which no JSON can hold."""
    return text.encode(errors="replace").decode()


def _uuid7(ms: int) -> UUID:
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(int=ms << 80 | 0x7 << 76 | (random >> 64 & 0xFFF) << 64 | 0x2 << 62 | random & (1 << 62) - 1)
