r"""One spool segment: the file that turns a 200 into a promise.

A segment is a header, then groups, then a footer; little-endian, offsets in bytes.

Header, 64 bytes:

     0   8  magic          b"SILLOK\0\1"   the last byte is the format version
     8  16  spool_id       the random UUID of the spool folder
    24   4  slot           u32  the writer's slot
    28   4  flags          u32  1: the clock stepped before this segment
    32   8  segment        u64  increases by one per segment of a slot, never reused
    40   8  opened_at_us   i64  microseconds since the epoch
    48   8  clock_step_us  i64  by how much the wall clock stepped, else 0
    56   4  revision       u32  how often it was rewritten without what was erased, else 0
    60   4  header_crc     u32  CRC-32 of bytes 0 … 59

Group, a 64-byte header and its payload: the batches that one sync made durable, together:

     0   4  magic          b"SGR1"         where a reader finds its feet again after damage
     4   4  header_crc     u32  CRC-32 of bytes 8 … 63, seeded with the segment's header_crc
     8   4  payload_bytes  u32
    12   4  payload_crc    u32  CRC-32 of the payload as it lies on disk
    16   8  sequence       u64  0, 1, 2 … within the segment
    24   8  until_us       i64  no later group of this slot holds an earlier received_at
    32   8  durable_bytes  u64  how much of this file was known synced when the group was written
    40   4  frames         u32
    44   4  accepted       u32  events in these frames
    48   4  rejected       u32  events refused, kept in these frames with their reasons
    52   1  kind           u8   1 data, 2 footer
    53   1  codec          u8   1 zstd
    54   2  reserved       0
    56   8  hash_sum       u64  sum of id_hash over the accepted events, modulo 2^64

The footer is a group of kind 2 whose payload is a `Footer` as zstd-compressed JSON. A segment that
holds nothing but a footer is a heartbeat. Frames inside a data payload: see `frame.py`.

Always true, asserted here and in `reader.py`:

- A frame is acknowledged only after the sync that covers its group.
- Groups are never changed, moved or reordered after they are written; a footer is the last.
- `sequence` counts up without a hole, `until_us` never falls within a segment.
- A file named `.sealed` was synced, footer and all, before it got that name.

The seed makes a stale group, left in a disk block by an older file, invalid here. CRC-32 (IEEE) is
zlib's; the test pins it to its check value 0xCBF43926.
"""

import struct
from typing import Final
from uuid import UUID
from zlib import crc32

import zstandard
from msgspec import Struct, json

from contract.errors import SpoolFormatError

MAGIC: Final = b"SILLOK\0\1"
GROUP_MAGIC: Final = b"SGR1"
HEADER_BYTES: Final = 64
GROUP_HEADER_BYTES: Final = 64
KIND_DATA: Final = 1
KIND_FOOTER: Final = 2
LOST_GROUPS: Final = "lost_groups"
"""A row of a recovered footer's tally: groups that were synced and of which nothing can be read."""
CODEC_ZSTD: Final = 1
FLAG_CLOCK_STEPPED: Final = 1

# Level 1 costs 18 µs per 28 KB and shrinks JSON five-fold: cheaper than syncing the difference.
ZSTD_LEVEL: Final = 1

_HEADER = struct.Struct("<8s16sIIQqqI")
_GROUP = struct.Struct("<IIQqQIIIBBHQ")
_U32 = struct.Struct("<I")


class SegmentHeader(Struct, frozen=True):
    """Who wrote this segment, and when it was opened."""

    spool_id: UUID
    slot: int
    segment: int
    opened_at_us: int
    clock_step_us: int = 0
    revision: int = 0

    def pack(self) -> bytes:
        """Return the 64 bytes of the header."""
        flags = FLAG_CLOCK_STEPPED if self.clock_step_us else 0
        head = _HEADER.pack(
            MAGIC,
            self.spool_id.bytes,
            self.slot,
            flags,
            self.segment,
            self.opened_at_us,
            self.clock_step_us,
            self.revision,
        )
        return head + _U32.pack(crc32(head))

    @property
    def seed(self) -> int:
        """The CRC that ties every group to this very segment."""
        return int(_U32.unpack(self.pack()[-4:])[0])

    @classmethod
    def unpack(cls, data: bytes) -> "SegmentHeader":
        """Read a header; raise SpoolFormatError when it is foreign, newer or damaged."""
        if len(data) < HEADER_BYTES or data[:7] != MAGIC[:7]:
            raise SpoolFormatError("this file is not a Sillok segment, or its first bytes are damaged")
        if data[7] != MAGIC[7]:
            raise SpoolFormatError(
                f"this segment has format {data[7]}, this version reads format {MAGIC[7]}: install the newer Sillok"
            )
        if crc32(data[:60]) != _U32.unpack_from(data, 60)[0]:
            raise SpoolFormatError("the segment's header is damaged")
        _, spool_id, slot, _flags, segment, opened_at_us, clock_step_us, revision = _HEADER.unpack_from(data)
        return cls(UUID(bytes=spool_id), slot, segment, opened_at_us, clock_step_us, revision)


class GroupHeader(Struct, frozen=True):
    """What one group holds; readable even when its payload is not."""

    payload_bytes: int
    payload_crc: int
    sequence: int
    until_us: int
    durable_bytes: int
    frames: int
    accepted: int
    rejected: int
    kind: int
    hash_sum: int

    def pack(self, seed: int) -> bytes:
        """Return the 64 bytes of the group's header, tied to its segment by `seed`."""
        tail = _GROUP.pack(
            self.payload_bytes,
            self.payload_crc,
            self.sequence,
            self.until_us,
            self.durable_bytes,
            self.frames,
            self.accepted,
            self.rejected,
            self.kind,
            CODEC_ZSTD,
            0,
            self.hash_sum,
        )
        return GROUP_MAGIC + _U32.pack(crc32(tail, seed)) + tail

    @classmethod
    def unpack(cls, data: bytes | memoryview, seed: int) -> "GroupHeader | None":
        """Read a group's header, or return None when these bytes are not one of this segment."""
        if len(data) < GROUP_HEADER_BYTES or data[:4] != GROUP_MAGIC:
            return None
        tail = data[8:GROUP_HEADER_BYTES]
        if crc32(tail, seed) != _U32.unpack(data[4:8])[0]:
            return None
        size, crc, sequence, until, durable, frames, accepted, rejected, kind, codec, _, total = _GROUP.unpack(tail)
        if codec != CODEC_ZSTD:
            return None
        return cls(size, crc, sequence, until, durable, frames, accepted, rejected, kind, total)


class TallyRow(Struct, frozen=True, array_like=True):
    """Events of one kind in one minute, with the sum of their ids' hashes modulo 2^64."""

    minute: int
    """Start of the minute of `received_at`, seconds since the epoch."""
    source: str
    event_type: str
    """Empty where no event type applies: received and rejected events."""
    outcome: str
    events: int
    hash_sum: int


class Footer(Struct, frozen=True, kw_only=True):
    """What the writer counted, in the segment itself: the first page of the books."""

    groups: int
    frames: int
    received: int
    accepted: int
    rejected: int
    hash_sum: int
    until_us: int
    """No later segment of this slot holds an earlier `received_at`, unless the clock stepped."""
    final: bool = False
    """The writer stopped cleanly here: nothing follows until it is started again."""
    recovered: bool = False
    """Written by recovery after an unclean end, from what was still readable."""
    damaged: int = 0
    """Events that a readable group header promised and recovery could not read."""
    torn_bytes: int = 0
    """Bytes at the end that no sync had covered: an unfinished group, never acknowledged."""
    tally: list[TallyRow] = []


decode_footer = json.Decoder(Footer).decode


def pack_footer(footer: Footer, seed: int, *, sequence: int) -> bytes:
    """Return a footer group's bytes."""
    payload = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(json.encode(footer))
    header = GroupHeader(
        payload_bytes=len(payload),
        payload_crc=crc32(payload),
        sequence=sequence,
        until_us=footer.until_us,
        durable_bytes=0,
        frames=footer.frames,
        accepted=footer.accepted,
        rejected=footer.rejected,
        kind=KIND_FOOTER,
        hash_sum=footer.hash_sum,
    )
    return header.pack(seed) + payload
