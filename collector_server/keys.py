"""Write keys: who may send, as which source, how fast."""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address

from collector_server.settings import WriteKeySettings


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

    def __init__(self, settings: WriteKeySettings, workers: int) -> None:
        self.source = settings.source
        self.is_test = settings.kind == "test"
        self.relay = settings.kind == "server"
        self.loopback_only = settings.loopback_only
        self._origins = frozenset(settings.origins)
        rate = settings.events_per_second_max
        self.bucket = Bucket(rate / workers) if rate else None

    def allows_origin(self, origin: str) -> bool:
        """Say whether a page of this origin may use the key."""
        return "*" in self._origins or origin in self._origins


class KeyRing:
    """Every key of the settings, by its text."""

    def __init__(self, keys: Sequence[WriteKeySettings], workers: int = 1) -> None:
        self._keys = {key.key: WriteKey(key, workers) for key in keys}

    def find(self, key: str) -> WriteKey | None:
        """Return the key, or None when it is unknown."""
        return self._keys.get(key)

    def any_allows_origin(self, origin: str) -> bool:
        """Say whether any key may be used from this origin: a preflight does not show its key."""
        return any(key.allows_origin(origin) for key in self._keys.values())


@lru_cache(1024)
def is_loopback(address: str | None) -> bool:
    """Say whether a peer address is this machine's own."""
    try:
        return address is not None and ip_address(address).is_loopback
    except ValueError:
        return False
