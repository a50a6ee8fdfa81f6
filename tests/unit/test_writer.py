"""The writer: an answer only after the sync, group commit, sealing, and honesty when the disk fails."""

import errno
import random
import threading

import pytest
from structlog.testing import capture_logs

from contract.errors import SpoolUnavailable
from contract.event import decode_stored_batch
from contract.fingerprint import HASH_MODULUS, id_hash
from storage.spool.active import Pending
from storage.spool.folder import OPEN, SEALED
from storage.spool.frame import Reject, decode_meta
from storage.spool.reader import Segment, read_segment
from storage.spool.recovery import Findings, recover_slot
from storage.spool.segment import Footer, TallyRow
from storage.spool.settings import SpoolSettings
from storage.spool.tally import minute_of
from storage.spool.writer import _split
from tests.builders import PATIENT, Sent, Spool, event, eventually
from tests.fakes import FakeFiles
from tests.patience import PATIENCE_S

FREE_MIN = PATIENT.free_bytes_min


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def files(spool) -> FakeFiles:
    return spool.files


def event_ids(segment: Segment):
    return [
        stored.event_id
        for group in segment.groups
        for frame in segment.frames(group)
        for stored in decode_stored_batch(frame.body).events
    ]


def first_id(pending: Pending):
    return decode_stored_batch(pending.body).events[0].event_id


def segments(spool: Spool) -> list[Segment]:
    return [read_segment(spool.sealed(number)) for number in spool.folder.segments(SEALED)]


def noise(length: int) -> str:
    return "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


# The answer


def test_an_answer_comes_only_after_its_sync(spool, files):
    """Written, synced, answered: in this order, for every group."""
    with spool.living() as living:
        for _ in range(3):
            living.send(event())
    name = f"{1:020}.open"
    calls = files.calls[files.calls.index(("create", name)) :]
    kinds = [call for call in calls if call[0] in ("write", "sync", "answer")]
    assert kinds[2:11] == [("write", name), ("sync", name), ("answer", "")] * 3


def test_a_header_is_synced_before_the_first_group(spool, files):
    """The file, and its name in the folder, are on the disk before anything is promised."""
    with spool.living() as living:
        del files.calls[: files.calls.index(("create", f"{1:020}.open"))]
        living.send(event())
        name = f"{1:020}.open"
        wanted = [call for call in files.calls if call[0] not in ("free_bytes", "names")]
    assert wanted == [
        ("create", name), ("write", name), ("sync", name), ("sync_folder", "slot-0000"),
        ("write", name), ("sync", name), ("answer", ""),
    ]  # fmt: skip


def test_nothing_is_answered_while_the_disk_is_busy(spool, files):
    """The sync has not returned: nobody has been told anything."""
    with spool.living() as living:
        with files.held():
            pending = living.submit(event())
            assert files.syncing.wait(PATIENCE_S)
            assert not pending.waiter.wait(0.05)
        assert pending.waiter.wait(PATIENCE_S)
        assert living.error_of(pending) is None


def test_what_is_answered_is_on_the_disk(spool):
    """The frame that a reader finds holds exactly the bytes that were submitted."""
    sent = Sent([event(), event()], source="app", ip="192.0.2.7", user_agent="뷰어/1.0", sent_at=5)
    with spool.living() as living:
        pending = living.send(sent)
        segment = read_segment(spool.open(1))
    [group] = segment.groups
    [frame] = segment.frames(group)
    assert frame.body == pending.body
    assert decode_meta(frame.meta) == pending.meta
    assert frame.received_at_us == pending.received_at_us == spool.clock.wall_us()
    assert (group.header.sequence, group.header.accepted, group.header.durable_bytes) == (0, 2, 64)


def test_a_receipt_names_slot_segment_group_and_place(tmp_path):
    """Support can find a batch from the receipt the client was given."""
    spool = Spool(tmp_path / "spool", slot=3)
    with spool.living() as living:
        assert [living.send(event()).receipt for _ in range(2)] == ["3.1.0.0", "3.1.1.0"]


# Group commit


def test_what_arrives_during_a_sync_becomes_one_group(spool, files):
    """While one sync runs the next group collects: one write, one sync, one answer for all."""
    with spool.living() as living:
        with files.held():
            first = living.submit(event())
            assert files.syncing.wait(PATIENCE_S)
            rest = [living.submit(event()) for _ in range(5)]
        eventually(lambda: len(living.answers) == 2)
        assert living.answers == [([first], None), (rest, None)]
        groups = read_segment(spool.open(1)).groups
    assert [(g.header.frames, g.header.accepted) for g in groups] == [(1, 1), (5, 5)]
    assert [p.receipt for p in rest] == [f"0.1.1.{n}" for n in range(5)]
    assert files.calls.count(("sync", f"{1:020}.open")) == 4, "header, two groups, footer"


def test_a_group_has_a_limit():
    """What waits is cut, in order, so that a sync stays short and a reader's memory bounded."""
    batches = [Sent([event(click_text="x" * n)]).pending() for n in (5, 9, 2)]
    for batch, size in zip(batches, (5 << 20, 9 << 20, 1 << 20), strict=True):
        batch.body = bytes(size)
    assert _split(batches) == [batches[:1], batches[1:2], batches[2:]]
    assert _split(batches[::2]) == [batches[::2]]
    assert _split([]) == []


def test_many_threads_lose_nothing(spool):
    """Batches from many threads at once are each answered once and stand on the disk once."""
    events = [event() for _ in range(200)]
    with spool.living() as living:
        threads = [
            threading.Thread(target=lambda part=part: [living.send(e) for e in part])
            for part in (events[n::8] for n in range(8))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(len(group) for group, _ in living.answers) == 200
    assert sorted(event_ids(segments(spool)[0])) == sorted(e.event_id for e in events)


# Sealing


def test_closing_seals_as_final(spool):
    """A clean stop writes what waits and says that nothing follows; the footer counts everything."""
    reject = Reject(index=1, code="missing_field", field="events[1].time", message="Missing")
    clicks = [event(), event()]
    search = event(event_type="search", search_text="삼성전자")
    spool.write(Sent(clicks, rejects=[reject]), Sent([search], source="app"))
    [segment] = segments(spool)
    minute = minute_of(spool.clock.wall_us())
    click_sum = sum(id_hash(e.event_id) for e in clicks) % HASH_MODULUS
    assert segment.footer == Footer(
        groups=2,
        frames=2,
        received=4,
        accepted=3,
        rejected=1,
        hash_sum=(click_sum + id_hash(search.event_id)) % HASH_MODULUS,
        until_us=spool.clock.wall_us(),
        final=True,
        tally=[
            TallyRow(minute, "app", "", "received", 1, 0),
            TallyRow(minute, "app", "search", "accepted", 1, id_hash(search.event_id)),
            TallyRow(minute, "web", "", "received", 3, 0),
            TallyRow(minute, "web", "", "rejected", 1, 0),
            TallyRow(minute, "web", "click", "accepted", 2, click_sum),
        ],
    )
    assert spool.folder.segments(OPEN) == []


def test_a_segment_is_sealed_at_its_size(tmp_path):
    """The segment that grew too large ends, and the next number begins."""
    spool = Spool(tmp_path / "spool")
    with spool.living(SpoolSettings(segment_bytes_max=600, segment_age_ms=10**9, heartbeat_ms=10**9)) as living:
        living.send(event(click_text=noise(200)))
        living.turn()
        assert spool.folder.segments(SEALED) == []
        living.send(event(click_text=noise(200)))
        living.turn()
        assert (spool.folder.segments(SEALED), spool.folder.segments(OPEN)) == ([1], [2])
    assert [(s.footer.groups, s.footer.final) for s in segments(spool)] == [(2, False), (0, True)]


def test_a_segment_is_sealed_at_its_age(spool):
    """Age counts from the first write: an event waits no longer than that for the loader."""
    with spool.living(SpoolSettings(segment_age_ms=2000, heartbeat_ms=10_000)) as living:
        spool.clock.advance(5)
        living.send(event())
        spool.clock.advance(1.9)
        living.turn()
        assert spool.folder.segments(SEALED) == []
        spool.clock.advance(0.1)
        living.turn()
        assert spool.folder.segments(SEALED) == [1]
        assert read_segment(spool.sealed(1)).footer.accepted == 1


def test_an_idle_slot_seals_a_heartbeat(spool):
    """An empty segment says that nothing was received until now."""
    with spool.living(SpoolSettings(segment_age_ms=2000, heartbeat_ms=10_000)) as living:
        spool.clock.advance(9.9)
        living.turn()
        assert spool.folder.segments(SEALED) == []
        spool.clock.advance(0.1)
        living.turn()
        [segment] = segments(spool)
        assert segment.footer == Footer(
            groups=0, frames=0, received=0, accepted=0, rejected=0, hash_sum=0, until_us=spool.clock.wall_us()
        )


def test_a_name_is_sealed_only_when_all_is_synced(spool, files):
    """Footer written, synced, closed; then the name; then the folder."""
    spool.write(event())
    name = f"{1:020}.open"
    tail = [c for c in files.calls if c[0] != "free_bytes"]
    answered = len(tail) - tail[::-1].index(("answer", ""))
    assert tail[answered:][:5] == [
        ("write", name), ("sync", name), ("close", name), ("rename", name), ("sync_folder", "slot-0000"),
    ]  # fmt: skip


def test_numbers_go_on_after_a_restart(spool):
    """A number is used once, also when all earlier segments are loaded."""
    for number in (1, 2):
        assert spool.write(event()) == number
        spool.folder.release(number)
    assert spool.write(event()) == 3


# Time


def test_a_clock_step_starts_a_new_segment(spool):
    """The segment says by how much the clock jumped; what was received before stands in the old one."""
    with spool.living() as living:
        before = living.send(event())
        spool.clock.step(-3600)
        living.turn()
        after = living.send(event())
        opened = read_segment(spool.open(2))
    assert opened.header.clock_step_us == -3_600_000_000
    assert opened.header.opened_at_us == after.received_at_us == before.received_at_us - 3_600_000_000
    assert [len(s.groups) for s in segments(spool)] == [1, 1]


def test_received_at_never_falls_within_a_segment(spool):
    """Whatever a wall clock does below a step, times and `until_us` only rise along the log."""
    with spool.living() as living:
        for seconds in (0, -2, 1, -4, 3, 0.5, -1):
            spool.clock.step(seconds)
            living.send(event())
    received, untils = [], []
    for segment in segments(spool):
        for group in segment.groups:
            untils.append(group.header.until_us)
            for frame in segment.frames(group):
                received.append(frame.received_at_us)
                assert frame.received_at_us <= group.header.until_us
    assert (received, untils) == (sorted(received), sorted(untils))
    assert len(received) == 7
    assert len(segments(spool)) == 1


# When the disk fails


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failure_is_everybodys(spool, files, operation):
    """The whole group is told, and those that wait behind it; the descriptor is never synced again."""
    living_context = spool.living()
    living = living_context.__enter__()
    kept = living.send(event())
    with files.held():
        lost = [living.submit(event())]
        assert files.syncing.wait(PATIENCE_S)
        lost += [living.submit(event()) for _ in range(3)]
        files.fail(operation, times=1, name=OPEN)
    for pending in lost:
        assert pending.waiter.wait(PATIENCE_S)
    errors = [living.error_of(p) for p in lost]
    failed = lost if operation == "sync" else lost[1:]
    assert living.error_of(kept) is None
    assert all(isinstance(living.error_of(p), SpoolUnavailable) for p in failed), errors
    at = max(n for n, call in enumerate(files.calls) if call[0] == operation and call[1].endswith(OPEN))
    living.turn()
    living_context.__exit__(None, None, None)
    assert [c for c in files.calls[at + 1 :] if c[0] in ("write", "sync", "rename", "create")] == []
    assert isinstance(living.writer.failure, OSError)
    assert living.writer.unavailable == "the spool's disk failed"
    with pytest.raises(SpoolUnavailable):
        living.submit(event())
    assert spool.folder.segments(SEALED) == [], "the file is left to recovery"


def test_no_answered_batch_is_lost_by_a_failure(spool, files):
    """What was answered before the disk failed is found by recovery; what was refused may be or not."""
    with spool.living() as living:
        kept = [living.send(event()) for _ in range(3)]
        files.fail("write", name=OPEN)
        refused = living.send(event())
        assert isinstance(living.error_of(refused), SpoolUnavailable)
    recover_slot(spool.folder, spool.clock.wall_us())
    [segment] = segments(spool)
    assert event_ids(segment) == [first_id(p) for p in kept]
    assert segment.footer.torn_bytes > 0


def test_a_disk_that_even_refuses_to_close_is_answered_for(spool, files):
    """Errors on the way out of an error leave nobody without an answer, and the thread alive to say so."""
    with spool.living() as living:
        files.fail("sync", name=OPEN)
        files.fail("close", name=OPEN)
        pending = living.send(event())
        assert isinstance(living.error_of(pending), SpoolUnavailable)
        with pytest.raises(SpoolUnavailable):
            living.submit(event())
        living.turn()


def test_a_failed_disk_stays_failed(spool, files):
    """Only a fresh process may judge a disk again: neither time, nor space, nor a clock step opens a segment."""
    with spool.living() as living:
        files.fail("sync", name=OPEN)
        living.send(event())
        spool.clock.advance(60)
        living.turn()
        spool.clock.step(3600)
        living.turn()
        spool.clock.advance(60)
        living.turn()
        with pytest.raises(SpoolUnavailable, match="failed"):
            living.submit(event())
    assert spool.folder.segments(OPEN) == [1]


def test_a_full_disk_heals_when_there_is_space(spool, files):
    """ENOSPC refuses batches until there is room; then the torn file is recovered and a new one begun."""
    with spool.living() as living:
        kept = living.send(event())
        files.fail("write", errno.ENOSPC, name=OPEN)
        files.free = 0
        refused = living.send(event())
        assert str(living.error_of(refused)) == "the spool's disk is full"
        living.turn()
        with pytest.raises(SpoolUnavailable, match="full"):
            living.submit(event())
        assert living.writer.failure is None
        files.free = FREE_MIN
        living.turn()
        later = living.send(event())
        assert living.error_of(later) is None
        assert living.writer.unavailable is None
    assert [event_ids(s) for s in segments(spool)] == [[first_id(kept)], [first_id(later)]]
    assert [s.footer.recovered for s in segments(spool)] == [True, False]
    [torn] = [s.footer.torn_bytes for s in segments(spool) if s.footer.recovered]
    assert living.findings == [Findings(segments=1, torn_bytes=torn)], "told, as what is found at the start is"
    assert torn > 0


def test_a_full_disk_lets_its_archive_go_first(spool, files):
    """Loaded segments give way before events are refused, also after the disk filled up at once."""
    for number in (1, 2):
        spool.write(event())
        spool.folder.release(number)
    with spool.living() as living:
        living.send(event())
        files.fail("write", errno.ENOSPC, name=OPEN)
        living.send(event())
        files.free = 0
        original, files.remove = files.remove, lambda path: (original(path), setattr(files, "free", FREE_MIN))
        living.turn()
        assert living.error_of(living.send(event())) is None


def test_a_disk_without_space_for_a_new_segment_is_waited_out(spool, files):
    """The segment was sealed, but its successor could not be created: nothing is lost, and it is tried again."""
    with spool.living() as living:
        living.send(event())
        files.fail("create", errno.ENOSPC, name=OPEN)
        files.free = 0
        living.seal()
        living.turn()
        assert living.writer.unavailable == "the spool's disk is full"
        files.free = FREE_MIN
        living.turn()
        assert living.error_of(living.send(event())) is None
    assert [s.footer.accepted for s in segments(spool)] == [1, 1]


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_a_lack_of_file_descriptors_is_waited_out(spool, files, code):
    """A flood of connections took them all: refused until they are back, and said once, without a new process."""
    with spool.living() as living, capture_logs() as logged:
        kept = living.send(event())
        files.fail("create", code, times=1000, name=OPEN)
        living.seal()
        for _ in range(3):
            living.turn()
        assert "out of file descriptors" in living.writer.unavailable
        with pytest.raises(SpoolUnavailable, match="out of file descriptors"):
            living.submit(event())
        files.heal()
        eventually(lambda: living.writer.unavailable is None)
        later = living.send(event())
        assert living.error_of(later) is None
        assert living.writer.failure is None
    assert [event_ids(s) for s in segments(spool)] == [[first_id(kept)], [first_id(later)]]
    assert spool.folder.segments(SEALED) == [1, 2], "a number without a file holds the watermark for ever"
    names = [line["event"] for line in logged if line["event"].startswith("spool_")]
    assert names == ["spool_failed", "spool_resumed"]


def test_start_says_when_the_disk_refuses(spool, files):
    """Before it listens, the worker learns that it cannot write."""
    files.fail("create", errno.EROFS)
    with pytest.raises(OSError, match="Read-only"), spool.living():
        pass


def test_a_closing_writer_takes_nothing_more(spool):
    """After a clean stop there is no batch that nobody will write."""
    with spool.living() as living:
        pass
    with pytest.raises(SpoolUnavailable, match="stopping"):
        living.submit(event())


# Limits


def test_the_queue_is_bounded(spool, files):
    """When the disk is slower than the requests they are refused, and taken again once it caught up."""
    body = len(Sent([event()]).pending().body)
    with spool.living(SpoolSettings(queue_bytes_max=2 * body + 1, segment_age_ms=10**9)) as living:
        with files.held():
            first = living.submit(event())
            assert files.syncing.wait(PATIENCE_S)
            eventually(lambda: living.writer.queued_bytes == 0)
            waiting = [living.submit(event()) for _ in range(2)]
            assert living.writer.queued_bytes == 2 * body
            with pytest.raises(SpoolUnavailable, match="slower than the requests"):
                living.submit(event())
        for pending in (first, *waiting):
            assert pending.waiter.wait(PATIENCE_S)
        assert living.error_of(living.send(event())) is None


def archived(spool: Spool) -> list[int]:
    return spool.folder.segments(SEALED, spool.folder.archive)


def test_low_space_drops_the_archive_oldest_first(spool, files):
    """Only as many loaded segments go as are needed, and nothing is refused."""
    for number in range(1, 5):
        spool.write(event())
        spool.folder.release(number)
    removed = []

    def remove(path):
        FakeFiles.remove(files, path)
        removed.append(path.name)
        files.free = FREE_MIN if len(removed) == 2 else 0

    files.remove = remove
    with spool.living() as living:
        files.free = 0
        spool.clock.advance(2)
        living.turn()
        assert living.writer.unavailable is None
    assert removed == [f"{1:020}.sealed", f"{2:020}.sealed"]
    assert archived(spool) == [3, 4]


def test_low_space_refuses_when_nothing_is_left_to_drop(spool, files):
    """Unloaded segments never go: batches are refused until there is space again."""
    spool.write(event())
    spool.folder.release(1)
    spool.write(event())
    with spool.living() as living:
        files.free = FREE_MIN - 1
        spool.clock.advance(2)
        living.turn()
        assert archived(spool) == []
        assert spool.folder.segments(SEALED) == [2]
        with pytest.raises(SpoolUnavailable, match="almost full"):
            living.submit(event())
        files.free = FREE_MIN
        spool.clock.advance(2)
        living.turn()
        assert living.error_of(living.send(event())) is None


def test_a_disk_that_fills_up_while_sealing_is_waited_out(spool, files):
    """The footer did not fit: what was answered is recovered once there is room, and nothing is failed for good."""
    with spool.living() as living:
        kept = living.send(event())
        files.fail("write", errno.ENOSPC, name=OPEN)
        files.free = 0
        spool.clock.advance(PATIENT.segment_age_ms / 1000)
        living.turn()
        assert living.writer.unavailable == "the spool's disk is full"
        assert living.writer.failure is None
        files.free = FREE_MIN
        living.turn()
        later = living.send(event())
    assert [event_ids(s) for s in segments(spool)] == [[first_id(kept)], [first_id(later)]]
