"""What a service tells systemd (`sd_notify`): that it is ready, that it is alive, that it stops.

One datagram a message, to the socket that systemd names in NOTIFY_SOCKET; without one, nothing is said.
`alive` may be called as often as one likes: a message goes out only every third of the watchdog's time.
"""

import os
import socket
import time
from collections.abc import Mapping
from typing import Final, Self

_MESSAGES_PER_WATCHDOG: Final = 3


class Notifier:
    """The line to the service manager; every method is harmless where there is none."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        """After so much silence the service is killed and started anew; None where nobody watches."""
        self._address = address
        self._said_at = float("-inf")
        self._is_ready = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what systemd has set; a watchdog that is meant for another process is not ours."""
        watchdog = None
        if environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            microseconds = environment.get("WATCHDOG_USEC", "")
            watchdog = int(microseconds) / 1_000_000 if microseconds.isdigit() else None
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog)

    def ready(self) -> None:
        """Say, once, that the service does its work now."""
        if not self._is_ready:
            self._is_ready = True
            self._say("READY=1")

    def alive(self) -> None:
        """Say that the service is not stuck."""
        if self.watchdog_s is None:
            return
        now = time.monotonic()
        if now - self._said_at >= self.watchdog_s / _MESSAGES_PER_WATCHDOG:
            self._said_at = now
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service ends because it was asked to."""
        self._say("STOPPING=1")

    def turned(self) -> None:
        """Say that a loop came round: it is ready, and alive."""
        self.ready()
        self.alive()

    def _say(self, message: str) -> None:
        if self._address is None:
            return
        # A leading @ is the abstract name space's zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.connect(address)
                line.send(message.encode())
        except OSError:
            return  # a service does not end because nobody listens
