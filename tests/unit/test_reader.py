"""Reading what a disk gives back: whole, torn, flipped, zeroed, or somebody else's."""

from uuid import uuid4

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import SpoolFormatError
from storage.spool.reader import BadRange, Group, Segment, parse_segment, read_segment
from storage.spool.segment import HEADER_BYTES, KIND_DATA, GroupHeader, SegmentHeader
from tests.builders import Piece, Spool, event, pieces

GROUPS = 4


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """Return the bytes of a sealed segment of four data groups."""
    spool = Spool(tmp_path_factory.mktemp("reader") / "spool")
    return spool.sealed(spool.write(*(event(click_text=f"버튼 {n}") for n in range(GROUPS)))).read_bytes()


def sequences(segment: Segment) -> list[int]:
    return [group.header.sequence for group in segment.groups]


def changed(data: bytes, offset: int, replacement: bytes) -> bytes:
    return data[:offset] + replacement + data[offset + len(replacement) :]


def flipped(data: bytes, bit: int) -> bytes:
    return changed(data, bit // 8, bytes([data[bit // 8] ^ 1 << bit % 8]))


def test_an_undamaged_segment_is_read_whole(whole, tmp_path):
    """Every group, the footer, and nothing bad."""
    (tmp_path / "segment").write_bytes(whole)
    segment = read_segment(tmp_path / "segment")
    assert sequences(segment) == [0, 1, 2, 3]
    assert segment.bad == []
    assert segment.footer.accepted == GROUPS
    assert [(g.start, g.end) for g in segment.groups] == [(p.start, p.end) for p in pieces(whole)[:-1]]


def test_a_torn_tail_is_not_an_error(whole):
    """A group cut short by a crash was never acknowledged, so reading simply ends before it."""
    last = pieces(whole)[GROUPS - 1]
    segment = parse_segment(whole[: last.end - 1])
    assert sequences(segment) == [0, 1, 2]
    assert [(b.start, b.end, b.header.sequence) for b in segment.bad] == [(last.start, last.end - 1, 3)]
    assert segment.footer is None


def test_a_segment_cut_at_any_byte_keeps_every_complete_group(whole):
    """At no length does reading fail, lose a complete group, or believe half a one."""
    parts = pieces(whole)
    for length in range(len(whole)):
        if length < HEADER_BYTES:
            with pytest.raises(SpoolFormatError):
                parse_segment(whole[:length])
            continue
        segment = parse_segment(whole[:length])
        assert sequences(segment) == [n for n in range(GROUPS) if parts[n].end <= length]
        assert segment.footer is None
        covered = [(g.start, g.end) for g in segment.groups] + [(b.start, b.end) for b in segment.bad]
        assert sum(end - start for start, end in covered) == length - HEADER_BYTES


def test_a_flipped_bit_in_a_payload_costs_that_group_alone(whole):
    """The header still says how many events were there; the neighbours are read."""
    second = pieces(whole)[1]
    segment = parse_segment(flipped(whole, (second.start + 70) * 8))
    assert sequences(segment) == [0, 2, 3]
    [bad] = segment.bad
    assert (bad.start, bad.end, bad.header.accepted) == (second.start, second.end, 1)
    assert segment.footer is not None


def test_a_flipped_bit_in_a_group_header_costs_that_group_alone(whole):
    """A length that cannot be believed is not followed: reading goes on at the next group that checks out."""
    second = pieces(whole)[1]
    for byte in range(64):
        segment = parse_segment(flipped(whole, (second.start + byte) * 8 + byte % 8))
        assert sequences(segment) == [0, 2, 3]
        assert segment.bad == [BadRange(second.start, second.end, None)]


def test_a_zeroed_range_costs_the_groups_it_touches(whole):
    """A block the disk returned empty, from the middle of one group into the next."""
    first, second = pieces(whole)[1:3]
    start, end = first.start + 80, second.start + 20
    segment = parse_segment(changed(whole, start, bytes(end - start)))
    assert sequences(segment) == [0, 3]
    assert [(b.start, b.end) for b in segment.bad] == [(first.start, first.end), (second.start, second.end)]


def test_zeros_after_the_end_are_a_torn_tail(whole):
    """A file system may have made the file longer than what was written."""
    data = whole[: pieces(whole)[1].end] + bytes(4096)
    segment = parse_segment(data)
    assert sequences(segment) == [0, 1]
    assert segment.bad == [BadRange(pieces(whole)[1].end, len(data), None)]


def test_a_stale_group_of_another_segment_is_not_accepted(whole, tmp_path):
    """Bytes an older file left in a disk block are valid there and nowhere else."""
    spool = Spool(tmp_path / "spool")
    other = spool.sealed(spool.write(event())).read_bytes()
    stale = pieces(other)[0]
    data = whole[: pieces(whole)[1].end] + other[stale.start : stale.end]
    segment = parse_segment(data)
    assert sequences(segment) == [0, 1]
    assert segment.bad == [BadRange(pieces(whole)[1].end, len(data), None)]


def test_groups_out_of_order_are_refused(whole):
    """Sillok's writer never repeats or reorders a group; a file that says so is not its work."""
    first, second = pieces(whole)[:2]
    swapped = whole[: first.start] + whole[second.start : second.end] + whole[first.start : first.end]
    with pytest.raises(SpoolFormatError, match="out of order"):
        parse_segment(swapped)
    with pytest.raises(SpoolFormatError, match="out of order"):
        parse_segment(whole[: first.end] + whole[first.start : first.end])


def test_a_magic_inside_a_payload_is_not_a_group():
    """Looking for the next group after damage, only a header whose checksum holds is believed."""
    header = SegmentHeader(uuid4(), 0, 1, 0)
    payload = b"SGR1" * 40
    body = zstandard.ZstdCompressor().compress(b"")
    real = GroupHeader(len(body), __import__("zlib").crc32(body), 0, 1, 64, 0, 0, 0, KIND_DATA, 0)
    data = header.pack() + payload + real.pack(header.seed) + body
    segment = parse_segment(data)
    assert segment.bad == [BadRange(64, 64 + len(payload), None)]
    assert segment.groups == [Group(64 + len(payload), len(data), real)]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_damage_raises_anything_but_a_format_error(whole, data):
    """Whatever happens to the bytes, the answer is groups that were written, or a clear refusal."""
    damaged = whole
    for _ in range(data.draw(st.integers(1, 3))):
        if not damaged:
            break
        offset = data.draw(st.integers(0, len(damaged) - 1))
        damaged = data.draw(
            st.sampled_from(
                [
                    flipped(damaged, offset * 8 + data.draw(st.integers(0, 7))),
                    changed(damaged, offset, bytes(min(512, len(damaged) - offset))),
                    changed(damaged, offset, data.draw(st.binary(max_size=min(40, len(damaged) - offset)))),
                    damaged[:offset] + damaged[offset + 1 :],
                    damaged[: offset + 1],
                    damaged + data.draw(st.binary(max_size=80)),
                ]
            )
        )
    try:
        segment = parse_segment(damaged)
    except SpoolFormatError:
        return
    originals = {whole[p.start : p.end] for p in pieces(whole)}
    assert all(damaged[g.start : g.end] in originals for g in segment.groups)
    assert sequences(segment) == sorted(set(sequences(segment)))


def test_pieces_are_what_the_reader_finds(whole):
    """The tests' own idea of the file is the reader's."""
    assert pieces(whole)[-1] == Piece(pieces(whole)[-2].end, len(whole))
