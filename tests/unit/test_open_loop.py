"""The benchmark's driver measures what it says: from when a request was due, and every request once."""

import contextlib
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "benchmarks" / "open_loop.c"
RATE, SECONDS, STALL_S, CONNECTIONS = 200, 2, 1.0, 16
REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n%d"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("the driver is written in C, and there is no compiler")
    program = tmp_path_factory.mktemp("driver") / "open_loop"
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE], check=True)
    return program


@contextlib.contextmanager
def server(answer: bytes, stall_s: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the port of a server that stalls once, when the schedule begins, and the bodies it was sent."""
    bodies: list[bytes] = []
    started = threading.Event()
    opened = threading.Event()

    def stall() -> None:
        started.wait()
        time.sleep(stall_s)
        opened.set()

    def serve(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while stream.readline():
                if len(bodies) >= CONNECTIONS:  # before, each connection has sent its first
                    started.set()
                    opened.wait()
                while stream.readline() != b"\r\n":
                    pass
                bodies.append(stream.read(1))
                connection.sendall(answer)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept), threading.Thread(target=stall)]
        for thread in threads[:2]:
            thread.start()
        try:
            yield listener.getsockname()[1], bodies
        finally:
            started.set()
            listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def drive(driver: Path, port: int, folder: Path, connections: int = CONNECTIONS) -> dict:
    requests = folder / "requests"
    requests.write_bytes(b"".join(struct.pack("<I", len(REQUEST % n)) + REQUEST % n for n in range(3)))
    command = [driver, *map(str, (port, connections, RATE, SECONDS)), requests]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_stall_is_charged_to_every_request_that_was_due(driver: Path, tmp_path: Path) -> None:
    """A closed loop would see 16 slow answers, one a connection, and a p90 of nothing."""
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", STALL_S) as (port, _):
        said = drive(driver, port, tmp_path)

    assert (said["sent"], said["answered"], said["not_200"]) == (RATE * SECONDS, RATE * SECONDS, 0)
    assert said["latency"]["p90"] > STALL_S / 2 * 1_000_000


def test_every_request_is_sent_in_turn_and_every_refusal_counted(driver: Path, tmp_path: Path) -> None:
    with server(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as (port, bodies):
        said = drive(driver, port, tmp_path)

    assert said["not_200"] == said["answered"] == len(bodies) - CONNECTIONS == RATE * SECONDS
    assert {body: bodies.count(body) for body in sorted(set(bodies))} == {b"0": 139, b"1": 139, b"2": 138}
