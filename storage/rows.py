"""A stored batch becomes rows of `raw.events`: each event merged with its context, ready for COPY."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from msgspec import UNSET

from contract.address import read_relayed
from contract.event import FIELDS, StoredBatch, StoredContext, StoredEvent, encode, is_blank
from contract.fingerprint import content_hash
from storage.spool.frame import FrameMeta

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OWN: Final = (
    "load_id", "received_at", "event_id", "content_hash", "time", "sent_at", "seq", "source", "is_test",
    "event_type", "ip", "user_agent", "flags",
)  # fmt: skip
COLUMNS: Final = (*_OWN, *FIELDS)
_TYPES: Final = {
    "load_id": "int8", "received_at": "timestamptz", "event_id": "uuid", "content_hash": "int8", "time": "int8",
    "sent_at": "int8", "seq": "int8", "is_test": "bool", "ip": "inet", "flags": "text[]", "props": "jsonb",
    "checkbox_checked": "bool", "step_position": "int2", "screen_width": "int4", "screen_height": "int4",
}  # fmt: skip
COLUMN_TYPES: Final = [_TYPES.get(column, "text") for column in COLUMNS]
_PROPS: Final = FIELDS.index("props")
_NO_FIELDS: Final = (None,) * len(FIELDS)
_fields_of = attrgetter(*FIELDS)


def received_at(received_at_us: int) -> datetime:
    """Return the time without the rounding of a float."""
    return _EPOCH + timedelta(microseconds=received_at_us)


def rows_of(load_id: int, received_at_us: int, meta: FrameMeta, batch: StoredBatch) -> Iterator[tuple[Any, ...]]:
    """Yield one row per event, in the order of COLUMNS."""
    context = batch.context if batch.context is not UNSET else StoredContext()
    shared = [(i, v) for i, v in enumerate(_fields_of(context)) if v is not None and i != _PROPS]
    received = received_at(received_at_us)
    # A relay that names what is no address does not know its visitor's: its own is somebody else's.
    ip = read_relayed((context.ip if meta.relay and context.ip is not None else meta.ip) or "")
    user_agent = context.user_agent if meta.relay and context.user_agent else meta.user_agent
    for event in batch.events:
        if event.flags and is_blank(event):
            # Neither the context nor the connection may say whose it was.
            yield (
                load_id, received, event.event_id, content_hash(event), event.time, None, None, meta.source,
                meta.is_test, event.event_type, None, None, event.flags, *_NO_FIELDS,
            )  # fmt: skip
            continue
        fields = list(_fields_of(event))
        for index, value in shared:
            if fields[index] is None:
                fields[index] = value
        fields[_PROPS] = _props(event, context)
        yield (
            load_id, received, event.event_id, content_hash(event), event.time, batch.sent_at, event.seq,
            meta.source, meta.is_test, event.event_type, ip, user_agent, _flags(event, context), *fields,
        )  # fmt: skip


def _props(event: StoredEvent, context: StoredContext) -> bytes | None:
    """Merge the props key by key: those a context's unknown keys became must not hide behind an event's own."""
    if context.props is None:
        return None if event.props is None else encode(event.props)
    return encode({**context.props, **(event.props or {})})


def _flags(event: StoredEvent, context: StoredContext) -> list[str] | None:
    flags = sorted({*event.flags, *context.flags})
    return list(flags) or None
