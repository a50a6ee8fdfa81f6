"""The body of `POST /v1/events`, and what each answer asks of the client.

    {"sent_at": ms, "clients": [report], "context": {"client_id": …, …}, "events": [{"seq": 1, …}, …]}

Events and contexts arrive here as bytes that were encoded once; a retry joins the same bytes again under
a new `sent_at` and new figures: both belong to the try, whenever and by whichever process the events were made.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from sillok_sdk.encode import encode
from sillok_sdk.fields import CONTEXT_KINDS, EVENT_KINDS
from sillok_sdk.settings import checked_write_key
from sillok_sdk.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sillok_sdk.batch import Batch, Figures

# The collector refuses what is above 8 and 32 KiB; an event's seq is not in it yet.
_PROPS_BYTES_MAX = 8_000
_EVENT_BYTES_MAX = 32_000
# The longest field, an address.
_TEXT_MAX = 2_048

# Of a rejection's code, in a warning.
_CODE_MAX = 64

SDK = f"python/{__version__}"


class Order(Enum):
    """What the client does next with a batch."""

    DONE = "done"
    SPLIT = "split"  # in two; a single event is dropped
    HOLD = "hold"  # keep everything, come back slowly
    PLAIN = "plain"  # send again, uncompressed
    WAIT = "wait"  # as long as Retry-After says
    RETRY = "retry"  # no usable answer: back off, send the same events again


_ORDERS = {
    200: Order.DONE,
    400: Order.SPLIT,
    401: Order.HOLD,
    403: Order.HOLD,
    413: Order.SPLIT,
    415: Order.PLAIN,
    429: Order.WAIT,
    503: Order.WAIT,
}
# After these, events leave the queue.
_FORGETTING = (200, 400)


def read_answer(text: bytes) -> dict[str, Any]:
    """Return what an answer says; nothing when it is none of the collector's, whose answers are JSON objects."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def order(status: int, text: bytes, told: Mapping[str, Any]) -> Order:
    """Return what an answer asks for. Only a 200 with our receipt is success: no other 2xx promises anything.

    A captive portal, a sign-in page, a block page and a gateway answer 200 or 400 as well, with a text of their own:
    nobody has the events, and nothing is wrong with them. A 413 is obeyed whoever gives it, for a proxy has limits too.
    """
    asked = _ORDERS.get(status, Order.RETRY)
    receipt = told.get("receipt")
    is_acknowledged = isinstance(receipt, str) and bool(receipt)
    is_ours = is_acknowledged if asked is Order.DONE else "error" in told or bool(receipt) or not text.strip()
    return Order.RETRY if status in _FORGETTING and not is_ours else asked


def in_doubt(status: int, asked: Order) -> bool:
    """Return whether events may have been kept although the answer does not acknowledge them.

    A proxy's 502 hides the collector's answer; a 503 may follow a write that reached the disk after all.
    """
    return status == 503 or asked is Order.RETRY  # noqa: PLR2004  see _ORDERS


def rejections(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return code and field of each event that the collector has not accepted, without any value."""
    listed = told.get("rejected")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return [(str(entry.get("code"))[:_CODE_MAX], _field(entry.get("field"))) for entry in entries]


def _field(path: object) -> str:
    """Return the field that a path such as `events[3].props.a` is about."""
    name = str(path).partition("].")[2].partition(".")[0]
    return name if name in CONTEXT_KINDS or name in EVENT_KINDS else "event"


def request_headers(write_key: str) -> dict[str, str]:
    """Return what every request carries. Raises `SettingError` for what is no write key."""
    return {
        "Authorization": f"Bearer {checked_write_key(write_key)}",
        "Content-Type": "application/json",
        "User-Agent": f"sillok-sdk {SDK}",
    }


def context_members(context: Mapping[str, Any]) -> bytes:
    """Return the context as JSON without its braces; equal contexts give equal bytes."""
    return encode(dict(sorted(context.items())))[1:-1]


def event_text(fields: Mapping[str, Any]) -> bytes:
    """Return an event as JSON that the collector takes: what is too large loses its `props`, and says so.

    Long texts are cut to what any field may have. An event that were refused instead would be lost.
    """
    text = encode(fields)
    if len(text) <= _PROPS_BYTES_MAX:
        return text
    props = fields.get("props")
    if len(text) <= _EVENT_BYTES_MAX and (props is None or len(encode(props)) <= _PROPS_BYTES_MAX):
        return text
    fitting = {name: value[:_TEXT_MAX] if isinstance(value, str) else value for name, value in fields.items()}
    if len(encode(fitting)) > _EVENT_BYTES_MAX or (props is not None and len(encode(props)) > _PROPS_BYTES_MAX):
        fitting["props"] = {"sillok_trimmed": True}
    return encode(fitting)


class Envelope:
    """Wraps the batches of one client instance."""

    def __init__(self, client_id: str, context: Mapping[str, Any]) -> None:
        about = {"id": client_id, "sdk": SDK, "platform": context.get("platform")}
        about["app_version"] = context.get("app_version")
        self._about = encode({name: value for name, value in about.items() if value is not None})[:-1]
        self._client_id = encode({"client_id": client_id})[:-1]
        self._context = context_members(context)

    def body(self, batch: Batch, figures: Figures, sent_at: int) -> bytes:
        """Return the whole body. A batch without events carries the report alone."""
        context = batch.context if batch.events else self._context
        return b"".join(
            (
                b'{"sent_at":%d,"clients":[' % sent_at,
                self._about,
                b',"created":%d,"pending":%d,"dropped":' % (figures.created, figures.pending),
                encode(figures.dropped),
                b'}],"context":',
                self._client_id,
                b"," + context if context else b"",
                b'},"events":[',
                b",".join(batch.events),
                b"]}",
            )
        )
