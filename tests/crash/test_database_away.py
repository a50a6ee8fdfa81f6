"""PostgreSQL away, stuck, or cutting connections: it costs nothing but time."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.postgres import connect
from tests.crash.database import Database
from tests.crash.oracle import Driver, Verdict, drain, judge
from tests.crash.processes import Machine, Program, wait_until

_CUTS = 20


@pytest.fixture
def database(
    make_postgres: Callable[[Path], EmbeddedPostgres], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("database")
    database = Database(make_postgres(folder), folder)
    yield database
    if database.is_running:
        database.give_back("hanging")  # a stopped process cannot be stopped


@pytest.mark.parametrize(
    ("how", "seconds"),
    [
        ("stopped", 10),
        ("killed", 3),
        ("hanging", 4),
        pytest.param("stopped", 60, marks=pytest.mark.soak),
        pytest.param("killed", 60, marks=pytest.mark.soak),
        pytest.param("hanging", 60, marks=pytest.mark.soak),
    ],
)
def test_every_batch_is_answered_200_while_the_database_is(
    make_machine: Callable[[str], Machine], database: Database, how: str, seconds: int
) -> None:
    """The collector never notices; what piled up in the spool is loaded once afterwards."""
    machine = make_machine(database.dsn)
    machine.start()
    with Driver(machine).sending() as driver:
        driver.wait_for_more(500)
        database.take_away(how)
        assert database.is_away()
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            driver.wait_for_more()
            time.sleep(0.2)
        wait_until(lambda: len(machine.waiting_segments()) > 5 * seconds / 4, "segments to pile up")
        assert database.is_away()
        database.give_back(how)
        driver.wait_for_more(500)
    assert set(driver.answers) == {"200"}, "the database's absence was felt at the door"
    _finish(machine)


def test_sessions_cut_in_the_middle_of_their_work_lose_and_repeat_nothing(machine: Machine) -> None:
    """The loader's and the processor's sessions are terminated again and again within their transactions."""
    machine.start()
    query = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = %s and xact_start is not null and backend_xid is not null"
    )
    with connect(machine.dsn) as connection, Driver(machine).sending():
        for number in range(_CUTS):
            session, wait_for_more = (("sillok load", _wait_for_load), ("sillok process", _wait_for_run))[number % 2]
            wait_until(lambda s=session: connection.execute(query, (s,)).fetchall(), f"`{session}` to be at work")
            wait_for_more(connection)
    for program in (machine.loader, machine.processor):
        assert _connections(program) > _CUTS / 4
    _finish(machine)


def _connections(program: Program) -> int:
    return program.output.read_bytes().count(b'"database_connected"')


def test_two_loaders_on_one_spool_load_every_segment_once(machine: Machine) -> None:
    """The second one fails on the ledger's key, or finds the work done, and goes on."""
    second = machine.program("load", name="second load", SILLOK_LOAD_DSN=machine.dsn)
    loaders = (machine.loader, second)
    machine.collector.start()
    machine.processor.start()
    machine.wait_until_ready()
    with Driver(machine).sending() as driver:
        for start in (1, 2):
            driver.wait_for_more()
            wait_until(lambda: len(machine.waiting_segments()) > 8, "segments to pile up")
            machine.loader.start()
            second.start()
            wait_until(lambda n=start: all(_connections(x) >= n for x in loaders), "both loaders to connect")
            piled_up = {path.with_suffix(".sealed") for path in machine.waiting_segments()}
            wait_until(lambda p=piled_up: not any(map(Path.exists, p)), "the loaders to load what had piled up")
            # One may have taken all of that; there is more to come for the other.
            wait_until(
                lambda: all(b"segment_loaded" in x.output.read_bytes() for x in loaders), "each to load something"
            )
            assert (machine.loader.status, second.status) == (None, None), "a loader gave up"
            assert (machine.loader.terminate(), second.terminate()) == (0, 0)
    machine.loader.start()
    _finish(machine)


def test_of_two_processors_one_works_and_the_other_takes_over(machine: Machine) -> None:
    """Each is killed in turn; no load is cleaned twice, and none waits for long."""
    second = machine.program("process", name="second process", SILLOK_PROCESS_DSN=machine.dsn)
    machine.start()
    second.start()
    with connect(machine.dsn) as connection, Driver(machine).sending() as driver:
        for number in range(4):
            driver.wait_for_more(50)
            victim = (machine.processor, second)[number % 2]
            _wait_for_run(connection)
            victim.kill()
            _wait_for_run(connection)
            victim.start()
        assert connection.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (1,)
    for processor in (machine.processor, second):
        assert b"batch_processed" in processor.output.read_bytes(), f"{processor.name} had nothing to do"
        assert processor.status is None
    _finish(machine)


def _wait_for_load(connection: psycopg.Connection) -> None:
    _wait_for_growth(connection, "select coalesce(max(load_id), 0) from ops.loads where loaded > 0")


def _wait_for_run(connection: psycopg.Connection) -> None:
    _wait_for_growth(connection, "select coalesce(max(run_id), 0) from ops.runs where loaded > 0")


def _wait_for_growth(connection: psycopg.Connection, query: str) -> None:
    """Return once something was committed that had not been before."""
    (before,) = connection.execute(query).fetchone() or (0,)
    wait_until(lambda: (connection.execute(query).fetchone() or (0,))[0] > before, f"more of `{query}`")


def _finish(machine: Machine) -> Verdict:
    """Stop the collector cleanly, wait for the rest, and judge."""
    assert machine.collector.terminate() == 0
    with connect(machine.dsn) as connection:
        drain(machine, connection)
        verdict = judge(connection, machine.folder / "journals")
    print(verdict)
    verdict.assert_clean()
    assert verdict.acknowledged > 1_000
    assert verdict.duplicates > 0
    return verdict
