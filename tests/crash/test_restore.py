"""The database is restored to an earlier point while the collector goes on: what is missing is loaded again."""

import psycopg

from storage.postgres import connect
from tests.conftest import with_database
from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, wait_until

_LEDGER = "select slot, segment from ops.loads"


def _ledger(dsn: str) -> set[tuple[int, int]]:
    with connect(dsn) as connection:
        return set(connection.execute(_LEDGER).fetchall())


def test_a_restored_database_gets_exactly_what_it_lacks(machine: Machine, postgres: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(machine.dsn)["dbname"]
    inside = (machine.loader, machine.processor)
    machine.start()
    with Driver(machine).sending() as driver, psycopg.connect(postgres, autocommit=True) as admin:
        driver.wait_for_more(500)
        for program in inside:
            assert program.terminate() == 0
        admin.execute(f"create database {name}_backup template {name}")
        kept = _ledger(with_database(postgres, f"{name}_backup"))
        for program in inside:
            program.start()
        driver.wait_for_more(500)
        wait_until(lambda: len(_ledger(machine.dsn) - kept) > 3, "some loads that will be forgotten")
        for program in inside:
            program.kill()
        forgotten = _ledger(machine.dsn) - kept
        archived = {path.name for path in machine.spool.glob("slot-*/archive/*.sealed")}
        assert len(archived) >= len(forgotten), "what was released is still in its grace period"
        admin.execute(f"drop database {name} with (force)")
        admin.execute(f"alter database {name}_backup rename to {name}")
        for program in inside:
            program.start()
        driver.wait_for_more(300)
    assert machine.collector.terminate() == 0
    with connect(machine.dsn) as connection:
        drain(machine, connection)
        judge(connection, driver.folder).assert_clean()
        again = [
            segment
            for (segment,) in connection.execute(
                "select l.segment from ops.loads l where (l.slot, l.segment) in (select * from unnest(%s::int[], %s::bigint[]))",
                ([slot for slot, _ in forgotten], [segment for _, segment in forgotten]),
            )
        ]
    assert sorted(again) == sorted(segment for _, segment in forgotten)
    lines = machine.loader.output.read_text(encoding="utf-8").splitlines()
    assert sum('"segments_recalled"' in line for line in lines) == 1
