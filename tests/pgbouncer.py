"""PgBouncer in front of a test's PostgreSQL, in one of its modes."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from tests.builders import eventually
from tests.conftest import free_port

PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@contextlib.contextmanager
def pgbouncer(folder: Path, dsn: str, mode: str, *settings: str) -> Iterator[str]:
    """Run PgBouncer before a DSN's server; yield the DSN that goes through it."""
    assert PROGRAM is not None
    parts, port = psycopg.conninfo.conninfo_to_dict(dsn), free_port()
    server = f"host={parts['host']} port={parts.get('port', 5432)} user={parts['user']}"
    # Beside the server's socket, where whoever reads one can read the other.
    file = Path(str(parts["host"])) / f"pgbouncer-{port}.ini"
    lines = (
        "[databases]", f"* = {server}", "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}",
        "unix_socket_dir =", "auth_type = any", f"pool_mode = {mode}", *settings,
    )  # fmt: skip
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [PROGRAM, str(file)]
    if os.geteuid() == 0:
        # It refuses to run as root.
        owner = pwd.getpwuid(file.parent.stat().st_uid)
        os.chown(file, owner.pw_uid, owner.pw_gid)
        command = [shutil.which("runuser") or "runuser", "-u", owner.pw_name, "--", *command]
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def listens() -> bool:
        assert process.poll() is None, (folder / "pgbouncer.log").read_text(encoding="utf-8")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        eventually(listens)
        yield psycopg.conninfo.make_conninfo("", **{**parts, "host": "127.0.0.1", "port": port})
    finally:
        process.terminate()
        process.wait()
        file.unlink()
