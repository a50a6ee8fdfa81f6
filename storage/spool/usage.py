"""What one slot's folder takes of the disk, and how long its oldest segment has waited for the loader."""

import os
from pathlib import Path

from msgspec import Struct

from storage.spool.folder import OPEN, SEALED, SlotFolder


class Usage(Struct, frozen=True):
    """Bytes by what they are, and the segments that are not loaded."""

    open_bytes: int
    waiting_bytes: int
    archived_bytes: int
    damaged_bytes: int
    waiting_segments: int
    oldest_waiting_at: float | None
    """When the oldest sealed segment that is not loaded was sealed, seconds since the epoch."""

    @property
    def kept_bytes(self) -> int:
        """All but the segment that is being written."""
        return self.waiting_bytes + self.archived_bytes + self.damaged_bytes


def measure(slot: SlotFolder) -> Usage:
    """Look at every file of the slot, which takes about 1 s where a week of segments is archived."""
    here = _sizes(slot.path)
    sealed = {name: found for name, found in here.items() if name.endswith(SEALED)}
    return Usage(
        open_bytes=sum(size for name, (size, _) in here.items() if name.endswith(OPEN)),
        waiting_bytes=sum(size for size, _ in sealed.values()),
        archived_bytes=sum(size for size, _ in _sizes(slot.archive).values()),
        damaged_bytes=sum(size for size, _ in _sizes(slot.damaged).values()),
        waiting_segments=len(sealed),
        oldest_waiting_at=sealed[min(sealed)][1] if sealed else None,
    )


def _sizes(folder: Path) -> dict[str, tuple[int, float]]:
    """Return (bytes, time of the last change) of the folder's files; none when there is no such folder."""
    found: dict[str, tuple[int, float]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_file(follow_symlinks=False):
                        stat = entry.stat(follow_symlinks=False)
                        found[entry.name] = (stat.st_size, stat.st_mtime)
                except FileNotFoundError:
                    continue  # loaded or dropped meanwhile
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found
