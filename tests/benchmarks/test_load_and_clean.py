"""Rows loaded and cleaned a second, and per CPU-second of the client and its PostgreSQL backend together."""

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from processor.batch import prepare_session, process_batch
from processor.dictionaries import Dictionaries
from processor.enrich import ChannelRules
from storage.load import load_segment
from storage.postgres import connect
from storage.spool.folder import SlotFolder, SpoolFolder
from tests.benchmarks.collector import cpu_seconds
from tests.benchmarks.results import record
from tests.benchmarks.traffic import write_segments

EVENTS, ROUNDS = 50_000, 3


def _spool(path: Path) -> SlotFolder:
    """Write ROUNDS segments of EVENTS events each."""
    folder = SpoolFolder(path).slot(0)
    write_segments(folder, 0, ROUNDS * EVENTS, EVENTS)
    return folder


def _measure(benchmark: pytest.FixtureRequest, connection: psycopg.Connection, step: Callable[[], object]) -> None:
    backend = connection.info.backend_pid
    before = cpu_seconds((os.getpid(), backend))
    benchmark.pedantic(step, rounds=ROUNDS, iterations=1)
    cpu = cpu_seconds((os.getpid(), backend)) - before
    benchmark.extra_info["events_per_second"] = round(EVENTS / benchmark.stats.stats.median)
    benchmark.extra_info["events_per_cpu_second"] = round(EVENTS * ROUNDS / cpu)
    print(f"\n{benchmark.extra_info}")
    record("database", f"{benchmark.group}: CPU", cpu / EVENTS / ROUNDS * 1e6, "µs an event")
    record("database", benchmark.group, benchmark.extra_info["events_per_second"], "events/s")


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
        prepare_session(connection)
        _measure(benchmark, connection, lambda: process_batch(connection, dictionaries, EVENTS))
