"""What every sink keeps, claim by claim. PostgreSQL, 18 and 15, is the one there is.

Another one in its place gets a `Place` of its own here, and the same tests.
"""

import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

import psycopg
import pytest

from contract.errors import SegmentChanged
from storage.log import SlotLog
from storage.sink import PostgresSink, Sink
from storage.spool.folder import SlotFolder
from tests.builders import Road, Sent, Spool, event


class Place:
    """A PostgreSQL in a sink's place, and what a test must be able to see of it and do to it from outside."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._opened: list[Sink] = []

    def open(self) -> Sink:
        """Connect as a loader that has just started."""
        self._opened.append(PostgresSink.open(self._road.dsn))
        return self._opened[-1]

    def events(self) -> Counter[UUID]:
        """Return how often each event is there."""
        return Counter(self._road.values("select event_id from raw.events"))

    def numbers(self, spool_id: UUID, slot: int) -> list[int]:
        """Return what the ledger knows of a slot."""
        query = "select segment from ops.loads where spool_id = %s and slot = %s order by 1"
        return self._road.values(query, spool_id, slot)

    def expected(self, spool_id: UUID, slot: int) -> int | None:
        """Return up to which number the watermark waits for a slot."""
        query = "select last_segment from ops.slots where spool_id = %s and slot = %s"
        return next(iter(self._road.values(query, spool_id, slot)), None)

    @contextlib.contextmanager
    def failing(self) -> Iterator[type[Exception]]:
        """Let every load fail once its rows are written; yield what it raises then."""
        self._road.admin.execute("alter table ops.audit add constraint never check (stage <> 'load') not valid")
        try:
            yield psycopg.errors.CheckViolation
        finally:
            self._road.admin.execute("alter table ops.audit drop constraint never")

    def forget(self) -> None:
        """Be as before the first load, as a database that was restored to the past."""
        for table in ("raw.events", "ops.audit", "ops.loads"):
            self._road.admin.execute(f"delete from {table}")

    def close(self) -> None:
        for sink in self._opened:
            sink.close()


@pytest.fixture
def place(road: Road) -> Iterator[Place]:
    place = Place(road)
    yield place
    place.close()


@pytest.fixture
def spool(road: Road) -> Spool:
    return road.spool


class Refusing(SlotFolder):
    """A log that takes no release: its disk is read-only, or its collector out of reach."""

    def release(self, segment: int, sha256: bytes | None = None) -> None:
        raise OSError(30, f"read-only: {segment} {sha256!r}")


def but(folder: SlotFolder, kind: type[SlotFolder]) -> SlotLog:
    """Return the same slot as a log of another kind."""
    return kind(folder.path, folder.spool_id, folder.slot, folder.files)


def some(count: int = 3) -> Sent:
    return Sent([event() for _ in range(count)])


def ids(*batches: Sent) -> Counter[UUID]:
    return Counter(sent.event_id for batch in batches for sent in batch.events)


def known(place: Place, folder: SlotFolder) -> list[int]:
    return place.numbers(folder.spool_id, folder.slot)


def test_a_load_is_every_event_once_and_its_number_in_the_ledger_and_a_release(place: Place, spool: Spool) -> None:
    first, second = some(), some(1)
    numbers = [spool.write(first), spool.write(second)]
    sink = place.open()
    reports = [sink.load(spool.folder, number) for number in numbers]
    assert [(report.segment.segment, report.loaded) for report in reports if report] == [
        (numbers[0], 3),
        (numbers[1], 1),
    ]
    assert place.events() == ids(first, second)
    assert known(place, spool.folder) == numbers
    assert not set(numbers) & set(spool.folder.waiting())


def test_a_segment_without_events_is_in_the_ledger_too(place: Place, spool: Spool) -> None:
    """A number that is missing would hold the watermark for ever."""
    with spool.living() as living:
        living.send(some())
        living.seal()
    sink = place.open()
    for number in spool.folder.waiting():
        sink.load(spool.folder, number)
    assert known(place, spool.folder) == [1, 2]
    assert spool.folder.waiting() == []


def test_a_load_that_was_committed_and_not_released_is_only_released(place: Place, spool: Spool) -> None:
    batch = some()
    number = spool.write(batch)
    with pytest.raises(OSError, match="read-only"):
        place.open().load(but(spool.folder, Refusing), number)
    assert place.events() == ids(batch)
    assert number in spool.folder.waiting()
    assert place.open().load(spool.folder, number) is None
    assert place.events() == ids(batch)
    assert number not in spool.folder.waiting()


def test_a_load_that_fails_leaves_nothing_and_is_done_whole_later(place: Place, spool: Spool) -> None:
    batch = some()
    number = spool.write(batch)
    with place.failing() as failure, pytest.raises(failure):
        place.open().load(spool.folder, number)
    assert place.events() == Counter()
    assert known(place, spool.folder) == []
    assert number in spool.folder.waiting()
    assert place.open().load(spool.folder, number) is not None
    assert place.events() == ids(batch)


def test_a_segment_that_is_gone_was_loaded_by_another_and_one_out_of_reach_is_not(place: Place, spool: Spool) -> None:
    class Unreadable(SlotFolder):
        def read(self, segment: int) -> bytes:
            raise OSError(5, f"segment {segment}")

    number = spool.write(some())
    assert place.open().load(spool.folder, number + 9) is None
    with pytest.raises(OSError, match="segment"):
        place.open().load(but(spool.folder, Unreadable), number)
    assert known(place, spool.folder) == []


def test_the_same_name_with_other_contents_changes_nothing(place: Place, spool: Spool) -> None:
    batch = some()
    number = spool.write(batch)
    place.open().load(spool.folder, number)
    other = Spool(spool.path.parent / "other")
    data = other.sealed(other.write(some())).read_bytes()

    class Other(SlotFolder):
        def read(self, segment: int) -> bytes:
            del segment
            return data

        def release(self, segment: int, sha256: bytes | None = None) -> None:
            pytest.fail(f"{segment} {sha256!r} was released")

    with pytest.raises(SegmentChanged):
        place.open().load(but(spool.folder, Other), number)
    assert place.events() == ids(batch)
    assert known(place, spool.folder) == [number]


def test_of_sinks_that_load_one_segment_at_once_one_does(place: Place, spool: Spool) -> None:
    batch = some(50)
    number = spool.write(batch)
    sinks = [place.open() for _ in range(4)]
    start, found = threading.Barrier(len(sinks)), []

    def load(sink: Sink) -> None:
        start.wait()
        try:
            found.append(sink.load(spool.folder, number))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            found.append(error)

    threads = [threading.Thread(target=load, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(type(each).__name__ for each in found) == {"NoneType": 3, "LoadReport": 1}
    assert place.events() == ids(batch)


def test_unknown_is_what_the_ledger_of_this_slot_lacks_in_order(place: Place, spool: Spool) -> None:
    """The same numbers of another slot, or another spool, are other segments."""
    numbers = [spool.write(some()) for _ in range(3)]
    sink, folder = place.open(), spool.folder
    for number in (numbers[0], numbers[2]):
        sink.load(folder, number)
    asked: Sequence[int] = [numbers[2], 99, numbers[1], numbers[0]]
    assert sink.unknown(folder.spool_id, folder.slot, asked) == [numbers[1], 99]
    assert sink.unknown(folder.spool_id, folder.slot, []) == []
    assert sink.unknown(folder.spool_id, folder.slot + 1, numbers) == numbers
    assert sink.unknown(UUID(int=7), folder.slot, numbers) == numbers


def test_what_was_forgotten_is_unknown_and_loaded_again(place: Place, spool: Spool) -> None:
    batch = some()
    number = spool.write(batch)
    sink = place.open()
    sink.load(spool.folder, number)
    place.forget()
    assert sink.unknown(spool.folder.spool_id, spool.folder.slot, [number]) == [number]
    spool.folder.recall(number)
    assert sink.load(spool.folder, number) is not None
    assert place.events() == ids(batch)


def test_a_slot_is_waited_for_up_to_its_highest_number(place: Place, spool: Spool) -> None:
    """Two loaders may tell it in the wrong order, and the same again."""
    sink, folder = place.open(), spool.folder
    assert place.expected(folder.spool_id, folder.slot) is None
    for last in (0, 7, 3, 7):
        sink.register(folder.spool_id, folder.slot, last)
        assert place.expected(folder.spool_id, folder.slot) == (0 if last == 0 else 7)


def test_a_sink_says_when_its_connection_is_gone(place: Place, spool: Spool) -> None:
    sink = place.open()
    assert sink.is_open
    sink.close()
    assert not sink.is_open
    with pytest.raises(psycopg.Error):
        sink.load(spool.folder, spool.write(some()))


def test_a_release_names_the_contents_that_were_loaded(place: Place, spool: Spool) -> None:
    """So that a log can refuse it when it has others."""
    named = []

    class Noting(SlotFolder):
        def release(self, segment: int, sha256: bytes | None = None) -> None:
            named.append((segment, sha256))

    number = spool.write(some())
    digest = hashlib.sha256(spool.sealed(number).read_bytes()).digest()
    for _ in range(2):
        place.open().load(but(spool.folder, Noting), number)
    assert named == [(number, digest)] * 2
