"""SIGKILL at random moments under load: nothing that was acknowledged is lost, nothing is there twice."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.postgres import connect
from tests.crash.oracle import Driver, Verdict, drain, judge
from tests.crash.processes import Machine, Program, wait_until

# How often each program is killed; TEST_KILLS says otherwise.
_KILLS = int(os.environ.get("TEST_KILLS", "20"))
_SOAK_KILLS = int(os.environ.get("TEST_KILLS", "200"))
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
        for number in range(kills):
            if number % 2:
                time.sleep(chance.uniform(0, 1.2))  # often while it is still starting, or recovering
                _kill_collector(machine, chance.choice(("tree", "worker", "supervisor")))
            else:
                driver.wait_for_more(chance.randint(1, 300))
                _kill_collector(machine, chance.choice(("tree", "worker")))
    verdict = _finish(machine, connection)
    assert machine.collector.kills >= kills
    assert verdict.recovered_segments >= kills / 4, "too few kills left a segment open"


@kills
def test_a_killed_loader_loads_every_segment_once(machine: Machine, connection: psycopg.Connection, kills: int) -> None:
    """A load is one transaction with its ledger row: it happened or it did not."""
    machine.start()
    with Driver(machine, seed=kills).sending():
        caught = _kill_again_and_again(machine.loader, connection, kills)
    _finish(machine, connection)
    assert machine.loader.kills >= kills
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
    assert machine.processor.kills >= kills
    assert caught >= kills / 4, "too few kills fell into a transaction"


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
