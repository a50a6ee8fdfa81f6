"""Shared ground: a real PostgreSQL per run, a fresh migrated database per test, free ports, real processes."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.postgres import connect


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def without_fsync(dsn: str) -> None:
    """Let a test's server forget everything in a power cut: hundreds of databases are made in a run."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("alter system set fsync = off")
        admin.execute("alter system set full_page_writes = off")
        admin.execute("select pg_reload_conf()")


def with_database(dsn: str, name: str) -> str:
    """Return the DSN with another database name."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    return psycopg.conninfo.make_conninfo("", **{**parts, "dbname": name})


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the DSN of a server for this run: TEST_POSTGRES_DSN's, or the embedded PostgreSQL 18."""
    given = os.environ.get("TEST_POSTGRES_DSN")
    if given:
        yield given
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    dsn = server.start()
    without_fsync(dsn)
    yield dsn
    server.stop()


def make_template(postgres: str) -> str:
    """Make a migrated database on this server that fresh ones are copied from in milliseconds; return its name."""
    name = f"sillok_template_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create database {name}")
    with connect(with_database(postgres, name)) as connection:
        list(migrate(connection))
    return name


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    return make_template(postgres)


@pytest.fixture
def dsn(postgres: str, template: str) -> Iterator[str]:
    """Yield the DSN of a fresh, migrated database."""
    name = f"sillok_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
    yield with_database(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    """Yield a superuser's connection to the test's database."""
    with connect(dsn) as opened:
        yield opened


@pytest.fixture
def spool_path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what takes minutes, unless `-m soak` or TEST_SOAK asks for it."""
    if os.environ.get("TEST_SOAK") or "soak" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: ask for it with -m soak"))
