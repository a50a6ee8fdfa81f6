"""Steps until it breaks: the highest rate that an installation keeps up with.

The rate grows by half from step to step until a step does not hold; then the gap between the last that held and the
first that did not is halved three times, after a rest each time. What a step must keep to is said by who drives it.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

_GROWTH: Final = 1.5
STEPS_MAX: Final = 16
_HALVINGS: Final = 3


class Step(Struct, frozen=True):
    """One step, and whether it held. Numbers are of events."""

    rate: float
    seconds: float
    sent: int
    acknowledged: int
    shed: int
    p50_ms: float
    p99_ms: float
    driver_lag_p99_ms: float
    drained_s: float | None
    """From the last answer until everything of it was clean; None when that was not asked."""
    broke: str
    """Why it did not hold; empty when it did."""
    is_limit_ours: bool = False
    """The driver was late itself: nothing is known of the server at this rate."""

    @property
    def holds(self) -> bool:
        """Whether the installation kept up."""
        return not self.broke


async def find_highest(first_rate: float, drive: Callable[[float], Awaitable[Step | None]]) -> list[Step]:
    """Drive step after step and return them all; None from `drive` ends the search, as when it is interrupted."""
    steps: list[Step] = []
    rate, low, high = first_rate, 0.0, 0.0
    while len(steps) < STEPS_MAX:
        step = await drive(rate)
        if step is None:
            break
        steps.append(step)
        if step.holds:
            low = rate
        else:
            high = rate
        if not high:
            rate *= _GROWTH
        elif not low:
            rate /= _GROWTH**2
        elif high / low < _GROWTH ** (1 / 2**_HALVINGS) * 1.001:
            break
        else:
            rate = (low * high) ** 0.5
    return steps


def highest(steps: list[Step]) -> Step | None:
    """Return the fastest step that held, if any did."""
    return max((step for step in steps if step.holds), key=lambda step: step.rate, default=None)
