"""`sillok load`: finds sealed segments, loads each once, waits out a database that is away.

Always true:

- A slot's folder is registered after its sealed neighbours were listed and before they are loaded, so the
  watermark never passes a slot that could still hold earlier events (see `ops.slots`).
- After each new connection, archived segments that the ledger does not know are loaded again: the database
  may have been restored, or failed over, to an earlier state.
- A segment that cannot be loaded stops its own slot only; it is said once and tried again.
- A disk that refuses (read-only, unreadable) is said once and waited out like a database that is away: a load that was
  committed and could not be released is known to the ledger, and released later.
"""

import random
import threading
import time
from pathlib import Path
from typing import Final

import psycopg
import structlog
from msgspec import Struct

from contract.errors import DatabaseUnavailable, SpoolError
from storage.load import LoadReport, load_segment
from storage.postgres import connect, is_passing, read_sql
from storage.spool.folder import OPEN, SEALED, SegmentId, SlotFolder, SpoolFolder

log: Final = structlog.get_logger()

_BACKOFF_S_MAX: Final = 10.0
_DISK_RETRY_S: Final = 1.0
_HOUSEKEEPING_S: Final = 60.0
_DAY_S: Final = 86_400


class LoadSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section `[load]`."""

    dsn: str = ""
    """PostgreSQL, as a user that may act as `sillok_loader`. Empty: the embedded one of `sillok up`."""
    poll_ms: int = 200
    """How often the spool is looked at. Longer: events reach the tables later."""

    def __repr__(self) -> str:
        return f"LoadSettings(dsn={'…' if self.dsn else ''!r}, poll_ms={self.poll_ms})"


class Loader:
    """Loads one machine's spool into one database."""

    def __init__(self, settings: LoadSettings, dsn: str, spool: Path, archive_grace_days: float) -> None:
        self._settings = settings
        self._dsn = dsn
        self._spool = SpoolFolder(spool)
        self._grace_s = archive_grace_days * _DAY_S
        self._connection: psycopg.Connection | None = None
        self._housekept_at = 0.0
        self._recalled = False
        self._complained: set[str] = set()
        self._refusal: OSError | None = None
        """What the disk said in this turn."""
        self._disk_refuses = False

    def run(self, stop: threading.Event, *, once: bool = False) -> int:
        """Load until `stop`; with `once`, until nothing sealed is left. Return how many segments were loaded."""
        loaded = failures = 0
        while not stop.is_set():
            self._refusal = None
            reports: list[LoadReport] = []
            try:
                reports = self._turn(stop)
                self._housekeep()
            except (DatabaseUnavailable, psycopg.Error) as error:
                if isinstance(error, psycopg.Error) and not is_passing(error):
                    log.exception("load_failed", action="the segment stays in the spool and is tried again")
                failures += 1
                self._wait_for_database(stop, failures, error)
                continue
            except OSError as error:
                self._refusal = error
            loaded += len(reports)
            failures = 0
            self._say_of_disk()
            if once and not reports:
                break
            stop.wait(_DISK_RETRY_S if self._refusal else self._settings.poll_ms / 1000)
        self.close()
        return loaded

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _turn(self, stop: threading.Event) -> list[LoadReport]:
        """Load what is sealed now, slot by slot, in the order of the numbers."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._dsn, role="sillok_loader", application="sillok load")
            log.info("database_connected", part="loader")
            self._recalled = False
        if not self._recalled:
            self._recall(self._connection)
            self._recalled = True
        work = [(slot, number) for slot in self._spool.slots() for number in slot.segments(SEALED)]
        slots = self._spool.slots()
        self._register(slots)
        reports: list[LoadReport] = []
        stuck: set[int] = set()
        for slot, number in work:
            if stop.is_set() or slot.slot in stuck:
                continue
            try:
                report = load_segment(self._connection, slot, number)
            except SpoolError as error:
                self._complain(SegmentId(slot.spool_id, slot.slot, number), error)
                stuck.add(slot.slot)
                continue
            except OSError as error:
                self._refusal = error
                stuck.add(slot.slot)
                continue
            except psycopg.errors.RaiseException as error:
                # Received while the clock was years wrong; it keeps the watermark, and nothing else, waiting.
                self._complain(SegmentId(slot.spool_id, slot.slot, number), error)
                continue
            if report is not None:
                reports.append(report)
        return reports

    def _recall(self, connection: psycopg.Connection) -> None:
        """Take out of the archive what this database has never heard of, or no longer has."""
        for slot in self._spool.slots():
            archived = slot.segments(SEALED, slot.archive)
            unknown = connection.execute(
                read_sql("storage.sql", "unknown_segments.sql"),
                {"spool_id": slot.spool_id, "slot": slot.slot, "segments": archived},
            ).fetchall()
            for (number,) in unknown:
                slot.recall(number)
            if unknown:
                log.warning("segments_recalled", slot=slot.slot, segments=len(unknown), reason="not in the ledger")

    def _register(self, slots: list[SlotFolder]) -> None:
        """Tell the ledger which slots exist and how far their numbers go."""
        assert self._connection is not None  # noqa: S101 - _turn connected
        for slot in slots:
            last = max(slot.segments(OPEN) + slot.segments(SEALED), default=0)
            self._connection.execute(
                read_sql("storage.sql", "upsert_slot.sql"),
                {"spool_id": slot.spool_id, "slot": slot.slot, "last_segment": last},
            )

    def _complain(self, name: SegmentId, error: Exception) -> None:
        if str(name) not in self._complained:
            self._complained.add(str(name))
            log.error("segment_stuck", segment=str(name), reason=_short(error))

    def _say_of_disk(self) -> None:
        """Say it once when the disk begins to refuse, and once when it has ceased to."""
        if self._refusal is not None and not self._disk_refuses:
            action = "make the spool's disk readable and writable again: the loader goes on by itself"
            log.error("spool_unavailable", part="loader", reason=str(self._refusal), action=action)
        elif self._refusal is None and self._disk_refuses:
            log.info("spool_resumed", part="loader")
        self._disk_refuses = self._refusal is not None

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
        oldest = time.time() - self._grace_s
        for slot in self._spool.slots():
            slot.drop_archived(keep=lambda path: path.stat().st_mtime >= oldest)
        self._housekept_at = now


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
