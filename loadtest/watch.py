"""Looks at an installation once a second while it is under load: how much is clean, and what each part uses.

How much is clean is asked of the processor's counts, which cost the database nothing, so that a long run is not
measured along with its own measurement. It is for the pictures and for knowing when to look closer; the verdict
counts the rows themselves.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, Self

import psycopg
from msgspec import Struct

from contract.errors import DatabaseUnavailable
from loadtest.parts import Parts, Use
from loadtest.plan import Batches
from storage.postgres import connect, read_sql

_EVERY_S: Final = 1.0
_SAMPLES_MAX: Final = 1200
_SQL: Final = "loadtest.sql"


class Sample(Struct, frozen=True):
    """One look; `at_s` is the time of the run."""

    at_s: float
    acknowledged: int
    """Events that must become clean."""
    clean: int
    parts: dict[str, Use]


class Watch:
    """Takes samples in a thread of its own until it is left."""

    def __init__(self, dsn: str, plan: Batches, since: datetime, *, has_parts: bool) -> None:
        self._parameters = {"since": since, "ids": plan.id_pattern}
        self._dsn = dsn
        self._parts = Parts() if has_parts else None
        self._now_s: Callable[[], float] = time.monotonic
        self._acknowledged: Callable[[], int] = lambda: 0
        self._before: dict[str, int] = {}
        self.source: str | None = None
        """What the run's write key stands for, once an event of it is loaded."""
        self._keep_every = 1
        self._looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.samples: list[Sample] = []
        self.clean = 0

    def follow(self, now_s: Callable[[], float], acknowledged: Callable[[], int]) -> None:
        """Take the time and what must become clean from the driver."""
        self._now_s, self._acknowledged = now_s, acknowledged

    def __enter__(self) -> Self:
        with connect(self._dsn, role="sillok_processor", application="sillok loadtest") as connection:
            self._before = self._by_source(connection)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._dsn, role="sillok_processor", application="sillok loadtest") as connection:
                    while not self._stop.wait(_EVERY_S):
                        self._look(connection)
            except (psycopg.Error, DatabaseUnavailable):
                # It may be restarted under load: the pictures have a gap, the verdict has its own patience.
                self._stop.wait(_EVERY_S)

    def _look(self, connection: psycopg.Connection) -> None:
        if self.source is None:
            row = connection.execute(read_sql(_SQL, "source.sql"), self._parameters).fetchone()
            self.source = row[0] if row else None
        if self.source is not None:
            counted = self._by_source(connection).get(self.source, 0)
            self.clean = counted - self._before.get(self.source, 0)
        parts = self._parts.use() if self._parts is not None else {}
        self._looks += 1
        if self._looks % self._keep_every:
            return
        self.samples.append(Sample(round(self._now_s(), 2), self._acknowledged(), self.clean, parts))
        if len(self.samples) >= _SAMPLES_MAX:
            # A long run is seen at wider steps, not with more memory.
            del self.samples[::2]
            self._keep_every *= 2

    def _by_source(self, connection: psycopg.Connection) -> dict[str, int]:
        query = read_sql(_SQL, "clean_by_source.sql")
        return dict(connection.execute(query, {"since": self._parameters["since"]}).fetchall())


def lags(samples: list[Sample]) -> list[tuple[float, float]]:
    """Return for each sample how many seconds later as many events were clean as had been acknowledged then.

    What was not clean at the last look took at least until then, and is given that.
    """
    found: list[tuple[float, float]] = []
    later = 0
    for number, sample in enumerate(samples):
        later = max(later, number)
        while later < len(samples) and samples[later].clean < sample.acknowledged:
            later += 1
        until = samples[min(later, len(samples) - 1)]
        found.append((sample.at_s, round(until.at_s - sample.at_s, 2)))
    return found
