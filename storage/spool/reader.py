"""Reading a segment: what is valid, what is damaged, and what was never finished.

Nothing is guessed. A group counts when its header's CRC and its payload's CRC hold and its frames add
up; bytes in between are reported, and reading goes on at the next group header that checks out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

import zstandard
from msgspec import Struct

from contract.errors import SpoolFormatError
from storage.spool.frame import Frame, iter_frames
from storage.spool.segment import (
    GROUP_HEADER_BYTES,
    GROUP_MAGIC,
    HEADER_BYTES,
    KIND_DATA,
    KIND_FOOTER,
    Footer,
    GroupHeader,
    SegmentHeader,
    decode_footer,
)

_PAYLOAD_BYTES_MAX: Final = 256 * 1024 * 1024


class Group(Struct, frozen=True):
    """A valid group: where it lies in the file and what its header says."""

    start: int
    end: int
    header: GroupHeader


class BadRange(Struct, frozen=True):
    """Bytes that are no valid group; `header` is set when the group's header survived its payload."""

    start: int
    end: int
    header: GroupHeader | None = None


class Segment(Struct):
    """A segment as found on disk."""

    header: SegmentHeader
    data: bytes
    groups: list[Group]
    bad: list[BadRange]
    footer: Footer | None

    def frames(self, group: Group) -> Iterator[Frame]:
        """Yield the frames of a valid data group; raise ValueError when they do not add up."""
        yield from iter_frames(self.payload(group))

    def payload(self, group: Group) -> bytes:
        """Return a valid group's payload, decompressed."""
        compressed = self.data[group.start + GROUP_HEADER_BYTES : group.end]
        return zstandard.ZstdDecompressor().decompress(compressed, max_output_size=_PAYLOAD_BYTES_MAX)


def read_segment(path: Path) -> Segment:
    """Read a segment file; raise SpoolFormatError when not even its header can be believed."""
    return parse_segment(path.read_bytes())


def parse_segment(data: bytes) -> Segment:
    """Classify every byte of a segment."""
    header = SegmentHeader.unpack(data)
    segment = Segment(header, data, [], [], None)
    seed = header.seed
    position = HEADER_BYTES
    while position < len(data):
        group = _group_at(data, position, seed)
        if isinstance(group, Group):
            if group.header.kind == KIND_FOOTER:
                segment.footer = _footer(segment, group)
            else:
                segment.groups.append(group)
            position = group.end
            continue
        end = group.end if group is not None else _next_group(data, position + 1, seed)
        segment.bad.append(group or BadRange(position, end))
        position = end
    _assert_invariants(segment)
    return segment


def _group_at(data: bytes, position: int, seed: int) -> Group | BadRange | None:
    """Return the group here, a BadRange when only its header holds, or None."""
    view = memoryview(data)
    header = GroupHeader.unpack(view[position : position + GROUP_HEADER_BYTES], seed)
    if header is None:
        return None
    start = position + GROUP_HEADER_BYTES
    end = start + header.payload_bytes
    if end > len(data):
        # The header was written and its payload cut short: a torn tail.
        return BadRange(position, len(data), header)
    if crc32(view[start:end]) != header.payload_crc:
        return BadRange(position, end, header)
    return Group(position, end, header)


def _next_group(data: bytes, position: int, seed: int) -> int:
    """Return where the next believable group begins, or the end of the file."""
    while (found := data.find(GROUP_MAGIC, position)) >= 0:
        if GroupHeader.unpack(data[found : found + GROUP_HEADER_BYTES], seed) is not None:
            return found
        position = found + 1
    return len(data)


def _footer(segment: Segment, group: Group) -> Footer:
    try:
        return decode_footer(segment.payload(group))
    except (ValueError, zstandard.ZstdError) as error:
        raise SpoolFormatError("the segment's footer is intact but cannot be decoded by this version") from error


def _assert_invariants(segment: Segment) -> None:
    """Assert on this side of the disk what the writer asserted on the other."""
    sequences = [group.header.sequence for group in segment.groups]
    untils = [group.header.until_us for group in segment.groups]
    if sequences != sorted(set(sequences)) or untils != sorted(untils):
        raise SpoolFormatError("the segment's groups are out of order: it was not written by Sillok's writer")
    if any(group.header.kind not in (KIND_DATA, KIND_FOOTER) for group in segment.groups):
        raise SpoolFormatError("the segment holds a kind of group this version does not know")
