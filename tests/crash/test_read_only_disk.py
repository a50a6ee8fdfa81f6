"""A spool's disk that turns read-only: before the start, under a running writer, and under the loader."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.crash.oracle import Driver, finish
from tests.crash.processes import Machine, wait_until

_ROOM = {"SILLOK_SPOOL_FREE_BYTES_MIN": "65536"}


def test_a_read_only_disk_is_said_and_waited_out(
    machine: Machine, connection: psycopg.Connection, small_disk: Path
) -> None:
    """The slot fails closed: not ready, no answer of 200; once it can be written again it goes on by itself."""
    machine.collector = machine.program("serve", **machine.ports(), **_ROOM)
    machine.start()
    with Driver(machine, senders=2).sending() as driver:
        driver.wait_for_more(100)
    # A disk that is being written to cannot be remounted.
    for program in (machine.collector, machine.loader):
        program.terminate()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    machine.collector.start()
    wait_until(lambda: b"worker_died" in machine.collector.output.read_bytes(), "the worker to find the disk read-only")
    assert b"spool_unavailable" in machine.collector.output.read_bytes()
    with Driver(machine, senders=2).sending() as driver:
        wait_until(lambda: driver.answers.total() > 5, "some tries")
        assert not machine.is_ready()
        assert driver.answers["200"] == 0
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        driver.wait_for_more(100)
    assert b"Traceback" not in machine.collector.output.read_bytes()
    machine.loader.start()
    finish(machine, connection)


def test_a_loader_waits_for_a_read_only_disk_with_one_sentence(
    machine: Machine, connection: psycopg.Connection, small_disk: Path
) -> None:
    """It loads what it can read, cannot release it, says so once, and goes on by itself."""
    machine.collector = machine.program("serve", **machine.ports(), **_ROOM)
    machine.collector.start()
    machine.processor.start()
    machine.wait_until_ready()
    with Driver(machine, senders=2).sending() as driver:
        driver.wait_for_more(100)
    assert machine.collector.terminate() == 0
    waiting = set(machine.waiting_segments())
    assert waiting
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    machine.loader.start()
    wait_until(lambda: b"spool_unavailable" in machine.loader.output.read_bytes(), "the loader to find it read-only")
    loads = connection.execute("select count(*) from ops.loads").fetchone()
    time.sleep(3)  # some tries more, of which nothing must be seen
    assert machine.loader.status is None
    assert set(machine.waiting_segments()) == waiting
    assert connection.execute("select count(*) from ops.loads").fetchone() == loads
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    wait_until(lambda: not machine.waiting_segments(), "the segments to be released")

    output = machine.loader.output.read_bytes()
    assert output.count(b"spool_unavailable") == output.count(b"spool_resumed") == 1
    assert b"Traceback" not in output
    machine.collector.start()
    machine.wait_until_ready()
    with Driver(machine, senders=2).sending() as driver:
        driver.wait_for_more(100)
    finish(machine, connection)


@pytest.fixture
def failing_disk(machine: Machine, tmp_path: Path) -> Iterator[Path]:
    """Yield the machine's spool on an ext4 of its own, which turns read-only at an error; `_repair` mends it."""
    image = tmp_path / "disk.ext4"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    machine.spool.mkdir()
    for command in (["mkfs.ext4", "-q", "-F", str(image)], _mount(image, machine.spool)):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a file system of the test's own needs ext4's tools and the right to mount")
    yield image
    machine.clean_up()
    subprocess.run(["umount", "--lazy", str(machine.spool)], check=True)


def _mount(image: Path, at: Path) -> list[str]:
    return ["mount", "-o", "loop,errors=remount-ro", str(image), str(at)]


def test_a_disk_that_turns_read_only_under_a_running_writer_loses_nothing(
    machine: Machine, connection: psycopg.Connection, failing_disk: Path
) -> None:
    """EROFS in the midst of a group, as after an I/O error of the journal: no answer of 200 until it is mended."""
    machine.collector = machine.program("serve", **machine.ports(), **_ROOM)
    machine.start()
    with Driver(machine).sending() as driver:
        driver.wait_for_more(200)
        subprocess.run(["mount", "-o", "remount,abort", str(machine.spool)], check=True)
        wait_until(lambda: b"Read-only file system" in machine.collector.output.read_bytes(), "the writer to meet it")
        wait_until(lambda: not machine.is_ready(), "the collector to say that it takes nothing")
        _some_tries(driver)  # of which the first may have been under way
        taken = driver.answers["200"]
        _some_tries(driver)
        assert driver.answers["200"] == taken
        assert machine.collector.terminate() == machine.loader.terminate() == 0
        _repair(failing_disk, machine.spool)
        machine.collector.start()
        machine.loader.start()
        driver.wait_for_more(200)
    for program in (machine.collector, machine.loader):
        assert b"Traceback" not in program.output.read_bytes()
    finish(machine, connection)


def _some_tries(driver: Driver) -> None:
    tries = driver.answers.total()
    wait_until(lambda: driver.answers.total() > tries + 50, "some tries")


def _repair(image: Path, at: Path) -> None:
    """Do what an operator does: unmount, check, mount."""
    wait_until(lambda: subprocess.run(["umount", str(at)], check=False).returncode == 0, "nobody to use the disk")
    assert subprocess.run(["fsck.ext4", "-p", str(image)], capture_output=True, check=False).returncode in {0, 1}
    subprocess.run(_mount(image, at), check=True)
