"""A PostgreSQL that takes its time to recover is waited for: a crash under load leaves minutes of its log to read."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.embedded import EmbeddedPostgres
from storage.postgres import connect


@pytest.mark.soak
def test_an_embedded_database_that_recovers_for_longer_than_ten_seconds_does_start(
    make_postgres: Callable[[Path], EmbeddedPostgres], tmp_path: Path
) -> None:
    folder = tmp_path / "database"
    server = make_postgres(folder)
    with connect(server.start()) as connection:
        connection.execute("create table kept as select 1 as x")
        connection.execute("alter system set restore_command = 'sleep 6; false'")
    server.stop()
    # What it is told to recover from is slow, and in the end not there.
    (folder / "recovery.signal").touch()
    began = time.monotonic()
    with connect(make_postgres(folder).start()) as connection:
        assert connection.execute("select x from kept").fetchone() == (1,)
    assert time.monotonic() - began > 10
