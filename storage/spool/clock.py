"""The clock that stamps `received_at`: it never runs backwards, and it notices when the wall clock jumps."""

import time
from typing import Final, Protocol

STEP_US: Final = 5_000_000


class Clock(Protocol):
    """Two readings of time, in microseconds."""

    def wall_us(self) -> int:
        """Return the time since the epoch."""
        ...

    def monotonic_us(self) -> int:
        """Return a time that no operator can change."""
        ...


class OsClock:
    """The machine's own clocks."""

    def wall_us(self) -> int:  # noqa: D102 - see Clock
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:  # noqa: D102
        return time.monotonic_ns() // 1000


class ReceivedClock:
    """Monotone wall time within a segment. A step of more than 5 s is reported once, and then accepted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_us = clock.wall_us() - clock.monotonic_us()
        self._last_us = clock.wall_us()

    def now_us(self) -> int:
        """Return the wall time, or the last answer while the wall clock is behind it."""
        wall = self._clock.wall_us()
        self._last_us = max(self._last_us, wall)
        return self._last_us

    def take_step_us(self) -> int:
        """Return by how much the wall clock jumped since the last call, 0 when it did not.

        After a jump the clock goes on from the new wall time, be it earlier; the caller starts a segment.
        """
        offset = self._clock.wall_us() - self._clock.monotonic_us()
        step = offset - self._offset_us
        self._offset_us = offset
        if abs(step) <= STEP_US:
            return 0
        self._last_us = self._clock.wall_us()
        return step
