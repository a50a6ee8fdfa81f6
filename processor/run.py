"""`sillok process`: cleans what is loaded, batch after batch, and once an hour drops what is past its time.

Always true:

- One processor works at a time (a session lock); a second one waits and takes over.
- A database that is away is waited for; an edited rule file takes effect with the next batch.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from contract.errors import DatabaseUnavailable
from processor.batch import RunReport, prepare_session, process_batch
from processor.dictionaries import Dictionaries
from processor.enrich import own_apps
from processor.refusal import CannotClean
from processor.retention import RetentionSettings, drop_expired
from processor.rule_files import RuleFiles
from processor.settings import ProcessSettings
from storage.postgres import connect, is_passing

log: Final = structlog.get_logger()

_LOCK: Final = 0x5111_0D
_BACKOFF_S_MAX: Final = 10.0
_RETENTION_S: Final = 3600.0


class Processor:
    """Cleans what is loaded."""

    def __init__(
        self,
        settings: ProcessSettings,
        dsn: str,
        *,
        retention: RetentionSettings = RetentionSettings(),  # noqa: B008 - frozen
        reload: threading.Event | None = None,
    ) -> None:
        """`reload`, when set, asks for the operators' files to be read again though they look unchanged."""
        self._settings = settings
        self._retention = retention
        self._retained_at = -_RETENTION_S
        self._dsn = dsn
        self._reload = reload or threading.Event()
        self._files = RuleFiles(settings)
        self._dictionaries = Dictionaries(self._files.channels.value, own_apps=own_apps(settings.app_user_agents))
        self._connection: psycopg.Connection | None = None

    def run(self, stop: threading.Event, *, once: bool = False, turned: Callable[[], None] = lambda: None) -> int:
        """Clean until `stop`; with `once`, until nothing loaded is left. Return how many events became clean.

        `turned` is called before every batch and every look at the ledger.
        """
        clean = failures = 0
        while not stop.is_set():
            turned()
            try:
                report = self._turn()
                failures = 0
            except (DatabaseUnavailable, psycopg.Error, CannotClean) as error:
                if not isinstance(error, DatabaseUnavailable) and not (
                    isinstance(error, psycopg.Error) and is_passing(error)
                ):
                    log.exception("process_failed", action="the batch is rolled back and tried again")
                failures += 1
                self._wait_for_database(stop, failures, error)
                continue
            if report is not None:
                clean += report.clean
                continue
            if once:
                break
            self._retain()
            stop.wait(self._settings.poll_ms / 1000)
        self.close()
        return clean

    def close(self) -> None:
        """Close the connection, and with it the lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _turn(self) -> RunReport | None:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        if self._connection is None:
            return None
        self._refresh_files(self._connection)
        report = process_batch(self._connection, self._dictionaries, self._settings.batch_events_max)
        if report is not None and report.clean + report.duplicates + report.dead_lettered:
            log.info(
                "batch_processed",
                run_id=report.run_id,
                loads=report.loads,
                clean=report.clean,
                duplicates=report.duplicates,
                dead_lettered=report.dead_lettered,
            )
        return report

    def _refresh_files(self, connection: psycopg.Connection) -> None:
        """Take what operators have edited; raise RuleFileBroken where no version of a file was ever good."""
        again = self._reload.is_set()
        self._reload.clear()
        if self._files.refresh(connection, again=again):
            self._dictionaries.use(self._files.channels.value, self._files.geo.value)

    def _connect(self) -> psycopg.Connection | None:
        """Connect and take the processor's lock; None while another processor has it."""
        connection = connect(self._dsn, role="sillok_processor", application="sillok process")
        if connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() != (True,):
            connection.close()
            return None
        prepare_session(connection)
        # Another database may know other files and other dictionaries, and what was rolled back is in neither.
        self._reload.set()
        self._dictionaries.forget()
        log.info("database_connected", part="processor")
        return connection

    def _retain(self) -> None:
        """Drop what is past its time, once an hour, when there is nothing else to do."""
        if self._connection is None or time.monotonic() - self._retained_at < _RETENTION_S:
            return
        self._retained_at = time.monotonic()
        try:
            drop_expired(self._connection, self._retention, "sillok process")
        except psycopg.Error as error:
            if is_passing(error):  # the next turn waits for the database
                self._retained_at = -_RETENTION_S
                return
            log.exception("retention_failed", action="tried again in an hour")

    def _wait_for_database(self, stop: threading.Event, failures: int, error: Exception) -> None:
        self.close()
        if failures in (1, 5) or failures % 30 == 0:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("database_unavailable", part="processor", reason=reason, failures=failures)
        stop.wait(random.uniform(0.1, min(_BACKOFF_S_MAX, 0.2 * 2**failures)))  # noqa: S311 - jitter
