"""A small broker's visitors, day by day, for somebody who wants to look at more than an empty table.

Always true:

- A day follows from the seed and its date alone, ids too: made again, it is the same day, event for event.
- Who comes again is the same person: same device, same habits, same customer number.

What a marketing person would look for is in it: weekdays busier than weekends, the market's opening, its close and the
evening; campaigns on days of their own; newcomers who mostly leave and sometimes return; an account opening and an
order, each with its drop-offs; a release every second Wednesday whose first days have more errors.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from loadtest.people import is_free, members, newcomers
from loadtest.visitors import Visit
from loadtest.walk import Walk, bot_visit

_COHORT_DAYS: Final = 27


def visits_of(seed: int, day: date) -> Iterator[Visit]:
    """Yield a Korean calendar day's visits; the last may end a few minutes after midnight."""
    is_quiet = is_free(day)
    rng = random.Random(f"{seed} {day}")
    for person in members(seed):
        for _ in range(_times(rng, person.frequency * (0.3 if is_quiet else 1.0))):
            yield Walk(rng, person, day, is_first=False).visit()
    for person in newcomers(seed, day):
        yield Walk(rng, person, day, is_first=True).visit()
    for age in range(1, _COHORT_DAYS + 1):
        for person in newcomers(seed, day - timedelta(days=age)):
            likely = 0.42 / age**0.35 if person.customer_id else 0.14 / age**0.9
            if rng.random() < likely * (0.6 if is_quiet else 1.0):
                yield Walk(rng, person, day, is_first=False).visit()
    for number in range(4):
        yield bot_visit(rng, day, number)


def _times(rng: random.Random, frequency: float) -> int:
    whole = int(frequency)
    return whole + (rng.random() < frequency - whole)
