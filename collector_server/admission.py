"""Who may send, and how much at once: write keys, their rates, and the bytes in flight."""

from typing import Final

from multidict import CIMultiDictProxy

from collector_server.client_address import is_from_here
from collector_server.keys import KeyRing, WriteKey
from collector_server.refusal import Refusal, Refused
from collector_server.settings import CollectorSettings

RETRY_AFTER_S: Final = 2
_UNKNOWN: Final = "this write key is not known here: check the key and the server"
_MISSING: Final = "no write key was sent: name one in `Authorization: Bearer …`, `X-Sillok-Key` or `?key=`"
_ELSEWHERE: Final = (
    "this key may not be used from this page's origin (scheme, host and port): `sillok keys make --origin` makes one "
    "that may, or add it to `origins` in the settings"
)


class Admission:
    """The door's keeper; one per worker."""

    def __init__(self, settings: CollectorSettings, keys: KeyRing) -> None:
        self._settings = settings
        self._keys = keys
        self.in_flight_bytes = 0
        """Bytes of bodies being received or waiting for the disk."""
        self.stopping = False

    def authenticate(
        self, headers: CIMultiDictProxy[str], client: str | None, origin: str | None, in_query: str = ""
    ) -> WriteKey:
        """Return the request's key; raise Refused when it is none or may not be used so."""
        header = headers.get("Authorization", "")
        text = header[7:].strip() if header[:7].lower() == "bearer " else headers.get("X-Sillok-Key") or in_query
        key = self._keys.find(text)
        if key is None:
            raise Refused(Refusal.UNKNOWN_KEY, _UNKNOWN if text else _MISSING)
        if key.loopback_only and not is_from_here(client, headers):
            raise Refused(Refusal.KEY_NOT_ALLOWED_HERE, "this write key works on the server's own machine only")
        if origin is not None and not key.allows_origin(origin):
            raise Refused(Refusal.ORIGIN_NOT_ALLOWED, _ELSEWHERE)
        return key

    def charge(self, key: WriteKey, events: int) -> None:
        """Take the events from the key's rate; raise Refused when it is over it."""
        if key.bucket is None:
            return
        wait_s = key.bucket.take(events)
        if wait_s:
            raise Refused(Refusal.OVER_RATE, "this key is over its rate", retry_after_s=wait_s)

    def reserve(self, size: int | None) -> int:
        """Take a body's size, as its head claims it, before a byte of it is read; return what `release` gives back."""
        if size is None:
            size = self._settings.body_bytes_max
        self.check_size(size)
        return self.book(size)

    def book(self, size: int) -> int:
        """Take bytes from the budget; raise Refused when there are none left."""
        if self.stopping:
            raise Refused(Refusal.UNAVAILABLE, "the server is stopping", retry_after_s=RETRY_AFTER_S)
        if self.in_flight_bytes + size > self._settings.in_flight_bytes_max:
            raise Refused(Refusal.UNAVAILABLE, "too many bytes in flight", retry_after_s=RETRY_AFTER_S)
        self.in_flight_bytes += size
        return size

    def release(self, booked: int) -> None:
        """Give bytes back."""
        self.in_flight_bytes -= booked

    def check_size(self, size: int) -> None:
        """Raise Refused for a body that is too large as it was sent."""
        if size > self._settings.body_bytes_max:
            raise self.too_large()

    def too_large(self) -> Refused:
        """Return the refusal of such a body."""
        return Refused(Refusal.TOO_LARGE, f"the body is over {self._settings.body_bytes_max} bytes: split the batch")
