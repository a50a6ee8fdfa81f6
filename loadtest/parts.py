"""What each part of an installation on this machine uses, as the system counts it."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final

import psutil
from msgspec import Struct

PARTS: Final = ("collector", "loader", "processor", "database", "driver")
_COMMANDS: Final = {"serve": "collector", "load": "loader", "process": "processor"}
_LOOK_AGAIN_S: Final = 5.0


class Use(Struct, frozen=True):
    """Of one part: CPU-seconds since it was first seen, and its own memory, without what is shared, in MiB."""

    cpu_s: float
    memory_mib: float


class Parts:
    """Looks for the processes by their command lines, every few seconds anew: they may be started again."""

    def __init__(self, processes: Callable[[], Iterable[tuple[str, psutil.Process]]] | None = None) -> None:
        self._processes = processes or _processes
        self._found: dict[int, tuple[str, psutil.Process]] = {}
        self._first: dict[int, float] = {}
        self._ended: dict[str, float] = {}
        self._last: dict[int, float] = {}
        self._looked_at = float("-inf")

    def use(self) -> dict[str, Use]:
        """Return what each part has used until now; a part that does not run here is absent."""
        if time.monotonic() - self._looked_at > _LOOK_AGAIN_S:
            self._looked_at = time.monotonic()
            self._found |= {process.pid: (name, process) for name, process in self._processes()}
        cpu: dict[str, float] = {}
        memory: dict[str, float] = {}
        for pid, (name, process) in list(self._found.items()):
            try:
                with process.oneshot():
                    times, held = process.cpu_times(), process.memory_info()
            except psutil.Error:
                self._forget(pid, name)
                continue
            self._last[pid] = times.user + times.system
            used = self._last[pid] - self._first.setdefault(pid, self._last[pid])
            cpu[name] = cpu.get(name, 0.0) + used
            memory[name] = memory.get(name, 0.0) + (held.rss - getattr(held, "shared", 0)) / 2**20
        return {name: Use(round(cpu[name] + self._ended.get(name, 0.0), 2), round(memory[name], 1)) for name in memory}

    def _forget(self, pid: int, name: str) -> None:
        used = self._last.pop(pid, 0.0) - self._first.pop(pid, 0.0)
        self._ended[name] = self._ended.get(name, 0.0) + used
        del self._found[pid]


def _processes() -> Iterator[tuple[str, psutil.Process]]:
    yield "driver", psutil.Process()
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres"):
                yield "database", process
                continue
            words = process.cmdline()
        except psutil.Error:
            continue
        for before, word in pairwise(words):
            if before.rpartition("/")[2] == "sillok" and word in _COMMANDS:
                yield _COMMANDS[word], process
                for child in _children(process):
                    yield _COMMANDS[word], child


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []
