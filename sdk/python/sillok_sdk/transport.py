"""How a body reaches the collector: a protocol of two methods, and HTTP as its implementation."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sillok_sdk.errors import SettingError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from http.client import HTTPConnection

# A body says when it was sent: what fails later than this is tried again as a new one.
AT_ONCE_S = 1.0
_ANSWER_BYTES_MAX = 1024 * 1024  # 1,000 rejections with their reasons are about 200 KiB


class Answer(NamedTuple):
    """What the collector said."""

    status: int
    retry_after_s: float | None
    body: bytes


class Transport(Protocol):
    """Carries one body at a time, called from one thread at a time."""

    def send(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Return the answer, or raise anything at all when there was none."""

    def close(self) -> None:
        """Let go of the connection. The next `send` opens another."""


class Target(NamedTuple):
    """Where the collector takes events."""

    is_https: bool
    host: str
    port: int
    path: str
    authority: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Return what a collector's URL says, or raise `SettingError`."""
        from urllib.parse import urlsplit  # noqa: PLC0415  importing the package stays cheap

        try:
            parts = urlsplit(url)
            port = parts.port
        except (TypeError, ValueError, AttributeError):
            raise SettingError("url must be a URL, such as https://collect.example.com") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError("url must start with http:// or https:// and name a host")
        if parts.username is not None or parts.query or parts.fragment:
            raise SettingError("url must not carry a user, a query or a fragment")
        is_https = parts.scheme == "https"
        path = parts.path.rstrip("/") + "/v1/events"
        return cls(is_https, parts.hostname, port or (443 if is_https else 80), path, parts.netloc)


class HttpTransport:
    """One kept-alive HTTP or HTTPS connection to `{url}/v1/events`."""

    def __init__(self, url: str, ssl_context: ssl.SSLContext | None = None) -> None:
        self._target = Target.of(url)
        self._ssl_context = ssl_context
        self._connection: HTTPConnection | None = None
        self._pid = os.getpid()

    def send(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """POST the body, once more at once if a kept connection turns out to be closed."""
        connection = self._connected(timeout_s)
        kept = connection.sock is not None
        began = time.monotonic()
        try:
            try:
                return self._exchange(connection, body, headers)
            except ConnectionError:  # a server may close an idle connection as we begin to use it
                connection.close()
                if not kept or time.monotonic() - began > AT_ONCE_S:
                    raise
                return self._exchange(connection, body, headers)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self, timeout_s: float) -> HTTPConnection:
        """Return this process's connection, not yet open perhaps, with the timeout set."""
        if self._pid != os.getpid():
            self._forget()
        if self._connection is None:
            from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415  15 ms, and only here

            target = self._target
            if target.is_https:
                self._connection = HTTPSConnection(target.host, target.port, context=self._ssl_context)
            else:
                self._connection = HTTPConnection(target.host, target.port)
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        return self._connection

    def _forget(self) -> None:
        """Drop the parent's connection in a forked child.

        Only the socket is closed: it is a copy, and the parent's stays open. The connection's reader may
        have been locked by the parent's thread at the moment of the fork, and closing it would wait forever.
        """
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.close()
        self._connection = None
        self._pid = os.getpid()

    def _exchange(self, connection: HTTPConnection, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection.request("POST", self._target.path, body, dict(headers))
        response = connection.getresponse()
        text = response.read(_ANSWER_BYTES_MAX)
        if not response.isclosed():  # an answer longer than any of ours: what is left would be in the way
            connection.close()
        return Answer(response.status, retry_after_s(response.getheader("Retry-After")), text)


def retry_after_s(retry_after: str | None) -> float | None:
    """Return the seconds of a `Retry-After`, or `None`: less than one is no pause."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 1 <= seconds < float("inf") else None
