"""Whether an installation took the load: each acknowledged event is clean, once, and the figures are within bounds.

Asked of the tables, event by event: an event's number stands in its id, so that a bit for each says which are there.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import psycopg
from msgspec import Struct, field

from loadtest.plan import Batches
from loadtest.tally import Acknowledged, Load
from storage.postgres import read_sql

KEPT: Final = "the driver kept the schedule"
TAKEN: Final = "the load was taken in time"
BOOKS: Final = "the books balance"
HELD: Final = "a rate was held"
QUICK: Final = "answers are quick"
# What a late driver spoils.
_OF_TIME: Final = (TAKEN, QUICK, "nothing was shed", HELD)
_SQL: Final = "loadtest.sql"
_POLL_S: Final = 0.5
_LOOK_ANYWAY_S: Final = 10.0
_NAMED_MAX: Final = 5
_FETCHED: Final = 20_000


class Bounds(Struct, frozen=True, kw_only=True):
    """What a run must keep to; None asks for nothing."""

    p99_ms: float | None = None
    """Of a request's answer, from when it was due."""
    achieved: float | None = 0.99
    """Share of what was sent that must be acknowledged when the load ends, or a second later."""
    shed: int | None = 0
    """Most events that may be answered 429 or 503."""
    lag_ms: float | None = 100.0
    """Most that the driver itself may be late by, 99 % of the time: else the run says nothing of the server."""
    drain_s: float | None = None
    """Longest from the last answer until everything is clean."""


class Check(Struct, frozen=True):
    """One claim: what was wanted, what was found."""

    name: str
    holds: bool
    wanted: str
    found: str


class Verdict(Struct):
    """What became of the events."""

    loaded: int = 0
    clean: int = 0
    duplicates: int = 0
    rejected: int = 0
    dead_letters: int = 0
    missing: int = 0
    """Acknowledged, and not clean."""
    unexpected: int = 0
    """Clean twice, or refused and clean all the same."""
    drained_s: float | None = None
    checks: list[Check] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether the run says something of the server: what is lost is lost, however late the driver was."""
        failing = {check.name for check in self.checks if not check.holds}
        return KEPT not in failing or bool(failing - {KEPT, *_OF_TIME})

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(check.holds for check in self.checks)


def wait_until_clean(
    connection: psycopg.Connection,
    plan: Batches,
    since: datetime,
    expected: int,
    duplicates: int,
    patience_s: float,
    counted: Callable[[], int] | None = None,
    began: float | None = None,
) -> float | None:
    """Wait until so many events are clean; return the seconds since `began` (monotonic), or None after all patience.

    The rows are counted when `counted`, which is cheaper, says that it is time, and now and then all the same. What was
    sent twice may be known as duplicates a batch of the processor later than the last clean event: waited for as well.
    """
    looked = time.monotonic()
    began = looked if began is None else began
    drained_s: float | None = None
    while True:
        now = time.monotonic()
        if counted is None or counted() >= expected or now - looked > _LOOK_ANYWAY_S:
            row = connection.execute(
                read_sql(_SQL, "clean_count.sql"), {"since": since, "ids": plan.id_pattern}
            ).fetchone()
            looked = time.monotonic()
            clean, found = row or (0, 0)
            if clean >= expected:
                drained_s = drained_s or max(round(now - began, 1), 0.1)
                if found >= duplicates:
                    return drained_s
        if now - began > patience_s:
            return drained_s
        time.sleep(_POLL_S)


def expected_clean(plan: Batches, acknowledged: Acknowledged) -> int:
    """Return how many events must be clean."""
    return sum(plan.size(number) - (plan.refused(number) is not None) for number in acknowledged)


def judge(
    connection: psycopg.Connection,
    plan: Batches,
    load: Load,
    acknowledged: Acknowledged,
    since: datetime,
    drained_s: float | None,
    bounds: Bounds,
) -> Verdict:
    """Ask the tables, and hold everything against what was sent and what was asked."""
    parameters = {"since": since, "ids": plan.id_pattern}
    ((loaded, duplicates, rejected, dead_letters),) = connection.execute(
        read_sql(_SQL, "counts.sql"), parameters
    ).fetchall()
    verdict = Verdict(loaded, 0, duplicates, rejected, dead_letters, drained_s=drained_s)
    numbers = plan.first(load.batches)
    seen = bytearray(numbers // 8 + 1)
    is_test = True
    with connection.transaction(), connection.cursor(name="loadtest") as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(read_sql(_SQL, "clean.sql"), parameters)
        for number, test in cursor:
            verdict.clean += 1
            place, bit = number >> 3, 1 << (number & 7)
            if number >= numbers or seen[place] & bit:
                verdict.unexpected += 1
                continue
            seen[place] |= bit
            is_test &= test
    missing: list[int] = []
    for batch in acknowledged:
        refused, first = plan.refused(batch), plan.first(batch)
        for number in range(first, first + plan.size(batch)):
            is_there = bool(seen[number >> 3] & 1 << (number & 7))
            if number - first == refused:
                verdict.unexpected += is_there
            elif not is_there:
                verdict.missing += 1
                if len(missing) < _NAMED_MAX:
                    missing.append(number)
    verdict.checks = checks_of(verdict, load, missing, bounds, is_test=is_test)
    return verdict


def checks_of(verdict: Verdict, load: Load, missing: list[int], bounds: Bounds, *, is_test: bool) -> list[Check]:
    """Hold what was found against what was asked; `missing` are the first numbers that are."""
    return [
        *_of_the_driver(load, bounds),
        *_of_the_events(verdict, load, missing, is_test=is_test),
        *_of_the_server(verdict, load, bounds),
    ]


def _of_the_driver(load: Load, bounds: Bounds) -> Iterator[Check]:
    if bounds.lag_ms is not None:
        lag_ms = load.driver_lag_p99_ms
        yield Check(KEPT, lag_ms <= bounds.lag_ms, f"99 % within {bounds.lag_ms:g} ms", f"{lag_ms:.1f} ms")


def _of_the_events(verdict: Verdict, load: Load, missing: list[int], *, is_test: bool) -> Iterator[Check]:
    named = f", number {', '.join(map(str, missing))}" if missing else ""
    found = f"{verdict.missing:,} missing{named}"
    yield Check("every acknowledged event is clean", not missing, "0 missing", found)
    yield Check("nothing is clean twice", not verdict.unexpected, "0", f"{verdict.unexpected:,}")
    yield Check("nothing became a dead letter", not verdict.dead_letters, "0", f"{verdict.dead_letters:,}")
    again = load.acknowledged_again
    yield Check(
        "what was sent twice is a duplicate",
        verdict.duplicates >= again,
        f"at least {again:,}",
        f"{verdict.duplicates:,}",
    )
    others = load.refused_unplanned
    yield Check("only what should be is refused", not others, "0 others", f"{others:,} others")
    kept = verdict.rejected >= load.refused
    yield Check("what was refused is kept", kept, f"at least {load.refused:,}", f"{verdict.rejected:,}")
    yield Check("the rows carry is_test", is_test, "all", "all" if is_test else "not all: use a key of kind test")


def _of_the_server(verdict: Verdict, load: Load, bounds: Bounds) -> Iterator[Check]:
    if bounds.achieved is not None:
        share = load.acknowledged_in_time / load.sent if load.sent else 0.0
        yield Check(TAKEN, share >= bounds.achieved, f"{bounds.achieved:.1%} in time", f"{share:.1%}")
        bad = load.failed + load.unanswered
        yield Check("every request has a good answer", not bad, "0 others", f"{bad:,} others")
    if bounds.shed is not None:
        yield Check("nothing was shed", load.shed <= bounds.shed, f"at most {bounds.shed:,}", f"{load.shed:,}")
    if bounds.p99_ms is not None:
        is_quick = load.p99_ms <= bounds.p99_ms
        yield Check(QUICK, is_quick, f"p99 {bounds.p99_ms:g} ms", f"{load.p99_ms:.1f} ms")
    if bounds.drain_s is not None:
        drained = verdict.drained_s
        found = "not drained" if drained is None else f"{drained:g} s"
        is_drained = drained is not None and drained <= bounds.drain_s
        yield Check("the backlog drains", is_drained, f"{bounds.drain_s:g} s", found)
