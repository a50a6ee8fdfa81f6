"""A spool's disk that is full or slow, and a collector without file descriptors."""

import contextlib
import errno
import os
import re
import resource
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.crash.conftest import Start
from tests.crash.dying import Point
from tests.crash.oracle import Driver, drain, finish, judge
from tests.crash.processes import HOST, Machine, wait_until
from tests.patience import PATIENCE_S

_FULL_TIMES = 3
_DESCRIPTORS = 64
_FLOOD = 200
_MIB = 1024 * 1024


def test_a_full_disk_refuses_loses_nothing_and_heals(
    machine: Machine, connection: psycopg.Connection, small_disk: Path
) -> None:
    """ENOSPC wherever it strikes: 503 until there is room, then on without anybody's help."""
    machine.collector = machine.program("serve", **machine.ports(), SILLOK_SPOOL_FREE_BYTES_MIN="65536")
    machine.start()
    with Driver(machine).sending() as driver:
        for turn in range(1, _FULL_TIMES + 1):
            driver.wait_for_more(100)
            with _ballast(small_disk):
                wait_until(lambda: _failures(machine) >= turn, "a write that finds no room")  # noqa: B023
                refused = driver.answers["503"]
                wait_until(lambda: driver.answers["503"] > refused, "a batch to be refused")  # noqa: B023
            driver.wait_for_more(100)
    assert machine.collector.status is None
    wait_until(lambda: _recovered(machine) >= _FULL_TIMES, "what was recovered to be in the metrics")
    assert set(driver.answers) <= {"200", "503"}
    assert machine.collector.output.read_bytes().count(b"spool_resumed") >= _FULL_TIMES
    assert b"worker_died" not in machine.collector.output.read_bytes()
    finish(machine, connection)


def _failures(machine: Machine) -> int:
    """Return how often the writer met ENOSPC itself, not only a disk that is almost full."""
    return machine.collector.output.read_bytes().count(f"OSError({errno.ENOSPC}".encode())


def _recovered(machine: Machine) -> float:
    """Return how many segments the collector says it has recovered."""
    with urllib.request.urlopen(f"http://{HOST}:{machine.admin_port}/metrics", timeout=30) as answer:
        found = re.search(rb'sillok_recovered_total\{finding="segments"\} ([\d.]+)', answer.read())
    return float(found[1]) if found else 0.0


@contextlib.contextmanager
def _ballast(disk: Path) -> Iterator[None]:
    """Take every byte of the disk, again and again, for as long as the block runs."""
    path = disk / "ballast"
    stop = False

    def fill() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop:
                try:
                    file.write(bytes(4096))
                except OSError:
                    time.sleep(0.005)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        stop = True
        thread.join()
        path.unlink()


def test_without_file_descriptors_nothing_answered_is_lost(machine: Machine, connection: psycopg.Connection) -> None:
    """Connections by the hundred leave none for a new segment: 503, and on once they are gone, in the same process."""
    machine.start()
    (worker,) = machine.collector.children()
    resource.prlimit(machine.collector.pid, resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    machine.collector.kill_process(worker)  # the next one inherits the limit
    wait_until(lambda: machine.collector.children() not in ([], [worker]), "the next worker")
    machine.wait_until_ready()
    workers = machine.collector.children()
    with Driver(machine).sending() as driver:
        driver.wait_for_more(100)
        with contextlib.ExitStack() as flood:
            for _ in range(_FLOOD):
                with contextlib.suppress(OSError):
                    flood.enter_context(socket.create_connection((HOST, machine.port), timeout=2))
            output = machine.collector.output.read_bytes
            wait_until(lambda: f"OSError({errno.EMFILE}".encode() in output(), "the lack of descriptors to be felt")
        driver.wait_for_more(200)
    assert machine.collector.children() == workers
    finish(machine, connection)


@pytest.mark.parametrize("seconds", [5, pytest.param(600, marks=pytest.mark.soak)])
def test_a_slow_disk_under_load_bounds_the_memory(
    machine: Machine,
    connection: psycopg.Connection,
    start: Start,
    seconds: int,
) -> None:
    """No database, a sync of 0.2 s, more batches than the queue takes: 503 for the rest, and memory stays flat."""
    worker = start("worker", Point("sync", "group", "slow", 0))
    with Driver(machine, senders=24, pause_s=0, keep_alive=True).sending() as driver:
        driver.wait_for_more(500)
        wait_until(lambda: driver.answers["503"] > 20, "the queue to be full")
        before = _resident_bytes(worker.pid)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            driver.wait_for_more()
            time.sleep(0.1)
        grown = _resident_bytes(worker.pid) - before
    print(driver.answers, f"{before / _MIB:.0f} MiB, grown by {grown / _MIB:.1f} MiB")
    assert grown < 32 * _MIB
    assert set(driver.answers) <= {"200", "503", "refused"}, "it was late, or broke off"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    machine.loader.start()
    machine.processor.start()
    drain(machine, connection)
    verdict = judge(connection, machine.folder / "journals")
    verdict.assert_clean()
    assert verdict.taken_without_answer == 0


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
