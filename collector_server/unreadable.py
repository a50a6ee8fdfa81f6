"""What is left of a body that cannot be read: its length, its hash and why. Never a byte of it.

The hash lets a sender find the body among those it has sent. A flood of such bodies must not fill the log's
disk: a few lines a second, and the next line says how many were left out.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Final

import structlog

from collector_server.keys import Bucket
from collector_server.refusal import Refused

log: Final = structlog.get_logger()

_LINES_PER_SECOND: Final = 5.0


class UnreadableBodies:
    """Logs them; one per worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = Bucket(_LINES_PER_SECOND, clock)
        self._left_out = 0

    def note(self, source: str, body: bytes, refused: Refused) -> None:
        """Log one body, unless there were too many."""
        if self._bucket.take(1):
            self._left_out += 1
            return
        log.warning(
            "body_unreadable",
            source=source,
            reason=refused.refusal.code,
            body_bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            left_out=self._left_out,
        )
        self._left_out = 0
