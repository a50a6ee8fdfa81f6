"""A PostgreSQL of the test's own that can be taken away in several ways and given back."""

import os
import signal
from pathlib import Path
from typing import Final

import psycopg

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.postgres import connect
from tests.crash.processes import children_of, is_alive, wait_until

# What `pg_ctl stop` sends in its modes `fast` and `immediate`.
_SIGNALS: Final = {"stopped": signal.SIGINT, "aborted": signal.SIGQUIT}


class Database:
    """A server on a folder, with Sillok's schema in it."""

    def __init__(self, server: EmbeddedPostgres, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self.dsn = server.start()
        with connect(self.dsn) as connection:
            list(migrate(connection))

    def take_away(self, how: str) -> None:
        """Stop it in order (`stopped`), without a checkpoint (`aborted`), `killed`, or let it hang (`hanging`)."""
        pids = self.processes()
        if how in _SIGNALS:
            os.kill(pids[0], _SIGNALS[how])
        else:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
        if how == "killed":
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        if how != "hanging":
            wait_until(lambda: not any(is_alive(pid) for pid in pids), f"the {how} database to be gone")

    def give_back(self, how: str) -> None:
        """Let it run again."""
        if how != "hanging":
            self._server.start()
            return
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def is_away(self) -> bool:
        """Say whether nobody can connect."""
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return True
        return False

    def processes(self) -> list[int]:
        """Return the postmaster and what it has started."""
        postmaster = int((self._folder / "postmaster.pid").read_text().splitlines()[0])
        return [postmaster, *children_of(postmaster)]

    @property
    def is_running(self) -> bool:
        """Say whether it has not been stopped; it may hang."""
        return (self._folder / "postmaster.pid").exists()
