"""After an unclean end: classify, keep every valid frame, move bad bytes aside, never delete.

A segment left `.open` is rewritten: its valid groups are copied into a new file that is sealed with a
`recovered` footer. When bad bytes were found the old file goes to `damaged/` as it is. Nothing is ever
appended to a file that a crash left behind, and a segment that cannot be read at all is set aside, so
that recovery never ends in a crash loop.

- torn:    bad bytes past everything any group header knew to be synced. Nothing in them was
           acknowledged, because acknowledgements follow the sync.
- damaged: bad bytes before that point: acknowledged events are lost, and the footer says how many a
           readable header promised. A group whose header is lost too is counted as such, without its events.
"""

from typing import Final

import structlog
import zstandard
from msgspec import Struct

from contract.errors import SpoolFormatError
from contract.outcome import Outcome
from storage.spool.folder import OPEN, SlotFolder
from storage.spool.frame import decode_meta, decode_named
from storage.spool.reader import Group, Segment, parse_segment
from storage.spool.segment import (
    HEADER_BYTES,
    KIND_FOOTER,
    LOST_GROUPS,
    MAGIC,
    Footer,
    GroupHeader,
    SegmentHeader,
    pack_footer,
)
from storage.spool.tally import Tally, count_events, minute_of

log: Final = structlog.get_logger()
_RECOVERING: Final = ".recovering"


class Findings(Struct):
    """What recovery found in one slot."""

    segments: int = 0
    torn_bytes: int = 0
    damaged_events: int = 0
    lost_groups: int = 0
    unreadable: int = 0


def recover_slot(folder: SlotFolder, now_us: int) -> Findings:
    """Seal what a crash left open; raise OSError only when the disk itself refuses.

    `now_us` is the wall clock: every frame of this slot was received before it.
    """
    findings = Findings()
    for name in folder.files.names(folder.path):
        if name.endswith(_RECOVERING):
            folder.files.remove(folder.path / name)
    for number in folder.segments(OPEN):
        _recover(folder, number, now_us, findings)
    return findings


def recover_segment(folder: SlotFolder, number: int, now_us: int) -> Findings:
    """Seal what can be read of one segment that is `.open`; for one whose seal is of no use, once it is named so."""
    findings = Findings()
    _recover(folder, number, now_us, findings)
    return findings


def _recover(folder: SlotFolder, number: int, now_us: int, findings: Findings) -> None:
    findings.segments += 1
    path = folder.segment_path(number, OPEN)
    if folder.is_sealed(number):
        # The last recovery sealed the copy and ended before it moved the original aside.
        set_aside(folder, number)
        return
    data = folder.files.read(path)
    if _is_headless(data, folder, number):
        # The crash came before the header was synced, so no group can have been.
        data = SegmentHeader(folder.spool_id, folder.slot, number, now_us).pack()
    try:
        segment = parse_segment(data)
    except SpoolFormatError as error:
        findings.unreadable += 1
        log.error("segment_unreadable", slot=folder.slot, segment=number, reason=str(error))
        set_aside(folder, number)
        return
    footer = _recovered_footer(segment)
    _seal_copy(folder, number, segment, footer)
    findings.torn_bytes += footer.torn_bytes
    findings.damaged_events += footer.damaged
    findings.lost_groups += sum(row.events for row in footer.tally if row.outcome == LOST_GROUPS)
    log.warning(
        "segment_recovered",
        slot=folder.slot,
        segment=number,
        accepted=footer.accepted,
        torn_bytes=footer.torn_bytes,
        damaged=footer.damaged,
    )


def _is_headless(data: bytes, folder: SlotFolder, number: int) -> bool:
    """Say whether there is no header yet: too few bytes, zeros, or what an older file left in the block."""
    if len(data) != HEADER_BYTES:
        return len(data) < HEADER_BYTES
    if data[: len(MAGIC) - 1] != MAGIC[:-1]:
        return True
    try:
        header = SegmentHeader.unpack(data)
    except SpoolFormatError:
        return False
    return (header.spool_id, header.slot, header.segment) != (folder.spool_id, folder.slot, number)


def _recovered_footer(segment: Segment) -> Footer:
    """Count what is readable, group by group, from the payload itself."""
    if segment.footer is not None:
        return segment.footer
    tally = Tally()
    for group in segment.groups:
        _count_group(tally, segment, group)
    torn_bytes = _count_losses(tally, segment)
    accepted, hash_sum = tally.total(Outcome.ACCEPTED)
    return Footer(
        groups=len(segment.groups),
        frames=sum(group.header.frames for group in segment.groups),
        received=tally.total(Outcome.RECEIVED)[0],
        accepted=accepted,
        rejected=sum(group.header.rejected for group in segment.groups),
        hash_sum=hash_sum,
        until_us=max((g.header.until_us for g in segment.groups), default=segment.header.opened_at_us),
        recovered=True,
        damaged=tally.total(Outcome.DAMAGED)[0],
        torn_bytes=torn_bytes,
        tally=tally.rows(),
    )


def _count_group(tally: Tally, segment: Segment, group: Group) -> None:
    """Count a valid group's batches; what this version cannot decode counts as its header says."""
    events = hash_sum = 0
    try:
        for frame in segment.frames(group):
            meta, named = decode_meta(frame.meta), decode_named(frame.body)
            count, total = tally.add_batch(frame.received_at_us, meta, count_events(named.events))
            events += count
            hash_sum += total
    except (ValueError, RecursionError, zstandard.ZstdError):
        # The loader finds the reason.
        log.exception("group_undecodable", segment=segment.header.segment, at=group.start)
    rest = group.header.accepted - events
    if rest > 0:
        minute = minute_of(group.header.until_us)
        tally.add(minute, "", "", Outcome.RECEIVED, rest)
        tally.add(minute, "", "", Outcome.ACCEPTED, rest, group.header.hash_sum - hash_sum)


def _count_losses(tally: Tally, segment: Segment) -> int:
    """Count what was synced and cannot be read, as far as anything knows of it; return the torn bytes."""
    headers = [g.header for g in segment.groups] + [bad.header for bad in segment.bad if bad.header]
    durable = max((header.durable_bytes for header in headers), default=HEADER_BYTES)
    footers = [bad for bad in segment.bad if bad.header and bad.header.kind == KIND_FOOTER]
    for footer in footers:
        # Written after the last sync: what its header promises beyond what was read is lost.
        durable = footer.start
        accepted, hash_sum = tally.total(Outcome.ACCEPTED)
        _add_damage(tally, footer.header, accepted, hash_sum)
    if not footers:
        for bad in segment.bad:
            if bad.header and bad.start < durable:
                _add_damage(tally, bad.header)
        sequences = {header.sequence for header in headers}
        lost = max(sequences, default=-1) + 1 - len(sequences)
        if lost:
            # Nobody knows how many events they held: the books stay open until an operator writes them off.
            tally.add(minute_of(segment.header.opened_at_us), "", "", LOST_GROUPS, lost)
    return sum(bad.end - bad.start for bad in segment.bad if bad.start >= durable)


def _add_damage(tally: Tally, header: GroupHeader | None, accepted: int = 0, hash_sum: int = 0) -> None:
    if header and header.accepted > accepted:
        minute, lost = minute_of(header.until_us), header.accepted - accepted
        tally.add(minute, "", "", Outcome.DAMAGED, lost, header.hash_sum - hash_sum)


def _seal_copy(folder: SlotFolder, number: int, segment: Segment, footer: Footer) -> None:
    """Write header, valid groups and footer into a new file; seal it; then deal with the old one."""
    files = folder.files
    copy = folder.segment_path(number, _RECOVERING)
    fd = files.create(copy)
    try:
        files.write(fd, segment.header.pack())
        for group in segment.groups:
            files.write(fd, segment.data[group.start : group.end])
        sequence = segment.groups[-1].header.sequence + 1 if segment.groups else 0
        files.write(fd, pack_footer(footer, segment.header.seed, sequence=sequence))
        files.sync(fd)
    finally:
        files.close(fd)
    files.rename(copy, folder.segment_path(number))
    files.sync_folder(folder.path)
    if segment.bad:
        set_aside(folder, number)
    else:
        # Every byte of it stands in the sealed copy, which is synced.
        files.remove(folder.segment_path(number, OPEN))
    files.sync_folder(folder.path)


def set_aside(folder: SlotFolder, number: int) -> None:
    """Move a segment that is `.open` into `damaged/`, as it is."""
    path = folder.segment_path(number, OPEN)
    folder.files.rename(path, folder.damaged / path.name)
    folder.files.sync_folder(folder.damaged)
    folder.files.sync_folder(folder.path)
