"""The segment that is being written: appended to group by group, then sealed, or abandoned to recovery.

Always true:

- `append` returns only after the sync that covers the group.
- `seal` gives the file its sealed name only after the footer is synced.
- After any error the file is abandoned: its descriptor is closed once and never synced again.
"""

import contextlib
from typing import Any, Self
from zlib import crc32

import zstandard
from msgspec import Struct

from contract.fingerprint import HASH_MODULUS
from contract.outcome import Outcome
from storage.spool.clock import Clock
from storage.spool.folder import OPEN, SlotFolder
from storage.spool.frame import FrameMeta, encode_meta, frame_parts
from storage.spool.segment import (
    HEADER_BYTES,
    KIND_DATA,
    ZSTD_LEVEL,
    Footer,
    GroupHeader,
    SegmentHeader,
    pack_footer,
)
from storage.spool.tally import Counts, Tally


class Pending(Struct):
    """One batch on its way to disk. `waiter` is whatever the caller wants back."""

    meta: FrameMeta
    body: bytes
    counts: Counts
    """The accepted events by type, counted by who accepted them."""
    waiter: Any = None
    received_at_us: int = 0
    receipt: str = ""


class ActiveSegment:
    """One `.open` file. Not thread-safe: it belongs to the writer's thread."""

    def __init__(self, folder: SlotFolder, header: SegmentHeader, clock: Clock, fd: int) -> None:
        self.header = header
        self.opened_us = clock.monotonic_us()
        self.first_write_us: int | None = None
        self.bytes = HEADER_BYTES
        self._folder = folder
        self._files = folder.files
        self._clock = clock
        self._fd = fd
        self._seed = header.seed
        self._groups = self._frames = self._received = self._rejected = 0
        self._until_us = header.opened_at_us
        self._tally = Tally()
        self._compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress

    @classmethod
    def create(cls, folder: SlotFolder, header: SegmentHeader, clock: Clock) -> Self:
        """Make the file, durably; raise OSError when the disk refuses."""
        fd = folder.files.create(folder.segment_path(header.segment, OPEN))
        try:
            folder.files.write(fd, header.pack())
            folder.files.sync(fd)
            folder.files.sync_folder(folder.path)
        except OSError:
            folder.files.close(fd)
            raise
        return cls(folder, header, clock, fd)

    def append(self, batches: list[Pending], until_us: int) -> None:
        """Write the batches as one group and sync; raise OSError when the disk refuses either."""
        assert until_us >= self._until_us, "until_us never falls within a segment"  # noqa: S101
        tally = Tally()
        accepted = hash_sum = rejected = received = 0
        receipt = f"{self.header.slot}.{self.header.segment}.{self._groups}."
        parts: list[bytes] = []
        for index, pending in enumerate(batches):
            parts += frame_parts(pending.received_at_us, encode_meta(pending.meta), pending.body)
            count, total = tally.add_batch(pending.received_at_us, pending.meta, pending.counts)
            accepted += count
            hash_sum += total
            rejected += len(pending.meta.rejects)
            received += pending.meta.received
            pending.receipt = receipt + str(index)
        payload = self._compress(b"".join(parts))
        header = GroupHeader(
            payload_bytes=len(payload),
            payload_crc=crc32(payload),
            sequence=self._groups,
            until_us=until_us,
            durable_bytes=self.bytes,
            frames=len(batches),
            accepted=accepted,
            rejected=rejected,
            kind=KIND_DATA,
            hash_sum=hash_sum % HASH_MODULUS,
        )
        data = header.pack(self._seed) + payload
        self._files.write(self._fd, data)
        self._files.sync(self._fd)
        self.bytes += len(data)
        self.first_write_us = self.first_write_us or self._clock.monotonic_us()
        self._groups += 1
        self._frames += len(batches)
        self._received += received
        self._rejected += rejected
        self._until_us = until_us
        self._tally.merge(tally)

    def seal(self, until_us: int, *, final: bool) -> Footer:
        """Write the footer, sync, and only then give the file its sealed name."""
        accepted, hash_sum = self._tally.total(Outcome.ACCEPTED)
        footer = Footer(
            groups=self._groups,
            frames=self._frames,
            received=self._received,
            accepted=accepted,
            rejected=self._rejected,
            hash_sum=hash_sum,
            until_us=max(until_us, self._until_us),
            final=final,
            tally=self._tally.rows(),
        )
        data = pack_footer(footer, self._seed, sequence=self._groups)
        try:
            self._files.write(self._fd, data)
            self._files.sync(self._fd)
        except OSError:
            self.abandon()
            raise
        self._files.close(self._fd)
        self.bytes += len(data)
        number = self.header.segment
        self._files.rename(self._folder.segment_path(number, OPEN), self._folder.segment_path(number))
        self._files.sync_folder(self._folder.path)
        return footer

    def abandon(self) -> None:
        """Close the file as it is. Once, whatever that says: the number may be another file's a moment later."""
        with contextlib.suppress(OSError):
            self._files.close(self._fd)
