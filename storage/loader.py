"""`sillok load`: finds sealed segments, loads each once, waits out a database that is away.

Always true:

- A slot's folder is registered after its sealed neighbours were listed and before they are loaded, so the
  watermark never passes a slot that could still hold earlier events (see `ops.slots`).
- After each new connection, archived segments that the ledger does not know are loaded again: the database
  may have been restored, or failed over, to an earlier state.
- A segment that cannot be loaded stops its own slot only; it is said once and tried again.
- A log that refuses (a read-only disk, a collector out of reach) is said once and waited out like a database that is
  away, and stops no other: a load that was committed and could not be released is known to the ledger, and released
  later.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import psycopg
import structlog
from msgspec import Meta, Struct

from contract.errors import DatabaseUnavailable, SpoolError
from storage.load import LoadReport
from storage.log import SegmentLog, SlotLog
from storage.postgres import is_passing
from storage.sink import Sink
from storage.spool.folder import SegmentId

log: Final = structlog.get_logger()

_BACKOFF_S_MAX: Final = 10.0
_DISK_RETRY_S: Final = 1.0
_HOUSEKEEPING_S: Final = 60.0
# A segment that somebody released without a load leaves the archive with its grace period, for ever.
_COMPARE_S: Final = 3600.0
_DAY_S: Final = 86_400


class CollectorAddress(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of `[[load.collectors]]`: a collector whose spool is out of this machine's reach, in a DMZ."""

    url: Annotated[str, Meta(pattern=r"^https?://[^/?#@\s]+$")]
    """Its pull listener, `https://10.20.0.5:7072`: see `pull_port` in `[serve]`. Another: until it is that of the
    same collector its events wait there."""
    token_file: str
    """A file with the token, the same text as in the collector's `pull_token_file`; readable for the loader alone.
    Another token: nothing of this collector is loaded until both files agree."""
    ca_file: str | None = None
    """PEM file with the certificates that vouch for the collector's; None for those of the system. Too many:
    whoever has a key of one of them can pass for the collector."""


class LoadSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section `[load]`."""

    dsn: str = ""
    """PostgreSQL, as a user that may act as `sillok_loader`. Empty: the embedded one of `sillok up`. Another
    database: what was loaded stays in the old one, and the archive's segments are loaded again into this one."""
    poll_ms: int = 200
    """Milliseconds between two looks at the spool. Longer: events reach the tables later. Shorter: more looks at
    folders and database."""
    collectors: tuple[CollectorAddress, ...] = ()
    """Whose spools to load over HTTPS. Empty: the spool of this machine, and that alone. Fewer: the slots of the
    one left out hold the watermark until `sillok spool retire`."""

    def __repr__(self) -> str:
        return (
            f"LoadSettings(dsn={'…' if self.dsn else ''!r}, poll_ms={self.poll_ms}, "
            f"collectors={[collector.url for collector in self.collectors]})"
        )


class Loader:
    """Loads the segments of one or more logs into one sink, which is opened anew whenever its connection is lost."""

    def __init__(
        self,
        settings: LoadSettings,
        open_sink: Callable[[], Sink],
        logs: Sequence[SegmentLog],
        archive_grace_days: float,
    ) -> None:
        self._settings = settings
        self._open_sink = open_sink
        self._logs = logs
        self._grace_s = archive_grace_days * _DAY_S
        self._sink: Sink | None = None
        self._housekept_at = 0.0
        self._compared_at: dict[str, float] = {}
        """When a log's archive was last compared with the ledger, on this connection."""
        self._complained: set[str] = set()
        self._refusals: dict[str, OSError] = {}
        """What the logs said in this turn."""
        self._refusing: set[str] = set()

    def run(self, stop: threading.Event, *, once: bool = False, turned: Callable[[], None] = lambda: None) -> int:
        """Load until `stop`; with `once`, until nothing sealed is left. Return how many segments were loaded.

        `turned` is called after every look at logs and database, whatever came of it.
        """
        loaded = failures = 0
        while not stop.is_set():
            self._refusals = {}
            reports: list[LoadReport] = []
            turned()
            try:
                reports = self._turn(stop, turned)
                self._housekeep()
            except (DatabaseUnavailable, psycopg.Error) as error:
                if isinstance(error, psycopg.Error) and not is_passing(error):
                    log.exception("load_failed", action="the segment stays in the spool and is tried again")
                failures += 1
                self._wait_for_database(stop, failures, error)
                continue
            loaded += len(reports)
            failures = 0
            self._say_of_logs()
            if once and not reports:
                break
            stop.wait(_DISK_RETRY_S if self._refusals else self._settings.poll_ms / 1000)
        self.close()
        return loaded

    def close(self) -> None:
        """Close the connection."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _turn(self, stop: threading.Event, turned: Callable[[], None]) -> list[LoadReport]:
        """Load what is sealed now, slot by slot, in the order of the numbers."""
        if self._sink is None or not self._sink.is_open:
            self._sink = self._open_sink()
            log.info("database_connected", part="loader")
            self._compared_at = {}
        work: list[tuple[SegmentLog, SlotLog, int]] = []
        for segments in self._logs:
            try:
                work += self._look(self._sink, segments)
            except OSError as error:
                self._refusals[segments.name] = error
        reports: list[LoadReport] = []
        stuck: set[tuple[object, int]] = set()
        for segments, slot, number in work:
            if stop.is_set() or (slot.spool_id, slot.slot) in stuck:
                continue
            turned()
            try:
                report = self._sink.load(slot, number)
            except SpoolError as error:
                self._complain(SegmentId(slot.spool_id, slot.slot, number), error)
                stuck.add((slot.spool_id, slot.slot))
                continue
            except OSError as error:
                self._refusals[segments.name] = error
                stuck.add((slot.spool_id, slot.slot))
                continue
            except psycopg.errors.RaiseException as error:
                # Received while the clock was years wrong; it keeps the watermark, and nothing else, waiting.
                self._complain(SegmentId(slot.spool_id, slot.slot, number), error)
                continue
            if report is not None:
                reports.append(report)
        return reports

    def _look(self, sink: Sink, segments: SegmentLog) -> list[tuple[SegmentLog, SlotLog, int]]:
        """Return what waits in a log, after telling the ledger which slots it has and how far their numbers go."""
        now = time.monotonic()
        if now - self._compared_at.get(segments.name, -math.inf) > _COMPARE_S:
            self._recall(sink, segments)
            self._compared_at[segments.name] = now
        work = [(segments, slot, number) for slot in segments.slots() for number in slot.waiting()]
        for slot in segments.slots():
            sink.register(slot.spool_id, slot.slot, slot.newest())
        return work

    def _recall(self, sink: Sink, segments: SegmentLog) -> None:
        """Take out of the archive what this database has never heard of, or no longer has."""
        for slot in segments.slots():
            unknown = sink.unknown(slot.spool_id, slot.slot, slot.released())
            for number in unknown:
                slot.recall(number)
            if unknown:
                log.warning("segments_recalled", slot=slot.slot, segments=len(unknown), reason="not in the ledger")

    def _complain(self, name: SegmentId, error: Exception) -> None:
        if str(name) not in self._complained:
            self._complained.add(str(name))
            log.error("segment_stuck", segment=str(name), reason=_short(error))

    def _say_of_logs(self) -> None:
        """Say it once when a log begins to refuse, and once when it has ceased to."""
        for segments in self._logs:
            if segments.name in self._refusals.keys() - self._refusing:
                reason = str(self._refusals[segments.name])
                action = f"{segments.remedy}: the loader goes on by itself"
                log.error("spool_unavailable", part="loader", spool=segments.name, reason=reason, action=action)
        for name in self._refusing - self._refusals.keys():
            log.info("spool_resumed", part="loader", spool=name)
        self._refusing = set(self._refusals)

    def _wait_for_database(self, stop: threading.Event, failures: int, error: Exception) -> None:
        """Back off with jitter, dropping a connection whose state nobody knows."""
        self.close()
        delay = random.uniform(0.1, min(_BACKOFF_S_MAX, 0.2 * 2**failures))  # noqa: S311 - jitter
        if failures in (1, 5) or failures % 30 == 0:
            log.warning("database_unavailable", part="loader", reason=_short(error), failures=failures)
        stop.wait(delay)

    def _housekeep(self) -> None:
        """Let loaded segments go once their grace period is over."""
        now = time.monotonic()
        if now - self._housekept_at < _HOUSEKEEPING_S:
            return
        for segments in self._logs:
            try:
                segments.expire(time.time() - self._grace_s)
            except OSError as error:
                self._refusals[segments.name] = error
        self._housekept_at = now


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
