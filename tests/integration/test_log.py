"""What every log keeps, claim by claim: the spool's folder here, and a collector's spool over the network."""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.errors import SegmentChanged
from storage.log import SegmentLog, SlotLog
from storage.remote import RemoteSpool
from storage.spool.folder import SpoolFolder
from tests.builders import Spool, event
from tests.pulling import handing_out

Open = Callable[[], SegmentLog]


@pytest.fixture(params=["folder", "remote"])
def open_log(request: pytest.FixtureRequest, spool_path: Path, tmp_path: Path) -> Iterator[tuple[Spool, Open]]:
    """Yield a spool, and a function that opens it anew as a loader does that has just started."""
    spool = Spool(spool_path)
    if request.param == "folder":
        yield spool, lambda: SpoolFolder(spool_path)
        return
    opened: list[RemoteSpool] = []
    with handing_out(spool_path, tmp_path / "token") as (url, _):

        def open_remote() -> SegmentLog:
            opened.append(RemoteSpool(url, str(tmp_path / "token")))
            return opened[-1]

        yield spool, open_remote
        for each in opened:
            each.close()


def only_slot(log: SegmentLog) -> SlotLog:
    (slot,) = log.slots()
    return slot


def test_what_is_sealed_waits_and_reads_as_it_was_written(open_log: tuple[Spool, Open]) -> None:
    spool, opened = open_log
    numbers = [spool.write(event()), spool.write(event())]
    slot = only_slot(opened())
    assert (slot.spool_id, slot.slot) == (spool.folder.spool_id, 0)
    assert slot.waiting()[-2:] == numbers[-2:]
    assert slot.newest() == numbers[-1]
    assert all(slot.read(n) == spool.sealed(n).read_bytes() for n in numbers)


def test_what_is_being_written_does_not_wait_and_its_number_is_known(open_log: tuple[Spool, Open]) -> None:
    spool, opened = open_log
    with spool.living() as living:
        living.send(event())
        slot = only_slot(opened())
        assert slot.waiting() == []
        assert slot.newest() == 1
        with pytest.raises(FileNotFoundError):
            slot.read(1)


def test_a_release_may_be_repeated_and_leaves_the_segment_readable(open_log: tuple[Spool, Open]) -> None:
    spool, opened = open_log
    number = spool.write(event())
    data = spool.sealed(number).read_bytes()
    for _ in range(3):
        only_slot(opened()).release(number, hashlib.sha256(data).digest())
        slot = only_slot(opened())
        assert number not in slot.waiting()
        assert number in slot.released()
        assert slot.read(number) == data


@pytest.mark.parametrize("is_released", [False, True])
def test_a_release_of_other_contents_is_refused(open_log: tuple[Spool, Open], *, is_released: bool) -> None:
    spool, opened = open_log
    number = spool.write(event())
    if is_released:
        spool.folder.release(number)
    before = (spool.folder.waiting(), spool.folder.released())
    with pytest.raises(SegmentChanged):
        only_slot(opened()).release(number, hashlib.sha256(b"something else").digest())
    assert (spool.folder.waiting(), spool.folder.released()) == before


def test_a_recalled_segment_waits_until_it_is_released_again(open_log: tuple[Spool, Open]) -> None:
    spool, opened = open_log
    number = spool.write(event())
    digest = hashlib.sha256(spool.sealed(number).read_bytes()).digest()
    spool.folder.release(number, digest)
    log = opened()
    only_slot(log).recall(number)
    assert number in only_slot(log).waiting()
    assert hashlib.sha256(only_slot(log).read(number)).digest() == digest
    only_slot(log).release(number, digest)
    assert number not in only_slot(log).waiting()


def test_a_segment_that_is_not_there_is_not_found(open_log: tuple[Spool, Open]) -> None:
    spool, opened = open_log
    number = spool.write(event())
    with pytest.raises(FileNotFoundError):
        only_slot(opened()).read(number + 7)


def test_what_waits_outlives_every_grace_period(open_log: tuple[Spool, Open]) -> None:
    spool, opened = open_log
    released, waiting = spool.write(event()), spool.write(event())
    spool.folder.release(released)
    log = opened()
    log.expire(time.time() + 10**6)
    slot = only_slot(log)
    assert waiting in slot.waiting()
    assert slot.read(waiting) == spool.sealed(waiting).read_bytes()
    assert slot.newest() >= waiting


def test_a_new_slot_is_seen_at_the_next_look(open_log: tuple[Spool, Open], spool_path: Path) -> None:
    _, opened = open_log
    log = opened()
    assert [slot.slot for slot in log.slots()] == [0]
    Spool(spool_path, slot=3).write(event())
    assert [slot.slot for slot in log.slots()] == [0, 3]
