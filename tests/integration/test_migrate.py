"""Migrations, and what each role can do: exactly what it must."""

import threading

import psycopg
import pytest

from contract.errors import SchemaTooNew
from storage.migrate import _RECORDS, applied, available, migrate, pending
from storage.postgres import connect
from tests.builders import fresh_database

SCHEMA = """
select table_schema, table_name, column_name, data_type, is_nullable, column_default
from information_schema.columns where table_schema in ('raw', 'clean', 'ops') order by 1, 2, 3
"""


@pytest.fixture(scope="module")
def database(postgres, template):
    with fresh_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
def admin(database):
    with connect(database) as connection:
        yield connection


def test_migrating_twice_is_no_work(admin):
    """The second run finds everything done and changes nothing."""
    before = admin.execute(SCHEMA).fetchall(), admin.execute("select * from ops.migrations").fetchall()
    assert list(migrate(admin)) == []
    assert (admin.execute(SCHEMA).fetchall(), admin.execute("select * from ops.migrations").fetchall()) == before


def test_every_migration_has_its_record(admin):
    """Each number once, each with its name."""
    known = [(number, name) for number, name, _ in available()]
    assert len({number for number, _ in known}) == len(known)
    assert admin.execute("select number, name from ops.migrations order by number").fetchall() == known


def test_an_empty_database_is_migrated_in_order(postgres):
    """From nothing to everything, yielding each name as it is done."""
    with fresh_database(postgres, "template1") as dsn, connect(dsn) as connection:
        assert applied(connection) == set()
        assert list(migrate(connection)) == [f"{number:04}_{name}" for number, name, _ in available()]
        assert pending(connection) == []


def test_two_migrators_at_once_do_it_once(postgres):
    """The second waits, and finds it done; no snapshot sleeps in a lock."""
    done: list[list[str]] = []
    with fresh_database(postgres, "template1") as dsn:

        def run() -> None:
            with connect(dsn) as connection:
                done.append(list(migrate(connection)))

        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(map(len, done)) == [0, len(available())]


def test_a_newer_database_is_refused(postgres, template):
    """An older Sillok does not work on a schema it does not know; the sentence says what to install."""
    with fresh_database(postgres, template) as dsn, connect(dsn) as connection:
        connection.execute("insert into ops.migrations (number, name) values (9000, 'of_tomorrow')")
        with pytest.raises(SchemaTooNew, match=r"has migration 9000, this version knows up to \d+: install the newer"):
            list(migrate(connection))


def test_a_failed_migration_leaves_nothing(postgres, template, monkeypatch):
    """Migration and record are one transaction: half of it is none of it, and the lock is let go."""
    known = available()
    broken = [*known, (known[-1][0] + 1, "broken", "create table ops.half (a int); select 1 / 0")]
    monkeypatch.setattr("storage.migrate.available", lambda: broken)
    with fresh_database(postgres, template) as dsn, connect(dsn) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            list(migrate(connection))
        assert connection.execute("select to_regclass('ops.half')").fetchone() == (None,)
        assert applied(connection) == {number for number, _, _ in known}
        monkeypatch.undo()
        assert list(migrate(connection)) == []


def test_what_was_remembered_by_days_is_remembered_by_weeks(postgres):
    """Migration 8 regroups the deduplication state; what waits and what is finished it finds in the ledger."""
    with fresh_database(postgres, "template1") as dsn, connect(dsn) as connection:
        migrations = {number: sql for number, _, sql in available()}
        connection.execute(_RECORDS.encode())
        for number in (1, 2, 3):
            connection.execute(migrations[number].encode())
        days = "generate_series(current_date - 20, current_date, '1 day') as day"
        connection.execute(f"select ops.ensure_dedup_partition(day::date) from {days}")
        connection.execute(f"insert into ops.dedup select day, gen_random_uuid(), 'web', 1, day from {days}")
        connection.execute(
            "insert into ops.loads select gen_random_uuid(), 0, n, n, '', 1, 5, 0, 5, 0, 5, 0, 0, 0, now(), false, false, 0"
            " from generate_series(1, 3) as n"
        )
        connection.execute("insert into ops.runs (loads, loaded) values (1, 5)")
        connection.execute("insert into ops.processed select 2, run_id from ops.runs")
        before = connection.execute("select * from ops.dedup order by arrived").fetchall()
        connection.execute(migrations[8].encode())
        assert connection.execute("select * from ops.dedup order by arrived").fetchall() == before
        assert connection.execute("select load_id, loaded from ops.waiting order by 1").fetchall() == [(1, 5), (3, 5)]
        parts = "select count(*) from pg_inherits where inhparent = 'ops.dedup'::regclass"
        assert connection.execute(parts).fetchone()[0] in (3, 4)


# Roles


PRIVILEGES = """
select t.relnamespace::regnamespace || '.' || t.relname, string_agg(lower(p.name), ' ' order by p.name)
from pg_class t
cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) p (name)
where t.relkind in ('r', 'p', 'v') and not t.relispartition and t.relnamespace::regnamespace::text in ('raw', 'clean', 'ops')
    and has_table_privilege(%s, t.oid, p.name)
group by 1
"""


def test_the_loader_can_do_exactly_what_it_must(admin):
    """It adds to raw and to its part of ops; it cannot even read what it wrote, and knows nothing of clean."""
    assert dict(admin.execute(PRIVILEGES, ("sillok_loader",))) == {
        "raw.events": "insert",
        "ops.loads": "insert select",
        "ops.audit": "insert",
        "ops.rejected": "insert",
        "ops.dead_letters": "insert",
        "ops.slots": "insert select update",
        "ops.clients": "insert select update",
        "ops.tombstones": "select",
    }


def test_the_processor_can_do_exactly_what_it_must(admin):
    """It reads raw and the ledger, adds to clean and ops; it cannot remove an event or a count."""
    found = dict(admin.execute(PRIVILEGES, ("sillok_processor",)))
    assert {table: rights for table, rights in found.items() if rights != "select"} == {
        "clean.events": "insert select",
        "clean.sessions": "delete insert select update",
        "clean.page_views": "delete insert select update",
        "clean.identities": "delete insert select",
        "clean.user_agents": "delete insert select update",
        "clean.channels": "delete insert select update",
        "clean.pages": "insert select update",
        "ops.rule_files": "insert select update",
        "ops.audit": "insert select",
        "ops.runs": "insert select",
        "ops.processed": "insert select",
        "ops.dedup": "insert select",
        "ops.duplicates": "insert select",
        "ops.visitor_keys": "insert select",
        "ops.dead_letters": "insert select",
        "ops.identity_events": "insert select update",
        "ops.finished": "insert select update",
        "ops.closes": "insert select",
        "ops.close_counts": "insert select",
        "ops.actions": "insert select",
    }
    assert {table for table, rights in found.items() if rights == "select"} == {
        "raw.events", "ops.loads", "ops.slots", "ops.clients", "ops.rejected", "ops.slot_progress", "ops.watermark",
        "ops.waiting", "ops.migrations", "ops.discarded", "ops.purges", "ops.dropped_partitions",
    }  # fmt: skip


def test_the_operator_can_do_what_loader_and_processor_can_and_remove_what_it_must(admin):
    """It removes events and details where it must; counts, ledger and actions it can only add to."""
    found = dict(admin.execute(PRIVILEGES, ("sillok_operator",)))
    allowed = dict(admin.execute(PRIVILEGES, ("sillok_loader",)))
    for table, rights in admin.execute(PRIVILEGES, ("sillok_processor",)).fetchall():
        allowed[table] = " ".join(sorted({*allowed.get(table, "").split(), *rights.split()}))
    more = {table: set(rights.split()) - set(allowed.get(table, "").split()) for table, rights in found.items()}
    assert {table: rights for table, rights in more.items() if rights} == {
        "raw.events": {"delete"},
        "clean.events": {"delete"},
        "ops.dead_letters": {"delete"},
        "ops.duplicates": {"delete"},
        "ops.dedup": {"delete"},
        "ops.rejected": {"delete"},
        "ops.identity_events": {"delete"},
        "ops.discarded": {"insert"},
        "ops.purges": {"insert"},
    }


@pytest.mark.parametrize("role", ["sillok_loader", "sillok_processor", "sillok_operator", "sillok_reader"])
def test_nobody_reads_the_key_of_the_tombstones(database, role):
    with connect(database, role=role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from ops.erasure_key")


def test_the_processor_may_change_one_column_of_an_event(admin):
    """Nothing of a clean event ever changes but a derived session."""
    columns = admin.execute(
        "select attname from pg_attribute where attrelid = 'clean.events'::regclass and attnum > 0"
        " and has_column_privilege('sillok_processor', attrelid, attname, 'UPDATE')"
    ).fetchall()
    assert columns == [("session_id",)]


def test_the_reader_reads_clean_and_nothing_else(admin):
    """Whoever analyses sees no raw row, no reject, no dead letter."""
    found = dict(admin.execute(PRIVILEGES, ("sillok_reader",)))
    assert set(found.values()) == {"select"}
    assert all(table.startswith("clean.") for table in found)
    assert {"clean.events", "clean.sessions", "clean.page_views", "clean.identities"} <= set(found)


def test_new_partitions_are_readable(admin):
    """A day made later can be read by the reader as the table itself."""
    admin.execute("select ops.ensure_clean_partition(current_date)")
    days = admin.execute(
        "select inhrelid::regclass::text, has_table_privilege('sillok_reader', inhrelid, 'SELECT') from pg_inherits"
        " where inhparent in ('clean.events'::regclass, 'clean.page_views'::regclass)"
    ).fetchall()
    assert [is_readable for _, is_readable in days] == [True, True]


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("sillok_loader", "select * from raw.events"),
        ("sillok_loader", "delete from raw.events"),
        ("sillok_loader", "select * from clean.events"),
        ("sillok_loader", "insert into clean.events (event_id) values (gen_random_uuid())"),
        ("sillok_loader", "delete from ops.loads"),
        ("sillok_loader", "update ops.loads set loaded = 0"),
        ("sillok_loader", "delete from ops.audit"),
        ("sillok_loader", "create table raw.mine ()"),
        ("sillok_loader", "select ops.ensure_clean_partition(current_date)"),
        ("sillok_loader", "select ops.ensure_daily_partition('clean.events', 'event_date', current_date)"),
        ("sillok_processor", "delete from clean.events"),
        ("sillok_processor", "update clean.events set event_time = now()"),
        ("sillok_processor", "truncate clean.events"),
        ("sillok_processor", "delete from raw.events"),
        ("sillok_processor", "insert into raw.events (event_id) values (gen_random_uuid())"),
        ("sillok_processor", "delete from ops.dedup"),
        ("sillok_processor", "update ops.audit set events = 0"),
        ("sillok_processor", "delete from ops.duplicates"),
        ("sillok_processor", "insert into ops.loads (segment) values (1)"),
        ("sillok_processor", "select ops.ensure_raw_partition(current_date)"),
        ("sillok_operator", "update ops.audit set events = 0"),
        ("sillok_operator", "delete from ops.audit"),
        ("sillok_operator", "update ops.actions set reason = ''"),
        ("sillok_operator", "delete from ops.actions"),
        ("sillok_operator", "delete from ops.loads"),
        ("sillok_operator", "delete from ops.tombstones"),
        ("sillok_operator", "insert into ops.tombstones values ('x', 1)"),
        ("sillok_operator", "update clean.events set event_time = now()"),
        ("sillok_operator", "drop table ops.audit"),
        ("sillok_processor", "select ops.bury('{web}', '{00000000-0000-0000-0000-000000000000}', 1)"),
        ("sillok_loader", "select ops.drop_partition('raw.events', current_date - 30)"),
        ("sillok_reader", "select ops.keyed_hash('x')"),
        ("sillok_reader", "select * from raw.events"),
        ("sillok_reader", "select * from ops.dead_letters"),
        ("sillok_reader", "select * from ops.visitor_keys"),
        ("sillok_reader", "select * from ops.identity_events"),
        ("sillok_reader", "delete from clean.page_views"),
        ("sillok_reader", "update clean.identities set is_shared = false"),
        ("sillok_reader", "delete from clean.events"),
        ("sillok_reader", "update clean.sessions set events = 0"),
        ("sillok_reader", "create table clean.mine ()"),
    ],
)
def test_a_role_is_refused_what_it_need_not_do(database, role, statement):
    """Tried, not only looked up."""
    with connect(database, role=role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize("days", [-41, 9])
def test_no_partition_is_made_far_from_today(database, days):
    """A clock that jumped leaves nothing behind."""
    with connect(database, role="sillok_loader") as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute("select ops.ensure_raw_partition(current_date + %s)", (days,))


def test_a_functions_owner_cannot_be_tricked(admin):
    """Functions that run with their owner's rights look names up in a fixed path only."""
    paths = admin.execute(
        "select proname, proconfig from pg_proc where prosecdef and pronamespace = 'ops'::regnamespace"
    ).fetchall()
    assert paths
    assert all(config == ["search_path=pg_catalog, pg_temp"] for _, config in paths)


def test_every_table_and_column_is_explained(admin):
    """What an operator sees in psql says what it is."""
    bare = admin.execute(
        "select c.oid::regclass, a.attname from pg_class c"
        " left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " where c.relkind in ('r', 'p', 'v') and not c.relispartition"
        " and c.relnamespace::regnamespace::text in ('raw', 'clean', 'ops')"
        " and (obj_description(c.oid) is null or c.relkind <> 'v' and col_description(c.oid, a.attnum) is null)"
    ).fetchall()
    assert bare == []
