"""What a run sends: batches of a seeded model's visitors, the same byte for byte for one seed, run and start.

Ids tell a run's events from all others, and each event's number from its id:

    unix_ms 48 | 4 bits of version (7) | run 12 | variant 2 | run 14 | event's number 48

Every batch is one visitor's, and four batches in a row are one visitor. By shares of the mix a batch is sent twice,
is late by days, or has one event that the collector must refuse; which batches these are follows from the seed.
"""

import gzip
import hashlib
from abc import ABC, abstractmethod
from typing import Any, Final

import msgspec
from msgspec import Struct

from loadtest.visitors import visits

_VISITS: Final = 400
_BATCHES_A_VISITOR: Final = 4
_DAY_MS: Final = 86_400_000
_LATE_DAYS_MAX: Final = 5
_MASK: Final = (1 << 64) - 1
_SHARES: Final = 1 << 20
_GZIP_LEVEL: Final = 1
# What has no place in an event, or is each visitor's own: a visit is lent to thousands, and a session that goes on as
# long as the load would be read and written whole with every batch of the processor.
_CONTEXT_ONLY: Final = ("ip", "user_agent", "session_id", "anonymous_id")


class Mix(Struct, frozen=True, kw_only=True):
    """Shares of the batches, from 0 to 1."""

    duplicates: float = 0.02
    """Sent a second time, as after an answer that was lost."""
    malformed: float = 0.01
    """With one event that is refused."""
    late: float = 0.02
    """Of days ago, as from a phone that was offline."""
    gzip: float = 0.5


class Batch(Struct, frozen=True):
    """One request's worth."""

    body: bytes
    is_gzip: bool
    user_agent: bytes


class Batches(ABC):
    """The numbered batches of one run, whatever they are made from."""

    def __init__(self, seed: int, run_id: str, start_ms: int, mix: Mix) -> None:
        self.run_id = run_id
        # Hashed, or neighbouring seeds would make the same choices, a batch later.
        self._seed = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest())
        self._start_ms = start_ms
        self._mix = mix
        # The start too: one id given to two runs must not let the first one's rows stand for the second's.
        mark = hashlib.blake2b(f"{run_id} {start_ms}".encode(), digest_size=4).hexdigest()
        self._mark = f"-7{mark[:3]}-{0x8000 | int(mark[3:7], 16) & 0x3FFF:04x}-"
        self._client = f"lt-{mark}"

    @property
    def id_pattern(self) -> str:
        """What the ids of this run look like, for SQL's `like`."""
        return f"{'_' * 8}-{'_' * 4}{self._mark}%"

    @abstractmethod
    def size(self, number: int) -> int:
        """Return how many events a batch has."""

    @abstractmethod
    def first(self, number: int) -> int:
        """Return the number of its first event; the others follow."""

    @abstractmethod
    def batch(self, number: int, offset_ms: int) -> Batch:
        """Return a batch that is due so many milliseconds after the start."""

    def refused(self, number: int) -> int | None:
        """Return which event of a batch must be refused, if one must."""
        chance = self._chance(number, 2)
        return chance % self.size(number) if _hits(chance, self._mix.malformed) else None

    def is_twice(self, number: int) -> bool:
        """Whether a batch is sent a second time."""
        return _hits(self._chance(number, 1), self._mix.duplicates)

    def _id_head(self, moment_ms: int) -> bytes:
        """Return an id but for its last 48 bits, the event's number."""
        head = f"{moment_ms:012x}"
        return f"{head[:8]}-{head[8:]}{self._mark}".encode()

    def _packed(self, number: int, body: bytes, user_agent: bytes) -> Batch:
        is_gzip = _hits(self._chance(number, 4), self._mix.gzip)
        return Batch(gzip.compress(body, _GZIP_LEVEL, mtime=0) if is_gzip else body, is_gzip, user_agent)

    def _chance(self, number: int, purpose: int) -> int:
        """Return 64 bits that follow from the seed, a number and a purpose (splitmix64)."""
        z = (self._seed + number * 8 + purpose + 1) * 0x9E3779B97F4A7C15 & _MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
        return z ^ z >> 31


class Plan(Batches):
    """The batches of simulated visitors: as many as are asked for, all of one size."""

    def __init__(self, seed: int, run_id: str, start_ms: int, batch_events: int, mix: Mix | None = None) -> None:
        super().__init__(seed, run_id, start_ms, mix or Mix())
        self.batch_events = batch_events
        self._visits = [_rendered(visit.context, visit.calls) for visit in visits(seed, _VISITS, 0, 1)]

    def size(self, number: int) -> int:
        """Return the one size there is."""
        del number
        return self.batch_events

    def first(self, number: int) -> int:
        """Return the number of its first event."""
        return number * self.batch_events

    def batch(self, number: int, offset_ms: int) -> Batch:
        """Return a batch that is due so many milliseconds after the start."""
        visitor, turn = divmod(number, _BATCHES_A_VISITOR)
        user_agent, context, calls = self._visits[self._chance(visitor, 0) % len(self._visits)]
        size = self.batch_events
        moment = self._start_ms + offset_ms
        late = self._chance(number, 3)
        if _hits(late, self._mix.late):
            moment -= (1 + late % _LATE_DAYS_MAX) * _DAY_MS
        refused = self.refused(number)
        mark = self._id_head(moment)
        first, seq = number * size, turn * size
        count = len(calls)
        events = [
            b'{"event_id":"%b%012x","time":%d,"seq":%d%b'
            % (mark, first + i, moment - size + i, seq + i + 1, calls[(seq + i) % count])
            for i in range(size)
        ]
        if refused is not None:
            events[refused] = b'{"event_id":"%b%012x","time":"soon","event_type":"click"}' % (mark, first + refused)
        client = f"{self._client}-{visitor}".encode()
        body = (
            b'{"sent_at":%d,"clients":[{"id":"%b","sdk":"loadtest/1","created":%d,"pending":%d}],"context":{"client_id":"%b","anonymous_id":"%b","session_id":"%b",%b},"events":['
            % (self._start_ms + offset_ms, client, seq + size, size, client, client, client, context)
            + b",".join(events)
            + b"]}"
        )
        return self._packed(number, body, user_agent)


def _hits(chance: int, share: float) -> bool:
    return chance >> 20 & _SHARES - 1 < share * _SHARES


def _rendered(context: dict[str, Any], calls: list[Any]) -> tuple[bytes, bytes, list[bytes]]:
    """Return the user agent, the context, and each event from its type on, as they stand in a request."""
    encode = msgspec.json.encode
    known = {name: value for name, value in context.items() if name not in _CONTEXT_ONLY}
    events = [encode({"event_type": method, **fields})[1:] for method, _, fields in calls]
    return context["user_agent"].encode(), encode(known)[1:-1], [b"," + event for event in events]
