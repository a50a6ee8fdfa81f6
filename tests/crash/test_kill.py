"""SIGKILL at random moments under load: nothing that was acknowledged is lost, nothing is there twice."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.postgres import connect
from tests.crash.oracle import Driver, Verdict, drain, judge
from tests.crash.processes import Machine, Program, is_alive, wait_until

# How often each program is killed; TEST_KILLS says otherwise.
_KILLS = int(os.environ.get("TEST_KILLS", "20"))
_SOAK_KILLS = int(os.environ.get("TEST_KILLS", "200"))
_MOMENT_S = 10.0

kills = pytest.mark.parametrize(
    "kills", [pytest.param(_KILLS, id="short"), pytest.param(_SOAK_KILLS, id="soak", marks=pytest.mark.soak)]
)


@kills
def test_a_killed_collector_loses_nothing_it_acknowledged(
    machine: Machine, connection: psycopg.Connection, kills: int
) -> None:
    """Workers, supervisors and whole trees are killed; what is left open is recovered, answered events all stay."""
    chance = random.Random(kills)
    machine.start()
    with Driver(machine, seed=kills).sending() as driver:
        for number in range(kills):
            if number % 2:
                time.sleep(chance.uniform(0, 1.2))  # often while it is still starting, or recovering
                _kill_collector(machine, chance.choice(("tree", "worker", "supervisor")))
            else:
                driver.wait_for_more(chance.randint(50, 400))
                _kill_collector(machine, chance.choice(("tree", "worker")))
    verdict = _finish(machine, connection)
    assert machine.collector.kills >= kills
    assert verdict.recovered_segments >= kills / 4, "too few kills left a segment open"


@kills
def test_a_killed_loader_loads_every_segment_once(machine: Machine, connection: psycopg.Connection, kills: int) -> None:
    """A load is one transaction with its ledger row: it happened or it did not, whatever the spool still holds."""
    machine.start()
    query = "select count(*) from ops.loads where loaded > 0"
    with Driver(machine, seed=kills).sending():
        caught = _kill_again_and_again(machine.loader, connection, query, kills)
    _finish(machine, connection)
    assert machine.loader.kills >= kills
    assert caught >= kills / 4, "too few kills fell into a transaction"


@kills
def test_a_killed_processor_cleans_every_load_once(
    machine: Machine, connection: psycopg.Connection, kills: int
) -> None:
    """A run is one transaction with its claim: it happened or it did not."""
    machine.start()
    query = "select count(*) from ops.runs where loaded > 0"
    with Driver(machine, seed=kills).sending():
        caught = _kill_again_and_again(machine.processor, connection, query, kills)
    _finish(machine, connection)
    assert machine.processor.kills >= kills
    assert caught >= kills / 4, "too few kills fell into a transaction"


def test_a_collector_waits_for_the_worker_of_a_killed_predecessor(machine: Machine) -> None:
    """The orphan still has port and slot for a moment; that is no reason to refuse to start."""
    collector = machine.collector
    collector.start()
    machine.wait_until_ready()
    (orphan,) = collector.children()
    os.kill(orphan, signal.SIGSTOP)  # as slow as it gets
    collector.kill(whole_tree=False)
    collector.start()
    wait_until(
        lambda: collector.status is not None or b"predecessor_awaited" in collector.output.read_bytes(),
        "the collector to find the port taken",
    )
    assert collector.status is None, f"it gave up with status {collector.status}"
    os.kill(orphan, signal.SIGCONT)
    machine.wait_until_ready()
    assert not is_alive(orphan)
    assert collector.terminate() == 0


def test_up_starts_again_what_is_killed_and_can_be_killed_itself(
    make_machine: Callable[[str], Machine], make_postgres: Callable[[Path], EmbeddedPostgres]
) -> None:
    """`sillok up` replaces each part that dies; when it dies itself, the next one takes everything over."""
    machine = make_machine("")
    up = machine.program("up", SILLOK_DATA_FOLDER=str(machine.folder), **machine.ports())
    up.start()
    machine.wait_until_ready(up)
    with Driver(machine).sending() as driver:
        for part in ("process", "load", "serve"):
            driver.wait_for_more(100)
            up.kill_process(*up.children(part))
            wait_until(lambda part=part: up.children(part), f"another `sillok {part}`")
        driver.wait_for_more(500)
        up.kill(whole_tree=False)
        up.start()
        machine.wait_until_ready(up)
        driver.wait_for_more(500)
    assert up.terminate() == 0
    postgres = make_postgres(machine.folder / "postgres")
    machine = make_machine(postgres.start())
    machine.loader.start()
    machine.processor.start()
    with connect(machine.dsn) as connection:
        drain(machine, connection)
        verdict = judge(connection, driver.folder)
    verdict.assert_clean()
    assert verdict.acknowledged > 1_000
    assert up.kills == 4


def _kill_collector(machine: Machine, victim: str) -> None:
    collector = machine.collector
    assert collector.status is None, f"the collector ended by itself with status {collector.status}"
    if victim != "tree":
        wait_until(lambda: collector.children() or collector.status is not None, "the supervisor to start a worker")
    if victim == "worker":
        collector.kill_process(*collector.children())  # its supervisor starts another one
    else:
        # A worker without its supervisor stops by itself, while the next tree is being started.
        collector.kill(whole_tree=victim == "tree")
        collector.start()


def _kill_again_and_again(program: Program, connection: psycopg.Connection, committed: str, kills: int) -> int:
    """Kill the program at random, within a transaction, or right after a commit; return how often within.

    `committed` counts its commits. What follows a commit, such as the release of a segment, is soon over.
    """
    chance = random.Random(kills)
    working = (
        "select count(*) from pg_stat_activity"
        " where application_name = %s and xact_start is not null and backend_xid is not null"
    )
    caught = 0
    for number in range(kills):
        moment = number % 4
        if moment == 0:
            time.sleep(chance.uniform(0, 1.2))
        elif moment == 1:
            (before,) = connection.execute(committed).fetchone() or (0,)
            _spin_until(lambda before=before: connection.execute(committed).fetchone() != (before,))
        else:
            caught += _spin_until(lambda: connection.execute(working, (f"sillok {program.name}",)).fetchone() != (0,))
            time.sleep(chance.uniform(0, 0.02))
        program.kill()
        program.start()
    return caught


def _spin_until(condition: Callable[[], bool]) -> bool:
    """Return as soon as the condition holds; False when it did not for a while."""
    patience_ends = time.monotonic() + _MOMENT_S
    while time.monotonic() < patience_ends:
        if condition():
            return True
        time.sleep(0.001)  # or the watching takes the time that the watched one needs
    return False


def _finish(machine: Machine, connection: psycopg.Connection) -> Verdict:
    """Let fresh events through, stop the collector cleanly, wait for the rest, and judge."""
    if machine.collector.status is not None:
        machine.collector.start()
    machine.wait_until_ready()
    with Driver(machine, senders=1).sending() as fresh:
        fresh.wait_for_more(100)
    assert machine.collector.terminate() == 0
    drain(machine, connection)
    verdict = judge(connection, fresh.folder)
    print(verdict)
    verdict.assert_clean()
    assert verdict.acknowledged > 1_000
    assert verdict.duplicates > 0
    return verdict
