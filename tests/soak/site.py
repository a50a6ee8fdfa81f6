"""What a firm runs, on one machine: nginx, two collectors, a loader each, one processor, one PostgreSQL.

The programs have the settings they come with. Each collector's spool is on a disk of its own where this machine lets
us mount one, each loader reaches the database over a cable of its own.
"""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from storage.embedded import EmbeddedPostgres
from tests.crash.database import Database
from tests.crash.processes import HOST, Machine, Program, children_of, steady_ports
from tests.nginx import PROGRAM, nginx
from tests.operating import sillok
from tests.soak.cable import ROOT, Cable

SOURCE: Final = "soak"
_NODES: Final = 2
# The books of ten million events are minutes of work.
_ANSWER_S: Final = 1800.0
_WORKERS: Final = 2
_DISK_BYTES: Final = 4 << 30


class Node(Machine):
    """A collector, its spool on a disk of its own, its loader."""

    pace: Mapping[str, str] = {}

    def __init__(self, folder: Path, number: int, dsn: str, keys_file: Path) -> None:
        folder.mkdir()
        super().__init__(folder, dsn)
        self.number = number
        self.cable = Cable(number, dsn)
        self.has_disk = self._mount()
        self.collector = self.program(
            "serve", **self.ports(), SILLOK_SERVE_WORKERS=str(_WORKERS), SILLOK_SERVE_KEYS_FILE=str(keys_file)
        )
        self.loader = self.program("load", SILLOK_LOAD_DSN=self.cable.dsn)

    def clean_up(self) -> None:
        """Leave nothing running and nothing mounted."""
        super().clean_up()
        self.cable.remove()
        if self.has_disk:
            subprocess.run(["umount", "--lazy", str(self.spool)], check=True)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Take every byte of the spool's disk, again and again, for as long as the block runs."""
        path, stop = self.spool / "ballast", threading.Event()

        def fill() -> None:
            step = _DISK_BYTES
            with path.open("wb") as file:
                while not stop.is_set():
                    # `fallocate` takes all or nothing: half of it, and again, until there is no block left.
                    taken = subprocess.run(
                        ["fallocate", "--offset", str(file.seek(0, 2)), "--length", str(step), str(path)],
                        capture_output=True,
                        check=False,
                    )
                    if taken.returncode:
                        step = max(step // 2, 4096)
                        stop.wait(0.02 if step == 4096 else 0)

        thread = threading.Thread(target=fill)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            path.unlink()

    def _mount(self) -> bool:
        image = self.folder / "disk.ext4"
        with image.open("wb") as file:
            file.truncate(_DISK_BYTES)
        self.spool.mkdir()
        commands = (["mkfs.ext4", "-q", "-F", str(image)], ["mount", "-o", "loop", str(image), str(self.spool)])
        try:
            return all(not subprocess.run(c, capture_output=True, check=False).returncode for c in commands)
        except OSError:
            return False


class Site:
    """All of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "database").mkdir()
        self._server = EmbeddedPostgres(folder / "database")
        self.database = Database(self._server, folder / "database")
        keys_file = folder / "keys.jsonl"
        self._settings = folder / "operator.toml"
        self._settings.write_text(
            f'[serve]\nkeys_file = "{keys_file}"\n[process]\ndsn = "{self.database.dsn}"\n', encoding="utf-8"
        )
        self.key: str = self._ask("keys", "make", "--json", "--source", SOURCE, "--kind", "test")["key"]
        self.nodes = [Node(folder / f"node-{n}", n, self.database.dsn, keys_file) for n in range(1, _NODES + 1)]
        self.processor = self.nodes[0].processor
        (self.port,) = steady_ports(1)
        self._balancer: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator["Site"]:
        """Run it for the length of the block."""
        try:
            for node in self.nodes:
                node.collector.start()
                node.loader.start()
            self.processor.start()
            for node in self.nodes:
                node.wait_until_ready()
            with self._balanced() as self._balancer:
                yield self
        finally:
            self._clean_up()

    @property
    def url(self) -> str:
        """Where apps send to."""
        return f"http://{HOST}:{self.port}"

    def programs(self) -> dict[str, Program]:
        """Return Sillok's programs, by what they are called in the report."""
        named = {"processor": self.processor}
        for node in self.nodes:
            named |= {f"collector {node.number}": node.collector, f"loader {node.number}": node.loader}
        return dict(sorted(named.items()))

    def parts(self) -> dict[str, list[int]]:
        """Return the processes of each part that runs now."""
        trees = {name: program.pid for name, program in self.programs().items()}
        if self._balancer is not None:
            trees["balancer"] = self._balancer.pid
        parts = {name: [pid, *children_of(pid)] for name, pid in trees.items()}
        with contextlib.suppress(OSError, IndexError, ValueError):  # it is away
            parts["PostgreSQL"] = self.database.processes()
        return parts

    def complaints(self) -> list[str]:
        """Return what no program should have done: ended by itself, or met what nobody foresaw."""
        found = []
        for name, program in self.programs().items():
            if program.status is not None:
                found.append(f"{name} ended by itself, with status {program.status}")
            if unforeseen := program.output.read_bytes().count(b"Traceback (most recent call last)"):
                found.append(f"{name} printed {unforeseen} tracebacks")
        return found

    def reconcile(self, range_from: datetime, range_until: datetime) -> dict[str, Any]:
        """Return the books, as an operator asks for them."""
        times = ("--from", range_from.isoformat(), "--until", range_until.isoformat())
        return dict(self._ask("reconcile", "--json", *times))

    def _ask(self, *words: str) -> Any:
        done = sillok(self._settings, *words, timeout_s=_ANSWER_S)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def _balanced(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run nginx with the settings that are delivered; where there is none, what takes turns."""
        ports = [node.port for node in self.nodes]
        if PROGRAM is not None:
            with nginx(self.folder, self.port, ports) as running:
                yield running
            return
        command = [sys.executable, "-m", "tests.soak.cable", HOST, str(self.port), *map(str, ports)]
        with subprocess.Popen(command, cwd=ROOT) as running:
            yield running
            running.kill()

    def _clean_up(self) -> None:
        for node in self.nodes:
            node.clean_up()
        if self.database.is_running:
            self.database.give_back("hanging")  # a stopped process cannot be stopped
            self._server.stop()
