"""Machines that are cleaned up whatever happens, and whose output is shown when a test fails."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.embedded import EmbeddedPostgres
from tests.crash.processes import Machine

_SHOWN_BYTES = 12_000
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
