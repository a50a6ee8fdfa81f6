"""SIGTERM is not a fault: who was let in is answered, and the last segment says that it is the last."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from storage.spool.folder import SEALED
from storage.spool.reader import read_segment
from tests.crash.oracle import Driver, judge
from tests.crash.processes import Machine

_STOPS = 3
_SENDERS = 8


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "a connection a request"])
def test_a_stop_under_load_answers_whatever_it_has_taken(
    machine: Machine, connection: psycopg.Connection, keep_alive: bool
) -> None:
    """What is on the disk and what was answered 200 is the same; every stop exits 0 and seals its end as final."""
    with Driver(machine, senders=_SENDERS, pause_s=0, keep_alive=keep_alive).sending() as driver:
        for stop in range(1, _STOPS + 1):
            machine.collector.start()
            machine.wait_until_ready()
            driver.wait_for_more(1_000)
            with _requests_piled_up(machine):
                machine.collector.signal(signal.SIGTERM)
            assert machine.collector.wait() == 0
            assert not list(machine.spool.glob("slot-*/*.open"))
            footers = [read_segment(path).footer for path in sorted(machine.spool.glob(f"slot-*/*{SEALED}"))]
            assert footers[-1] is not None
            assert footers[-1].final
            assert sum(footer is not None and footer.final for footer in footers) == stop
            assert not any(footer is None or footer.recovered or footer.torn_bytes for footer in footers)
    assert not driver.answers.keys() & {"cut", "late"}, f"answers ended in the middle: {driver.answers}"
    # Between the last accept and the end of listening there is always a moment: a few may fall into it.
    assert driver.answers["reset"] < _SENDERS * _STOPS / 2, (
        f"requests that had arrived were not answered: {driver.answers}"
    )
    for command in (machine.program("load --once", "load once", SILLOK_LOAD_DSN=machine.dsn),
                    machine.program("process --once", "process once", SILLOK_PROCESS_DSN=machine.dsn)):  # fmt: skip
        command.start()
        assert command.wait() == 0
    verdict = judge(connection, driver.folder)
    print(verdict, driver.answers)
    verdict.assert_clean()
    assert verdict.acknowledged > 1_000 * _STOPS / 2
    assert verdict.taken_without_answer == 0, f"{verdict.taken_without_answer} events taken, {driver.answers}"


@contextlib.contextmanager
def _requests_piled_up(machine: Machine) -> Iterator[None]:
    """Hold the worker for a moment, so that every sender has a request on its way when the block runs."""
    (worker,) = machine.collector.children()
    os.kill(worker, signal.SIGSTOP)
    time.sleep(0.2)
    try:
        yield
        time.sleep(0.1)
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_second_up_in_the_same_folder_is_refused_in_one_sentence(make_machine: Callable[[str], Machine]) -> None:
    """It exits 2 and leaves the first one, which stops cleanly afterwards, alone."""
    machine = make_machine("")
    settings = {"SILLOK_DATA_FOLDER": str(machine.folder), **machine.ports()}
    first = machine.program("up", "up", **settings)
    second = machine.program("up", "second up", **settings)
    first.start()
    machine.wait_until_ready(first)
    second.start()
    assert second.wait() == 2
    (sentence,) = second.output.read_text().splitlines()
    assert sentence.startswith("sillok: another `sillok up` works in ")
    assert "SILLOK_DATA_FOLDER" in sentence
    assert machine.is_ready()
    with Driver(machine, senders=1).sending() as driver:
        driver.wait_for_more(10)
    assert first.terminate() == 0
    last = max(machine.spool.glob(f"slot-*/**/*{SEALED}"), key=lambda path: path.name)
    footer = read_segment(last).footer
    assert footer is not None
    assert footer.final
