"""A machine that goes without a word leaves a session behind, with its locks: it must not hold up the next one."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from storage.postgres import connect
from tests.crash.processes import wait_until
from tests.postgres15 import DebianPostgres
from tests.pulling import Wire

_NAMESPACE = f"sillok-{os.getpid()}-ghost"
_NEAR, _FAR = "198.18.200.1", "198.18.200.2"
_LINK = f"ghost{os.getpid() % 1_000_000}"
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
            asked = connection.execute(
                "select name, reset_val::int from pg_settings where name ~ '^tcp_' and source = 'client'"
            ).fetchall()
            assert len(asked) == 4
            assert ("tcp_keepalives_idle", 20) in asked
        own = psycopg.conninfo.make_conninfo(far, keepalives_idle=33)
        with connect(own) as connection, socket.socket(fileno=os.dup(connection.fileno())) as end:
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33


class Apart(NamedTuple):
    """A server, and a machine apart that reaches it over a link."""

    dsn: str

    def run(self, *command: str) -> subprocess.Popen[str]:
        """Start a program on the machine apart."""
        words = ["ip", "netns", "exec", _NAMESPACE, *command]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])

    def fall_silent(self) -> None:
        """Swallow every packet from now on."""
        subprocess.run(["ip", "netns", "exec", _NAMESPACE, "ip", "link", "set", f"{_LINK}b", "down"], check=True)


@pytest.fixture
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    """Yield a PostgreSQL that listens on a link into a network namespace."""
    if os.geteuid() != 0 or not shutil.which("ip") or not DebianPostgres.is_installed():
        pytest.skip("needs root, ip, and Debian's PostgreSQL 15")
    inside = f"ip netns exec {_NAMESPACE}"
    if subprocess.run(["ip", "netns", "add", _NAMESPACE], capture_output=True, check=False).returncode:
        pytest.skip("this machine refuses namespaces")
    for command in (
        f"ip link add {_LINK}a type veth peer name {_LINK}b netns {_NAMESPACE}",
        f"ip address add {_NEAR}/30 dev {_LINK}a",
        f"ip link set {_LINK}a up",
        f"{inside} ip address add {_FAR}/30 dev {_LINK}b",
        f"{inside} ip link set {_LINK}b up",
    ):
        subprocess.run(command.split(), check=True)
    server = DebianPostgres(tmp_path_factory.mktemp("apart"), host=_NEAR)
    try:
        yield Apart(server.start())
    finally:
        server.stop()
        subprocess.run(["ip", "netns", "delete", _NAMESPACE], check=True)


@pytest.mark.soak
def test_the_lock_of_a_machine_that_is_gone_is_free_within_a_minute(apart: Apart) -> None:
    """No end of the connection ever reaches the server; the kernel alone would keep it for two hours."""
    far = psycopg.conninfo.make_conninfo(apart.dsn, host=_NEAR)
    holder = apart.run(sys.executable, "-c", _HOLDER, far)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    apart.fall_silent()
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with connect(apart.dsn) as connection:
        gone = time.monotonic()
        assert connection.execute("select pg_try_advisory_lock(7)").fetchone() == (False,)
        wait_until(
            lambda: connection.execute("select pg_try_advisory_lock(7)").fetchone() == (True,),
            "the ghost's lock to be free",
            patience_s=80,
        )
        print(f"free after {time.monotonic() - gone:.0f} s")
