"""One event at a time: cut, mask, sanitise, move unknown keys into `props`; or say why it is refused.

The order is fixed: decode, depth, unknown keys, size of `props`, ids that stand for nothing (taken out, so that the
context's count), the address of a relayed visitor, text by text (sanitise, mask, cut), then the typed check that the
straight road would have made. No message ever contains a value of the event.
"""

import hashlib
import re
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from collector_server.mask import Masker
from collector_server.personal import has_resident_number
from contract.address import read_relayed
from contract.event import (
    DEPTH_MAX,
    EVENT_BYTES_MAX,
    IDENTIFIER_FIELDS,
    PROPS_BYTES_MAX,
    URL_FIELDS,
    Context,
    Event,
    Flag,
    StoredContext,
    StoredEvent,
    encode,
)
from contract.nobody import stands_for_nobody
from contract.outcome import RejectCode
from contract.urls import campaign_of

# What stands in quotes is a value; it comes last.
_VALUE: Final = re.compile(r"\s*['\"].*", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(\w+)`")
# Made by a machine and checked elsewhere: masking them could only do harm.
_NOT_MASKED: Final = frozenset({"event_id", "event_type", "platform"})
_MASKED_BODY_CHARS: Final = 8_192


class Repaired(Struct):
    """One event or context after repair: `value`, or the reason why there is none."""

    value: StoredEvent | StoredContext | None = None
    code: RejectCode | None = None
    path: str = ""
    message: str = ""
    event_id: str | None = None
    masked: str | None = None
    """What may be kept of a refused event."""
    unknown_keys: int = 0
    ids_of_nobody: int = 0
    unreadable_addresses: int = 0


class _Refuse(Exception):
    def __init__(self, code: RejectCode, path: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.path = path


def _text_limits(type_: type[Struct]) -> dict[str, int]:
    limits: dict[str, int] = {}
    info = msgspec.inspect.type_info(type_)
    for field in info.fields:  # type: ignore[attr-defined]
        kinds = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        for annotated in kinds:
            kind = annotated.type if isinstance(annotated, msgspec.inspect.Metadata) else annotated
            if isinstance(kind, msgspec.inspect.StrType) and kind.max_length is not None:
                limits[field.encode_name] = kind.max_length
    return limits


class Repairer:
    """Repairs events and contexts with one masker."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._event_limits = _text_limits(Event)
        self._context_limits = _text_limits(Context)

    def event(self, raw: bytes, context: StoredContext) -> Repaired:
        """Repair one event; `context` may supply the name of a `custom` event."""
        result = self._repair(raw, StoredEvent, Event.__struct_fields__, self._event_limits)
        event = result.value
        if (
            isinstance(event, StoredEvent)
            and event.event_type == "custom"
            and event.event_name is None
            and context.event_name is None
        ):
            result.value = None
            result.code = RejectCode.MISSING_FIELD
            result.path = ".event_name"
            result.message = "A `custom` event needs an `event_name`"
            result.event_id = str(event.event_id)
            result.masked = encode(event).decode()
        return result

    def context(self, raw: bytes | None) -> Repaired:
        """Repair a batch's context; none is as good as an empty one."""
        if raw is None:
            return Repaired(value=StoredContext())
        return self._repair(raw, StoredContext, Context.__struct_fields__, self._context_limits)

    def _repair(
        self,
        raw: bytes,
        type_: type[StoredEvent] | type[StoredContext],
        fields: tuple[str, ...],
        limits: dict[str, int],
    ) -> Repaired:
        result = Repaired()
        decoded: Any = None
        try:
            decoded = _decode(raw)
            known = self._known(decoded, fields, result)
            # Before masking: a mask may be longer than what it hides.
            if len(encode(known.get("props"))) > PROPS_BYTES_MAX:
                raise _Refuse(RejectCode.PROPS_TOO_LARGE, ".props", f"`props` is over {PROPS_BYTES_MAX} bytes")
            result.ids_of_nobody = _drop_ids_of_nobody(known)
            result.unreadable_addresses = _read_address(known)
            flags = self._texts(known, limits)
            if result.ids_of_nobody or result.unreadable_addresses:
                flags.add("sanitised")
            known["flags"] = sorted(flags)
            result.value = msgspec.convert(known, type_)
        except _Refuse as refuse:
            result.code, result.path, result.message = refuse.code, refuse.path, str(refuse)
        except msgspec.ValidationError as error:
            result.code, result.path, result.message = _explain(error)
        if result.code is not None:
            result.event_id = _event_id(raw)
            result.masked = self._keepable(raw, decoded)
        return result

    def _known(self, decoded: Any, fields: tuple[str, ...], result: Repaired) -> dict[str, Any]:
        """Split the object into fields and props; unknown keys go into props under their own names."""
        if not isinstance(decoded, dict):
            raise _Refuse(RejectCode.INVALID_FIELD, "", "Expected `object`")
        known = {key: value for key, value in decoded.items() if key in fields and value is not None}
        unknown = {key: value for key, value in decoded.items() if key not in fields}
        result.unknown_keys = len(unknown)
        props = known.get("props", {})
        if not isinstance(props, dict):
            raise _Refuse(RejectCode.INVALID_FIELD, ".props", "Expected `object`")
        if props or unknown:
            known["props"] = {**unknown, **props}
        return known

    def _texts(self, known: dict[str, Any], limits: dict[str, int]) -> set[Flag]:
        """Sanitise, mask and cut every text in place; return what was done."""
        flags: set[Flag] = set()
        lifted: dict[str, str] = {}
        for key, value in known.items():
            if isinstance(value, str):
                known[key] = self._text(key, value, limits.get(key), flags, lifted)
        known |= {key: value for key, value in lifted.items() if key not in known}
        if "props" in known:
            sane = _without_nul(known["props"])
            masked = self._masker.value(sane)
            if sane != known["props"]:
                flags.add("sanitised")
            if masked != sane:
                flags.add("masked")
            known["props"] = masked
        return flags

    def _text(self, key: str, text: str, limit: int | None, flags: set[Flag], lifted: dict[str, str]) -> str:
        if "\0" in text:
            text = text.replace("\0", "\ufffd")
            flags.add("sanitised")
        if key in IDENTIFIER_FIELDS:
            if limit is not None and len(text) > limit:
                raise _Refuse(
                    RejectCode.IDENTIFIER_TOO_LONG,
                    f".{key}",
                    f"An identifier is at most {limit} characters long",
                )
            if has_resident_number(text):
                raise _Refuse(RejectCode.PERSONAL_IDENTIFIER, f".{key}", "An identifier holds a resident number")
            return text
        if key not in _NOT_MASKED:
            if key in URL_FIELDS:
                text = self._masker.without_query_values(text)
            masked = self._masker.url(text) if key in URL_FIELDS else self._masker.text(text)
            if masked != text:
                flags.add("masked")
            text = masked
        if limit is not None and len(text) > limit:
            flags.add("truncated")
            if key == "page_url":
                # Nobody reads it from behind the cut.
                lifted.update(campaign_of(text))
            text = self._masker.cut(text, limit, self._masker.url if key in URL_FIELDS else None)
        return text

    def _keepable(self, raw: bytes, decoded: Any) -> str:
        """Return what may be stored of a refused event: masked, or only its size and hash."""
        if decoded is None:
            return f"not stored: {len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}"
        if isinstance(decoded, dict):
            decoded = {
                key: self._masker.url(self._masker.without_query_values(value))
                if key in URL_FIELDS and isinstance(value, str)
                else value
                for key, value in decoded.items()
            }
        text = encode(self._masker.value(_without_nul(decoded))).decode()
        return text[:_MASKED_BODY_CHARS]


def _drop_ids_of_nobody(known: dict[str, Any]) -> int:
    """Take out the identifiers that stand for nothing; return how many."""
    found = 0
    for key in IDENTIFIER_FIELDS:
        value = known.get(key)
        if isinstance(value, str) and stands_for_nobody(value):
            del known[key]
            found += 1
    return found


def _read_address(known: dict[str, Any]) -> int:
    """Bring the address into its one form; what is none becomes empty, which is nobody's. Return how many are none."""
    text = known.get("ip")
    if not isinstance(text, str):
        return 0
    address = read_relayed(text)
    known["ip"] = "" if address is None else str(address)
    return int(address is None)


def _decode(raw: bytes) -> Any:
    """Decode one event into plain values, or say what is wrong with its bytes."""
    if len(raw) > EVENT_BYTES_MAX:
        raise _Refuse(RejectCode.EVENT_TOO_LARGE, "", f"The event is over {EVENT_BYTES_MAX} bytes")
    try:
        decoded = msgspec.json.decode(raw)
    except UnicodeDecodeError:
        raise _Refuse(RejectCode.INVALID_UTF8, _guilty_field(raw), "Expected well-formed UTF-8") from None
    except msgspec.ValidationError as error:
        raise _Refuse(RejectCode.NUMBER_OUT_OF_RANGE, _guilty_field(raw), _explain(error)[2]) from None
    except RecursionError:
        raise _Refuse(RejectCode.TOO_DEEP, "", f"The event is nested deeper than {DEPTH_MAX} levels") from None
    if _depth(decoded) > DEPTH_MAX:
        raise _Refuse(RejectCode.TOO_DEEP, "", f"The event is nested deeper than {DEPTH_MAX} levels")
    return decoded


def _guilty_field(raw: bytes) -> str:
    """Return the path of the first field that cannot be decoded."""
    try:
        parts = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    for key, value in parts.items():
        try:
            msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # An unknown key is the client's text: it is not repeated.
            return f".{key}" if key in Event.__struct_fields__ else ".props"
    return ""


def _depth(value: Any) -> int:
    """Return how many containers deep a value is; a scalar is 0."""
    level = [value]
    depth = 0
    while containers := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [v for c in containers for v in (c.values() if isinstance(c, dict) else c)]
    return depth


def _without_nul(value: Any) -> Any:
    """Replace U+0000, which PostgreSQL cannot store, by U+FFFD: in keys and values."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(k): _without_nul(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nul(v) for v in value]
    return value


class _OnlyId(Struct):
    event_id: UUID


def _event_id(raw: bytes) -> str | None:
    """Return the event's id when it is one: anything else might be somebody's number."""
    try:
        return str(msgspec.json.decode(raw, type=_OnlyId).event_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _explain(error: msgspec.ValidationError) -> tuple[RejectCode, str, str]:
    """Turn the decoder's words into code, path and a message without any value."""
    # The last " - at" is the decoder's: one before it may be part of a value.
    message, at, path = str(error).rpartition(" - at `$")
    message, path = (message, path.removesuffix("`")) if at else (path, "")
    missing = _MISSING.search(message)
    if missing:
        return RejectCode.MISSING_FIELD, f"{path}.{missing.group(1)}", message
    return RejectCode.INVALID_FIELD, path, _VALUE.sub("", message)
