"""PostgreSQL slow, locked, or out of connections: nothing is lost, nothing is put aside, nobody is hasty."""

import contextlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.postgres import connect
from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, wait_until

_SLOW = """
create function public.dawdle() returns trigger language plpgsql as $$
begin
    perform pg_sleep(0.3);
    return new;
end $$;
create trigger dawdle before insert on ops.loads for each row execute function public.dawdle()
"""
_LOADS = "select count(*) from ops.loads where loaded > 0"


def finish(machine: Machine) -> None:
    """Stop the collector cleanly, wait for the rest, and judge."""
    assert machine.collector.terminate() == 0
    with connect(machine.dsn) as connection:
        drain(machine, connection)
        verdict = judge(connection, machine.folder / "journals")
    print(verdict)
    verdict.assert_clean()
    assert verdict.acknowledged > 200


def test_a_slow_database_delays_and_costs_nothing(machine: Machine) -> None:
    """Loads fall behind; the collector answers on."""
    machine.start()
    with connect(machine.dsn) as connection, Driver(machine).sending() as driver:
        connection.execute(_SLOW)
        wait_until(lambda: len(machine.waiting_segments()) > 5, "segments to pile up")
        driver.wait_for_more(100)
        connection.execute("drop trigger dawdle on ops.loads")
        assert set(driver.answers) == {"200"}
    finish(machine)


@pytest.mark.parametrize("table", ["raw.events", "ops.loads"])
def test_a_lock_in_the_way_is_waited_for(machine: Machine, table: str) -> None:
    """An administrator's lock stops the loader for as long as it is held; no event is taken for bad."""
    machine.start()
    with connect(machine.dsn) as connection, connect(machine.dsn) as watcher, Driver(machine).sending() as driver:
        driver.wait_for_more(100)
        waiting = (
            "select count(*) from pg_stat_activity where application_name = 'sillok load' and wait_event_type = 'Lock'"
        )
        with connection.transaction():
            connection.execute(f"lock table {table} in access exclusive mode")
            wait_until(lambda: watcher.execute(waiting).fetchone() != (0,), "the loader to wait for the lock")
            wait_until(lambda: len(machine.waiting_segments()) > 5, "segments to pile up")
            driver.wait_for_more(100)
        assert set(driver.answers) == {"200"}
    finish(machine)


@pytest.fixture
def small_server(
    make_postgres: Callable[[Path], EmbeddedPostgres], tmp_path_factory: pytest.TempPathFactory
) -> tuple[EmbeddedPostgres, Path, str]:
    """Return a server of the test's own that lets few in, its folder and its DSN."""
    folder = tmp_path_factory.mktemp("database")
    server = make_postgres(folder)
    dsn = server.start()
    with connect(dsn) as connection:
        list(migrate(connection))
        connection.execute("alter system set max_connections = 12")
        connection.execute("alter system set shared_buffers = '32MB'")
    server.stop()
    return server, folder, server.start()


def test_a_database_without_a_free_connection_is_waited_out(make_machine, small_server) -> None:
    """Refused connections (53300) are tried again, ever more slowly, until there is room."""
    _, _, dsn = small_server
    machine = make_machine(dsn)
    machine.start()
    with Driver(machine).sending() as driver, contextlib.ExitStack() as taken:
        driver.wait_for_more(100)
        admin = taken.enter_context(connect(dsn))
        ours = "select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('sillok load', 'sillok process')"

        def is_piled_up() -> bool:
            # A backend that was thrown out keeps its place for a moment, and the loader may be the next to have it.
            return _is_full(admin, ours, dsn, taken) and len(machine.waiting_segments()) > 5

        wait_until(lambda: _is_full(admin, ours, dsn, taken), "every connection to be taken")
        wait_until(lambda: b"too many clients" in machine.loader.output.read_bytes(), "the loader to be refused")
        wait_until(is_piled_up, "segments to pile up")
        driver.wait_for_more(100)
        attempts = machine.loader.output.read_bytes().count(b"database_unavailable")
        assert attempts < 10, "the loader knocks, and says so, again and again"
        assert set(driver.answers) == {"200"}
        taken.close()
        driver.wait_for_more(100)
    finish(machine)


def _is_full(admin: psycopg.Connection, throw_out: str, dsn: str, taken: contextlib.ExitStack) -> bool:
    """Throw loader and processor out and take every place; say whether they are out and none is left."""
    admin.execute(throw_out)
    try:
        while True:
            taken.enter_context(psycopg.connect(dsn))
    except psycopg.OperationalError:
        names = "select count(*) from pg_stat_activity where application_name in ('sillok load', 'sillok process')"
        return admin.execute(names).fetchone() == (0,)


def test_a_database_restored_to_the_past_gets_again_what_it_forgot(make_machine, small_server) -> None:
    """What was loaded since is still in the grace archive: it is loaded again, once, and the books balance."""
    server, folder, dsn = small_server
    machine = make_machine(dsn)
    backup = folder.parent / f"{folder.name}-backup"
    machine.start()
    with Driver(machine).sending() as driver:
        driver.wait_for_more(300)
        wait_until(lambda: _count(dsn, _LOADS) > 3, "some loads")
        server.stop()
        _copy(folder, backup)
        server.start()
        known = _count(dsn, _LOADS)
        wait_until(lambda: _count(dsn, _LOADS) > known + 5, "loads that the backup does not know")
        driver.wait_for_more(100)
        server.stop()
        shutil.rmtree(folder)
        _copy(backup, folder)
        server.start()
        driver.wait_for_more(100)
        assert set(driver.answers) == {"200"}
    finish(machine)
    assert b"segments_recalled" in machine.loader.output.read_bytes()


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with its owners: PostgreSQL does not run as root."""
    subprocess.run(["cp", "-a", source, target], check=True)


def _count(dsn: str, query: str) -> int:
    with connect(dsn) as connection:
        (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)
