"""Events, batches and sealed segments for tests, made by the product's own writer; and the road they take."""

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from contract.event import ClientReport, StoredBatch, StoredContext, StoredEvent, encode
from processor.batch import RunReport, prepare_session, process_batch
from processor.books import Books, read_books
from processor.dictionaries import Dictionaries
from processor.enrich import ChannelRules
from processor.operate.actions import prepare
from processor.run import Processor
from processor.settings import ProcessSettings
from storage.load import LoadReport, load_segment
from storage.postgres import connect, read_sql
from storage.spool import segment
from storage.spool.active import Pending
from storage.spool.folder import OPEN, SEALED, SlotFolder, SpoolFolder
from storage.spool.frame import FrameMeta, Reject
from storage.spool.settings import SpoolSettings
from storage.spool.tally import count_events
from storage.spool.writer import SpoolWriter
from tests.conftest import with_database
from tests.fakes import FakeClock, FakeFiles
from tests.patience import PATIENCE_S

KST: Final = timezone(timedelta(hours=9))
MINUTE_US: Final = 60_000_000
DAY_US: Final = 86_400_000_000
# Segments end when the test says so.
PATIENT: Final = SpoolSettings(segment_age_ms=10**9, heartbeat_ms=10**9)
_AGE_MS: Final = 60_000
_numbers = itertools.count(1)
# The day of the tests is one day, also for tests that are still running after midnight; and it is over, whenever they
# run: a collector whose clock is ahead of the database's is a fault.
_STARTED: Final = datetime.now(KST) - timedelta(days=1)


def today_us(hour: int = 12, minute: int = 0, second: float = 0, *, days: int = 0) -> int:
    """Return a moment of the day in Seoul before the one on which the tests began, microseconds since the epoch."""
    day = _STARTED.replace(hour=hour, minute=minute, second=0, microsecond=0) + timedelta(days=days)
    return int(day.timestamp()) * 1_000_000 + round(second * 1_000_000)


def moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def new_id() -> UUID:
    """Return an id no other event of this run has, spread over all its bits."""
    return UUID(int=(next(_numbers) * 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) % 2**128)


def event(**fields: Any) -> StoredEvent:
    """Return an event; whatever is not said is a click at noon."""
    known = {"event_id": new_id(), "event_type": "click", "time": today_us() // 1000}
    return StoredEvent(**{**known, **fields})


class Sent(Struct):
    """One batch as the collector hands it to the spool."""

    events: list[StoredEvent]
    at_us: int | None = None
    """When it is received; None for the clock's own time."""
    context: StoredContext | UnsetType = UNSET
    sent_at: int | None = None
    clients: list[ClientReport] = field(default_factory=list)
    source: str = "web"
    is_test: bool = False
    relay: bool = False
    ip: str | None = None
    user_agent: str | None = None
    rejects: list[Reject] = field(default_factory=list)

    def pending(self) -> Pending:
        meta = FrameMeta(
            source=self.source,
            received=len(self.events) + len(self.rejects),
            accepted=len(self.events),
            is_test=self.is_test,
            relay=self.relay,
            ip=self.ip,
            user_agent=self.user_agent,
            rejects=self.rejects,
        )
        batch = StoredBatch(events=self.events, sent_at=self.sent_at, clients=self.clients, context=self.context)
        return Pending(meta, encode(batch), count_events(self.events), threading.Event())


def eventually(claim: Callable[[], Any], what: str = "it did not come true in time") -> Any:
    """Return the claim's first true value: for what another thread does in its own time."""
    ends = time.monotonic() + PATIENCE_S
    while not (value := claim()):
        assert time.monotonic() < ends, what
        time.sleep(0.002)
    return value


class Turnstile(threading.Event):
    """Counts how often the writer came round to wait."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return super().wait(timeout)


class Living:
    """A writer that runs, and what it said of each batch."""

    def __init__(self, folder: SlotFolder, settings: SpoolSettings, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.answers: list[tuple[list[Pending], BaseException | None]] = []
        self.findings: list[object] = []
        self.writer = SpoolWriter(folder, settings, self._on_durable, clock, self.findings.append)
        self.writer._wake = self.wake = Turnstile()

    def _on_durable(self, group: list[Pending], error: BaseException | None) -> None:
        self.answers.append((group, error))
        if isinstance(self.folder.files, FakeFiles):
            self.folder.files.calls.append(("answer", "" if error is None else type(error).__name__))
        for pending in group:
            pending.waiter.set()

    def send(self, sent: Sent | StoredEvent) -> Pending:
        """Submit one batch and wait for its answer, whatever it is."""
        pending = self.submit(sent)
        assert pending.waiter.wait(PATIENCE_S), "the batch was never answered"
        return pending

    def submit(self, sent: Sent | StoredEvent) -> Pending:
        if isinstance(sent, StoredEvent):
            sent = Sent([sent])
        if sent.at_us is not None:
            self.clock.advance((sent.at_us - self.clock.wall_us()) / 1_000_000)
        pending = sent.pending()
        self.writer.submit(pending)
        return pending

    def error_of(self, pending: Pending) -> BaseException | None:
        """Return what the batch was told."""
        [error] = [error for group, error in self.answers if pending in group]
        return error

    def turn(self) -> None:
        """Let the writer look around once, from beginning to end."""
        for _ in range(2):
            # The turn that runs now may have begun before the test's last change: the next one did not.
            before = self.wake.waits
            self.wake.set()
            eventually(lambda before=before: self.wake.waits > before)

    def seal(self) -> int:
        """Let the open segment grow old, and return its number once it is sealed."""
        before = self.folder.segments(SEALED)
        settings = self.writer._settings
        # A patient one would be old in days that have not come.
        age_ms = min(settings.segment_age_ms, _AGE_MS)
        self.writer._settings = replace(
            settings, segment_age_ms=age_ms, heartbeat_ms=min(settings.heartbeat_ms, age_ms)
        )
        self.clock.advance(age_ms / 1000)
        self.wake.set()
        eventually(lambda: self.folder.segments(SEALED) > before)
        self.writer._settings = settings
        return self.folder.segments(SEALED)[-1]


class Spool:
    """One slot of a spool on disk."""

    def __init__(self, path: Path, *, slot: int = 0, files: FakeFiles | None = None) -> None:
        self.path = path
        self.files = files or FakeFiles()
        self.folder = SpoolFolder(path, self.files).slot(slot)
        self.folder.prepare()
        self.clock = FakeClock(today_us(11))

    def write(self, *batches: Sent | StoredEvent) -> int:
        """Write one segment that holds these batches, each in a group of its own; return its number."""
        with self.living() as living:
            for batch in batches:
                pending = living.send(batch)
                assert living.error_of(pending) is None
        return self.folder.segments(SEALED)[-1]

    @contextlib.contextmanager
    def living(self, settings: SpoolSettings = PATIENT) -> Iterator[Living]:
        """Yield a running writer; it is stopped cleanly, with a final segment."""
        living = Living(self.folder, settings, self.clock)
        living.writer.start()
        try:
            yield living
        finally:
            self.files.gate.set()
            living.writer.close()

    def sealed(self, number: int) -> Path:
        return self.folder.segment_path(number)

    def open(self, number: int) -> Path:
        return self.folder.segment_path(number, OPEN)


def flip_bit(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


@contextlib.contextmanager
def fresh_database(postgres: str, template: str) -> Iterator[str]:
    """Yield the DSN of a migrated database, for tests that share one and reset it between them."""
    name = f"sillok_{uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create database {name} template {template}")
    yield with_database(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@contextlib.contextmanager
def on_road(dsn: str, spool: Path) -> Iterator["Road"]:
    """Yield a road through an empty database, and leave it empty."""
    road = Road(dsn, spool)
    try:
        yield road
    finally:
        road.close()
        with connect(dsn) as admin, admin.transaction():
            for statement in (*road.last_words, *_EMPTY):
                admin.execute(statement)


_TABLES: Final = (
    "raw.events", "clean.events", "clean.sessions", "clean.page_views", "clean.identities", "clean.user_agents",
    "clean.channels", "clean.pages", "ops.identity_events", "ops.dedup", "ops.processed", "ops.runs", "ops.finished",
    "ops.loads", "ops.slots", "ops.audit", "ops.rejected", "ops.dead_letters", "ops.clients", "ops.duplicates",
    "ops.visitor_keys", "ops.rule_files", "ops.close_counts", "ops.closes", "ops.waiting", "ops.actions",
    "ops.discarded", "ops.tombstones", "ops.purges", "ops.dropped_partitions",
)  # fmt: skip
_EMPTY: Final = (
    # Closes are never removed, but for this. It silences every trigger: ops.waiting is emptied by name.
    "set local session_replication_role = replica",
    # Many partitions make every plan slow.
    """do $$
declare child regclass;
begin
    if (select count(*) from pg_inherits where inhparent = 'clean.events'::regclass) > 10 then
        for child in select inhrelid::regclass from pg_inherits
            where inhparent in ('clean.events'::regclass, 'clean.page_views'::regclass) loop
            execute 'drop table ' || child;
        end loop;
    end if;
end $$""",
    *(f"delete from {table}" for table in _TABLES),
)


class Road:
    """Spool → raw → clean → books, in one database."""

    def __init__(self, dsn: str, spool: Path) -> None:
        self.dsn = dsn
        self.spool = Spool(spool)
        self.sent: list[StoredEvent] = []
        """What a test's fixture sent, for the test to look for."""
        self.last_words: list[str] = []
        self.admin = connect(dsn)
        self.loader = connect(dsn, role="sillok_loader")
        self._operator: psycopg.Connection | None = None
        self._processor = Processor(ProcessSettings(), dsn)
        # A backend ends a moment after its client has gone: the road before may still hold the lock.
        self.processor = eventually(self._processor._connect, "another processor works in this database")
        self._dictionaries = Dictionaries(ChannelRules.load())

    def forget_days(self) -> None:
        """Drop the partitions of raw.events, as before the first segment of a day."""
        parts = "select inhrelid::regclass::text from pg_inherits where inhparent = 'raw.events'::regclass"
        for part in self.values(parts):
            self.admin.execute(f"drop table {part}")

    def reset_later(self, statement: str) -> None:
        """Say what undoes a change of the schema; it runs after the test."""
        self.last_words.append(statement)

    def close(self) -> None:
        for connection in (self.admin, self.loader, self.processor, self._operator):
            if connection is not None:
                connection.close()

    @property
    def operator(self) -> psycopg.Connection:
        """Return a connection as the operators' commands have it."""
        if self._operator is None:
            self._operator = connect(self.dsn, role="sillok_operator")
            prepare(self._operator)
            prepare_session(self._operator)
        return self._operator

    @property
    def spool_folder(self) -> SpoolFolder:
        """Return the spool as the commands see it."""
        return SpoolFolder(self.spool.path)

    def load(self, spool: Spool | None = None) -> list[LoadReport | None]:
        """Register the slot and load all it has sealed, as the loader does."""
        folder = (spool or self.spool).folder
        numbers = folder.segments(SEALED)
        self.register(spool)
        return [load_segment(self.loader, folder, number) for number in numbers]

    def register(self, spool: Spool | None = None) -> None:
        folder = (spool or self.spool).folder
        last = max(folder.segments(OPEN) + folder.segments(SEALED), default=0)
        self.loader.execute(
            read_sql("storage.sql", "upsert_slot.sql"),
            {"spool_id": folder.spool_id, "slot": folder.slot, "last_segment": last},
        )

    def process(self, events_max: int = 50_000) -> list[RunReport]:
        """Clean all that is loaded."""
        reports = []
        while (report := process_batch(self.processor, self._dictionaries, events_max)) is not None:
            reports.append(report)
        return reports

    def send(self, *batches: Sent | StoredEvent) -> None:
        """Take one segment all the way."""
        self.spool.write(*batches)
        self.load()
        self.process()

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Return whole rows, as an administrator sees them."""
        with self.admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(query, parameters).fetchall()

    def values(self, query: str, *parameters: Any) -> list[Any]:
        """Return the first column."""
        return [next(iter(row.values())) for row in self.rows(query, *parameters)]

    def clean(self, *events: StoredEvent) -> list[dict[str, Any]]:
        """Return these events' rows of clean.events, in their order."""
        found = {row["event_id"]: row for row in self.rows("select * from clean.events")}
        return [found[e.event_id] for e in events]

    def books(self) -> Books:
        """Return the books of the days around today."""
        return read_books(self.admin, moment(today_us(0, days=-9)), moment(today_us(0, days=9)))


# Where in a segment's file things lie.


class Piece(Struct):
    """One group of a file."""

    start: int
    end: int


def pieces(data: bytes) -> list[Piece]:
    """Return where every group of an undamaged segment lies, the footer last."""
    found = []
    position = 64
    while position < len(data):
        end = position + 64 + int.from_bytes(data[position + 8 : position + 12], "little")
        found.append(Piece(position, end))
        position = end
    return found


def documented(title: str) -> dict[str, tuple[int, int]]:
    """Return name → (offset, size) of one table of the segment's format."""
    table = (segment.__doc__ or "").partition(title)[2].split("\n\n")[1]
    return {m[3]: (int(m[1]), int(m[2])) for m in re.finditer(r"^ +(\d+) +(\d+) +(\w+)", table, re.MULTILINE)}
