"""The real file system, with a watch on its syncs: they are what every answer waits for."""

import time
from collections.abc import Callable
from typing import Final

from storage.spool.files import OsFiles


class TimedFiles(OsFiles):
    """Says of each sync how long it took, in seconds, on the thread that asked for it."""

    def __init__(self, on_sync: Callable[[float], None]) -> None:
        self._on_sync: Final = on_sync

    def sync(self, fd: int) -> None:  # noqa: D102 - see Files
        started = time.perf_counter()
        super().sync(fd)
        self._on_sync(time.perf_counter() - started)
