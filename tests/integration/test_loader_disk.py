"""The loader where the disk refuses: one slot's trouble is its own, and what was refused is done later."""

import errno
import threading
from functools import partial

import pytest
from structlog.testing import capture_logs

from storage.loader import Loader, LoadSettings
from storage.sink import PostgresSink
from storage.spool.folder import SEALED, SpoolFolder
from tests.builders import Road, Spool, event, eventually
from tests.fakes import FakeFiles


@pytest.fixture
def files() -> FakeFiles:
    return FakeFiles()


@pytest.fixture
def loader(road: Road, files: FakeFiles) -> Loader:
    return Loader(
        LoadSettings(poll_ms=1),
        partial(PostgresSink.open, road.dsn),
        [SpoolFolder(road.spool.path, files)],
        archive_grace_days=7,
    )


def run(loader: Loader) -> list[str]:
    """Run until nothing is left that can be loaded; return what was logged of the disk."""
    with capture_logs() as logged:
        loader.run(threading.Event(), once=True)
    return [line["event"] for line in logged if line["event"].startswith("spool_")]


def test_a_slot_whose_disk_cannot_be_read_stops_no_other(road: Road, loader: Loader, files: FakeFiles) -> None:
    other = Spool(road.spool.path, slot=1)
    unreadable, readable = event(), event()
    road.spool.write(unreadable)
    other.write(event())
    number = other.write(readable)
    files.fail("read", errno.EIO, times=1000, name=f"{1:020}.sealed")
    other.sealed(1).unlink()  # its name would be refused too

    assert run(loader) == ["spool_unavailable"]
    assert road.values("select event_id from raw.events") == [readable.event_id]
    assert other.folder.segments(SEALED, other.folder.archive) == [number]

    files.heal()
    assert run(loader) == ["spool_resumed"]
    assert set(road.values("select event_id from raw.events")) == {unreadable.event_id, readable.event_id}


@pytest.mark.parametrize(("operation", "name"), [("rename", SEALED), ("sync_folder", "archive"), ("names", "archive")])
def test_what_could_not_be_taken_out_of_the_archive_is_taken_later(
    road: Road, loader: Loader, files: FakeFiles, operation: str, name: str
) -> None:
    """The database has forgotten a segment, and the disk refuses at the first look after connecting."""
    forgotten = event()
    road.spool.folder.release(road.spool.write(forgotten))
    files.fail(operation, errno.EROFS, name=name)

    stop = threading.Event()
    with capture_logs() as logged:
        thread = threading.Thread(target=loader.run, args=(stop,))
        thread.start()
        try:
            eventually(lambda: road.values("select event_id from raw.events") == [forgotten.event_id])
            eventually(lambda: "spool_resumed" in [line["event"] for line in logged])
        finally:
            stop.set()
            thread.join()

    names = [line["event"] for line in logged]
    assert names.count("spool_unavailable") == names.count("spool_resumed") == names.count("database_connected") == 1
