"""The outside world in a test's hands: a clock that only the test moves, and a disk that fails on demand.

Both implement the product's own interfaces, `Clock` and `Files`. The disk is a real folder underneath, so
what a test reads back is what the code wrote.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.spool.files import OsFiles
from tests.patience import PATIENCE_S

NOON_US: Final = 1_780_000_000_000_000 // 86_400_000_000 * 86_400_000_000 + 3 * 3_600_000_000
"""A noon in Seoul, microseconds since the epoch."""


class FakeClock:
    """Both clocks stand still until the test moves them."""

    def __init__(self, wall_us: int = NOON_US, monotonic_us: int = 1_000_000_000) -> None:
        self._wall_us = wall_us
        self._monotonic_us = monotonic_us

    def wall_us(self) -> int:
        return self._wall_us

    def monotonic_us(self) -> int:
        return self._monotonic_us

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall_us += round(seconds * 1_000_000)
        self._monotonic_us += round(seconds * 1_000_000)

    def step(self, seconds: float) -> None:
        """Turn the wall clock, as an operator or NTP would."""
        self._wall_us += round(seconds * 1_000_000)


class FakeFiles(OsFiles):
    """A real folder whose every call is written down, may be made to fail, and never waits for the disk.

    `calls` holds (operation, name of the file or folder). `fail` makes an operation fail as often as asked.
    `pull_plug(n)` ends the process's life at its n-th call from here: it and every later one fails, a
    write after half its bytes.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.free: int = 1 << 40
        self.gate = threading.Event()
        """Cleared by a test, it holds every sync."""
        self.gate.set()
        self.syncing = threading.Event()
        self._names: dict[int, str] = {}
        self._failures: list[tuple[str, int, str]] = []
        self._calls_left: int | None = None

    def fail(self, operation: str, code: int = errno.EIO, *, times: int = 1, name: str = "") -> None:
        """Let the next `times` calls of this operation, on files whose name ends so, fail with this error."""
        self._failures += [(operation, code, name)] * times

    def heal(self) -> None:
        """Forget the failures still to come."""
        self._failures = []

    def pull_plug(self, at_call: int) -> None:
        """Let call number `at_call`, 0 being the next, and every one after it fail."""
        self._calls_left = at_call

    def _is_dead(self) -> bool:
        return self._calls_left is not None and self._calls_left < 0

    def _note(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._is_dead():
                raise OSError(errno.EIO, "the plug is pulled")
        for failure in self._failures:
            if failure[0] == operation and name.endswith(failure[2]):
                self._failures.remove(failure)
                raise OSError(failure[1], os.strerror(failure[1]))

    def create(self, path: Path) -> int:
        self._note("create", path.name)
        fd = super().create(path)
        self._names[fd] = path.name
        return fd

    def write(self, fd: int, data: bytes) -> None:
        try:
            self._note("write", self._names[fd])
        except OSError:
            os.write(fd, data[: len(data) // 2])
            raise
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self.syncing.set()
        assert self.gate.wait(PATIENCE_S)
        self._note("sync", self._names[fd])

    def close(self, fd: int) -> None:
        name = self._names.pop(fd)
        super().close(fd)
        self._note("close", name)

    def sync_folder(self, path: Path) -> None:
        self._note("sync_folder", path.name)

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", source.name)
        super().rename(source, target)

    def read(self, path: Path) -> bytes:
        self._note("read", path.name)
        return super().read(path)

    def names(self, folder: Path) -> list[str]:
        self._note("names", folder.name)
        return super().names(folder)

    def remove(self, path: Path) -> None:
        self._note("remove", path.name)
        super().remove(path)

    def free_bytes(self, folder: Path) -> int:
        self._note("free_bytes", folder.name)
        return self.free

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold every sync for as long as the block runs."""
        self.syncing.clear()
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()
