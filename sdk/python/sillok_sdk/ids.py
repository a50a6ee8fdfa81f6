"""UUIDv7 (RFC 9562): milliseconds, a count, and chance drawn once for each process.

    unix_ms 48 | version 4 | count 12 | variant 2 | count 14 | random 48

The count rises with every id and is never set back; while the clock stands or runs backwards the milliseconds stay
as they are, and when the count begins again they go one on. So the ids of a process rise and do not repeat, whatever
the clock does, and two processes meet only by drawing the same 48 bits, in the same millisecond, at the same count.
"""

from __future__ import annotations

import os
import time
from itertools import count

_COUNT_MAX = 0x3FFFFFF


class Ids:
    """Makes ids, for any number of threads. A forked child needs a new one: a copy would repeat its parent's."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._ms = 0
        self._head = ""
        self._tail = "-" + os.urandom(6).hex()

    def new(self, ms: int | None = None) -> str:
        """Return a new UUIDv7 in its 36-character form, of this moment unless told otherwise."""
        # The one step that two threads must not share: it is one call of C.
        number = next(self._numbers) & _COUNT_MAX
        if ms is None:
            ms = time.time_ns() // 1_000_000
        if ms > self._ms or not number:
            self._ms = ms = max(ms, self._ms + (not number))
            digits = f"{ms:012x}"
            self._head = f"{digits[:8]}-{digits[8:]}-7"
        return f"{self._head}{number >> 14:03x}-{0x8000 | number & 0x3FFF:04x}{self._tail}"
