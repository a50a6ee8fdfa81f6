"""The wall clock of the collector's machine jumps by hours and years while it works."""

import contextlib
import time
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from storage.spool.frame import decode_named
from storage.spool.reader import Segment, read_segment
from storage.spool.segment import HEADER_BYTES, SegmentHeader
from tests.crash.oracle import Driver, read_journals
from tests.crash.processes import Machine, wait_until

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
_HOUR = 3_600
_YEARS = 10 * 365 * 86_400
_JUMPS = (_HOUR, -_HOUR, _YEARS, -_YEARS, 0)


@pytest.mark.skipif(
    not _LIBRARY.exists(), reason="libfaketime, from Debian's package `faketime`, is not on this machine"
)
def test_a_jumping_clock_loses_nothing_and_stands_in_the_segments(
    machine: Machine, connection: psycopg.Connection
) -> None:
    """received_at never falls within a segment, each jump is recorded, no day is made that nothing was received on."""
    offset = machine.folder / "offset"
    _jump(offset, 0)
    # Only the wall clock is faked: the monotonic one is what no operator can change.
    machine.collector = machine.program(
        "serve",
        **machine.ports(),
        LD_PRELOAD=str(_LIBRARY),
        FAKETIME_TIMESTAMP_FILE=str(offset),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    machine.start()
    with Driver(machine).sending() as driver:
        driver.wait_for_more(100)
        for jump, seconds in enumerate(_JUMPS, start=1):
            _jump(offset, seconds)
            wait_until(
                lambda n=jump: len(_passed(machine)) >= n,
                f"segments whose steps add up to the jumps so far, {_JUMPS[:jump]}",
            )
            driver.wait_for_more(100)
        assert set(driver.answers) == {"200"}
    assert machine.collector.terminate() == 0
    assert tuple(_passed(machine)) == _JUMPS
    query = "select count(*) from ops.loads where load_id not in (select load_id from ops.processed)"
    wait_until(
        lambda: (
            not [path for path in machine.waiting_segments() if not _is_years_off(path)]
            and connection.execute(query).fetchone() == (0,)
        ),
        "everything to be cleaned but what was received in the wrong year",
    )
    waiting = [event_id for path in machine.waiting_segments() for event_id in _events(read_segment(path))]
    clean = [row[0] for row in connection.execute("select event_id from clean.events").fetchall()]
    assert len(clean) == len(set(clean))
    acknowledged = {event_id for event_id, event in read_journals(driver.folder).items() if event.acknowledged}
    assert acknowledged <= {*clean, *waiting}
    assert min(len(clean), len(waiting)) > 50, "there was nothing to lose"
    assert b"check the clocks" in machine.loader.output.read_bytes()
    days = "select count(distinct (received_at at time zone 'Asia/Seoul')::date) from raw.events"
    parts = "select count(*) from pg_inherits where inhparent = 'raw.events'::regclass"
    assert connection.execute(parts).fetchone() == connection.execute(days).fetchone(), "days nothing was received on"


def _is_years_off(path: Path) -> bool:
    """Say whether something in the segment was received a year from now or more."""
    try:
        segment = read_segment(path)
    except FileNotFoundError:
        return False
    received_us = [frame.received_at_us for group in segment.groups for frame in segment.frames(group)]
    return any(abs(us / 1e6 - time.time()) > 365 * 86_400 for us in received_us)


def _events(segment: Segment) -> list[UUID]:
    return [e.event_id for g in segment.groups for f in segment.frames(g) for e in decode_named(f.body).events]


def _jump(offset: Path, seconds: int) -> None:
    """Tell the faked clock how far it is off; replaced in one go, for it is read at every look."""
    draft = offset.with_suffix(".new")
    draft.write_text(f"{seconds:+}\n")
    draft.replace(offset)


def _passed(machine: Machine) -> list[int]:
    """Return which of the jumps, in their order, the steps in the segments' headers have added up to."""
    passed: list[int] = []
    off_s = 0.0
    for header in _headers(machine):
        off_s += header.clock_step_us / 1e6
        # One look at the faked clock may be a moment old: it then steps in two.
        if header.clock_step_us and len(passed) < len(_JUMPS) and abs(off_s - _JUMPS[len(passed)]) < 1:
            passed.append(_JUMPS[len(passed)])
    return passed


def _headers(machine: Machine) -> list[SegmentHeader]:
    """Return the headers of the segments on disk, in the order of their numbers."""
    found = {}
    for path in machine.spool.glob("slot-*/**/*.sealed"):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # archived meanwhile
            found[path.name] = SegmentHeader.unpack(file.read(HEADER_BYTES))
    return [found[name] for name in sorted(found)]
