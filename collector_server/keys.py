"""Write keys: who may send, as which source, how fast."""

import time
from collections.abc import Callable, Sequence

from collector_server.key_file import KeyRecord, digest
from collector_server.settings import KeyRights, WriteKeySettings


class Bucket:
    """A token bucket of events; a burst of two seconds passes."""

    def __init__(self, events_per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = events_per_second
        self._clock = clock
        self._tokens = self._size = events_per_second * 2
        self._filled_at = clock()

    def take(self, events: int) -> float:
        """Take tokens and return 0, or take none and return the seconds to wait.

        A batch larger than the bucket passes when the bucket is full: it could never pass otherwise.
        """
        now = self._clock()
        self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        wanted = min(events, self._size)
        if wanted <= self._tokens:
            self._tokens -= events
            return 0.0
        return (wanted - self._tokens) / self._rate


class WriteKey:
    """A key that is known, with its bucket for this worker."""

    def __init__(self, rights: KeyRights, workers: int, bucket: Bucket | None = None) -> None:
        self.source = rights.source
        self.is_test = rights.kind == "test"
        self.relay = rights.kind == "server"
        self.loopback_only = rights.loopback_only
        self.origins = frozenset(rights.origins)
        self.rate = rights.events_per_second_max
        self.bucket = (bucket or Bucket(self.rate / workers)) if self.rate else None

    def allows_origin(self, origin: str) -> bool:
        """Say whether a page of this origin may use the key."""
        return "*" in self.origins or origin in self.origins


class KeyRing:
    """Every key that works: those of the settings by their text, those of the key file by their digest.

    A key of the file that was asked for is found by its text from then on, in one look-up. As many texts are
    remembered as there are keys, whatever else is asked for. Retiring keys are not: each use of one is counted.
    """

    def __init__(
        self,
        keys: Sequence[WriteKeySettings],
        workers: int = 1,
        records: Sequence[KeyRecord] = (),
        count_retiring: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._of_settings = {key.key: WriteKey(key, workers) for key in keys}
        self._workers = workers
        self._count_retiring = count_retiring
        self._by_digest: dict[str, WriteKey] = {}
        self.replace(records)

    def replace(self, records: Sequence[KeyRecord]) -> None:
        """Take these as the keys of the file, between two requests; a key whose rate stays keeps its bucket's fill."""
        former = self._by_digest
        self._by_digest = {r.sha256: self._make(r, former) for r in records if r.state != "revoked"}
        self._retiring = {r.sha256: r.id for r in records if r.state == "retiring"}
        self._by_text = dict(self._of_settings)

    def _make(self, record: KeyRecord, former: dict[str, WriteKey]) -> WriteKey:
        known = former.get(record.sha256)
        kept = known.bucket if known is not None and known.rate == record.events_per_second_max else None
        return WriteKey(record, self._workers, kept)

    def find(self, key: str) -> WriteKey | None:
        """Return the key, or None when it is unknown or revoked."""
        return self._by_text.get(key) or self._find_hashed(key)

    def _find_hashed(self, text: str) -> WriteKey | None:
        if not self._by_digest:
            return None
        hashed = digest(text)
        key = self._by_digest.get(hashed)
        if hashed in self._retiring:
            self._count_retiring(self._retiring[hashed])
        elif key is not None:
            self._by_text[text] = key
        return key
