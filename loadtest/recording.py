"""What was recorded, as batches at their moments: the sealed segments of a spool, or a web server's access log.

A spool is read from any folder with sealed segments in it (a spool, its archive, a copy) and never written. Of each
batch only its place is kept in memory; its events are read when they are due. What was masked stays masked.
An access log (combined format, also gzip) is held in memory; the page views of one address and user agent
within some seconds are one batch, as an SDK would have sent them.
"""

import functools
import gzip
import hashlib
import zlib
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import UNSET, Struct

from contract.errors import SpoolFormatError, UsageError
from contract.event import StoredBatch, StoredContext, StoredEvent, decode_stored_batch, is_blank
from loadtest.access_log import Request, read_requests
from storage.spool.folder import SEALED
from storage.spool.frame import Frame, decode_meta
from storage.spool.reader import read_segment

_TOGETHER_MS: Final = 10_000
_TOGETHER_MAX: Final = 50
_SEGMENTS_KEPT: Final = 8
_NO_ID: Final = UUID(int=0)


class Recorded(Struct):
    """One batch of the recording; its events' times are what they were."""

    batch: StoredBatch
    at_ms: int
    """When it was received."""
    user_agent: str


class Recording(ABC):
    """Batches in the order of their receipt."""

    def __init__(self) -> None:
        self.offsets_ms = array("q")
        """When each was received, from the first on."""
        self.sizes = array("H")

    @abstractmethod
    def read(self, number: int) -> Recorded:
        """Return a batch; the caller may change it."""

    def _index(self, moments: list[tuple[int, int]]) -> None:
        """Take each batch's moment in ms and its size, in order."""
        if not moments:
            raise UsageError("there is no event in the recording")
        first = moments[0][0]
        self.offsets_ms = array("q", (moment - first for moment, _ in moments))
        self.sizes = array("H", (size for _, size in moments))


class SpoolRecording(Recording):
    """The batches of sealed segments."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._paths = sorted(folder.rglob(f"*{SEALED}"))
        if not self._paths:
            raise UsageError(f"no sealed segment is in {folder}: name a spool's folder, or a copy of its archive")
        places = sorted(
            (frame.received_at_us // 1000, path, number, size)
            for path in range(len(self._paths))
            for number, frame in enumerate(self._frames(path))
            if (size := len(_events(frame)))
        )
        self._places = array("L", (path << 32 | number for _, path, number, _ in places))
        self._index([(moment, size) for moment, _, _, size in places])
        self._frames_kept = functools.lru_cache(maxsize=_SEGMENTS_KEPT)(self._frames)

    def read(self, number: int) -> Recorded:
        """Read a batch from its segment; the last few segments are kept."""
        place = self._places[number]
        frame = self._frames_kept(place >> 32)[place & 0xFFFF_FFFF]
        meta, batch = decode_meta(frame.meta), decode_stored_batch(frame.body)
        batch.events = _events(frame)
        context = batch.context
        if context is not UNSET:
            context.flags = []
        user_agent = (context.user_agent if context is not UNSET and meta.relay else None) or meta.user_agent or ""
        return Recorded(batch, frame.received_at_us // 1000, user_agent)

    def _frames(self, path: int) -> list[Frame]:
        try:
            segment = read_segment(self._paths[path])
        except (OSError, SpoolFormatError) as error:
            raise UsageError(f"{self._paths[path]} cannot be read: {error}") from error
        return [frame for group in segment.groups for frame in segment.frames(group)]


class LogRecording(Recording):
    """The page views of an access log."""

    def __init__(self, path: Path, site: str) -> None:
        super().__init__()
        self._site = site
        try:
            opened = gzip.open if path.suffix == ".gz" else open
            with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
                self._batches = sorted(_together(read_requests(lines)), key=lambda batch: batch[-1].time_ms)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise UsageError(f"{path} cannot be read as an access log: {error}") from error
        self._index([(batch[-1].time_ms, len(batch)) for batch in self._batches])

    def read(self, number: int) -> Recorded:
        """Return one visitor's page views."""
        requests = self._batches[number]
        name = hashlib.blake2b(f"{requests[0].ip} {requests[0].user_agent}".encode(), digest_size=8).hexdigest()
        events = [
            StoredEvent(
                event_id=_NO_ID,
                time=request.time_ms,
                event_type="page_view",
                page_url=self._site + request.target,
                referrer=request.referrer,
                props={"http_status": request.status},
            )
            for request in requests
        ]
        context = StoredContext(anonymous_id=f"log-{name}", platform="web")
        return Recorded(StoredBatch(events=events, context=context), requests[-1].time_ms, requests[0].user_agent or "")


def open_recording(path: Path, site: str) -> Recording:
    """Open a folder of segments, or an access log; raise UsageError when it is neither."""
    if not path.exists():
        raise UsageError(f"{path} does not exist: name a spool's folder or an access log")
    return SpoolRecording(path) if path.is_dir() else LogRecording(path, site)


def _events(frame: Frame) -> list[StoredEvent]:
    """Return a frame's events as they would be sent, without what was erased."""
    events = [event for event in decode_stored_batch(frame.body).events if not is_blank(event)]
    for event in events:
        event.flags = []
    return events


def _together(requests: Iterator[Request]) -> Iterator[list[Request]]:
    """Yield the requests of one visitor within some seconds."""
    waiting: dict[tuple[str, str | None], list[Request]] = {}
    for request in requests:
        batch = waiting.setdefault((request.ip, request.user_agent), [])
        if batch and (request.time_ms - batch[0].time_ms > _TOGETHER_MS or len(batch) == _TOGETHER_MAX):
            yield batch
            batch = waiting[request.ip, request.user_agent] = []
        batch.append(request)
    yield from waiting.values()
