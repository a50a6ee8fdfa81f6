"""Two fingerprints: of an event's id, for the books, and of its content, for `id_conflict`.

- `id_hash(event_id)` is the low 64 bits of the UUID, unsigned; plain PostgreSQL computes the same
  (`ops.id_hash`), and a test holds both to golden values. Sums are modulo 2^64: a sum, because XOR
  cancels a pair.
- `content_hash(event)` covers the event's own fields, not those merged from the batch's context,
  which may differ between two tries of the same event. `client_id` is left out: a sender that adopts
  another instance's event has to write it into the event.
"""

from hashlib import blake2b
from typing import Final
from uuid import UUID

from contract.event import StoredEvent, encode_deterministic

HASH_MODULUS: Final = 2**64
_LOW_64: Final = HASH_MODULUS - 1


def id_hash(event_id: UUID) -> int:
    """Return the low 64 bits of the id, 0 … 2^64 - 1."""
    return event_id.int & _LOW_64


def content_hash(event: StoredEvent) -> int:
    """Return a signed 64-bit hash of what the event itself says, as PostgreSQL's bigint holds it."""
    client_id, event.client_id = event.client_id, None
    digest = blake2b(encode_deterministic(event), digest_size=8).digest()
    event.client_id = client_id
    return int.from_bytes(digest, "little", signed=True)
