"""Machines that are cleaned up whatever happens, and whose output is shown when a test fails."""

import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector_server.settings import CollectorSettings
from collector_server.worker import WorkerOrder
from storage.embedded import EmbeddedPostgres
from storage.spool.settings import SpoolSettings
from tests.crash.dying import LoadOrder, Point
from tests.crash.processes import Machine

_SHOWN_BYTES = 12_000
_ROOT = Path(__file__).parents[2]
_SMALL_DISK = "size=4m"
# Little, so that a slow disk fills it.
_QUEUE_BYTES = 100_000
Start = Callable[[str, Point | None], subprocess.Popen[bytes]]
_MACHINES = pytest.StashKey[list[Machine]]()


@pytest.fixture
def make_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """Yield a function that makes a machine on a database."""
    machines = request.node.stash.setdefault(_MACHINES, [])

    def make(dsn: str) -> Machine:
        machines.append(Machine(tmp_path, dsn))
        return machines[-1]

    yield make
    for machine in machines:
        machine.clean_up()


@pytest.fixture
def machine(make_machine: Callable[[str], Machine], dsn: str) -> Machine:
    """Return a machine on a fresh database; nothing runs yet."""
    return make_machine(dsn)


@pytest.fixture
def make_postgres() -> Iterator[Callable[[Path], EmbeddedPostgres]]:
    """Yield a function that makes a PostgreSQL of the test's own on a folder; it is not started yet."""
    servers: list[EmbeddedPostgres] = []

    def make(folder: Path) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(folder))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def start(machine: Machine) -> Iterator[Start]:
    """Yield a function that starts the `worker` or the `loader` on a disk on which it will die at a point, or never."""
    processes: list[subprocess.Popen[bytes]] = []
    orders: dict[str, object] = {
        "worker": WorkerOrder(
            slot=0,
            serve=CollectorSettings(port=machine.port),
            spool=SpoolSettings(
                folder=str(machine.spool), segment_age_ms=200, heartbeat_ms=500, queue_bytes_max=_QUEUE_BYTES
            ),
        ),
        "loader": LoadOrder(machine.dsn, str(machine.spool)),
    }

    def start(part: str, point: Point | None) -> subprocess.Popen[bytes]:
        point = point or Point("never", "", "")
        with (machine.folder / f"{part}.output").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.dying", part, *map(str, msgspec.structs.astuple(point))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output,
                cwd=_ROOT,
            )
        processes.append(process)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(orders[part]) + b"\n")
        process.stdin.flush()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def small_disk(machine: Machine) -> Iterator[Path]:
    """Yield the machine's spool on a disk of 4 MiB of its own."""
    machine.spool.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", _SMALL_DISK, "tmpfs", str(machine.spool)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system of the test's own needs the right to mount")
    yield machine.spool
    for program in (machine.collector, machine.loader, machine.processor):
        program.clean_up()
    subprocess.run(["umount", "--lazy", str(machine.spool)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show the end of what every program printed."""
    report = yield
    if report.failed:
        for machine in item.stash.get(_MACHINES, []):
            for output in machine.outputs():
                text = output.read_bytes()[-_SHOWN_BYTES:].decode(errors="replace")
                report.sections.append((f"output of {output.stem}", text))
    return report
