"""When how much is sent: events a second over the time of a run, and the moments at which batches are due."""

import math
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

Rate = Callable[[float], float]
STEP: Final = "step"
SHAPES: Final = ("constant", "ramp", "market-open", "soak", STEP)
# A market opens thirty times as busy as the minute before, and calms down over some minutes.
_QUIET: Final = 1 / 30
_OPENS_AT: Final = 0.25
_JUMP_S: Final = 1.0
_CALM: Final = 0.2
_STEP_S: Final = 0.05


class Shape(Struct, frozen=True):
    """A named course of the load."""

    name: str
    peak: float
    """Most events a second."""
    seconds: float

    def rate(self, at_s: float) -> float:
        """Return the events a second at this moment of the run."""
        if self.name == "ramp":
            return self.peak * max(at_s / self.seconds, _QUIET)
        if self.name == "market-open":
            since = at_s - self.seconds * _OPENS_AT
            if since < 0:
                return self.peak * _QUIET
            if since < _JUMP_S:
                return self.peak * (_QUIET + (1 - _QUIET) * since / _JUMP_S)
            left = self.seconds * (1 - _OPENS_AT)
            return self.peak * (_CALM + (1 - _CALM) * math.exp(-3 * (since - _JUMP_S) / left))
        return self.peak

    def due(self, batch_events: int) -> Iterator[float]:
        """Yield the moments, in seconds from the start, at which a batch is due."""
        at = 0.0
        while at < self.seconds:
            yield at
            # In small steps, or a jump would be slept through between two batches of the quiet time.
            left = float(batch_events)
            while at < self.seconds and left > self.rate(at) * _STEP_S:
                left -= self.rate(at) * _STEP_S
                at += _STEP_S
            at += left / self.rate(at)
