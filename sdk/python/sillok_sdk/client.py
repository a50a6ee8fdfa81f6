"""The client of a program with threads, or without."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sillok_sdk.events import Events

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class Client(Events):
    """Makes events, and sends them from a thread of its own."""

    def flush(self, timeout_ms: int | None = None) -> bool:
        """Wait until every event made so far is acknowledged or dropped; `False` if time ran out first."""
        deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        return all(
            instance.queue.flush(None if deadline is None else max(0.0, deadline - time.monotonic()))
            for instance in self._instances
        )

    def close(self, timeout_ms: int | None = None) -> bool:
        """Send what waits and the last report, then stop; `True` if nothing had to be given up.

        Events that cannot be sent in time (default `close_timeout_ms`) are given up and counted as
        `closed`, as is every event made afterwards; those in a folder wait there for the next process. Also
        called when the process exits.
        """
        return self.end(timeout_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_sending(self) -> bool:
        started = [instance.start() for instance in self._instances]
        return all(started)
