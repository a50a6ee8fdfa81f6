"""Two fingerprints: of an event's id, for the books, and of its content, for `id_conflict`.

- `id_hash(event_id)` is the low 64 bits of the UUID, unsigned; plain PostgreSQL computes the same
  (`ops.id_hash`), and a test holds both to golden values. Sums are modulo 2^64: a sum, because XOR
  cancels a pair.
- `content_hash(event)` covers the event's own fields, not those merged from the batch's context,
  which may differ between two tries of the same event. `client_id` is left out: a sender that adopts
  another instance's event has to write it into the event. How JSON was written does not count: the order
  of keys, escapes, 1 or 1.0.
"""

from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from contract.event import StoredEvent, encode_deterministic

HASH_MODULUS: Final = 2**64
_LOW_64: Final = HASH_MODULUS - 1
# Above it a float no longer names one integer.
_EXACT: Final = 2.0**53


def id_hash(event_id: UUID) -> int:
    """Return the low 64 bits of the id, 0 … 2^64 - 1."""
    return event_id.int & _LOW_64


def content_hash(event: StoredEvent) -> int:
    """Return a signed 64-bit hash of what the event itself says, as PostgreSQL's bigint holds it."""
    client_id, event.client_id = event.client_id, None
    props = event.props
    if props is not None:
        event.props = _plain(props)
    digest = blake2b(encode_deterministic(event), digest_size=8).digest()
    event.client_id, event.props = client_id, props
    return int.from_bytes(digest, "little", signed=True)


def _plain(value: Any) -> Any:
    """Return a JSON value with every whole number written as one."""
    kind = type(value)
    if kind is float:
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    if kind is dict:
        return {key: _plain(item) for key, item in value.items()}
    if kind is list:
        return [_plain(item) for item in value]
    return value
