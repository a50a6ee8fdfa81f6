"""Several collectors behind one balancer, into one database: killed in turn under load, the books balance over all."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, wait_until
from tests.pulling import Wire

_COLLECTORS = 3
_ROUNDS = 3


@pytest.fixture
def machines(dsn: str, tmp_path: Path) -> Iterator[list[Machine]]:
    """Yield machines with a spool and a loader each, on one database; one processor works, another waits."""
    made = []
    for number in range(_COLLECTORS):
        folder = tmp_path / f"machine-{number}"
        folder.mkdir()
        made.append(Machine(folder, dsn))
    yield made
    for machine in made:
        machine.clean_up()


def test_collectors_that_are_killed_in_turn_lose_nothing(
    machines: list[Machine], connection: psycopg.Connection, tmp_path: Path
) -> None:
    """The balancer knows nothing of who is up: what meets a dead collector is sent again, to the next one."""
    chance = random.Random(3)
    spare = machines[1].processor
    spare.start()
    for machine in machines:
        machine.collector.start()
        machine.loader.start()
    machines[0].processor.start()
    for machine in machines:
        machine.processor = machines[0].processor
        machine.wait_until_ready()
    with Wire(itertools.cycle(machine.port for machine in machines)).laid() as balancer:
        front = SimpleNamespace(folder=tmp_path, port=balancer.port)
        with Driver(front, keep_alive=False, resent=0.2).sending() as driver:
            for machine in machines * _ROUNDS:
                driver.wait_for_more(chance.randint(50, 200))
                chance.choice([machine.collector, machine.loader]).kill()
                driver.wait_for_more(100)
                for program in (machine.collector, machine.loader):
                    if program.status is not None:
                        program.start()
            for machine in machines:
                machine.wait_until_ready()
            driver.wait_for_more(200)
    for machine in machines:
        assert machine.collector.terminate() == 0
    for machine in machines:
        drain(machine, connection)
    verdict = judge(connection, driver.folder)
    verdict.assert_clean()
    assert verdict.duplicates > 0
    spools = connection.execute("select count(distinct spool_id) from ops.loads where loaded > 0").fetchone()
    assert spools == (_COLLECTORS,)
    wait_until(lambda: spare.status is None, "the waiting processor to live")
