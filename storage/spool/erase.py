"""Erasing events from a stored batch, and from archived segments: they still count, and say nothing.

A sealed segment is immutable, so one that held erased events is written anew, under a name and with a header that
say how often (`revision`), and the old file is removed; both durably, in this order. What stays of an erased event
is its id and its type: the footer's counts and hash sums hold unchanged, and the segment can be loaded again.
"""

import os
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID
from zlib import crc32

import msgspec
import zstandard
from msgspec import UNSET

from contract.errors import SpoolFormatError
from contract.event import FIELDS, StoredBatch, StoredContext, StoredEvent, blank, decode_stored_batch, encode, is_blank
from storage.spool.folder import SEALED, SlotFolder
from storage.spool.frame import Frame, FrameMeta, Reject, decode_meta, encode_meta, pack_frame
from storage.spool.reader import Group, Segment, parse_segment
from storage.spool.segment import GROUP_HEADER_BYTES, ZSTD_LEVEL, GroupHeader, pack_footer

Erased = AbstractSet[tuple[str, UUID]]
"""Source and id of the events to erase."""
IsTheirs = Callable[[str, Reject], bool]
"""Says of a source's rejected event whether it is to be erased too."""
_REWRITING: Final = ".rewriting"


def without(
    meta: FrameMeta, batch: StoredBatch, erased: Erased, is_theirs: IsTheirs | None = None
) -> tuple[FrameMeta, StoredBatch]:
    """Return the batch with these events blank, and without whatever then serves no other event."""
    is_erased = [(meta.source, event.event_id) in erased and not is_blank(event) for event in batch.events]
    if any(is_erased):
        events = [blank(event) if gone else event for event, gone in zip(batch.events, is_erased, strict=True)]
        batch = StoredBatch(events=events, sent_at=batch.sent_at, clients=batch.clients, context=batch.context)
    rest = [event for event in batch.events if not is_blank(event)]
    is_alone = bool(batch.events) and not rest
    if any(is_erased):
        batch.context = _still_needed(batch, rest)
        if is_alone:
            meta = msgspec.structs.replace(meta, ip=None, user_agent=None)
            batch.sent_at = None
    rejects = [_blank_reject(r) if is_alone or (is_theirs and is_theirs(meta.source, r)) else r for r in meta.rejects]
    if rejects != meta.rejects:
        meta = msgspec.structs.replace(meta, rejects=rejects)
    return meta, batch


def _still_needed(batch: StoredBatch, rest: list[StoredEvent]) -> StoredContext | msgspec.UnsetType:
    """Return the context with those fields alone that one of the other events takes from it."""
    if batch.context is UNSET or not rest:
        return UNSET
    unused: dict[str, None] = {f: None for f in FIELDS if all(getattr(event, f) is not None for event in rest)}
    unused.pop("props", None)
    return msgspec.structs.replace(batch.context, **unused)


def _blank_reject(reject: Reject) -> Reject:
    return Reject(index=reject.index, code=reject.code, field=reject.field, message=reject.message)


def rewrite_archived(folder: SlotFolder, number: int, erased: Erased, is_theirs: IsTheirs | None = None) -> bool:
    """Write an archived segment anew without these events; say whether there was anything to do.

    Also ends what a crash left half done: a copy without a name, an old file beside its new one.
    """
    path = folder.archived(number)
    if path is None:
        return False  # its grace period ended meanwhile
    files = folder.files
    copy = path.with_name(f"{number:020}{_REWRITING}")
    if copy.exists():
        files.remove(copy)
    segment = parse_segment(files.read(path))
    groups = [_rewritten(segment, group, erased, is_theirs) for group in segment.groups]
    is_changed = any(payload is not None for payload in groups)
    if is_changed:
        written = path.stat()
        header = msgspec.structs.replace(segment.header, revision=segment.header.revision + 1)
        fd = files.create(copy)
        try:
            for part in _parts(segment, header.pack(), header.seed, groups):
                files.write(fd, part)
            files.sync(fd)
        finally:
            files.close(fd)
        # The grace period runs on.
        os.utime(copy, ns=(written.st_atime_ns, written.st_mtime_ns))
        path = folder.revised_path(number, header.revision)
        files.rename(copy, path)
        files.sync_folder(folder.archive)
    former = [n for n in files.names(folder.archive) if n.startswith(f"{number:020}") and n.endswith(SEALED)]
    for name in former:
        if name != path.name:
            files.remove(folder.archive / name)
            files.sync_folder(folder.archive)
    return is_changed


def _rewritten(segment: Segment, group: Group, erased: Erased, is_theirs: IsTheirs | None) -> bytes | None:
    """Return the group's new payload, uncompressed; None when nothing in it changes."""
    frames: list[bytes] = []
    is_changed = False
    for frame in segment.frames(group):
        meta_bytes, body = frame.meta, frame.body
        for meta, batch in _decoded(frame):
            new_meta, new_batch = without(meta, batch, erased, is_theirs)
            if new_batch is not batch or new_meta is not meta:
                meta_bytes, body, is_changed = encode_meta(new_meta), encode(new_batch), True
        frames.append(pack_frame(frame.received_at_us, meta_bytes, body))
    return b"".join(frames) if is_changed else None


def _decoded(frame: Frame) -> Iterator[tuple[FrameMeta, StoredBatch]]:
    """Yield the frame's parts once, or not at all when this version cannot read them."""
    try:
        yield decode_meta(frame.meta), decode_stored_batch(frame.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def _parts(segment: Segment, header: bytes, seed: int, payloads: list[bytes | None]) -> Iterator[bytes]:
    """Yield the new file piece by piece; every group is tied to the new header."""
    if segment.footer is None:
        raise SpoolFormatError("a segment without a readable footer cannot be rewritten: its loss must be written off")
    yield header
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    for group, payload in zip(segment.groups, payloads, strict=True):
        known = segment.data[group.start + GROUP_HEADER_BYTES : group.end]
        stored = known if payload is None else compressor.compress(payload)
        yield _renewed(group.header, stored).pack(seed) + stored
    sequence = segment.groups[-1].header.sequence + 1 if segment.groups else 0
    yield pack_footer(segment.footer, seed, sequence=sequence)


def _renewed(header: GroupHeader, stored: bytes) -> GroupHeader:
    return msgspec.structs.replace(header, payload_bytes=len(stored), payload_crc=crc32(stored), durable_bytes=0)
