"""What must hold for every input there is; Hypothesis and atheris look for one that breaks it.

A claim returns for an input that was handled as promised; anything it raises is a finding.
"""

from typing import Any, Final
from uuid import UUID
from zlib import crc32

import msgspec
import zstandard

from collector_server.decode import BatchDecoder, Decoded
from collector_server.mask import Masker
from collector_server.refusal import Refused
from collector_server.settings import CollectorSettings
from contract.errors import SpoolFormatError
from contract.event import decode_stored_batch, encode
from contract.fingerprint import HASH_MODULUS
from storage.contents import Contents
from storage.rows import rows_of
from storage.spool.frame import FrameMeta, encode_meta, iter_frames, pack_frame
from storage.spool.reader import parse_segment
from storage.spool.recovery import _recovered_footer
from storage.spool.segment import KIND_DATA, KIND_FOOTER, GroupHeader, SegmentHeader
from storage.spool.tally import count_events

SETTINGS: Final = CollectorSettings()
MASKER: Final = Masker(SETTINGS.query_values_kept)
DECODER: Final = BatchDecoder(MASKER, SETTINGS.batch_events_max)
NOON_US: Final = 1_790_000_000_000_000
HEADER: Final = SegmentHeader(UUID(int=7), 0, 1, NOON_US)


def the_decoder_keeps_its_word(body: bytes) -> None:
    """Refused with a clear answer; or every event is accounted for, and the loader reads what was accepted."""
    decoded = _decode(body)
    if isinstance(decoded, Refused):
        assert decoded.refusal.status in (400, 413)
        assert msgspec.json.decode(decoded.body())["error"]["code"] == decoded.refusal.code
        return
    assert decoded.received == decoded.accepted + len(decoded.rejects)
    stored = decode_stored_batch(decoded.body)
    assert len(stored.events) == decoded.accepted
    assert count_events(stored.events) == decoded.counts, "the door and the loader count alike"
    assert decode_stored_batch(encode(stored)) == stored
    if not decoded.unknown_keys and b'"flags"' not in decoded.body:
        # What moved into props lies a level deeper; and a flag is the server's, in a client's body it is a property.
        again = DECODER.decode(decoded.body)
        assert not again.rejects
        assert again.counts == decoded.counts
        assert _rows(again.body, again.accepted) == _rows(decoded.body, decoded.accepted), "nothing is left to repair"


def _decode(body: bytes) -> Decoded | Refused:
    try:
        return DECODER.decode(body)
    except Refused as refused:
        return refused


def _rows(body: bytes, accepted: int) -> list[Any]:
    meta = FrameMeta(source="demo", received=accepted, accepted=accepted)
    return list(rows_of(1, NOON_US, meta, decode_stored_batch(body)))


def the_reader_keeps_its_word(data: bytes) -> None:
    """Bytes of a disk are groups, bad ranges or a clear refusal; intact bytes of another version are dead letters."""
    _parse(data)
    segment = _parse(HEADER.pack() + data)
    assert segment is not None
    assert sum(bad.end - bad.start for bad in segment.bad) == len(data), "no group has come of nothing"
    _split(data)
    ordinary = encode_meta(FrameMeta(source="demo", received=1, accepted=1))
    half = len(data) // 2
    for frame in (pack_frame(NOON_US, ordinary, data), pack_frame(NOON_US, data[:half], data[half:]), data):
        if frame is not data or not _split(data):
            _load(_group(zstandard.compress(frame), KIND_DATA))
    _load(_group(data, KIND_DATA))
    _load(_group(zstandard.compress(data), KIND_FOOTER))


def _split(payload: bytes) -> bool:
    """Say whether the payload is frames, which then are all of it."""
    try:
        frames = list(iter_frames(payload))
    except ValueError:
        return False
    assert b"".join(pack_frame(f.received_at_us, f.meta, f.body) for f in frames) == payload
    return True


def _group(payload: bytes, kind: int) -> bytes:
    """Return a segment of one group whose checksums hold, whatever is in it."""
    header = GroupHeader(len(payload), crc32(payload), 0, NOON_US, 64, 1, 1, 0, kind, 7 % HASH_MODULUS)
    return HEADER.pack() + header.pack(HEADER.seed) + payload


def _parse(data: bytes) -> Any:
    try:
        return parse_segment(data)
    except SpoolFormatError:
        return None


def _load(data: bytes) -> None:
    """Go the ways of recovery and of the loader."""
    segment = _parse(data)
    if segment is None:
        return
    footer = _recovered_footer(segment)
    assert msgspec.json.decode(encode(footer), type=type(footer)) == footer
    contents = Contents(segment)
    try:
        rows = list(contents.rows_to_copy(1))
    except SpoolFormatError:
        return
    assert len(rows) == contents.rows


CLAIMS: Final = {"decoder": the_decoder_keeps_its_word, "reader": the_reader_keeps_its_word}
