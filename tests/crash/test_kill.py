"""SIGKILL at random moments under load: nothing that was acknowledged is lost, nothing is there twice."""

import os
import random
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, Program, wait_until

# How often each program is killed; SILLOK_TEST_KILLS says otherwise.
_KILLS = int(os.environ.get("SILLOK_TEST_KILLS", "20"))
_SOAK_KILLS = int(os.environ.get("SILLOK_TEST_KILLS", "200"))
_IN_TRANSACTION_S = 3.0

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
        driver.wait_for_more()
        for _ in range(kills):
            time.sleep(chance.uniform(0, 0.8))
            if chance.random() < 0.5:
                driver.wait_for_more(100)
            _kill_collector(machine, chance.choice(("tree", "tree", "worker", "supervisor")))
    verdict = _finish(machine, connection)
    assert machine.collector.kills >= kills
    assert verdict.recovered_segments >= kills / 4, str(verdict)


@kills
def test_a_killed_loader_loads_every_segment_once(
    machine: Machine, connection: psycopg.Connection, kills: int
) -> None:
    """A load is one transaction with its ledger row: it happened or it did not."""
    machine.start()
    with Driver(machine, seed=kills).sending():
        caught = _kill_again_and_again(machine.loader, connection, kills)
    _finish(machine, connection)
    assert caught >= kills / 4, "too few kills fell into a transaction"


@kills
def test_a_killed_processor_cleans_every_load_once(
    machine: Machine, connection: psycopg.Connection, kills: int
) -> None:
    """A run is one transaction with its claim: it happened or it did not."""
    machine.start()
    with Driver(machine, seed=kills).sending():
        caught = _kill_again_and_again(machine.processor, connection, kills)
    _finish(machine, connection)
    assert caught >= kills / 4, "too few kills fell into a transaction"


def _kill_collector(machine: Machine, victim: str) -> None:
    collector = machine.collector
    if victim == "worker" and collector.children():
        collector.kill_child()  # its supervisor starts another one
        wait_until(lambda: collector.children(), "the supervisor to start another worker")
    else:
        # Without its supervisor a worker stops by itself, while the next tree is being started.
        collector.kill(whole_tree=victim != "supervisor")
        collector.start()
        wait_until(lambda: collector.status is not None or collector.children(), "the supervisor to start a worker")
        assert collector.status is None, f"the collector did not start again after its {victim} was killed"


def _kill_again_and_again(program: Program, connection: psycopg.Connection, kills: int) -> int:
    """Kill the program at random moments, every other time within a transaction; return how often it was."""
    chance = random.Random(kills)
    caught = 0
    for number in range(kills):
        if number % 2:
            time.sleep(chance.uniform(0, 1.5))
        else:
            caught += _wait_for_transaction(program, connection)
            time.sleep(chance.uniform(0, 0.01))
        program.kill()
        program.start()
    return caught


def _wait_for_transaction(program: Program, connection: psycopg.Connection) -> bool:
    """Return as soon as the program is seen at work; False when it was not for a while."""
    query = (
        "select count(*) from pg_stat_activity"
        " where application_name = %s and xact_start is not null and backend_xid is not null"
    )
    patience_ends = time.monotonic() + _IN_TRANSACTION_S
    while time.monotonic() < patience_ends:
        if connection.execute(query, (f"sillok {program.name}",)).fetchone() != (0,):
            return True
        time.sleep(0.001)
    return False


def _finish(machine: Machine, connection: psycopg.Connection) -> object:
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
