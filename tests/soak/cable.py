"""The network between a loader and its database, which can be torn or fall silent.

`python -m tests.soak.cable HOST PORT TARGET …` is the far end: it listens, and hands each connection on to the next target,
a port or a socket's file. As root it stands in a network namespace of its own, so that a link that is down swallows
packets as a real one does; without, only tearing is possible.
"""

import itertools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import psycopg

from tests.crash.processes import HOST, steady_ports
from tests.pulling import Wire

ROOT: Final = Path(__file__).parents[2]
_PORT: Final = 5432


class Cable:
    """One loader's way to the database."""

    def __init__(self, number: int, dsn: str) -> None:
        self._parts = psycopg.conninfo.conninfo_to_dict(dsn)
        self._end: subprocess.Popen[bytes] | None = None
        self._namespace = f"sillok-{os.getpid()}-{number}"
        self._near, self._far = f"sk{os.getpid() % 1_000_000}-{number}a", f"sk{os.getpid() % 1_000_000}-{number}b"
        self.can_be_silent = self._lay(number)
        self._host, self._port = (f"198.18.{number}.2", _PORT) if self.can_be_silent else (HOST, steady_ports(1)[0])
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
        within = ["ip", "netns", "exec", self._namespace] if self.can_be_silent else []
        command = [*within, sys.executable, "-m", "tests.soak.cable", self._host, str(self._port), socket_file]
        self._end = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)

    def silence(self) -> None:
        """Swallow every packet from now on."""
        self._link("down")

    def speak(self) -> None:
        """Let packets through again; what is sent again arrives."""
        self._link("up")

    def remove(self) -> None:
        """Leave nothing."""
        self.tear()
        if self.can_be_silent:
            _run("ip", "netns", "delete", self._namespace)

    def _link(self, state: str) -> None:
        assert _run("ip", "netns", "exec", self._namespace, "ip", "link", "set", self._far, state)

    def _lay(self, number: int) -> bool:
        """Make the namespace and a link into it; say whether this machine lets us."""
        if os.geteuid() != 0 or not shutil.which("ip") or not _run("ip", "netns", "add", self._namespace):
            return False
        inside = ("ip", "netns", "exec", self._namespace)
        peer = ("peer", "name", self._far, "netns", self._namespace)
        done = (
            _run("ip", "link", "add", self._near, "type", "veth", *peer)
            and _run("ip", "address", "add", f"198.18.{number}.1/30", "dev", self._near)
            and _run("ip", "link", "set", self._near, "up")
            and _run(*inside, "ip", "address", "add", f"198.18.{number}.2/30", "dev", self._far)
            and _run(*inside, "ip", "link", "set", self._far, "up")
        )
        if not done:
            _run("ip", "netns", "delete", self._namespace)
        return done


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def main(host: str, port: str, *targets: str) -> None:
    """Hand on until killed."""
    found = [int(target) if target.isdecimal() else Path(target) for target in targets]
    with Wire(itertools.cycle(found), host=host, port=int(port)).laid():
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
