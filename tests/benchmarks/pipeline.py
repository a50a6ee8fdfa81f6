"""`python -m tests.benchmarks.pipeline [rate|fresh|grow|indexes] …`: from the sealed segment to the cleaned tables.

The loader and the processor run as they are installed, each a process of its own, on the embedded PostgreSQL with its own
settings and with fsync. CPU is that of all three together: the database's background processes and what has ended
belong to it.

- `rate [EVENTS]`: EVENTS (1,000,000) wait in the spool; how long until all are clean. Beside it, in the same run, a plain
  COPY of the same cleaned rows into one table without an index: what PostgreSQL takes to store them at all.
- `fresh [RATE]`: a collector too, and RATE events a second for BENCH_SECONDS (5): how long after its receipt an event is
  clean. Without an argument, half of what `rate` has just reached.
- `grow [MILLIONS]`: the same day's partition grows to MILLIONS (20); what an event costs on the way there.
- `indexes [EVENTS]`: EVENTS (300,000) cleaned; then the rows of each table that a batch writes are copied once more, into
  a table without an index and into one with each of its indexes alone: PostgreSQL's CPU an event, and the index's bytes.
"""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Final, NamedTuple

import psycopg

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.spool.folder import SpoolFolder
from tests.benchmarks.collector import cpu_seconds_of_tree, has, serving
from tests.benchmarks.half_load import CONNECTIONS, compiled, drive
from tests.benchmarks.results import record
from tests.benchmarks.traffic import BATCH, write_segments

SEGMENT: Final = 60_000
"""Events a segment: what a worker seals every two seconds at 30,000 a second."""
_PORTION: Final = 500_000


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; all of it, `grow` left out, without an argument."""
    what = arguments[0] if arguments else ""
    amount = float(arguments[1]) if arguments[1:] else 0.0
    if what in ("", "fresh") and not has("cc"):
        return 2
    if what in ("", "rate"):
        amount = rate(int(amount) or 1_000_000) / 2
    if what in ("", "fresh"):
        fresh(amount or 6_000)
    if what == "grow":
        grow(int(amount) or 20)
    if what == "indexes":
        indexes(int(amount) or 300_000)
    return 0


class Cpu(NamedTuple):
    """CPU-seconds so far, by part."""

    loader: float
    processor: float
    postgres: float

    def since(self, before: "Cpu") -> "Cpu":
        """Return what was used since."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))

    @property
    def total(self) -> float:
        """All three."""
        return sum(self)


class Pipeline:
    """Loader, processor and PostgreSQL on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = EmbeddedPostgres(folder / "postgres")
        self.dsn = self._server.start()
        self._postmaster = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
        self.admin = psycopg.connect(self.dsn, autocommit=True)
        list(migrate(self.admin))
        self._parts: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the loader and the processor."""
        environment = {**os.environ, "SILLOK_DATA_FOLDER": str(self.folder), "SILLOK_LOG_LEVEL": "warning"}
        for part in ("load", "process"):
            self._parts[part] = subprocess.Popen([sys.executable, "-m", "sillok", part], env=environment)

    def stop(self) -> None:
        """End all of it."""
        for part in self._parts.values():
            part.terminate()
            part.wait()
        self.admin.close()
        self._server.stop()

    def cpu(self) -> Cpu:
        """Return what each part used so far, with all that has ended in it."""
        pids = (self._parts["load"].pid, self._parts["process"].pid, self._postmaster)
        return Cpu(*map(cpu_seconds_of_tree, pids))

    def memory_mib(self, part: str) -> int:
        """Return the most memory a part ever held."""
        status = Path(f"/proc/{self._parts[part].pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024

    def clean(self) -> int:
        """Return how many events are clean."""
        return clean_at(self.admin)[1]

    def wait_for(self, events: int, patience_s: float = 3600.0) -> float:
        """Wait until so many events are clean; return how long that took, to 20 ms."""
        begun = time.monotonic()
        while self.clean() < events:
            if time.monotonic() - begun > patience_s:
                raise AssertionError(f"only {self.clean():,} of {events:,} events are clean after {patience_s:.0f} s")
            time.sleep(0.02)
        return time.monotonic() - begun


def clean_at(connection: psycopg.Connection) -> tuple[float, int]:
    """Return the time and how many events are clean, by the books: counting rows would be work of its own."""
    row = connection.execute(
        "select extract(epoch from clock_timestamp())::float8, coalesce(sum(events), 0)::bigint "
        "from ops.audit where stage = 'process' and outcome = 'clean'"
    ).fetchone()
    assert row is not None, "an aggregate always has a row"
    return row[0], row[1]


@contextlib.contextmanager
def pipeline() -> Iterator[Pipeline]:
    """Yield an empty pipeline that does not run yet."""
    with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder:
        running = Pipeline(Path(folder))
        try:
            yield running
        finally:
            running.stop()


def rate(events: int) -> float:
    """Print how fast what waits becomes clean; return events a second."""
    with pipeline() as running:
        fill(running.folder / "spool", 0, events)
        running.start()
        before = running.cpu()
        elapsed = running.wait_for(events)
        cpu = running.cpu().since(before)
        copied = copy_again(running, events)
        print(
            f"{events:,} events from segment to clean: {events / elapsed:,.0f}/s; {events / cpu.total:,.0f} per CPU-second; "
            f"µs an event: {_shares(cpu, events)}\n"
            f"  plain COPY of the same rows: {events / copied:,.0f} per CPU-second, {copied / events * 1e6:.1f} µs; "
            f"the whole way costs {cpu.total / copied:.1f} times as much\n"
            f"  memory at most: loader {running.memory_mib('load')} MiB, processor {running.memory_mib('process')} MiB",
            flush=True,
        )
        _record(events / elapsed, cpu, events, copied)
        for part in ("load", "process"):
            record("pipeline", f"memory of {part}", running.memory_mib(part), "MiB")
        return events / elapsed


def _record(events_a_second: float, cpu: Cpu, events: int, copied: float) -> None:
    each_us, copied_us = cpu.total / events * 1e6, copied / events * 1e6
    record("pipeline", "segment to clean", events_a_second, "events/s")
    record("pipeline", "segment to clean: CPU", each_us, "µs an event", "a plain COPY", copied_us)
    for part, seconds in cpu._asdict().items():
        record("pipeline", f"of it {part}", seconds / events * 1e6, "µs an event")
    record("pipeline", "a plain COPY: CPU", copied_us, "µs an event")


def _shares(cpu: Cpu, events: int) -> str:
    return ", ".join(f"{part} {seconds / events * 1e6:.1f}" for part, seconds in cpu._asdict().items())


def copy_again(running: Pipeline, events: int) -> float:
    """Copy the cleaned rows into one more table, without an index; return PostgreSQL's and our CPU-seconds."""
    with tempfile.TemporaryFile() as file:
        with running.admin.cursor().copy("copy (select * from clean.events) to stdout (format binary)") as out:
            for data in out:
                file.write(data)
        file.seek(0)
        running.admin.execute("create table public.copied (like clean.events)")
        running.admin.execute("checkpoint")
        before, own = running.cpu().postgres, time.process_time()
        with running.admin.cursor().copy("copy public.copied from stdin (format binary)") as into:
            while data := file.read(1 << 18):
                into.write(data)
        row = running.admin.execute("select count(*) from public.copied").fetchone()
        assert row == (events,), f"{row} rows of {events} were copied"
        return running.cpu().postgres - before + time.process_time() - own


def fresh(rate_wanted: float) -> None:
    """Print how long after its receipt an event is clean, at a steady rate."""
    with pipeline() as running, serving(2, SILLOK_DATA_FOLDER=str(running.folder)) as served:
        running.start()
        driver = compiled(running.folder)
        seen: list[tuple[float, int]] = []
        stop = threading.Event()

        def watch() -> None:
            with psycopg.connect(running.dsn, autocommit=True) as connection:
                while not stop.wait(0.05):
                    seen.append(clean_at(connection))

        watcher = threading.Thread(target=watch)
        watcher.start()
        said = drive(driver, served, BATCH, rate_wanted / BATCH, each_once=True)
        try:
            running.wait_for((said["answered"] + CONNECTIONS) * BATCH, 120)
        finally:
            stop.set()
            watcher.join()
        seen.append(clean_at(running.admin))  # the watcher may have missed the last of them
        lags = _lags(running, seen)
        p = quantiles(lags, n=100)
        print(
            f"{rate_wanted:,.0f} events/s with the collector beside it: receipt to clean "
            f"p50 {p[49]:.1f} s, p95 {p[94]:.1f} s, p99 {p[98]:.1f} s, at most {max(lags):.1f} s; "
            f"answered at p99 in {said['latency']['p99'] / 1000:.1f} ms",
            flush=True,
        )
        for title, seconds in (("p50", p[49]), ("p95", p[94]), ("p99", p[98]), ("at most", max(lags))):
            record("pipeline", f"receipt to clean: {title}", seconds, f"s at {rate_wanted:,.0f} events/s")
        record("pipeline", "answered meanwhile: p99", said["latency"]["p99"] / 1000, "ms")


def _lags(running: Pipeline, seen: list[tuple[float, int]]) -> list[float]:
    """Return, for every 50th event in the order of receipt, when the count of clean ones had passed it.

    Loads are cleaned in the order of their segments, and the two workers' segments lie beside each other: an event
    may have been clean a little earlier than its place says, never much later.
    """
    received = [
        moment
        for (moment,) in running.admin.execute(
            "select extract(epoch from received_at)::float8 from clean.events order by received_at"
        )
    ]
    lags, at = [], 0
    for place in range(0, len(received), 50):
        while seen[at][1] <= place:
            at += 1
        lags.append(seen[at][0] - received[place])
    return lags


def grow(millions: int) -> None:
    """Print what an event costs while the day's partition grows: each time of the last events before a mark."""
    with pipeline() as running:
        running.start()
        spool, at = running.folder / "spool", 0
        for mark in (mark for mark in (1, 2, 5, 10, 15, 20, 30, 50) if mark <= millions):
            while at < mark * 1_000_000 - _PORTION:
                fill(spool, at, at + _PORTION)
                running.wait_for(at)
                at += _PORTION
            running.wait_for(at)
            before, begun = running.cpu(), time.monotonic()
            fill(spool, at, at + _PORTION)
            at += _PORTION
            running.wait_for(at)
            cpu = running.cpu().since(before)
            each_us = cpu.total / _PORTION * 1e6
            print(
                f"{mark:3} million rows: {'█' * round(each_us / 4)} {each_us:.1f} µs an event ({_shares(cpu, _PORTION)}), "
                f"{_PORTION / (time.monotonic() - begun):,.0f}/s with the generator beside it, "
                f"processor {running.memory_mib('process')} MiB",
                flush=True,
            )


def indexes(events: int) -> None:
    """Print what each index costs that a batch has to keep up, by table."""
    with pipeline() as running:
        fill(running.folder / "spool", 0, events)
        running.start()
        running.wait_for(events)
        for table in ("raw.events", "ops.dedup", "clean.events", "clean.sessions", "clean.page_views"):
            (rows,) = running.admin.execute(f"select count(*) from {table}").fetchone() or (0,)
            bare, _ = _insert_again(running, table, "")
            print(f"{table}: {rows:,} rows, without an index {bare / events * 1e6:.2f} µs an event", flush=True)
            for name, definition in _indexes_of(running.admin, table):
                cpu, size = _insert_again(running, table, definition)
                print(
                    f"  {name}: {(cpu - bare) / events * 1e6:+.2f} µs, {size / events:.1f} bytes an event", flush=True
                )


def _indexes_of(connection: psycopg.Connection, table: str) -> list[tuple[str, str]]:
    """Return the name of each index and the statement that makes its like on `public.copied`."""
    found = connection.execute(
        "select indexname, regexp_replace(indexdef, 'INDEX .* USING', 'INDEX ON public.copied USING') "
        "from pg_indexes where schemaname || '.' || tablename = %s order by indexname",
        (table,),
    )
    return found.fetchall()


def _insert_again(running: Pipeline, table: str, index: str) -> tuple[float, int]:
    """Write a table's rows into a copy with this index; return the least CPU-seconds of three times and its bytes."""
    taken, size = [], 0
    for _ in range(3):
        running.admin.execute(f"create table public.copied (like {table})")
        running.admin.execute(index)
        running.admin.execute("checkpoint")
        before = running.cpu().postgres
        running.admin.execute(f"insert into public.copied select * from {table}")
        taken.append(running.cpu().postgres - before)
        (size,) = running.admin.execute("select pg_indexes_size('public.copied')").fetchone() or (0,)
        running.admin.execute("drop table public.copied")
    return min(taken), size


def fill(spool: Path, start: int, end: int) -> None:
    """Write events start … end into the spool, by two processes with the real writer, a slot each."""
    half = (start + end) // 2 // (20 * BATCH) * 20 * BATCH
    jobs = [
        multiprocessing.Process(target=write_segments, args=(SpoolFolder(spool).slot(slot), *part, SEGMENT))
        for slot, part in enumerate(((start, half), (half, end)))
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0, "the spool could not be filled"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
