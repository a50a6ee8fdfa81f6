r"""The durable queue's file: a ring of records in memory that the operating system owns.

A record is in the file when `append` returns, and a process that is killed at any moment leaves it there. Only
a power cut may take what the system has not written out; the checksum finds what it tore.

Always true between two calls: from the head to the tail lie whole records that wait, with at most one rest of the ring
between them, never before the first. So a record is refused only when there is no room for it in one piece, and an
empty ring takes any record that is not larger than itself.

Layout (little-endian; offsets in bytes). Positions count on and on; modulo `ring` they are places.

       0    8  magic     b"SILLOKJ\1"   the last byte is the format version
       8    8  ring      u64  size of the ring
      16    8  head      u64  where the first record that waits begins; not before the tail: nothing waits
      24    8  tail      u64  where the next record will begin; written after its record
      32    8  created   u64  events made, at the last time one was settled or refused
      40    8n dropped   u64  events given up, one number for each of `REASONS`
     128    4  size      u32  of the text that follows
     132       instance  JSON {"client_id": …, "context": {…}}
    4096       ring

    a record, padded to 8:   0  4  size     u32  of the payload; 0xFFFFFFFF: the ring's end is left empty
                             4  4  crc      u32  CRC-32 of the payload, begun with the seq's low 32 bits
                             8  8  seq      u64
                            16     payload

The owner holds an exclusive `flock` on the file for as long as it lives: whoever gets the lock knows, without
any timer, that the owner is dead. A forked child lets go of its copy before it does anything else.
"""

from __future__ import annotations

import mmap
import os
import time
from binascii import crc32
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from sillok_sdk.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAGIC = b"SILLOKJ\1"
RING = 4096
# Their order is part of the format; new ones come last.
REASONS = ("queue_full", "invalid", "too_large", "closed", "rejected")
_RING, _HEAD, _TAIL, _CREATED, _DROPPED, _INSTANCE = 8, 16, 24, 32, 40, 128
_INSTANCE_BYTES_MAX = RING - _INSTANCE - 4
_NUMBER = Struct("<Q")
_SIZE = Struct("<I")
_RECORD = Struct("<IIQ")
_RECORD_BYTES = _RECORD.size
_REST = 0xFFFFFFFF
_SUFFIX = ".journal"
# Being made. One that is an hour old was left by a process that died of it.
_DRAFT = ".draft"
_DRAFT_S = 3600
_MODE = 0o600
# How much is written at once where space cannot be asked for.
_CHUNK = bytes(1024 * 1024)


class Record(NamedTuple):
    """One record that waits; `end` is the position behind it."""

    seq: int
    payload: bytes
    end: int


class Journal:
    """One ring. Not for two threads at once: the queue above it has the lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._pid = os.getpid()
        self._map = memory = mmap.mmap(descriptor, 0)
        self._ring = self._number(_RING)
        self._head = self._number(_HEAD)
        self._tail = max(self._number(_TAIL), self._head)  # killed between the two: an empty ring began again
        (size,) = _SIZE.unpack_from(memory, _INSTANCE)
        self.instance = bytes(memory[_INSTANCE + 4 : _INSTANCE + 4 + min(size, _INSTANCE_BYTES_MAX)])

    @classmethod
    def create(cls, folder: str, name: str, ring_bytes: int, instance: bytes) -> Journal:
        """Make a journal that is ours. Raises `SettingError`, or `OSError` when the disk has no such room."""
        if fcntl is None:
            raise SettingError("folder: a durable queue needs a system with flock, which Windows has not")
        if len(instance) > _INSTANCE_BYTES_MAX:
            raise SettingError("context: too large for a durable queue")
        home = Path(folder)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        ring = max(8, ring_bytes // 8 * 8)
        draft = home / (name + _DRAFT)
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # All of it now: a write into a hole on a full disk would kill the process.
            _allocate(descriptor, RING + ring)
            header = MAGIC + _NUMBER.pack(ring) + bytes(_INSTANCE - 16) + _SIZE.pack(len(instance)) + instance
            os.pwrite(descriptor, header, 0)
            draft.rename(home / (name + _SUFFIX))  # locked before anybody can find it
            return cls(home / (name + _SUFFIX), descriptor)
        except BaseException:
            draft.unlink(missing_ok=True)
            os.close(descriptor)
            raise

    @classmethod
    def adopt(cls, path: Path) -> Journal | None:
        """Return a journal whose owner is dead, now ours; `None` when it lives, or when this is no journal."""
        if fcntl is None:
            return None
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            # Another heir may have sent and removed it, between our opening and our lock.
            if path.stat().st_ino == found.st_ino and _is_whole(os.pread(descriptor, 24, 0), found.st_size):
                return cls(path, descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

    def append(self, seq: int, payload: bytes) -> bool:
        """Keep a record; `False` when there is no room."""
        size = len(payload)
        whole = _RECORD_BYTES + size + 7 & ~7
        tail = self._tail
        place = tail % self._ring
        if whole > self._ring - place or tail == self._head:
            if not self._begins_again(whole, place):
                return False
            tail = self._tail
            place = tail % self._ring
        elif tail + whole - self._head > self._ring:
            return False
        place += RING
        memory = self._map
        _RECORD.pack_into(memory, place, size, crc32(payload, seq & 0xFFFFFFFF), seq)
        place += _RECORD_BYTES
        memory[place : place + size] = payload
        self._tail = tail + whole
        _NUMBER.pack_into(memory, _TAIL, tail + whole)
        return True

    def holds(self, size: int) -> bool:
        """Whether a payload of this size fits when nothing else waits."""
        return _RECORD_BYTES + size + 7 & ~7 <= self._ring

    def read(self, position: int) -> Iterator[Record]:
        """Yield the records that wait from a position on; ends before one that a power cut tore."""
        position = max(position, self._head)  # which skips what is at the position, when that is only a rest
        while position < self._tail:
            place = position % self._ring
            (size,) = _SIZE.unpack_from(self._map, RING + place)
            if size == _REST:
                position += self._ring - place
                continue
            if _RECORD_BYTES + size > self._ring - place:
                return
            _, crc, seq = _RECORD.unpack_from(self._map, RING + place)
            payload = self._map[RING + place + _RECORD_BYTES : RING + place + _RECORD_BYTES + size]
            if crc32(payload, seq & 0xFFFFFFFF) != crc:
                return
            position += _RECORD_BYTES + size + 7 & ~7
            yield Record(seq, payload, position)

    @property
    def head(self) -> int:
        """Where the first record that waits begins."""
        return self._head

    @property
    def tail(self) -> int:
        """Where the next record will begin."""
        return self._tail

    def settle(self, head: int, created: int, dropped: dict[str, int]) -> None:
        """Forget the records before a position, and remember the figures: in this order they can only be behind."""
        self.note(created, dropped)
        place = head % self._ring
        if head < self._tail and _SIZE.unpack_from(self._map, RING + place)[0] == _REST:
            head += self._ring - place  # or the rest counts as used until the record behind it is settled
        self._move_head(head)

    def note(self, created: int, dropped: dict[str, int]) -> None:
        """Remember the figures."""
        _NUMBER.pack_into(self._map, _CREATED, created)
        for place, reason in enumerate(REASONS):
            if count := dropped.get(reason):
                _NUMBER.pack_into(self._map, _DROPPED + 8 * place, count)

    def figures(self) -> tuple[int, dict[str, int]]:
        """Return how many events were created and dropped, as they were noted."""
        counts = {reason: self._number(_DROPPED + 8 * place) for place, reason in enumerate(REASONS)}
        return self._number(_CREATED), {reason: count for reason, count in counts.items() if count}

    def close(self, *, is_done: bool = False) -> None:
        """Let go of it, and of the lock; remove it when nothing waits and everything was told."""
        if self._descriptor < 0:
            return
        if is_done:
            self.path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._descriptor)
        self._descriptor = -1

    def _begins_again(self, whole: int, place: int) -> bool:
        """Go to the ring's start, where a record does not fit behind the last one, and where nothing waits.

        The first page is in memory already. `False` when there is no room at the start either.
        """
        rest = self._ring - place
        is_empty = self._tail == self._head
        if whole > (self._ring if is_empty else self._ring - rest - (self._tail - self._head)):
            return False
        if place or not is_empty:
            # Positions are multiples of 8, so that there is always room to say so.
            _SIZE.pack_into(self._map, RING + place, _REST)
            self._tail += rest
            if is_empty:  # nothing waits before the rest, so that it is not in use
                self._move_head(self._tail)
        return True

    def _move_head(self, head: int) -> None:
        self._head = head
        _NUMBER.pack_into(self._map, _HEAD, head)

    def _number(self, at: int) -> int:
        (number,) = _NUMBER.unpack_from(self._map, at)
        return int(number)


def orphans(folder: str) -> Iterator[Journal]:
    """Yield the journals whose owners are dead, the oldest first, each ours from then on."""
    for draft in Path(folder).glob("*" + _DRAFT):
        if time.time() - draft.stat().st_mtime > _DRAFT_S:
            draft.unlink(missing_ok=True)
    for path in sorted(Path(folder).glob("*" + _SUFFIX)):
        journal = Journal.adopt(path)
        if journal is not None:
            yield journal


def _is_whole(header: bytes, size: int) -> bool:
    return header[:8] == MAGIC and RING + int.from_bytes(header[8:16], "little") == size


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    for at in range(0, size, len(_CHUNK)):  # macOS
        os.pwrite(descriptor, _CHUNK[: size - at], at)
