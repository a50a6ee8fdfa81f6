"""The operating system as an interface of ten methods, so that a test can pull the plug.

`OsFiles` is the real one. Nothing else in the spool touches a file.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """What the spool asks of a file system. Every method raises OSError when it fails."""

    def create(self, path: Path) -> int:
        """Create a file that must not exist yet; return a descriptor that appends."""
        ...

    def write(self, fd: int, data: bytes) -> None:
        """Append all of `data`."""
        ...

    def sync(self, fd: int) -> None:
        """Return only when everything written to this descriptor is on the disk."""
        ...

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Return only when names made, moved or removed in this folder are on the disk."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in the same file system, replacing nothing."""
        ...

    def read(self, path: Path) -> bytes:
        """Return the whole file."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, sorted."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file."""
        ...

    def free_bytes(self, folder: Path) -> int:
        """Return how much an ordinary user can still write there."""
        ...


class OsFiles:
    """The real file system. Descriptors append, are closed on exec, and belong to the owner alone."""

    def create(self, path: Path) -> int:  # noqa: D102 - see Files
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: bytes) -> None:  # noqa: D102
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:  # noqa: D102
        os.fdatasync(fd)

    def close(self, fd: int) -> None:  # noqa: D102
        os.close(fd)

    def sync_folder(self, path: Path) -> None:  # noqa: D102
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:  # noqa: D102
        if target.exists():
            raise FileExistsError(errno.EEXIST, "a spool file is never replaced", str(target))
        source.rename(target)

    def read(self, path: Path) -> bytes:  # noqa: D102
        return path.read_bytes()

    def names(self, folder: Path) -> list[str]:  # noqa: D102
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, not paths, are wanted

    def remove(self, path: Path) -> None:  # noqa: D102
        path.unlink()

    def free_bytes(self, folder: Path) -> int:  # noqa: D102
        stats = os.statvfs(folder)
        return stats.f_bavail * stats.f_frsize


def lock_file(path: Path) -> int | None:
    """Take the exclusive lock of a file for this process's life; None when another holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
