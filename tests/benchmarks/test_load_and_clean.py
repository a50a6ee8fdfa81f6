"""Rows loaded and cleaned a second, and per CPU-second of the client and its PostgreSQL backend together."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from contract.event import decode_batch
from processor.batch import process_batch
from processor.dictionaries import Dictionaries
from processor.enrich import ChannelRules
from storage.load import load_segment
from storage.postgres import connect, read_sql
from storage.spool.active import Pending
from storage.spool.folder import SlotFolder, SpoolFolder
from storage.spool.frame import FrameMeta
from storage.spool.settings import SpoolSettings
from storage.spool.tally import count_events
from storage.spool.writer import SpoolWriter
from tests.benchmarks.traffic import body

EVENTS, BATCH, ROUNDS = 50_000, 50, 3
TICKS = os.sysconf("SC_CLK_TCK")


def _spool(path: Path) -> SlotFolder:
    """Write ROUNDS segments of EVENTS events each, through the real writer."""
    folder = SpoolFolder(path).slot(0)
    folder.prepare()
    rng = random.Random(11)
    for segment in range(ROUNDS):
        writer = SpoolWriter(folder, SpoolSettings(segment_age_ms=600_000, heartbeat_ms=600_000), lambda *_: None)
        writer.start()
        for start in range(segment * EVENTS, (segment + 1) * EVENTS, BATCH):
            data = body(rng, BATCH, start)
            while writer.queued_bytes > 16 * 1024 * 1024:
                time.sleep(0.01)
            writer.submit(
                Pending(
                    FrameMeta(source="bench", received=BATCH, accepted=BATCH),
                    data,
                    count_events(decode_batch(data).events),
                )
            )
        writer.close()
    return folder


def _cpu_seconds(backend: int) -> float:
    fields = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / TICKS


def _measure(benchmark: pytest.FixtureRequest, connection: psycopg.Connection, step: Callable[[], object]) -> None:
    backend = connection.info.backend_pid
    before = _cpu_seconds(backend)
    benchmark.pedantic(step, rounds=ROUNDS, iterations=1)
    cpu = _cpu_seconds(backend) - before
    benchmark.extra_info["events_per_second"] = round(EVENTS / benchmark.stats.stats.median)
    benchmark.extra_info["events_per_cpu_second"] = round(EVENTS * ROUNDS / cpu)
    print(f"\n{benchmark.extra_info}")


@pytest.mark.benchmark(group="load")
def test_load(benchmark: pytest.FixtureRequest, dsn: str, spool_path: Path) -> None:
    """Sealed segment → raw.events, ledger and audit."""
    folder = _spool(spool_path)
    numbers = iter(folder.segments(".sealed"))
    with connect(dsn, role="sillok_loader") as connection:
        _measure(benchmark, connection, lambda: load_segment(connection, folder, next(numbers)))


@pytest.mark.benchmark(group="clean")
def test_clean(benchmark: pytest.FixtureRequest, dsn: str, spool_path: Path) -> None:
    """raw.events → every table of clean, duplicates removed, books kept."""
    folder = _spool(spool_path)
    with connect(dsn, role="sillok_loader") as connection:
        for number in folder.segments(".sealed"):
            load_segment(connection, folder, number)
    dictionaries = Dictionaries(ChannelRules.load())
    with connect(dsn, role="sillok_processor") as connection:
        for name in ("session.sql", "timed.sql"):
            connection.execute(read_sql("processor.sql", name).encode())
        _measure(benchmark, connection, lambda: process_batch(connection, dictionaries, EVENTS))
