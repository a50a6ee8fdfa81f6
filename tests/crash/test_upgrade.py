"""An upgrade as it is done: new schema under load, new programs one after the other, nothing acknowledged lost."""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest

from storage.loader import Loader, LoadSettings
from storage.migrate import _RECORDS, available
from storage.postgres import connect
from storage.sink import PostgresSink
from storage.spool.folder import SpoolFolder
from tests.builders import fresh_database
from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, wait_until

_BEFORE = 7
"""The migration at which the old version stood."""


@pytest.fixture
def old_dsn(postgres: str) -> Iterator[str]:
    """Yield a database as the old version left it."""
    with fresh_database(postgres, "template1") as dsn:
        with connect(dsn) as connection:
            connection.execute(_RECORDS)
            for number, name, sql in available():
                if number <= _BEFORE:
                    with connection.transaction():
                        connection.execute("insert into ops.migrations (number, name) values (%s, %s)", (number, name))
                        connection.execute(sql.encode())
        yield dsn


def test_an_upgrade_under_load_loses_nothing(make_machine: Callable[[str], Machine], old_dsn: str) -> None:
    """The schema changes while a loader loads; then loader, processor and collector start anew, under load."""
    machine, dsn = make_machine(old_dsn), old_dsn
    machine.collector.start()
    machine.wait_until_ready()
    stop = threading.Event()
    old = Loader(LoadSettings(poll_ms=20), partial(PostgresSink.open, dsn), [SpoolFolder(machine.spool)], 7)
    loading = threading.Thread(target=old.run, args=(stop,))
    migration = machine.program("migrate", SILLOK_MIGRATE_DSN=dsn)
    with Driver(machine).sending() as driver, connect(dsn) as connection:
        machine.processor.start()
        assert machine.processor.wait() == 2, "a program must not work on a schema it does not know"
        assert "run `sillok migrate`" in machine.processor.output.read_text(encoding="utf-8")
        loading.start()
        driver.wait_for_more(300)
        wait_until(lambda: _loaded(connection) > 0, "the old loader to load")
        migration.start()
        assert migration.wait() == 0
        at_migration = _loaded(connection)
        wait_until(lambda: _loaded(connection) > at_migration, "the old loader to go on")
        stop.set()
        loading.join()
        machine.loader.start()
        machine.processor.start()
        driver.wait_for_more(200)
        assert machine.collector.terminate() == 0
        machine.collector.start()
        machine.wait_until_ready()
        driver.wait_for_more(200)
    assert machine.collector.terminate() == 0
    with connect(dsn) as connection:
        drain(machine, connection)
        judge(connection, driver.folder).assert_clean()


def test_an_old_version_refuses_what_is_newer_and_loses_nothing(
    machine: Machine, connection: psycopg.Connection
) -> None:
    """Somebody starts the old programs on the new database: they say what to install, and the spool keeps all."""
    machine.collector.start()
    machine.wait_until_ready()
    with Driver(machine).sending() as driver:
        driver.wait_for_more(100)
    connection.execute("insert into ops.migrations (number, name) values (9000, 'of_tomorrow')")
    for program in (machine.loader, machine.processor):
        program.start()
        assert program.wait() == 2
        assert "install the newer Sillok" in program.output.read_text(encoding="utf-8")
    connection.execute("delete from ops.migrations where number = 9000")
    for program in (machine.loader, machine.processor):
        program.start()
    assert machine.collector.terminate() == 0
    drain(machine, connection)
    judge(connection, driver.folder).assert_clean()


def _loaded(connection: psycopg.Connection) -> int:
    return (connection.execute("select count(*) from ops.loads").fetchone() or (0,))[0]
