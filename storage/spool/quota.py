"""Holds one slot's folder to its quota: loaded segments give way, oldest first; what is not loaded never does.

The folder may hold a week of segments, so it is not looked at for each group: what was written since the
last look is added, and only when that exceeds the quota is the folder looked at again. Then an eighth of
the quota is made free, so that the next look is far away.
"""

from pathlib import Path
from typing import Final

from storage.spool.folder import SlotFolder
from storage.spool.usage import measure

_SLACK: Final = 8


class Quota:
    """Belongs to the writer's thread."""

    def __init__(self, folder: SlotFolder, bytes_max: int | None) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._kept_bytes = 0 if bytes_max is None else measure(folder).kept_bytes

    def grew(self, size: int) -> None:
        """Count a segment that was sealed."""
        self._kept_bytes += size

    def has_room(self, open_bytes: int) -> bool:
        """Say whether the folder and the open segment are within the quota."""
        if self._bytes_max is None or self._kept_bytes + open_bytes < self._bytes_max:
            return True
        # The loader has removed old segments too, and a few of ours were dropped for the disk's sake.
        self._kept_bytes = measure(self._folder).kept_bytes
        return self._kept_bytes + open_bytes < self._bytes_max

    def may_stay(self, archived: Path, open_bytes: int) -> bool:
        """Say whether an archived segment may stay; when not, it is counted as gone."""
        if self._bytes_max is None:
            return True
        if self._kept_bytes + open_bytes <= self._bytes_max - self._bytes_max // _SLACK:
            return True
        self._kept_bytes -= archived.stat().st_size
        return False
