"""SIGKILL at named points: the real worker and the real loader, on a disk that kills them there."""

import signal

import psycopg

from tests.crash.conftest import Start
from tests.crash.dying import Point
from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine
from tests.patience import PATIENCE_S

# In this order: a worker killed within a group leaves an open segment, which the next one recovers.
_WORKER_POINTS = {
    "a new segment has no header": Point("create", ".open", "after", 3),
    "its header is written, not synced": Point("sync", "header", "before", 3),
    "a group is half written": Point("write", "group", "half", 20),
    "the copy in recovery is half written": Point("write", "copy", "half", 2),
    "the copy is not synced": Point("sync", "copy", "before"),
    "the copy is complete, without its name": Point("rename", ".recovering", "before"),
    "the copy has its name, and the original is still there": Point("rename", ".recovering", "after"),
    "a group is written, not synced": Point("sync", "group", "before", 20),
    "the original is removed": Point("remove", ".open", "after"),
    "a group is synced, not answered": Point("sync", "group", "after", 20),
    "the footer is half written": Point("write", "footer", "half", 2),
    "the footer is synced, the segment without its name": Point("rename", ".open", "before", 2),
    "the segment has its name, its folder is not synced": Point("rename", ".open", "after", 2),
}
_LOADER_POINTS = {
    "the load is committed, the segment not archived": Point("rename", ".sealed", "before", 2),
    "the segment is archived, its folder not synced": Point("rename", ".sealed", "after", 2),
}


def test_a_worker_killed_at_any_named_point_loses_nothing_it_answered(
    machine: Machine, connection: psycopg.Connection, start: Start
) -> None:
    """Write, sync, seal, recovery: whatever was answered is clean, once, and the books balance."""
    machine.loader.start()
    machine.processor.start()
    with Driver(machine, pause_s=0.01).sending() as driver:
        for name, point in _WORKER_POINTS.items():
            assert start("worker", point).wait(PATIENCE_S) == -signal.SIGKILL, name
        worker = start("worker", None)
        driver.wait_for_more(100)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    _finish(machine, connection)


def test_a_loader_killed_at_any_named_point_loads_once(
    machine: Machine, connection: psycopg.Connection, start: Start
) -> None:
    """Between the ledger's commit and the archive the ledger decides."""
    machine.collector.start()
    machine.processor.start()
    machine.wait_until_ready()
    with Driver(machine).sending() as driver:
        for name, point in _LOADER_POINTS.items():
            driver.wait_for_more(50)
            assert start("loader", point).wait(PATIENCE_S) == -signal.SIGKILL, name
            assert len(machine.waiting_segments()) > 0
    machine.loader.start()
    assert machine.collector.terminate() == 0
    _finish(machine, connection)


def _finish(machine: Machine, connection: psycopg.Connection) -> None:
    drain(machine, connection)
    verdict = judge(connection, machine.folder / "journals")
    print(verdict)
    verdict.assert_clean()
    assert verdict.acknowledged > 100
