"""Recovery after an unclean end: classify, keep every valid frame, delete nothing, never loop."""

from pathlib import Path

import pytest

from contract.errors import SpoolFormatError
from contract.event import decode_stored_batch
from contract.fingerprint import HASH_MODULUS, id_hash
from storage.spool.files import OsFiles
from storage.spool.folder import OPEN, SEALED, SlotFolder, SpoolFolder
from storage.spool.reader import Segment, read_segment
from storage.spool.recovery import Findings, recover_slot
from storage.spool.segment import Footer, SegmentHeader, TallyRow
from storage.spool.tally import minute_of
from tests.builders import DAY_US, Sent, Spool, event, flip_bit, pieces
from tests.fakes import FakeFiles
from tests.patience import PATIENCE_S

EVENTS = [event(click_text=f"버튼 {n}") for n in range(4)]


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool")


def left_open(spool: Spool, *, footer: bool = False) -> Path:
    """Leave a segment of four groups as a killed writer does; return its path."""
    number = spool.write(*EVENTS)
    sealed = spool.sealed(number)
    data = sealed.read_bytes()
    sealed.unlink()
    path = spool.open(number)
    path.write_bytes(data if footer else data[: pieces(data)[-1].start])
    return path


def group(path: Path, nth: int):
    data = path.read_bytes()
    found = []
    position = 64
    while position < len(data):
        end = position + 64 + int.from_bytes(data[position + 8 : position + 12], "little")
        found.append((position, end))
        position = end
    return found[nth]


def recover(spool: Spool) -> Findings:
    return recover_slot(SpoolFolder(spool.path).slot(0), spool.clock.wall_us())


def event_ids(segment: Segment):
    return [
        stored.event_id
        for found in segment.groups
        for frame in segment.frames(found)
        for stored in decode_stored_batch(frame.body).events
    ]


def ids(*numbers: int):
    return [EVENTS[n].event_id for n in numbers]


def tree(folder: SlotFolder) -> dict[str, bytes]:
    """Return every file below a slot's folder."""
    return {str(p.relative_to(folder.path)): p.read_bytes() for p in sorted(folder.path.rglob("*")) if p.is_file()}


def test_a_clean_slot_is_left_alone(spool):
    """Sealed segments are not touched."""
    spool.write(*EVENTS)
    before = tree(spool.folder)
    assert recover(spool) == Findings()
    assert tree(spool.folder) == before


def test_an_open_segment_without_damage_is_sealed_whole(spool):
    """A killed writer's groups are all there; the copy has a footer that says it was recovered."""
    data = left_open(spool).read_bytes()
    assert recover(spool) == Findings(segments=1)
    segment = read_segment(spool.sealed(1))
    minute = minute_of(spool.clock.wall_us())
    hash_sum = sum(id_hash(e.event_id) for e in EVENTS) % HASH_MODULUS
    assert segment.footer == Footer(
        groups=4,
        frames=4,
        received=4,
        accepted=4,
        rejected=0,
        hash_sum=hash_sum,
        until_us=spool.clock.wall_us(),
        recovered=True,
        tally=[
            TallyRow(minute, "web", "", "received", 4, 0),
            TallyRow(minute, "web", "click", "accepted", 4, hash_sum),
        ],
    )
    assert segment.data[: len(data)] == data
    assert sorted(tree(spool.folder)) == [f"{1:020}.sealed"]


def test_a_footer_that_was_written_is_kept(spool):
    """A crash between the last sync and the new name loses nothing, not even the clean end."""
    data = left_open(spool, footer=True).read_bytes()
    recover(spool)
    segment = read_segment(spool.sealed(1))
    assert segment.footer.final
    assert not segment.footer.recovered
    assert segment.data == data


def test_a_torn_tail_is_counted_in_bytes(spool):
    """Bytes past all that was known synced were never acknowledged: they are kept aside, and no event is missed."""
    path = left_open(spool)
    start, end = group(path, 3)
    torn = path.read_bytes()[: end - 10]
    path.write_bytes(torn)
    assert recover(spool) == Findings(segments=1, torn_bytes=end - 10 - start)
    segment = read_segment(spool.sealed(1))
    assert event_ids(segment) == ids(0, 1, 2)
    assert (segment.footer.torn_bytes, segment.footer.damaged) == (end - 10 - start, 0)
    assert segment.bad == []
    assert (spool.folder.damaged / path.name).read_bytes() == torn


def test_a_damaged_payload_is_counted_in_events(spool):
    """A later group knew these bytes to be synced, so acknowledged events are lost: the header says how many."""
    path = left_open(spool)
    flip_bit(path, group(path, 1)[0] + 70)
    damaged = path.read_bytes()
    assert recover(spool) == Findings(segments=1, damaged_events=1)
    segment = read_segment(spool.sealed(1))
    assert event_ids(segment) == ids(0, 2, 3)
    assert (segment.footer.accepted, segment.footer.damaged, segment.footer.torn_bytes) == (3, 1, 0)
    assert (spool.folder.damaged / path.name).read_bytes() == damaged


def test_the_loss_stands_in_the_recovered_tally(spool):
    """What a readable header promised is counted with its hash sum, so that the books can name it."""
    path = left_open(spool)
    flip_bit(path, group(path, 1)[0] + 70)
    recover(spool)
    rows = [row for row in read_segment(spool.sealed(1)).footer.tally if row.outcome == "damaged"]
    assert rows == [TallyRow(minute_of(spool.clock.wall_us()), "", "", "damaged", 1, id_hash(EVENTS[1].event_id))]


def test_what_a_damaged_groups_own_header_knew_counts(spool):
    """Two groups damaged one after the other: the second one's header still says that the first was synced."""
    path = left_open(spool)
    flip_bit(path, group(path, 2)[0] + 70)
    flip_bit(path, group(path, 3)[0] + 70)
    findings = recover(spool)
    start, end = group(spool.folder.damaged / path.name, 3)
    assert findings == Findings(segments=1, damaged_events=1, torn_bytes=end - start)


def test_a_damaged_group_header_costs_no_neighbour(spool):
    """The groups behind it are found again and kept."""
    path = left_open(spool)
    flip_bit(path, group(path, 1)[0] + 20)
    recover(spool)
    assert event_ids(read_segment(spool.sealed(1))) == ids(0, 2, 3)
    assert (spool.folder.damaged / path.name).exists()


@pytest.mark.parametrize("length", [0, 1, 63])
def test_a_file_without_a_header_becomes_a_heartbeat(spool, length):
    """The crash came before the header was synced, so no group can have been: the number is used, the slot goes on."""
    path = spool.open(1)
    path.write_bytes(SegmentHeader(spool.folder.spool_id, 0, 1, 0).pack()[:length])
    assert recover(spool) == Findings(segments=1)
    segment = read_segment(spool.sealed(1))
    assert (segment.groups, segment.footer.accepted, segment.footer.until_us) == ([], 0, spool.clock.wall_us())
    assert not path.exists()


def test_a_header_of_zeros_is_no_header_yet(spool):
    """A file system may have lengthened the file before the header's bytes reached the disk."""
    spool.open(1).write_bytes(bytes(64))
    assert recover(spool) == Findings(segments=1)
    assert read_segment(spool.sealed(1)).groups == []


def test_an_older_segments_header_is_no_header_yet(spool):
    """A file system may show what an older file left in the block: this file's own header was never synced."""
    spool.open(2).write_bytes(SegmentHeader(spool.folder.spool_id, 0, 1, 0).pack())
    assert recover(spool) == Findings(segments=1)
    assert read_segment(spool.sealed(2)).header.segment == 2


def test_a_segment_with_a_damaged_header_is_set_aside(spool):
    """Nothing in it can be believed: it is kept, said, and not met again."""
    path = left_open(spool)
    flip_bit(path, 40)
    data = path.read_bytes()
    assert recover(spool) == Findings(segments=1, unreadable=1)
    assert tree(spool.folder) == {f"damaged/{path.name}": data}
    assert recover(spool) == Findings()


def test_a_set_aside_number_is_not_used_again(spool):
    """A second damaged segment of the same number would find its place in damaged/ taken: a crash loop."""
    flip_bit(left_open(spool), 40)
    recover(spool)
    assert spool.folder.last_segment() == 1
    flip_bit(left_open(spool), 40)
    recover(spool)
    assert spool.folder.segments(OPEN, spool.folder.damaged) == [1, 2]


def test_a_newer_segment_is_set_aside_with_the_reason(spool):
    """A version that was rolled back neither loads nor destroys what the newer one wrote."""
    path = left_open(spool)
    data = bytearray(path.read_bytes())
    data[7] = 2
    path.write_bytes(data)
    assert recover(spool).unreadable == 1
    assert (spool.folder.damaged / path.name).read_bytes() == bytes(data)


def test_several_open_segments_are_all_recovered(spool):
    """Whatever crashes left behind, one run deals with it."""
    left_open(spool)
    second = left_open(spool)
    spool.open(1).write_bytes(spool.sealed(1).read_bytes()) if spool.sealed(1).exists() else None
    assert second.exists()
    recover(spool)
    assert spool.folder.segments(OPEN) == []


def test_a_half_made_copy_is_thrown_away(spool):
    """A crash during recovery leaves a copy that nobody read; it is made anew."""
    left_open(spool)
    (spool.folder.path / f"{1:020}.recovering").write_bytes(b"half")
    recover(spool)
    assert event_ids(read_segment(spool.sealed(1))) == ids(0, 1, 2, 3)
    assert sorted(tree(spool.folder)) == [f"{1:020}.sealed"]


def _undamaged(path: Path) -> None:
    pass


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _damaged(path: Path) -> None:
    flip_bit(path, group(path, 1)[0] + 70)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _headless(path: Path) -> None:
    flip_bit(path, 40)


@pytest.mark.parametrize("released", [False, True], ids=["waits", "loaded"])
@pytest.mark.parametrize(
    ("harm", "kept", "aside"),
    [
        (_undamaged, (0, 1, 2, 3), False),
        (_torn, (0, 1, 2), True),
        (_damaged, (0, 2, 3), True),
        (_empty, (), False),
        (_headless, None, True),
    ],
)
def test_recovery_may_be_interrupted_anywhere(tmp_path, harm, kept, aside, released):
    """The plug is pulled at every single call, then recovery runs again: nothing is lost, nothing is twice.

    `loaded`: between the two runs the loader has loaded and released whatever was sealed.
    """
    call = 0
    while True:
        spool = Spool(tmp_path / str(call))
        path = left_open(spool)
        harm(path)
        found = path.read_bytes()
        spool.files.pull_plug(call)
        try:
            recover_slot(spool.folder, spool.clock.wall_us())
            is_interrupted = False
        except OSError:
            is_interrupted = True
        folder = SpoolFolder(spool.path, OsFiles()).slot(0)
        if released:
            for number in folder.segments(SEALED):
                folder.release(number)
        before = {name: data for name, data in tree(folder).items() if name.endswith(SEALED)}
        recover_slot(folder, spool.clock.wall_us() + DAY_US)
        after = tree(folder)
        assert before.items() <= after.items(), "what was sealed never changes"
        sealed = [folder.path / name for name in after if name.endswith(SEALED)]
        if kept is None:
            assert sealed == []
        else:
            [only] = sealed
            assert event_ids(read_segment(only)) == ids(*kept)
        if aside:
            assert after[f"damaged/{path.name}"] == found
        assert [name for name in after if name.endswith((OPEN, ".recovering")) and "damaged" not in name] == []
        recover_slot(folder, spool.clock.wall_us())
        assert tree(folder) == after, "a third run finds nothing to do"
        if not is_interrupted:
            break
        call += 1
    assert call > 4, "the plug was pulled at the first few calls at least"


def test_a_disk_that_refuses_is_not_taken_for_damage(spool):
    """An error of the disk itself ends recovery with that error: nothing is classified on its word."""
    path = left_open(spool)
    data = path.read_bytes()
    spool.files.fail("read")
    with pytest.raises(OSError, match="Input/output"):
        recover_slot(spool.folder, 0)
    assert path.read_bytes() == data


def test_rejects_are_recovered_too(tmp_path):
    """What was received and refused stands in the recovered footer as in any other."""
    spool = Spool(tmp_path / "spool")
    number = spool.write(Sent([], rejects=[]), Sent(EVENTS[:1]))
    data = spool.sealed(number).read_bytes()
    original = read_segment(spool.sealed(number)).footer
    spool.sealed(number).unlink()
    spool.open(number).write_bytes(data[: pieces(data)[-1].start])
    recover(spool)
    footer = read_segment(spool.sealed(number)).footer
    assert (footer.received, footer.accepted, footer.rejected, footer.tally) == (
        original.received, original.accepted, original.rejected, original.tally,
    )  # fmt: skip


def test_a_group_that_cannot_be_decoded_keeps_its_count(spool):
    """Intact bytes of a newer version: the header's count stands, and the loader finds the reason."""
    body = b'{"events":[{"an_event_of":"tomorrow"}]}'
    with spool.living() as living:
        pending = Sent(EVENTS[:1]).pending()
        pending.body = body
        living.writer.submit(pending)
        assert pending.waiter.wait(PATIENCE_S)
    data = spool.sealed(1).read_bytes()
    spool.sealed(1).unlink()
    spool.open(1).write_bytes(data[: pieces(data)[-1].start])
    assert recover(spool) == Findings(segments=1)
    segment = read_segment(spool.sealed(1))
    hash_sum = id_hash(EVENTS[0].event_id)
    assert (segment.footer.accepted, segment.footer.hash_sum) == (1, hash_sum)
    assert len(segment.groups) == 1
    assert sum(row.events for row in segment.footer.tally if row.outcome == "accepted") == 1


def test_reading_a_sealed_segment_needs_a_header(tmp_path):
    """A file that is no segment is refused, not classified."""
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(SpoolFormatError):
        read_segment(tmp_path / "x")


def test_the_fake_disk_can_die():
    """The test above pulls a plug that works."""
    files = FakeFiles()
    files.pull_plug(0)
    with pytest.raises(OSError, match="plug"):
        files.names(Path("/"))


def losses(spool: Spool) -> list[TallyRow]:
    known = ("received", "accepted", "rejected")
    return [row for row in read_segment(spool.sealed(1)).footer.tally if row.outcome not in known]


def test_a_group_lost_with_its_header_is_counted_as_a_group(spool):
    """Its neighbours' sequence numbers tell that it was there; how many events it held, nobody knows."""
    path = left_open(spool)
    flip_bit(path, group(path, 1)[0] + 20)
    recover(spool)
    assert losses(spool) == [TallyRow(minute_of(spool.clock.wall_us()), "", "", "lost_groups", 1, 0)]


def test_a_footers_surviving_header_tells_what_was_lost(spool):
    """A footer is written after the last sync: what its header promises beyond what can be read is damaged."""
    path = left_open(spool, footer=True)
    flip_bit(path, group(path, 3)[0] + 20)
    flip_bit(path, group(path, 4)[0] + 70)
    recover(spool)
    footer = read_segment(spool.sealed(1)).footer
    assert (footer.accepted, footer.damaged, footer.recovered) == (3, 1, True)
    assert losses(spool) == [
        TallyRow(minute_of(spool.clock.wall_us()), "", "", "damaged", 1, id_hash(EVENTS[3].event_id))
    ]


def test_events_of_another_version_keep_their_names(spool):
    """A field this version does not know costs neither the event's id nor its type in the count."""
    with spool.living() as living:
        pending = Sent(EVENTS[:1]).pending()
        pending.body = pending.body.replace(b'"event_type"', b'"mood":"curious","event_type"')
        living.writer.submit(pending)
        assert pending.waiter.wait(PATIENCE_S)
    footer = read_segment(spool.sealed(1)).footer
    data = spool.sealed(1).read_bytes()
    spool.sealed(1).unlink()
    spool.open(1).write_bytes(data[: pieces(data)[-1].start])
    recover(spool)
    assert read_segment(spool.sealed(1)).footer.tally == footer.tally
