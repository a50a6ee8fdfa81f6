"""What a segment holds, read again long after its load: from the archive, or from wherever it is now."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from contract.errors import SpoolError
from storage.contents import Contents
from storage.rows import rows_of
from storage.spool.folder import SegmentId, SpoolFolder
from storage.spool.reader import Segment, parse_segment


class StoredEvents:
    """Segments of this machine's spool, the last one remembered."""

    def __init__(self, spool: SpoolFolder | None) -> None:
        self._spool = spool
        self._last: tuple[SegmentId, Segment] | None = None

    def segment(self, name: SegmentId) -> Segment:
        """Return a sealed segment; raise SpoolError when this machine does not have it, or cannot read it."""
        if self._last is None or self._last[0] != name:
            self._last = (name, self._read(name))
        return self._last[1]

    def _read(self, name: SegmentId) -> Segment:
        if self._spool is None or name.spool_id != self._spool.spool_id:
            raise SpoolError(f"segment {name} is in another machine's spool: run this there")
        slot = self._spool.slot(name.slot)
        path = slot.segment_path(name.segment)
        if not path.exists():
            found = slot.archived(name.segment) if slot.archive.exists() else None
            if found is None:
                raise SpoolError(f"segment {name} is no longer in the archive: its grace period has ended")
            path = found
        return parse_segment(slot.files.read(path))

    def rows(self, name: SegmentId, load_id: int) -> Iterator[tuple[int, str, UUID, tuple[Any, ...]]]:
        """Yield time in microseconds, source, id and row of `raw.events` of every event that can be decoded."""
        for received_at_us, meta, batch in Contents(self.segment(name)).batches(load_id):
            for event, row in zip(batch.events, rows_of(load_id, received_at_us, meta, batch), strict=True):
                yield received_at_us, meta.source, event.event_id, row
