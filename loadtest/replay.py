"""A recording as the batches of a new run: what was sent then, with other ids, at moments that are now.

An event is as old when it is sent as it was then. Ids of events and SDK instances are the run's own, so that nothing
is a duplicate of what was recorded; visitors, sessions and customers keep their names.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from loadtest.plan import Batch, Batches, Mix
from loadtest.recording import Recording

_ID_CHARACTERS_MAX: Final = 64


class Replay(Batches):
    """The batches of a recording, `speed` times as fast."""

    def __init__(
        self, recording: Recording, seed: int, run_id: str, start_ms: int, mix: Mix, *, speed: float = 1.0
    ) -> None:
        # What was recorded had been accepted; nothing of it is spoiled, or late by days that it was not.
        super().__init__(seed, run_id, start_ms, msgspec.structs.replace(mix, malformed=0.0, late=0.0))
        self._recording = recording
        self._firsts = [0, *accumulate(recording.sizes)]
        self._speed = speed

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self._recording.offsets_ms[-1] / 1000 / self._speed

    @property
    def events(self) -> int:
        """How many events there are."""
        return self._firsts[-1]

    def due(self) -> Iterator[float]:
        """Yield the moments, in seconds from the start, at which its batches are due."""
        return (offset / 1000 / self._speed for offset in self._recording.offsets_ms)

    def size(self, number: int) -> int:
        """Return how many events the batch has."""
        return self._recording.sizes[number]

    def first(self, number: int) -> int:
        """Return the number of its first event."""
        return self._firsts[number]

    def batch(self, number: int, offset_ms: int) -> Batch:
        """Return a batch that is due so many milliseconds after the start."""
        recorded = self._recording.read(number)
        batch, moment = recorded.batch, self._start_ms + offset_ms
        later = moment - recorded.at_ms
        head, first = self._id_head(moment).decode(), self.first(number)
        for index, event in enumerate(batch.events):
            event.event_id = UUID(f"{head}{first + index:012x}")
            event.time += later
            event.client_id = self._renamed(event.client_id)
        if batch.context is not UNSET:
            batch.context.client_id = self._renamed(batch.context.client_id)
            batch.context.ip = batch.context.user_agent = None
        for report in batch.clients:
            report.id = self._renamed(report.id) or ""
        if batch.sent_at is not None:
            batch.sent_at += later
        # A header has no line break and no letters beyond Latin 1.
        user_agent = "".join(filter(str.isprintable, recorded.user_agent)).encode("latin-1", "replace")
        return self._packed(number, msgspec.json.encode(batch), user_agent)

    def _renamed(self, client: str | None) -> str | None:
        return None if client is None else f"{self._client}-{client}"[:_ID_CHARACTERS_MAX]
