"""A request's body becomes accepted events and rejects. Pure: bytes in, values out.

Two roads, one decoder:

- The straight road: nothing in the body is suspicious, and it decodes in one call, by the rules of `Batch`.
  Its bytes are stored as they came.
- The repairing road, taken by everything else: the envelope first, then each event on its own, so that
  one bad event never costs its neighbours. Texts are cut, masked and sanitised, unknown keys move into
  `props`, ids that stand for nothing go, and what still breaks a rule is rejected. The repaired batch is
  stored instead.

Both end in bytes that decode as a `StoredBatch`; the loader relies on it.
"""

from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from collector_server.mask import Masker
from collector_server.refusal import Refusal, Refused
from collector_server.repair import Repaired, Repairer
from contract.address import read_relayed
from contract.event import (
    EVENT_BYTES_MAX,
    PROPS_BYTES_MAX,
    ClientReport,
    Context,
    Event,
    Int64,
    StoredBatch,
    StoredContext,
    StoredEvent,
    decode_stored_batch,
    encode,
)
from contract.fingerprint import HASH_MODULUS
from storage.spool.frame import Reject
from storage.spool.tally import Counts, count_events

# `1e15` is sent in 4 bytes and measured in 18.
_GROWTH_MAX: Final = 4
_INT64_MAX: Final = 2**63 - 1
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Decoded(Struct):
    """What one body holds."""

    body: bytes
    """Decodes as a `StoredBatch`."""
    accepted: int
    counts: Counts
    """The accepted events by type."""
    rejects: list[Reject]
    received: int
    unknown_keys: int = 0
    ids_of_nobody: int = 0
    """Taken out of events and context."""
    unreadable_addresses: int = 0
    """Of a relayed visitor: 0 or 1."""
    ignored_reports: int = 0
    relayed: bool = False
    """The context names an address or user agent of its own."""


# The fields in the order in which an SDK writes them: msgspec looks for a key where the one before it was, and
# on through the fields. In the structs' own order that is a sixth of the work.
_SENT_FIRST: Final = ("event_id", "time", "seq", "event_type")
_fields: Final = sorted(
    msgspec.structs.fields(Event),
    key=lambda field: _SENT_FIRST.index(field.name) if field.name in _SENT_FIRST else len(_SENT_FIRST),
)
_StraightEvent: Any = msgspec.defstruct(
    "_StraightEvent",
    [(field.name, field.type) if field.required else (field.name, field.type, field.default) for field in _fields],
    kw_only=True,
    forbid_unknown_fields=True,
    gc=False,
)
_StraightBatch: Any = msgspec.defstruct(
    "_StraightBatch",
    [
        ("sent_at", Int64 | None, None),
        ("clients", list[ClientReport], []),
        ("context", Context | UnsetType, UNSET),
        ("events", list[_StraightEvent]),
    ],
    kw_only=True,
    forbid_unknown_fields=True,
    gc=False,
)


_decode_straight = msgspec.json.Decoder(_StraightBatch).decode
_id_of = attrgetter("event_id.int")
_type_of = attrgetter("event_type")
_props_of = attrgetter("props")


class _Envelope(Struct):
    events: list[Raw]
    sent_at: Raw = Raw()
    clients: Raw = Raw()
    context: Raw = Raw()


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class BatchDecoder:
    """Decodes bodies under the limits and with the masks of the settings."""

    def __init__(self, masker: Masker, events_max: int) -> None:
        self._masker = masker
        self._repairer = Repairer(masker)
        self._events_max = events_max

    def decode(self, body: bytes) -> Decoded:
        """Decode a body; raise Refused when not even its envelope can be read or it has too many events."""
        if not self._masker.suspicious(body):
            decoded = self._straight(body)
            if decoded is not None:
                return decoded
        return self._repairing(body)

    def _straight(self, body: bytes) -> Decoded | None:
        try:
            batch = _decode_straight(body)
        except _UNDECODABLE:
            return None
        events = batch.events
        self._check_count(len(events))
        counts = _count(events)
        context = batch.context
        if context is not UNSET and context.ip is not None and read_relayed(context.ip) is None:
            return None
        named = context is not UNSET and context.event_name is not None
        if "custom" in counts and not named and any(e.event_type == "custom" and not _is_named(e) for e in events):
            return None
        if not (_limits_are_kept(body, events) and all(map(_is_storable, batch.clients))):
            return None
        relayed = context is not UNSET and (context.ip is not None or context.user_agent is not None)
        return Decoded(body, len(events), counts, [], len(events), relayed=relayed)

    def _check_count(self, events: int) -> None:
        if events > self._events_max:
            raise Refused(Refusal.TOO_LARGE, f"the batch has over {self._events_max} events: split it")

    def _repairing(self, body: bytes) -> Decoded:
        envelope = _open_envelope(body)
        received = len(envelope.events)
        self._check_count(received)
        context = self._repairer.context(_bytes_of(envelope.context))
        decoded = Decoded(
            b"",
            0,
            {},
            [],
            received,
            unknown_keys=context.unknown_keys,
            ids_of_nobody=context.ids_of_nobody,
            unreadable_addresses=context.unreadable_addresses,
        )
        stored_context = context.value if isinstance(context.value, StoredContext) else StoredContext()
        decoded.relayed = stored_context.ip is not None or stored_context.user_agent is not None
        stored: list[StoredEvent] = []
        for index, raw in enumerate(envelope.events):
            event = self._repairer.event(bytes(raw), stored_context)
            decoded.unknown_keys += event.unknown_keys
            decoded.ids_of_nobody += event.ids_of_nobody
            reject = _reject_of(index, event, context)
            if reject is not None:
                decoded.rejects.append(reject)
            elif isinstance(event.value, StoredEvent):
                stored.append(event.value)
        clients, decoded.ignored_reports = self._reports(_bytes_of(envelope.clients))
        decoded.accepted = len(stored)
        decoded.counts = count_events(stored)
        decoded.body = encode(
            StoredBatch(
                events=stored,
                sent_at=_sent_at(_bytes_of(envelope.sent_at)),
                clients=clients,
                context=stored_context,
            )
        )
        return decoded

    def _reports(self, data: bytes | None) -> tuple[list[ClientReport], int]:
        """Return the client reports that can be read, and how many could not: they never cost an event."""
        if data is None:
            return [], 0
        try:
            raws = msgspec.json.decode(data, type=list[Raw])
        except _UNDECODABLE:
            return [], 1
        reports: list[ClientReport] = []
        for raw in raws:
            try:
                report = msgspec.json.decode(raw, type=ClientReport)
            except _UNDECODABLE:
                continue
            plain = msgspec.to_builtins(report)
            # The escape of U+0000, which PostgreSQL cannot store.
            is_text = b"\\u0000" not in encode(report)
            if is_text and self._masker.value(plain) == plain and _is_storable(report):
                reports.append(report)
        return reports, len(raws) - len(reports)


def with_header_masked(body: bytes, *, relay: bool) -> bytes:
    """Flag a stored batch in whose User-Agent header something was masked, unless the header is another's.

    Of a relayed batch the user agent is the context's when it names one.
    """
    batch = decode_stored_batch(body)
    context = StoredContext() if batch.context is UNSET else batch.context
    if relay and context.user_agent:
        return body
    context.flags = sorted({*context.flags, "masked"})
    batch.context = context
    return encode(batch)


def _count(events: list[Any]) -> Counts:
    """Count the events by type, with hash sums: a whole id is its own hash modulo 2^64."""
    types = list(map(_type_of, events))
    kinds = set(types)
    if len(kinds) == 1:
        return {types[0]: (len(types), sum(map(_id_of, events)) % HASH_MODULUS)}
    sums = dict.fromkeys(kinds, 0)
    for kind, event_id in zip(types, map(_id_of, events), strict=True):
        sums[kind] += event_id
    return {kind: (types.count(kind), total % HASH_MODULUS) for kind, total in sums.items()}


def _limits_are_kept(body: bytes, events: list[Any]) -> bool:
    """Say whether every event and its props are within their limits; depth is the repairing road's to measure."""
    if len(body) > EVENT_BYTES_MAX:
        raws = _decode_envelope(body).events
        if any(len(memoryview(raw)) > EVENT_BYTES_MAX for raw in raws):
            return False
    some = [props for props in map(_props_of, events) if props]
    if any(map(_has_containers, some)):
        return False
    if len(body) * _GROWTH_MAX <= PROPS_BYTES_MAX:
        return True
    return all(len(encode(props)) <= PROPS_BYTES_MAX for props in some)


def _is_named(event: Any) -> bool:
    return event.event_name is not None


def _open_envelope(body: bytes) -> _Envelope:
    try:
        return _decode_envelope(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        missing = "events" if "required field" in message else None
        field = path.strip("`").removeprefix("$").removeprefix(".") or missing
        raise Refused(Refusal.NO_EVENTS, f"the body has no `events` array: {message}", field=field) from error
    except _UNDECODABLE as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise Refused(Refusal.NOT_JSON, f"the body is not JSON: {reason}") from error


def _bytes_of(raw: Raw) -> bytes | None:
    """Return the value's bytes; an absent one and `null` are the same."""
    data = bytes(raw)
    return None if data in (b"", b"null") else data


def _sent_at(data: bytes | None) -> int | None:
    """Return the batch's `sent_at`; an unusable one is as good as none."""
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Int64)
    except _UNDECODABLE:
        return None


def _reject_of(index: int, event: Repaired, context: Repaired) -> Reject | None:
    """Return why this event is refused: for itself, or because the context it needs is."""
    if event.code is not None:
        return Reject(
            index=index,
            code=event.code,
            field=f"events[{index}]{event.path}",
            message=event.message,
            event_id=event.event_id,
            body=event.masked,
        )
    if context.code is not None and isinstance(event.value, StoredEvent):
        return Reject(
            index=index,
            code=context.code,
            field=f"context{context.path}",
            message=context.message,
            event_id=str(event.value.event_id),
            body=encode(event.value).decode(),
        )
    return None


def _is_storable(report: ClientReport) -> bool:
    """Say whether the sum of what the instance dropped fits its column."""
    return sum(report.dropped.values()) <= _INT64_MAX


def _has_containers(props: dict[str, Any]) -> bool:
    return any(isinstance(value, dict | list) for value in props.values())
