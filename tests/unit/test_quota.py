"""The spool's quota: archived segments give way to it, oldest first; what is not loaded never does."""

import msgspec
import pytest

from contract.errors import SpoolUnavailable
from storage.spool.folder import OPEN, SEALED
from storage.spool.usage import measure
from tests.builders import PATIENT, Living, Spool, event


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool")


def limited(bytes_max: int):
    return msgspec.structs.replace(PATIENT, bytes_max=bytes_max)


def look(spool: Spool, living: Living) -> None:
    """Let the writer look at its disk, which it does once a second."""
    spool.clock.advance(2)
    living.turn()


def size(spool: Spool, number: int) -> int:
    return spool.sealed(number).stat().st_size


def archive(spool: Spool, number: int) -> list[int]:
    """Write this many segments and release each; return their sizes."""
    sizes = []
    for _ in range(number):
        written = spool.write(event())
        sizes.append(size(spool, written))
        spool.folder.release(written)
    return sizes


def archived(spool: Spool) -> list[int]:
    return spool.folder.segments(SEALED, spool.folder.archive)


def test_within_its_quota_the_archive_stays(spool):
    sizes = archive(spool, 3)
    with spool.living(limited(sum(sizes) + 10_000)) as living:
        look(spool, living)
        assert archived(spool) == [1, 2, 3]
        assert living.writer.unavailable is None


def test_over_its_quota_the_oldest_archived_segments_give_way_and_no_more_than_that(spool):
    """And down to seven eighths, so that the folder is not looked at again for the next segment."""
    sizes = archive(spool, 8)
    with spool.living(limited(sum(sizes))) as living:
        look(spool, living)
        gone = 8 - len(archived(spool))
        assert archived(spool) == list(range(gone + 1, 9)), "the oldest first"
        open_bytes = spool.open(9).stat().st_size
        assert sum(sizes[gone:]) + open_bytes <= sum(sizes) * 7 / 8 < sum(sizes[gone - 1 :]) + open_bytes
        assert living.error_of(living.send(event())) is None


def test_what_is_not_loaded_never_gives_way_batches_are_refused_instead(spool):
    """Until the loader has archived something that may go."""
    waiting = [spool.write(event()) for _ in range(2)]
    with spool.living(limited(sum(size(spool, number) for number in waiting))) as living:
        look(spool, living)
        assert living.writer.unavailable == "the spool's quota is used up"
        with pytest.raises(SpoolUnavailable, match="quota"):
            living.submit(event())
        assert spool.folder.segments(SEALED) == waiting

        for number in waiting:
            spool.folder.release(number)
        look(spool, living)
        assert archived(spool) == waiting[1:]
        assert living.error_of(living.send(event())) is None


def test_what_is_written_meanwhile_counts_without_a_look_at_the_folder(spool):
    """The quota is passed by segments that were sealed after the start."""
    sizes = archive(spool, 1)
    with spool.living(limited(3 * sizes[0])) as living:
        for _ in range(3):
            living.send(event())
            living.seal()
        look(spool, living)
        assert archived(spool) == []
        assert living.writer.unavailable == "the spool's quota is used up"


def test_bytes_that_were_moved_aside_count_too_and_stay(spool):
    spool.write(event())
    aside = spool.folder.damaged / f"{7:020}{OPEN}"
    aside.write_bytes(bytes(50_000))
    with spool.living(limited(50_000)) as living:
        look(spool, living)
        assert living.writer.unavailable == "the spool's quota is used up"
    assert aside.exists()


def test_the_usage_of_a_slot_is_that_of_its_files(spool):
    archive(spool, 1)
    number = spool.write(event())
    (spool.folder.damaged / f"{9:020}{OPEN}").write_bytes(bytes(77))
    with spool.living():
        found = measure(spool.folder)
    assert found.waiting_bytes == size(spool, number)
    assert found.archived_bytes == (spool.folder.archive / f"{1:020}{SEALED}").stat().st_size
    assert (found.damaged_bytes, found.waiting_segments, found.open_bytes) == (77, 1, 64)
    assert found.oldest_waiting_at == spool.sealed(number).stat().st_mtime
