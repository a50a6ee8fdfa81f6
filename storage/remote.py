"""The spool of a collector in a DMZ, over HTTPS: a log that is listed, read and released, and nothing else.

The loader opens every connection; `collector_server/handout.py` says what the other end answers. A transfer that is
cut goes on where it stopped (`Range`), and a segment counts as read only when its SHA-256 is the one the
collector computed from its disk.

The other end stands where strangers may get to it. Whatever it answers, or however slowly, it stops nobody but itself:
sizes, numbers and the time of one visit are bounded, and all that is wrong with it is an OSError of this log alone.
"""

import contextlib
import hashlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from contract.errors import SegmentChanged, SettingsError

SHA256_HEADER: Final = "Sillok-SHA256"
_TIMEOUT_S: Final = 10.0
# A visit that takes longer is broken off, and goes on when the others have had their turn.
_VISIT_S_MAX: Final = 60.0
_CHUNK_BYTES: Final = 256 * 1024
_LISTING_BYTES_MAX: Final = 16 * 1024 * 1024
# Eight times the default of `segment_bytes_max`; twice this is in memory while it is handed on.
_SEGMENT_BYTES_MAX: Final = 512 * 1024 * 1024
_TRIES_WITHOUT_PROGRESS: Final = 3
# After a failure it is left alone for so long, each time longer: it must not hold up the others.
_AWAY_S: Final = (0.5, 1, 2, 5, 10)


Slot = Annotated[int, Meta(ge=0, le=999_999_999)]
Segment = Annotated[int, Meta(ge=0, le=10**18 - 1)]


class SlotListing(Struct, frozen=True):
    """One slot as the collector lists it."""

    slot: Slot
    newest: Segment
    segments: list[Segment]


class Listing(Struct, frozen=True):
    """A collector's answer to what there is."""

    spool_id: UUID
    slots: list[SlotListing]

    def encode(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)


class RemoteSlot:
    """One slot, as last listed."""

    def __init__(self, spool: "RemoteSpool", spool_id: UUID, listed: SlotListing) -> None:
        self.spool_id = spool_id
        self.slot = listed.slot
        self._spool = spool
        self._listed = listed

    def waiting(self) -> list[int]:  # noqa: D102 - see SlotLog
        return sorted({*self._listed.segments, *self._spool.recalled(self.slot)})

    def released(self) -> list[int]:  # noqa: D102
        listing = self._spool.list("/released")
        return next((found.segments for found in listing.slots if found.slot == self.slot), [])

    def newest(self) -> int:  # noqa: D102
        return self._listed.newest

    def read(self, segment: int) -> bytes:  # noqa: D102
        return self._spool.read(self._path(segment))

    def release(self, segment: int, sha256: bytes) -> None:  # noqa: D102
        self._spool.release(f"{self._path(segment)}/release?sha256={sha256.hex()}")
        self._spool.recalled(self.slot).discard(segment)

    def recall(self, segment: int) -> None:  # noqa: D102
        self._spool.recalled(self.slot).add(segment)

    def _path(self, segment: int) -> str:
        return f"/v1/segments/{self.spool_id}/{self.slot}/{segment}"


class RemoteSpool:
    """A collector's spool. Used by one thread."""

    def __init__(
        self, url: str, token_file: str, ca_file: str | None = None, *, visit_s_max: float = _VISIT_S_MAX
    ) -> None:
        """Read the token; raise SettingsError when it, or the authority, cannot be read."""
        self.name = url
        self._visit_s_max = visit_s_max
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        try:
            self._headers = {"Authorization": f"Bearer {Path(token_file).read_text(encoding='ascii').strip()}"}
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"[load.collectors] cannot read the token in {token_file}: {error}") from None
        try:
            is_tls = parts.scheme == "https"
            self._context = ssl.create_default_context(cafile=ca_file) if is_tls else None
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"[load.collectors] cannot use {ca_file} as certificates: {error}") from None
        if self._context is None and self._host not in ("127.0.0.1", "::1", "localhost"):
            raise SettingsError(f"[load.collectors] {url} would show token and events to the network: write https://")
        self._connection: http.client.HTTPConnection | None = None
        self._wire: socket.socket | None = None
        """The same connection once more, for who ends a visit: closing the other would leave a read waiting."""
        self.clock_off_s: float | None = None
        """How far the collector's clock was behind ours at its last answer, to the second; None before the first."""
        self.certificate_ends: float | None = None
        """When its certificate ends, seconds since the epoch; None without TLS."""
        self._is_over = False
        """This visit has had its time."""
        self._recalled: dict[int, set[int]] = {}
        self._begun: tuple[str, str, bytearray] | None = None
        """Path, hash and first bytes of the one transfer that was cut."""
        self._failures = 0
        self._away_until = 0.0
        self._reason = ""

    @property
    def remedy(self) -> str:  # noqa: D102 - see SegmentLog
        return "check its pull_port, the firewall, token and certificate"

    def slots(self) -> list[RemoteSlot]:  # noqa: D102
        listing = self.list("")
        return [RemoteSlot(self, listing.spool_id, listed) for listed in listing.slots]

    def expire(self, released_before: float) -> None:
        """Do nothing: the collector expires its archive itself."""

    def recalled(self, slot: int) -> set[int]:
        """Return the numbers of a slot that the ledger lacks; known for this object's life."""
        return self._recalled.setdefault(slot, set())

    def list(self, which: str) -> Listing:
        """Return what waits, or with `/released` what is in its grace period."""
        with self._reached():
            response = self._ask("GET", f"/v1/segments{which}")
            text = response.read(_LISTING_BYTES_MAX + 1)
            if self._is_over:
                raise ConnectionError("the list did not come to its end")
            if len(text) > _LISTING_BYTES_MAX:
                raise ConnectionError(f"{self.name} lists more than there can be: is it a pull port?")
            try:
                return msgspec.json.decode(text, type=Listing)
            except msgspec.DecodeError as error:
                raise ConnectionError(f"{self.name} answers no list of segments: is it a pull port?") from error

    def read(self, path: str) -> bytes:
        """Return a segment's bytes, whole and with the right hash; raise FileNotFoundError or another OSError."""
        idle = 0
        with self._reached():
            while True:
                known = 0 if self._begun is None or self._begun[0] != path else len(self._begun[2])
                try:
                    return self._continue(path)
                except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError):
                    self._hang_up()
                    if self._is_over:
                        raise
                    has_more = self._begun is not None and self._begun[0] == path and len(self._begun[2]) > known
                    idle = 0 if has_more else idle + 1
                    if idle >= _TRIES_WITHOUT_PROGRESS:
                        raise

    def _continue(self, path: str) -> bytes:
        """Go on with the transfer that was cut, or begin one."""
        if self._begun is None or self._begun[0] != path:
            self._begun = (path, "", bytearray())
        _, sha256, data = self._begun
        response = self._ask("GET", path, {"Range": f"bytes={len(data)}-"} if data else {})
        told = response.headers.get(SHA256_HEADER, "")
        is_rest = response.status == HTTPStatus.PARTIAL_CONTENT and told == sha256
        if data and not is_rest:
            # Another file now, or a server that knows no ranges: from the beginning.
            if response.status == HTTPStatus.PARTIAL_CONTENT:
                self._begun = None
                raise ConnectionError(f"{self.name}{path} has changed while it was read: it is read again")
            data.clear()
        self._begun = (path, told, data)
        while chunk := response.read1(_CHUNK_BYTES):
            data += chunk
            if len(data) > _SEGMENT_BYTES_MAX:
                self._begun = None
                raise ConnectionError(f"{self.name}{path} is larger than any segment")
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()  # read1 leaves it open at its very end, and the connection with it
        self._begun = None
        if hashlib.sha256(data).hexdigest() != told:
            raise ConnectionError(f"{self.name}{path} arrived with another SHA-256 than the collector says: read again")
        return bytes(data)

    def release(self, path: str) -> None:
        """Let the collector archive a segment; raise SegmentChanged when it has other contents."""
        with self._reached():
            self._ask("POST", path).read()

    def close(self) -> None:
        """Close the connection."""
        self._hang_up()

    def _ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        """Send a request, again where the connection was idle for too long; return a good answer."""
        reused = self._connection is not None
        try:
            response = self._send(method, path, headers or {})
        except (http.client.HTTPException, ConnectionError):
            self._hang_up()
            if not reused:
                raise
            response = self._send(method, path, headers or {})
        if response.status < HTTPStatus.BAD_REQUEST:
            return response
        text = response.read(500).decode(errors="replace").strip()
        if response.status == HTTPStatus.NOT_FOUND:
            raise FileNotFoundError(f"{self.name}{path}: {text}")
        if response.status == HTTPStatus.CONFLICT:
            raise SegmentChanged(f"{self.name} refuses: {text}")
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._begun = None
            raise ConnectionError(f"{self.name}{path} has become shorter while it was read: it is read again")
        if response.status == HTTPStatus.UNAUTHORIZED:
            raise PermissionError(f"{self.name} refuses the token: its pull_token_file must hold the same text as ours")
        raise OSError(f"{self.name} answers {response.status}: {text}")

    def _send(self, method: str, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request(method, path, headers=self._headers | headers)
        response = self._connection.getresponse()
        with contextlib.suppress(TypeError, ValueError):
            self.clock_off_s = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
        return response

    def _connect(self) -> http.client.HTTPConnection:
        wire = socket.create_connection((self._host, self._port or http.client.HTTPS_PORT), _TIMEOUT_S)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wire = wire.dup()
        if self._is_over:
            wire.close()
            raise ConnectionError("this visit has had its time")
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.auto_open = 0  # by itself it would open the next one, and without TLS
        connection.sock = wire
        if self._context is not None:
            connection.sock = secured = self._context.wrap_socket(wire, server_hostname=self._host)
            ends = (secured.getpeercert() or {}).get("notAfter")
            self.certificate_ends = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
        return connection

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn every way of not being there into OSError, and leave the collector alone for a while after one."""
        if time.monotonic() < self._away_until:
            raise ConnectionError(self._reason)
        self._is_over = False
        end = threading.Timer(self._visit_s_max, self._break_off)
        end.daemon = True
        end.start()
        try:
            yield
        except (FileNotFoundError, SegmentChanged):
            raise
        except (http.client.HTTPException, OSError) as error:
            self._hang_up()
            self._reason = self._why(error)
            self._away_until = time.monotonic() + _AWAY_S[min(self._failures, len(_AWAY_S) - 1)]
            self._failures += 1
            raise ConnectionError(self._reason) from error
        finally:
            end.cancel()
        self._failures = 0

    def _why(self, error: Exception) -> str:
        if self._is_over:
            return f"{self.name} takes longer than {self._visit_s_max:.0f} s at a time: it goes on after the others"
        return str(error) if isinstance(error, PermissionError) else f"{self.name}: {error or type(error)}"

    def _break_off(self) -> None:
        """End this visit, whatever it waits for; called by a thread of its own."""
        self._is_over = True
        wire = self._wire
        if wire is not None:
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
