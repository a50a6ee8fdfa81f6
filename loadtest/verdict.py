"""Whether an installation took the load: each acknowledged event is clean, once, and the figures are within bounds.

Asked of the tables, event by event: an event's number stands in its id, so that a bit for each says which are there.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import psycopg
from msgspec import Struct, field

from loadtest.driver import Load
from loadtest.plan import Plan
from storage.postgres import read_sql

KEPT: Final = "the driver kept the schedule"
_SQL: Final = "loadtest.sql"
_POLL_S: Final = 1.0
_NAMED_MAX: Final = 5
_FETCHED: Final = 20_000


class Bounds(Struct, frozen=True, kw_only=True):
    """What a run must keep to; None asks for nothing."""

    p99_ms: float | None = None
    """Of a request's answer, from when it was due."""
    achieved: float = 0.99
    """Share of what was sent that must be acknowledged when the load ends."""
    shed: int = 0
    """Most events that may be answered 429 or 503."""
    lag_ms: float = 100.0
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
        """Whether the driver was fast enough for the run to say something of the server."""
        return all(check.holds for check in self.checks if check.name == KEPT)

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(check.holds for check in self.checks)


def wait_until_clean(
    connection: psycopg.Connection,
    plan: Plan,
    since: datetime,
    expected: int,
    patience_s: float,
    say: Callable[[int], None],
) -> float | None:
    """Wait until so many events are clean; return the seconds it took, or None when patience ended."""
    began = time.monotonic()
    query = read_sql(_SQL, "clean_count.sql")
    while True:
        ((clean,),) = connection.execute(query, {"since": since, "ids": plan.id_pattern}).fetchall()
        say(clean)
        if clean >= expected:
            return round(time.monotonic() - began, 1)
        if time.monotonic() - began > patience_s:
            return None
        time.sleep(_POLL_S)


def expected_clean(plan: Plan, acknowledged: set[int]) -> int:
    """Return how many events must be clean."""
    return sum(plan.batch_events - (plan.refused(number) is not None) for number in acknowledged)


def judge(
    connection: psycopg.Connection,
    plan: Plan,
    load: Load,
    acknowledged: set[int],
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
    size = plan.batch_events
    seen = bytearray(load.batches * size // 8 + 1)
    is_test = True
    with connection.transaction(), connection.cursor(name="loadtest") as cursor:
        cursor.itersize = _FETCHED
        cursor.execute(read_sql(_SQL, "clean.sql"), parameters)
        for number, test in cursor:
            verdict.clean += 1
            place, bit = number >> 3, 1 << (number & 7)
            if number >= load.batches * size or seen[place] & bit:
                verdict.unexpected += 1
                continue
            seen[place] |= bit
            is_test &= test
    missing = []
    for batch in sorted(acknowledged):
        refused = plan.refused(batch)
        for index in range(size):
            number = batch * size + index
            is_there = bool(seen[number >> 3] & 1 << (number & 7))
            if index == refused:
                verdict.unexpected += is_there
            elif not is_there:
                missing.append(number)
    verdict.missing = len(missing)
    verdict.checks = _checks(verdict, load, missing, bounds, is_test=is_test)
    return verdict


def _checks(verdict: Verdict, load: Load, missing: list[int], bounds: Bounds, *, is_test: bool) -> list[Check]:
    named = f", number {', '.join(map(str, missing[:_NAMED_MAX]))}" if missing else ""
    lag = f"{load.driver_lag_p99_ms:.1f} ms"
    share = load.acknowledged / load.sent if load.sent else 0.0
    no_others = f"{load.refused_unplanned:,} others"
    checks = [
        Check(KEPT, load.driver_lag_p99_ms <= bounds.lag_ms, f"99 % within {bounds.lag_ms:g} ms", lag),
        Check("every acknowledged event is clean", not missing, "0 missing", f"{len(missing):,} missing{named}"),
        Check("nothing is clean twice", not verdict.unexpected, "0", f"{verdict.unexpected:,}"),
        Check("nothing became a dead letter", not verdict.dead_letters, "0", f"{verdict.dead_letters:,}"),
        Check(
            "what was sent twice is a duplicate",
            verdict.duplicates >= load.acknowledged_again,
            f"at least {load.acknowledged_again:,}",
            f"{verdict.duplicates:,}",
        ),
        Check("only what should be is refused", not load.refused_unplanned, "0 others", no_others),
        Check(
            "what was refused is kept",
            verdict.rejected >= load.refused,
            f"at least {load.refused:,}",
            f"{verdict.rejected:,}",
        ),
        Check("the rows carry is_test", is_test, "all", "all" if is_test else "not all: use a key of kind test"),
        Check("the load was taken", share >= bounds.achieved, f"{bounds.achieved:.1%} acknowledged", f"{share:.1%}"),
        Check("nothing was shed", load.shed <= bounds.shed, f"at most {bounds.shed:,}", f"{load.shed:,}"),
    ]  # fmt: skip
    if bounds.p99_ms is not None:
        checks.append(
            Check(
                "answers are quick", load.p99_ms <= bounds.p99_ms, f"p99 {bounds.p99_ms:g} ms", f"{load.p99_ms:.1f} ms"
            )
        )
    if bounds.drain_s is not None:
        drained = verdict.drained_s
        found = "not drained" if drained is None else f"{drained:g} s"
        is_drained = drained is not None and drained <= bounds.drain_s
        checks.append(Check("the backlog drains", is_drained, f"{bounds.drain_s:g} s", found))
    return checks
