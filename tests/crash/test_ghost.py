"""A machine that goes without a word leaves a session behind, with its locks: it must not hold up the next one."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.postgres import connect
from tests.crash.processes import wait_until
from tests.link import Link
from tests.postgres15 import DebianPostgres
from tests.pulling import Wire

_HOLDER = """
import sys, time
from storage.postgres import connect
with connect(sys.argv[1]) as connection:
    connection.execute("select pg_advisory_lock(7)")
    print("held", flush=True)
    time.sleep(600)
"""


def test_both_ends_ask_whether_the_other_still_lives(dsn: str) -> None:
    """Over TCP, with the values of `connect`; a DSN that says otherwise is believed."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    door = Path(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
    with Wire(itertools.repeat(door)).laid() as wire:
        far = psycopg.conninfo.make_conninfo(dsn, host=wire.host, port=wire.port, sslmode="disable")
        with connect(far) as connection, socket.socket(fileno=os.dup(connection.fileno())) as end:
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            # The wire ends in a socket of this machine, which has no such values to show.
            asked = connection.execute("select name from pg_settings where name ~ '^tcp_' and source = 'session'")
            assert len(asked.fetchall()) == 4
        own = psycopg.conninfo.make_conninfo(far, keepalives_idle=33)
        with connect(own) as connection, socket.socket(fileno=os.dup(connection.fileno())) as end:
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33


@pytest.fixture
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Link]]:
    """Yield a PostgreSQL that a machine apart reaches over a link."""
    link = Link(0)
    if not DebianPostgres.is_installed() or not link.lay():
        pytest.skip("needs root, ip, and Debian's PostgreSQL 15")
    server = DebianPostgres(tmp_path_factory.mktemp("apart"), host=link.near)
    try:
        yield server.start(), link
    finally:
        server.stop()
        link.remove()


@pytest.mark.soak
def test_the_lock_of_a_machine_that_is_gone_is_free_within_a_minute(apart: tuple[str, Link]) -> None:
    """No end of the connection ever reaches the server; the kernel alone would keep it for two hours."""
    dsn, link = apart
    far = psycopg.conninfo.make_conninfo(dsn, host=link.near)
    command = [*link.inside, sys.executable, "-c", _HOLDER, far]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    link.silence()
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with connect(dsn) as connection:
        gone = time.monotonic()
        assert connection.execute("select pg_try_advisory_lock(7)").fetchone() == (False,)
        wait_until(
            lambda: connection.execute("select pg_try_advisory_lock(7)").fetchone() == (True,),
            "the ghost's lock to be free",
            patience_s=80,
        )
        print(f"free after {time.monotonic() - gone:.0f} s")
