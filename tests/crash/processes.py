"""One machine under test: a spool, a database, and Sillok's three programs as real processes on them.

Everything a program prints goes to a file in the test's folder, which is shown when the test fails.
"""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.patience import PATIENCE_S

HOST: Final = "127.0.0.1"
# Short, so that many segments, loads and runs stand in the way of every kill.
SHORT: Final = {
    "SILLOK_SPOOL_SEGMENT_AGE_MS": "200",
    "SILLOK_SPOOL_HEARTBEAT_MS": "500",
    "SILLOK_LOAD_POLL_MS": "20",
    "SILLOK_PROCESS_POLL_MS": "20",
}
_SURROUNDINGS: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")
# Below every usual range of ephemeral ports: a client that tries again and again while nothing listens
# would else be given the very port as its own, and connect to itself.
_PORTS: Final = range(12_000, 32_000)


def wait_until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll until `condition` is true; fail with `what` when it does not become so."""
    patience_ends = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > patience_ends:
            raise AssertionError(f"waited {patience_s:.0f} s in vain: {what}")
        time.sleep(0.02)


def steady_ports(count: int) -> list[int]:
    """Return ports that stay ours while nobody listens on them for a moment."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice([port for port in _PORTS if port not in found])
        with contextlib.suppress(OSError), _listening(port):
            found.append(port)
    return found


@contextlib.contextmanager
def _listening(port: int) -> Iterator[None]:
    with socket.create_server((HOST, port)):
        yield


class Program:
    """One `sillok` command as a process tree that can be killed and started again."""

    def __init__(self, command: str, environment: dict[str, str], folder: Path, name: str | None = None) -> None:
        self.name = name or command
        self.kills = 0
        self._command = [sys.executable, "-m", "sillok", *command.split()]
        self._environment = environment
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> Path:
        """Where everything it prints is kept, over all its lives."""
        return self._folder / f"{self.name}.output"

    @property
    def pid(self) -> int:
        """The process started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def start(self) -> None:
        """Start it in the test's folder, with nothing of the surroundings but what a process needs."""
        assert self._process is None or self._process.poll() is not None, f"{self.name} runs already"
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._folder,
            )

    def children(self, command: str = "") -> list[int]:
        """Return the processes it has started and that still are; with `command`, those with this word."""
        return [pid for pid in children_of(self.pid) if is_alive(pid) and (not command or command in words_of(pid))]

    def kill(self, *, whole_tree: bool = True) -> None:
        """SIGKILL it, and unless told otherwise all it started; return when they are gone."""
        assert self._process is not None
        assert self.status is None, f"`sillok {self.name}` had ended by itself, with status {self.status}"
        victims = [self.pid]
        if whole_tree:
            os.kill(self.pid, signal.SIGSTOP)  # or it would start another child in the meantime
            victims += [pid for child in self.children() for pid in (child, *children_of(child))]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self.kills += 1
        wait_until(lambda: not any(is_alive(pid) for pid in victims), f"the killed {self.name} to be gone")

    def kill_process(self, pid: int) -> None:
        """SIGKILL one process of the tree; return when it is gone."""
        os.kill(pid, signal.SIGKILL)
        self.kills += 1
        wait_until(lambda: not is_alive(pid), f"a killed part of {self.name} to be gone")

    def signal(self, signal_: signal.Signals) -> None:
        """Send it a signal, and nothing to what it started."""
        assert self._process is not None
        self._process.send_signal(signal_)

    def terminate(self) -> int:
        """SIGTERM it and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Return its exit status once it ends by itself."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)

    def clean_up(self) -> None:
        """Leave nothing running, whatever became of the test."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


class Machine:
    """Collector, loader and processor on one spool and one database."""

    pace: Mapping[str, str] = SHORT

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.dsn = dsn
        self.spool = folder / "spool"
        self.port, self.admin_port = steady_ports(2)
        self._programs: list[Program] = []
        self.collector = self.program("serve", **self.ports())
        self.loader = self.program("load", SILLOK_LOAD_DSN=dsn)
        self.processor = self.program("process", SILLOK_PROCESS_DSN=dsn)

    def ports(self) -> dict[str, str]:
        """Return the collector's ports as settings."""
        return {"SILLOK_SERVE_PORT": str(self.port), "SILLOK_SERVE_ADMIN_PORT": str(self.admin_port)}

    def program(self, command: str, name: str | None = None, **settings: str) -> Program:
        """Make a program of this machine; it is not started yet, and cleaned up with the machine."""
        surroundings = {key: os.environ[key] for key in _SURROUNDINGS if key in os.environ}
        environment = {**surroundings, **self.pace, "SILLOK_SPOOL_FOLDER": str(self.spool), **settings}
        program = Program(command, environment, self.folder, name)
        self._programs.append(program)
        return program

    def start(self) -> None:
        """Start all three and wait until the collector is ready."""
        for program in (self.collector, self.loader, self.processor):
            program.start()
        self.wait_until_ready()

    def is_ready(self) -> bool:
        """Say whether every worker takes events."""
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_ready(self, program: Program | None = None) -> None:
        """Return once every worker takes events; fail at once when the program that runs them has ended."""
        program = program or self.collector

        def ready() -> bool:
            assert program.status is None, f"`sillok {program.name}` ended with status {program.status}"
            return self.is_ready()

        wait_until(ready, "the collector to be ready")

    def waiting_segments(self) -> list[Path]:
        """Return the segments that are still written, or not loaded and released yet."""
        return [path for suffix in ("open", "sealed", "recovering") for path in self.spool.glob(f"slot-*/*.{suffix}")]

    def clean_up(self) -> None:
        """Leave nothing running, be it a database that has survived its `sillok up`."""
        for program in self._programs:
            program.clean_up()
        for pid_file in self.folder.glob("*/postmaster.pid"):
            postmaster = int(pid_file.read_text().splitlines()[0])
            with contextlib.suppress(ProcessLookupError):
                os.kill(postmaster, signal.SIGQUIT)
            wait_until(lambda: not is_alive(postmaster), "the database to be gone")  # noqa: B023 - called at once

    def outputs(self) -> list[Path]:
        """Return the files with everything the programs printed."""
        return [program.output for program in self._programs if program.output.exists()]


def children_of(pid: int) -> list[int]:
    """Return the processes whose parent this is."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def words_of(pid: int) -> list[str]:
    """Return a process's command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def is_alive(pid: int) -> bool:
    """Say whether a process still runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
