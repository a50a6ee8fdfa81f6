"""Runs the real worker, loader or erasure on a disk that kills the process at a named point.

`python -m tests.crash.dying worker|loader|eraser OPERATION WHAT MOMENT NTH`: at the NTH `write`, `sync`, `create`,
`rename` or `remove` of WHAT (`header`, `group`, `footer`, `copy`, or a file's suffix) the process gets a
SIGKILL, `before`, `after` or `half`way; with the moment `slow` nothing dies and every sync takes its time. Standard input brings the worker's order, or the loader's settings.
"""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

from collector_server.worker import main as serve
from processor.batch import prepare_session
from processor.operate.actions import prepare
from processor.operate.erase import erase_customer
from storage.loader import Loader, LoadSettings
from storage.logs import configure_logs
from storage.postgres import connect
from storage.sink import PostgresSink
from storage.spool.files import OsFiles
from storage.spool.folder import SpoolFolder
from storage.spool.segment import GROUP_MAGIC, KIND_FOOTER

_KIND_AT = 52
# An answer that was given too early has the time to get out.
_LAST_MOMENT_S = 0.1
_SLOW_S = 0.2


class Point(msgspec.Struct, frozen=True):
    """Where to die."""

    operation: str
    what: str
    moment: str
    nth: int = 1


class DyingFiles(OsFiles):
    """The real disk, until the point is reached."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._left = point.nth
        self._copies: set[int] = set()
        self._last: dict[int, str] = {}

    def _is_here(self, operation: str, what: str) -> bool:
        if (operation, what) != (self._point.operation, self._point.what):
            return False
        self._left -= 1
        return self._left == 0

    def _pass(self, operation: str, what: str) -> bool:
        """Die before the operation, or say whether to die after it."""
        is_here = self._is_here(operation, what)
        if is_here and self._point.moment == "before":
            _die()
        return is_here

    def create(self, path: Path) -> int:
        is_here = self._pass("create", path.suffix)
        fd = super().create(path)
        if path.suffix == ".recovering":
            self._copies.add(fd)
        if is_here:
            _die()
        return fd

    def write(self, fd: int, data: bytes) -> None:
        what = "header"
        if fd in self._copies:
            what = "copy"
        elif data[: len(GROUP_MAGIC)] == GROUP_MAGIC:
            what = "footer" if data[_KIND_AT] == KIND_FOOTER else "group"
        self._last[fd] = what
        is_here = self._pass("write", what)
        if is_here and self._point.moment == "half":
            os.write(fd, data[: len(data) // 2])
            _die()
        super().write(fd, data)
        if is_here:
            _die()

    def sync(self, fd: int) -> None:
        is_here = self._pass("sync", self._last[fd])
        if self._point.moment == "slow":
            time.sleep(_SLOW_S)
        super().sync(fd)
        if is_here:
            _die()

    def close(self, fd: int) -> None:
        self._copies.discard(fd)
        super().close(fd)

    def rename(self, source: Path, target: Path) -> None:
        is_here = self._pass("rename", source.suffix)
        super().rename(source, target)
        if is_here:
            _die()

    def remove(self, path: Path) -> None:
        is_here = self._pass("remove", path.suffix)
        super().remove(path)
        if is_here:
            _die()


class LoadOrder(msgspec.Struct):
    """What the loader needs to know."""

    dsn: str
    spool: str


class EraseOrder(LoadOrder):
    """Whom to erase."""

    customer: str


def _die() -> NoReturn:
    time.sleep(_LAST_MOMENT_S)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives this")


def _load(files: OsFiles) -> int:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=LoadOrder)
    configure_logs("info")
    loader = Loader(
        LoadSettings(poll_ms=20), partial(PostgresSink.open, order.dsn), [SpoolFolder(Path(order.spool), files)], 7
    )
    return loader.run(threading.Event())


def _erase(files: OsFiles) -> int:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=EraseOrder)
    with connect(order.dsn, role="sillok_operator") as connection:
        prepare(connection)
        prepare_session(connection)
        erase_customer(connection, SpoolFolder(Path(order.spool), files), order.customer, "request 12")
    return 0


if __name__ == "__main__":
    part, operation, what, moment, nth = sys.argv[1:]
    disk = DyingFiles(Point(operation, what, moment, int(nth)))
    raise SystemExit({"worker": serve, "loader": _load, "eraser": _erase}[part](disk))
