"""A disk whose power can be cut: it keeps what was synced, and of the rest whatever chance decides.

It implements the product's `Files` on a real folder. That folder is what a running system sees, the page
cache included; beside it the disk remembers what has reached the platter. At a power cut

- of each 512-byte sector written since the last sync of its file, the new bytes are there or are not; in
  their place are zeros or, where the file had grown, what an older file left in that block;
- a file is as long as it was synced, or as it was written, or anything in between;
- of each name made, moved or removed since the last sync of its folder, the change is there or is not, be
  the file itself synced or not. A move is one change, as in every file system with a journal;
- a folder that no sync of its parent covered is there with all that is in it, or is not.

A failed sync leaves its sectors marked clean, as Linux does: some are on the disk, and no later sync of
this file brings the others there.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Final

from msgspec import Struct

from storage.spool.files import OsFiles

SECTOR: Final = 512


class SimFile:
    """One file's bytes: as written, and as they lie on the platter."""

    def __init__(self, data: bytes = b"") -> None:
        self.cached = bytearray(data)
        self.durable = bytearray(data)
        self.dirty: set[int] = set()

    def write(self, data: bytes) -> None:
        """Append to the cache."""
        first = len(self.cached) // SECTOR
        self.cached += data
        self.dirty |= set(range(first, -(-len(self.cached) // SECTOR)))

    def settle(self, sectors: Iterable[int]) -> None:
        """Bring these sectors to the platter; no later sync looks at any other again."""
        for sector in sectors:
            start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(self.cached))
            self.durable.extend(bytes(max(0, end - len(self.durable))))
            self.durable[start:end] = self.cached[start:end]
        self.dirty.clear()

    def survive(self, chance: Random, stale: bytes) -> bytes:
        """Return what is left of the file after a power cut."""
        kept_share = chance.choice((0.0, 0.5, 1.0))
        end = chance.choice((len(self.durable), len(self.cached), chance.randint(0, len(self.cached))))
        left = bytearray(self.durable)
        if end > len(left):
            left += stale[len(left) : end]
            left += bytes(end - len(left))
        for sector in sorted(self.dirty):
            if chance.random() < kept_share:
                span = slice(sector * SECTOR, min((sector + 1) * SECTOR, len(left), len(self.cached)))
                left[span] = self.cached[span]
        return bytes(left)


class _Change(Struct, eq=False):
    """A name made (no source), moved, or removed (no target), and not synced yet."""

    source: Path | None
    target: Path | None
    file: SimFile

    def touches(self, folder: Path) -> bool:
        return any(path is not None and path.parent == folder for path in (self.source, self.target))

    def apply(self, names: dict[Path, SimFile]) -> None:
        if self.source is not None and names.get(self.source) is self.file:
            del names[self.source]
        if self.target is not None:
            names[self.target] = self.file


class SimDisk(OsFiles):
    """See above. `root` exists and is durable; everything below it has to be earned."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.is_off = False
        self.lies: tuple[str, ...] = ()
        """Operations, `sync` or `sync_folder`, that say they are done and do nothing."""
        self.on_rename: Callable[[Path], None] = lambda _target: None
        """Called when a file has its new name, before any folder is synced: another process may be that fast."""
        self._names: dict[Path, SimFile] = {}
        self._durable_names: dict[Path, SimFile] = {}
        self._durable_folders: set[Path] = set()
        self._changes: list[_Change] = []
        self._open: dict[int, SimFile] = {}
        self._calls_left: int | None = None
        self._failures: list[tuple[str, int]] = []

    # What a test does to it

    def cut_after(self, calls: int) -> None:
        """Let the power go at the call after so many more."""
        self._calls_left = calls

    def fail(self, operation: str, code: int) -> None:
        """Let the next call of this operation fail."""
        self._failures.append((operation, code))

    def heal(self) -> None:
        """Forget the failures still to come."""
        self._failures = []

    def power_cut(self, chance: Random) -> None:
        """Lose what was not synced, as chance will have it, and come back with the rest."""
        stale = max((bytes(file.cached) for file in self._durable_names.values()), key=len, default=b"")
        for change in self._changes:
            if chance.random() < 0.5:
                change.apply(self._durable_names)
        cached_folders = [Path(path) for path, _, _ in os.walk(self.root)][1:]
        folders = [f for f in cached_folders if f in self._durable_folders or chance.random() < 0.5]
        self.close_all()
        for path in self.root.iterdir():
            shutil.rmtree(path)
        self._names, self._open, self._changes, self._failures = {}, {}, [], []
        self._durable_folders = {self.root}
        for folder in folders:
            if folder.parent in self._durable_folders:
                folder.mkdir()
                self._durable_folders.add(folder)
        for path, file in self._durable_names.items():
            if path.parent in self._durable_folders:
                self._names[path] = SimFile(file.survive(chance, stale))
                path.write_bytes(self._names[path].cached)
        self._durable_names = dict(self._names)
        self.is_off, self._calls_left = False, None

    def close_all(self) -> None:
        """Close what a process that is gone had open."""
        for fd in self._open:
            os.close(fd)
        self._open = {}

    # Files

    def _call(self, operation: str) -> None:
        if self._calls_left is not None:
            self.is_off = self.is_off or self._calls_left == 0
            self._calls_left -= 1
        if self.is_off:
            raise OSError(errno.EIO, "the power is cut")
        for failure in self._failures:
            if failure[0] == operation:
                self._failures.remove(failure)
                raise OSError(failure[1], os.strerror(failure[1]))

    def create(self, path: Path) -> int:
        self._call("create")
        fd = super().create(path)
        self._names[path] = self._open[fd] = SimFile()
        self._changes.append(_Change(None, path, self._names[path]))
        return fd

    def write(self, fd: int, data: bytes) -> None:
        was_off = self.is_off
        try:
            self._call("write")
        except OSError:
            part = data if self.is_off else data[: len(data) // 2]
            if not was_off:
                self._append(fd, part)
            raise
        self._append(fd, data)

    def _append(self, fd: int, data: bytes) -> None:
        super().write(fd, data)
        self._open[fd].write(data)

    def sync(self, fd: int) -> None:
        file = self._open[fd]
        try:
            self._call("sync")
        except OSError:
            if not self.is_off:
                file.settle(sorted(file.dirty)[::2])
            raise
        if "sync" not in self.lies:
            file.settle(sorted(file.dirty))

    def close(self, fd: int) -> None:
        del self._open[fd]
        super().close(fd)
        self._call("close")

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder")
        if "sync_folder" in self.lies:
            return
        for change in [c for c in self._changes if c.touches(path)]:
            # What was done to the same file before is implied.
            earlier = self._changes[: self._changes.index(change) + 1]
            self._changes = [c for c in self._changes if c not in earlier or c.file is not change.file]
            change.apply(self._durable_names)
        self._durable_folders |= {folder for folder in path.iterdir() if folder.is_dir()}

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename")
        super().rename(source, target)
        self._names[target] = self._names.pop(source)
        self._changes.append(_Change(source, target, self._names[target]))
        self.on_rename(target)

    def read(self, path: Path) -> bytes:
        self._call("read")
        return super().read(path)

    def names(self, folder: Path) -> list[str]:
        self._call("names")
        return super().names(folder)

    def remove(self, path: Path) -> None:
        self._call("remove")
        super().remove(path)
        self._changes.append(_Change(path, None, self._names.pop(path)))

    def free_bytes(self, folder: Path) -> int:
        self._call("free_bytes")
        return 1 << 40 if folder.exists() else 0
