"""`python -m tests.benchmarks.hostile`: what honest clients notice while others attack.

Honest batches come on a fixed schedule (`open_loop.c`) to one worker; first alone, then during each attack. That every
one of them is answered 200 is asserted by `tests/integration/test_hostile.py`; here is how long they waited. The
attackers run on the same machine: a part of every ratio is the CPU they take themselves.
"""

import contextlib
import gzip
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks.collector import Served, has, serving
from tests.benchmarks.half_load import compiled, drive, latency_unit
from tests.benchmarks.results import record

RATE: Final = 1_000
EVENTS: Final = 10
_HOST: Final = "127.0.0.1"
_TIMEOUT_S: Final = 10
_QUIET: Final = {"SILLOK_LOG_LEVEL": "error"}
_HEAD: Final = b"POST /v1/events HTTP/1.1\r\nHost: a\r\nX-Sillok-Key: %b\r\nContent-Length: %d\r\n%b\r\n"
_BOMB: Final = gzip.compress(bytes(200 << 20))
_GARBAGE: Final = b"{" * 900_000

Attack = Callable[[int, threading.Event], None]


def _connect(port: int) -> socket.socket:
    return socket.create_connection((_HOST, port), timeout=_TIMEOUT_S)


def _again_and_again(request: bytes, pipelined: int = 1) -> Attack:
    """Send the same request for as long as it lasts, reading what comes back."""

    def attack(port: int, stop: threading.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), _connect(port) as connection:
                while not stop.is_set():
                    connection.sendall(request * pipelined)
                    if not connection.recv(1 << 20):
                        break

    return attack


def _trickle(port: int, stop: threading.Event) -> None:
    """Keep two hundred requests open, a byte a second."""
    with contextlib.ExitStack() as stack:
        connections: list[socket.socket] = []
        while True:
            for _ in range(200 - len(connections)):
                with contextlib.suppress(OSError):
                    connections.append(stack.enter_context(_connect(port)))
                    connections[-1].sendall(_HEAD % (b"demo", 1_000, b""))
            if stop.wait(1):
                return
            alive = []
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.sendall(b" ")
                    alive.append(connection)
            connections = alive


def _never_read(port: int, stop: threading.Event) -> None:
    """Ask and ask, and take no answer."""
    with contextlib.suppress(OSError), _connect(port) as connection:
        connection.settimeout(0.2)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection.sendall(_HEAD % (b"nobody", 0, b"") * 1_000)


ATTACKS: Final[dict[str, tuple[Attack, int]]] = {
    "bad keys, pipelined": (_again_and_again(_HEAD % (b"nobody", 0, b""), pipelined=100), 4),
    "no HTTP": (_again_and_again(b"\x16\x03\x01 hello\r\n\r\n"), 4),
    "900 KB that are no JSON": (_again_and_again(_HEAD % (b"demo", len(_GARBAGE), b"") + _GARBAGE), 2),
    "gzip bombs of 200 MB": (
        _again_and_again(_HEAD % (b"demo", len(_BOMB), b"Content-Encoding: gzip\r\n") + _BOMB), 2,
    ),
    "200 trickling bodies": (_trickle, 1),
    "clients that never read": (_never_read, 20),
}  # fmt: skip
"""Each with how many do it at once."""


def main() -> int:
    """Print one line per attack."""
    if not has("cc"):
        return 2
    print(f"{RATE:,} honest batches a second of {EVENTS} events, milliseconds from due to durable answer")
    print("attack                        p50      p99    p99.9   p50 and p99 against quiet  non-200  driver late p99")
    with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder, serving(1, **_QUIET) as served:
        driver = compiled(Path(folder))
        drive(driver, served, EVENTS, RATE)  # warm
        quiet = _line(driver, served, "none", None)
        for name, (attack, count) in ATTACKS.items():
            with _under(attack, served.port, count):
                _line(driver, served, name, quiet)
    return 0


@contextlib.contextmanager
def _under(attack: Attack, port: int, count: int) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=attack, args=(port, stop)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _line(driver: Path, served: Served, name: str, quiet: dict[str, int] | None) -> dict[str, int]:
    said = drive(driver, served, EVENTS, RATE)
    found: dict[str, int] = said["latency"]
    against = quiet or found
    print(
        f"{name:24} {found['p50'] / 1000:8.1f} {found['p99'] / 1000:8.1f} {found['p999'] / 1000:8.1f} "
        f"{found['p50'] / against['p50']:12.1f} x, {found['p99'] / against['p99']:.1f} x {said['not_200']:16} "
        f"{said['lag']['p99'] / 1000:14.1f}",
        flush=True,
    )
    for title, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")):
        yardstick = quiet[key] / 1000 if quiet else None
        record("hostile", f"{name}: {title}", found[key] / 1000, latency_unit(said), "no attack", yardstick)
    return found


if __name__ == "__main__":
    sys.exit(main())
