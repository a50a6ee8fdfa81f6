"""The network between a loader and its database, which can be torn or fall silent.

`python -m tests.soak.cable HOST PORT TARGET …` is the far end: it listens, and hands each connection on to the next target,
a port or a socket's file. As root it stands in a network namespace of its own, so that a link that is down swallows
packets as a real one does; without, only tearing is possible.
"""

import itertools
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import psycopg

from tests.crash.processes import HOST, steady_ports
from tests.link import Link
from tests.pulling import Wire

ROOT: Final = Path(__file__).parents[2]
_PORT: Final = 5432


class Cable:
    """One loader's way to the database."""

    def __init__(self, number: int, dsn: str) -> None:
        self._parts = psycopg.conninfo.conninfo_to_dict(dsn)
        self._end: subprocess.Popen[bytes] | None = None
        self._link = Link(number)
        self.can_be_silent = self._link.lay()
        self._host, self._port = (self._link.far, _PORT) if self.can_be_silent else (HOST, steady_ports(1)[0])
        self.mend()

    @property
    def dsn(self) -> str:
        """How to reach the database over it."""
        wire = {"host": self._host, "port": str(self._port), "sslmode": "disable", "gssencmode": "disable"}
        return psycopg.conninfo.make_conninfo("", **{**self._parts, **wire})

    def tear(self) -> None:
        """End every connection, and refuse new ones."""
        assert self._end is not None
        self._end.kill()
        self._end.wait()

    def mend(self) -> None:
        """Let new connections through again."""
        socket_file = f"{self._parts['host']}/.s.PGSQL.{self._parts.get('port', _PORT)}"
        within = self._link.inside if self.can_be_silent else []
        command = [*within, sys.executable, "-m", "tests.soak.cable", self._host, str(self._port), socket_file]
        self._end = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)

    def silence(self) -> None:
        """Swallow every packet from now on."""
        self._link.silence()

    def speak(self) -> None:
        """Let packets through again."""
        self._link.speak()

    def remove(self) -> None:
        """Leave nothing."""
        self.tear()
        if self.can_be_silent:
            self._link.remove()


def main(host: str, port: str, *targets: str) -> None:
    """Hand on until killed."""
    found = [int(target) if target.isdecimal() else Path(target) for target in targets]
    with Wire(itertools.cycle(found), host=host, port=int(port)).laid():
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
