"""The spool's folder: one id for ever, numbers used once, names that move durably."""

import hashlib
import threading
from contextlib import nullcontext
from uuid import UUID

import pytest

from contract.errors import FolderNotWritable, SegmentChanged, SpoolFormatError
from storage.spool.files import OsFiles, lock_file
from storage.spool.folder import OPEN, SEALED, SegmentId, SpoolFolder
from tests.fakes import FakeFiles

SPOOL_ID = UUID("0190f3c2-8d11-4a6e-9b0d-5e1c2f3a4b5c")


@pytest.fixture
def slot(tmp_path):
    folder = SpoolFolder(tmp_path / "spool", FakeFiles()).slot(0)
    folder.prepare()
    return folder


def make(slot, *numbers, archive=()):
    for number in numbers:
        slot.segment_path(number).write_bytes(b"x")
    for number in archive:
        (slot.archive / slot.segment_path(number).name).write_bytes(b"x")


def test_a_spools_id_is_made_once(tmp_path):
    """Opened again, also by another process, it is the same spool."""
    first = SpoolFolder(tmp_path / "spool").spool_id
    assert SpoolFolder(tmp_path / "spool").spool_id == first
    assert SpoolFolder(tmp_path / "other").spool_id != first


def test_two_processes_make_one_spool(tmp_path):
    """Whoever comes second takes the id of the first."""
    ids = []
    threads = [
        threading.Thread(target=lambda: ids.append(SpoolFolder(tmp_path / "deep" / "spool").spool_id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_crash_while_making_the_spool_leaves_none_or_one(tmp_path):
    """The id is synced before it gets its name: a half-written one is never read."""
    call = 0
    while True:
        path = tmp_path / str(call)
        files = FakeFiles()
        files.pull_plug(call)
        try:
            made = SpoolFolder(path, files).spool_id
        except FolderNotWritable:
            call += 1
            SpoolFolder(path)
            continue
        assert SpoolFolder(path).spool_id == made
        break
    assert call == 7


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "restore it from a backup"),
        (b'{"spool_id":"no"}', "restore it from a backup"),
        (b'{"spool_id":"0190f3c2-8d11-4a6e-9b0d-5e1c2f3a4b5c","format":2}', "install the newer Sillok"),
    ],
)
def test_an_unreadable_spool_id_is_not_replaced(tmp_path, content, sentence):
    """A new id would make loaded segments look new: the message says what to do instead."""
    (tmp_path / "SPOOL.json").write_bytes(content)
    with pytest.raises(SpoolFormatError, match=sentence):
        SpoolFolder(tmp_path)
    assert (tmp_path / "SPOOL.json").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """The sentence names the folder and what to check."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FolderNotWritable, match=r"spool folder .*/file/spool"):
        SpoolFolder(tmp_path / "file" / "spool")


def test_slots_are_listed_in_order(tmp_path):
    """Each slot folder is one writer; other folders are not."""
    spool = SpoolFolder(tmp_path / "spool")
    for number in (10, 0, 2):
        spool.slot(number).prepare()
    (spool.path / "slot-x").mkdir()
    (spool.path / "lost+found").mkdir()
    assert [slot.slot for slot in spool.slots()] == [0, 2, 10]


def test_segments_are_listed_by_number(slot):
    """Sealed and open ones apart; strangers are ignored."""
    make(slot, 10, 9)
    slot.segment_path(11, OPEN).write_bytes(b"")
    (slot.path / "LOCK").write_bytes(b"")
    (slot.path / "backup.sealed").write_bytes(b"")
    assert (slot.segments(SEALED), slot.segments(OPEN)) == ([9, 10], [11])


@pytest.mark.parametrize("place", ["open", "sealed", "archive", "damaged"])
def test_the_last_number_is_found_wherever_it_is(slot, place):
    """Numbers never restart, whatever became of the highest one."""
    make(slot, 1, 2)
    path = {
        "open": slot.segment_path(7, OPEN),
        "sealed": slot.segment_path(7),
        "archive": slot.archive / slot.segment_path(7).name,
        "damaged": slot.damaged / slot.segment_path(7, OPEN).name,
    }[place]
    path.write_bytes(b"")
    assert slot.last_segment() == 7


def test_the_first_number_is_one(slot):
    """Zero segments were used before it."""
    assert slot.last_segment() == 0


def test_releasing_moves_into_the_archive_durably(slot):
    """Both folders are synced after the move, the new name first."""
    make(slot, 1)
    slot.files.calls.clear()
    slot.release(1)
    assert slot.files.calls == [
        ("rename", f"{1:020}.sealed"), ("sync_folder", "archive"), ("sync_folder", "slot-0000"),
    ]  # fmt: skip
    assert slot.segments(SEALED, slot.archive) == [1]


def test_releasing_twice_is_harmless(slot):
    """A loader that died between commit and release does it again."""
    make(slot, 1)
    slot.release(1)
    slot.release(1)
    assert slot.segments(SEALED, slot.archive) == [1]


class _Outrun(OsFiles):
    """A second loader releases the segment just before the first looks at it."""

    def read(self, path):
        SpoolFolder(path.parents[1]).slot(0).release(1)
        return super().read(path)


@pytest.mark.parametrize("data", [b"x", b"y"])
def test_of_two_loaders_the_slower_finds_it_released(slot, data):
    """What it holds against its own is then in the archive."""
    make(slot, 1)
    slot.files = _Outrun()
    with nullcontext() if data == b"x" else pytest.raises(SegmentChanged):
        slot.release(1, hashlib.sha256(data).digest())
    assert slot.segments(SEALED, slot.archive) == [1]


def test_releasing_never_replaces(slot):
    """An archived segment of the same number is not overwritten."""
    make(slot, 1, archive=[1])
    with pytest.raises(FileExistsError):
        slot.release(1)


def test_dropping_stops_at_the_first_to_keep(slot):
    """Oldest first, and no younger one before an older one."""
    make(slot, 9, archive=[1, 2, 3, 4])
    kept = {f"{3:020}.sealed"}
    assert slot.drop_archived(keep=lambda path: path.name in kept) == 2
    assert slot.segments(SEALED, slot.archive) == [3, 4]


def test_the_highest_number_is_never_dropped(slot):
    """It is the slot's memory of which numbers were used."""
    make(slot, archive=[1, 2, 3])
    assert slot.drop_archived(keep=lambda _path: False) == 2
    assert slot.segments(SEALED, slot.archive) == [3]
    assert slot.last_segment() == 3


def test_a_lock_has_one_holder(tmp_path):
    """A second writer of the same slot is refused as long as the first lives."""
    files = OsFiles()
    held = lock_file(tmp_path / "LOCK")
    assert held is not None
    assert lock_file(tmp_path / "LOCK") is None
    files.close(held)
    again = lock_file(tmp_path / "LOCK")
    assert again is not None
    files.close(again)


def test_the_real_files_do_what_the_fake_ones_say(tmp_path):
    """Append only, never replace, private to the owner."""
    files = OsFiles()
    path = tmp_path / "a"
    fd = files.create(path)
    files.write(fd, b"one")
    files.write(fd, b"two")
    files.sync(fd)
    files.close(fd)
    files.sync_folder(tmp_path)
    assert files.read(path) == b"onetwo"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        files.create(path)
    other = tmp_path / "b"
    files.close(files.create(other))
    with pytest.raises(FileExistsError, match="never replaced"):
        files.rename(path, other)
    assert files.names(tmp_path) == ["a", "b"]
    files.remove(path)
    assert files.names(tmp_path) == ["b"]
    assert files.free_bytes(tmp_path) > 0


def test_a_segments_name_is_short_in_print():
    """What an alarm prints is enough to find the file."""
    assert str(SegmentId(SPOOL_ID, 3, 17)) == "0190f3c2.3.17"
