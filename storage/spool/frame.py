"""One frame: a batch as it lies inside a group's payload, after decompression.

 0   8  received_at_us  i64
 8   4  meta_bytes      u32
12   4  body_bytes      u32
16   …  meta            `FrameMeta` as JSON: what the server knows of the batch
 …   …  body            a `StoredBatch` as JSON: the client's bytes, or the repaired ones
"""

import struct
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from msgspec import Struct, json

_PREFIX: Final = struct.Struct("<qII")
PREFIX_BYTES: Final = _PREFIX.size


class Reject(Struct, omit_defaults=True, kw_only=True):
    """One event that was refused, and why; `body` is what is left of it after masking."""

    index: int
    code: str
    field: str
    message: str
    event_id: str | None = None
    body: str | None = None


class FrameMeta(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the server adds to a batch; `source` and `is_test` come from the write key alone."""

    source: str
    received: int
    accepted: int
    is_test: bool = False
    relay: bool = False
    """The key is of kind `server`: `context.ip` and `context.user_agent` are honoured."""
    ip: str | None = None
    user_agent: str | None = None
    rejects: list[Reject] = []


class Frame(Struct, frozen=True):
    """One batch, split into its parts; meta and body not yet decoded."""

    received_at_us: int
    meta: bytes
    body: bytes


class NamedEvent(Struct, frozen=True, gc=False):
    """What can be known of an event whose other fields may be of another version."""

    event_id: UUID
    event_type: str


class NamedBatch(Struct, frozen=True):
    """A stored batch of which only the events' names matter."""

    events: list[NamedEvent]


decode_named = json.Decoder(NamedBatch).decode
encode_meta = json.Encoder().encode
decode_meta = json.Decoder(FrameMeta).decode


def frame_parts(received_at_us: int, meta: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the frame in pieces, so that a group of them is copied once."""
    return _PREFIX.pack(received_at_us, len(meta), len(body)), meta, body


def pack_frame(received_at_us: int, meta: bytes, body: bytes) -> bytes:
    """Return the frame's bytes."""
    return b"".join(frame_parts(received_at_us, meta, body))


def iter_frames(payload: bytes) -> Iterator[Frame]:
    """Split a decompressed payload into its frames; raise ValueError when the lengths do not add up."""
    position = 0
    while position < len(payload):
        if position + PREFIX_BYTES > len(payload):
            raise ValueError("a frame's prefix is cut short")
        received_at_us, meta_bytes, body_bytes = _PREFIX.unpack_from(payload, position)
        meta_at = position + PREFIX_BYTES
        body_at = meta_at + meta_bytes
        position = body_at + body_bytes
        if position > len(payload):
            raise ValueError("a frame is longer than its group")
        yield Frame(received_at_us, payload[meta_at:body_at], payload[body_at:position])
