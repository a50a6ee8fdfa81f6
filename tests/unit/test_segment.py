"""The segment's format, byte for byte as the head of `storage/spool/segment.py` describes it."""

import struct
from uuid import UUID
from zlib import crc32

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import SpoolFormatError
from contract.event import StoredBatch, StoredEvent, encode
from contract.fingerprint import id_hash
from storage.spool.frame import Frame, FrameMeta, Reject, decode_meta, encode_meta, iter_frames, pack_frame
from storage.spool.reader import parse_segment
from storage.spool.segment import Footer, GroupHeader, SegmentHeader, TallyRow, pack_footer
from tests.builders import documented

SPOOL_ID = UUID("0190f3c2-8d11-4a6e-9b0d-5e1c2f3a4b5c")
EVENT_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NOON_S = 1_795_316_400  # 2026-11-22 12:00:00 in Seoul
OPENED_US = NOON_S * 1_000_000


def from_hex(text: str) -> bytes:
    """Read hex digits, line by line; what follows `#` explains them."""
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


GOLDEN_HEADER = from_hex("""
    53494c4c4f4b0001                  # magic and format 1
    0190f3c28d114a6e9b0d5e1c2f3a4b5c  # spool_id
    03000000                          # slot 3
    01000000                          # flags: the clock stepped
    0700000000000000                  # segment 7
    000c48acd4600600                  # opened_at_us: noon
    8072a4ffffffffff                  # clock_step_us: 6 s back
    00000000                          # reserved
    2e7708f6                          # header_crc
""")
GOLDEN_GROUP_HEADER = from_hex("""
    53475231                          # magic
    4e92e30a                          # header_crc, seeded with the segment's
    ab000000                          # payload_bytes: 171
    9018c928                          # payload_crc
    0000000000000000                  # sequence 0
    e09f4cacd4600600                  # until_us: 0.3 s past noon
    4000000000000000                  # durable_bytes: the segment's header
    01000000                          # frames
    01000000                          # accepted
    00000000                          # rejected
    01                                # kind: data
    01                                # codec: zstd
    0000                              # reserved
    57809a0902b3cebc                  # hash_sum: the low half of the event's id
""")
GOLDEN_FRAME = from_hex("""
    90dc4bacd4600600                  # received_at_us: 0.25 s past noon
    3b000000                          # meta_bytes: 59
    6a000000                          # body_bytes: 106
""") + (
    b'{"source":"web","received":1,"accepted":1,"ip":"192.0.2.7"}'
    b'{"events":[{"event_id":"01890a5d-ac96-774b-bcce-b302099a8057","time":1795316400000,"event_type":"click"}]}'
)
# Another zstd may write other bytes that mean the same; these must stay readable.
GOLDEN_PAYLOAD = from_hex("""
    28b52ffd24b5f50400020a242980b5cd017b8aa24a66c0ccda4d9cd841ba74e0e3774cb6d0be1f56c601978cacadad8c
    3daa3207032415a23a8369831fdfd04065bbbbbb344e61e073f1eda0f5ec8f594742b8c92ab335f36c7379af3590657b
    18b9d071fbf887260ef1527df4d4a7aa3f24411649a07b3c442bd4ccf2ccc53f3dd1e68ece3e5be0f1cd510080746aad
    b5586b1516416150603820080304048112e22e8360ee01231c980c
""")
GOLDEN_FOOTER_HEADER = from_hex("""
    53475231                          # magic
    35533f84                          # header_crc
    c2000000                          # payload_bytes: 194
    f5a1e7cc                          # payload_crc
    0100000000000000                  # sequence 1
    809066acd4600600                  # until_us: 2 s past noon
    0000000000000000                  # durable_bytes: a footer does not say
    01000000                          # frames
    01000000                          # accepted
    00000000                          # rejected
    02                                # kind: footer
    01                                # codec: zstd
    0000                              # reserved
    57809a0902b3cebc                  # hash_sum
""")
GOLDEN_FOOTER_PAYLOAD = from_hex("""
    28b52ffd642000a50500c20a231f6035d60123d6a2dc8c07da9b8e087942e0738ba26b3f749f28d3030c82c02e0549a2
    482fd0dc6b9aac22fdf5841eb8ee60c09e788f63cb044171e0230bdcf072edf898615f1a36e2e90925fb63c731d72dd6
    582829e440ec712acf49675e9381a4a3506b292301ecaa5d09b137332a86c886ebb60e68280fdd1a2f8d70dd1a76c390
    b922f678980f2c9c200e0043a3636be2823495cf06387111160a9719888ac9ccb87dc4090457832c301b67ac8401299e
    9641
""")
GOLDEN = GOLDEN_HEADER + GOLDEN_GROUP_HEADER + GOLDEN_PAYLOAD + GOLDEN_FOOTER_HEADER + GOLDEN_FOOTER_PAYLOAD

HEADER = SegmentHeader(SPOOL_ID, 3, 7, OPENED_US, -6_000_000)
META = FrameMeta(source="web", received=1, accepted=1, ip="192.0.2.7")
BATCH = StoredBatch(events=[StoredEvent(event_id=EVENT_ID, time=NOON_S * 1000, event_type="click")])
GROUP = GroupHeader(
    payload_bytes=171,
    payload_crc=0x28C9_1890,
    sequence=0,
    until_us=OPENED_US + 300_000,
    durable_bytes=64,
    frames=1,
    accepted=1,
    rejected=0,
    kind=1,
    hash_sum=0xBCCE_B302_099A_8057,
)
FOOTER = Footer(
    groups=1,
    frames=1,
    received=1,
    accepted=1,
    rejected=0,
    hash_sum=id_hash(EVENT_ID),
    until_us=OPENED_US + 2_000_000,
    final=True,
    tally=[
        TallyRow(NOON_S, "web", "", "received", 1, 0),
        TallyRow(NOON_S, "web", "click", "accepted", 1, id_hash(EVENT_ID)),
    ],
)


def number(data: bytes, place: tuple[int, int], *, signed: bool = False) -> int:
    return int.from_bytes(data[place[0] : sum(place)], "little", signed=signed)


@pytest.mark.parametrize("title", ["Header, 64 bytes:", "Group, a 64-byte header"])
def test_the_documented_offsets_cover_the_header(title):
    """Each documented field begins where the last one ends, and 64 bytes are spoken for."""
    end = 0
    for offset, size in documented(title).values():
        assert offset == end
        end += size
    assert end == 64


def test_a_segment_header_is_as_documented():
    """Every field of the golden header stands at its documented offset."""
    at = documented("Header, 64 bytes:")
    assert GOLDEN_HEADER[:8] == b"SILLOK\0\1"
    assert GOLDEN_HEADER[at["spool_id"][0] :][:16] == SPOOL_ID.bytes
    found = {name: number(GOLDEN_HEADER, at[name], signed=name.endswith("_us")) for name in at if name[-2:] != "id"}
    del found["magic"]
    assert found == {
        "slot": 3,
        "flags": 1,
        "segment": 7,
        "opened_at_us": OPENED_US,
        "clock_step_us": -6_000_000,
        "revision": 0,
        "header_crc": crc32(GOLDEN_HEADER[:60]),
    }


def test_a_group_header_is_as_documented():
    """Every field of the golden group stands at its documented offset."""
    at = documented("Group, a 64-byte header")
    seed = number(GOLDEN_HEADER, (60, 4))
    assert {name: number(GOLDEN_GROUP_HEADER, at[name]) for name in at} == {
        "magic": int.from_bytes(b"SGR1", "little"),
        "header_crc": crc32(GOLDEN_GROUP_HEADER[8:], seed),
        "payload_bytes": len(GOLDEN_PAYLOAD),
        "payload_crc": crc32(GOLDEN_PAYLOAD),
        "sequence": 0,
        "until_us": OPENED_US + 300_000,
        "durable_bytes": 64,
        "frames": 1,
        "accepted": 1,
        "rejected": 0,
        "kind": 1,
        "codec": 1,
        "reserved": 0,
        "hash_sum": 0xBCCE_B302_099A_8057,
    }


def test_headers_are_written_as_they_always_were():
    """The golden bytes come out again, to the bit."""
    assert HEADER.pack() == GOLDEN_HEADER
    assert GROUP.pack(HEADER.seed) == GOLDEN_GROUP_HEADER


def test_headers_are_read_as_they_were_written():
    """The golden bytes mean what they meant."""
    assert SegmentHeader.unpack(GOLDEN_HEADER) == HEADER
    assert GroupHeader.unpack(GOLDEN_GROUP_HEADER, HEADER.seed) == GROUP


def test_a_frame_is_written_as_it_always_was():
    """Prefix, meta and body lie as the head of `frame.py` says."""
    assert pack_frame(OPENED_US + 250_000, encode_meta(META), encode(BATCH)) == GOLDEN_FRAME


def test_a_whole_segment_is_read_as_it_was_written():
    """One data group and its footer, from bytes that no version may stop reading."""
    found = parse_segment(GOLDEN)
    assert (found.header, found.footer, found.bad) == (HEADER, FOOTER, [])
    [group] = found.groups
    assert (group.start, group.end, group.header) == (64, 64 + 64 + 171, GROUP)
    assert found.payload(group) == GOLDEN_FRAME
    [frame] = found.frames(group)
    assert frame == Frame(OPENED_US + 250_000, encode_meta(META), encode(BATCH))
    assert decode_meta(frame.meta) == META


def test_a_footer_is_written_as_it_is_read():
    """What is packed comes back whole, and its header repeats its counts."""
    data = HEADER.pack() + pack_footer(FOOTER, HEADER.seed, sequence=1)
    found = parse_segment(data)
    assert (found.footer, found.groups, found.bad) == (FOOTER, [], [])
    header = GroupHeader.unpack(data[64:128], HEADER.seed)
    golden = GroupHeader.unpack(GOLDEN_FOOTER_HEADER, HEADER.seed)
    assert (header.frames, header.accepted, header.hash_sum, header.until_us, header.sequence, header.kind) == (
        golden.frames, golden.accepted, golden.hash_sum, golden.until_us, golden.sequence, golden.kind,
    )  # fmt: skip


def test_the_checksum_is_crc_32():
    """The check value every description of CRC-32 (IEEE) gives."""
    assert crc32(b"123456789") == 0xCBF4_3926


def test_every_bit_of_a_header_is_checked():
    """No single flipped bit in a segment's header goes unnoticed."""
    for bit in range(64 * 8):
        data = bytearray(GOLDEN_HEADER)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SpoolFormatError):
            SegmentHeader.unpack(bytes(data))


def test_every_bit_of_a_group_header_is_checked():
    """No single flipped bit in a group's header goes unnoticed."""
    for bit in range(64 * 8):
        data = bytearray(GOLDEN_GROUP_HEADER)
        data[bit // 8] ^= 1 << bit % 8
        assert GroupHeader.unpack(bytes(data), HEADER.seed) is None


def test_a_newer_format_is_refused_with_advice():
    """A file of a newer version is not damaged: the sentence says what to install."""
    data = bytearray(GOLDEN)
    data[7] = 2
    data[60:64] = struct.pack("<I", crc32(data[:60]))
    with pytest.raises(SpoolFormatError, match=r"has format 2, this version reads format 1: install the newer Sillok"):
        parse_segment(bytes(data))


def test_a_foreign_file_is_refused():
    """What was never a segment is not read as one."""
    with pytest.raises(SpoolFormatError, match="not a Sillok segment"):
        parse_segment(b"\x1f\x8b" + bytes(100))


metas = st.builds(
    FrameMeta,
    source=st.text(max_size=9),
    received=st.integers(0, 1000),
    accepted=st.integers(0, 1000),
    is_test=st.booleans(),
    relay=st.booleans(),
    ip=st.none() | st.just("2001:db8::1"),
    user_agent=st.none() | st.text(max_size=40),
    rejects=st.lists(
        st.builds(
            Reject, index=st.integers(0, 999), code=st.text(max_size=9), field=st.text(max_size=9),
            message=st.text(max_size=9), event_id=st.none() | st.text(max_size=9), body=st.none() | st.text(max_size=9),
        ),
        max_size=3,
    ),
)  # fmt: skip
frames = st.builds(Frame, st.integers(-(2**63), 2**63 - 1), st.binary(max_size=50), st.binary(max_size=200))


@settings(deadline=None)
@given(st.lists(frames, max_size=6))
def test_frames_come_back_as_they_were_packed(packed):
    """Whatever the bytes in them, frames are split where they were joined."""
    payload = b"".join(pack_frame(f.received_at_us, f.meta, f.body) for f in packed)
    assert list(iter_frames(payload)) == packed


@settings(deadline=None)
@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_a_payload_cut_anywhere_else_is_an_error(packed, data):
    """Lengths that do not add up are never papered over."""
    parts = [pack_frame(f.received_at_us, f.meta, f.body) for f in packed]
    ends = {sum(map(len, parts[:n])) for n in range(len(parts) + 1)}
    cut = data.draw(st.integers(1, max(ends)).filter(lambda n: n not in ends))
    with pytest.raises(ValueError, match="a frame"):
        list(iter_frames(b"".join(parts)[:cut]))


@settings(deadline=None)
@given(metas)
def test_a_frames_meta_comes_back_as_it_was(meta):
    """What the server knows of a batch survives the disk."""
    assert decode_meta(encode_meta(meta)) == meta


def test_an_unknown_compression_is_no_group():
    """A codec of a newer version is not guessed at."""
    data = bytearray(GOLDEN_GROUP_HEADER)
    data[53] = 2
    data[4:8] = struct.pack("<I", crc32(data[8:], HEADER.seed))
    assert GroupHeader.unpack(bytes(data), HEADER.seed) is None


def test_payloads_carry_zstds_own_checksum():
    """A decompressor that goes wrong is noticed, beside the CRC of the compressed bytes."""
    assert zstandard.get_frame_parameters(GOLDEN_PAYLOAD).has_checksum
