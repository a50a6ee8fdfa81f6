"""Where the spool's files are, and what their names mean.

    spool/
      SPOOL.json                     the spool's random id, made once, in every header and ledger row
      slot-0000/                     one writer's folder; the slot is a stable number, not a process id
        LOCK                         held by the living writer
        00000000000000000007.open    being written, or left behind by a crash
        00000000000000000006.sealed  complete and immutable, waits for the loader
        archive/…05.sealed           loaded, kept for the grace period
        archive/…04-r1.sealed        the same, rewritten once without what was erased: another name, the old one gone
        damaged/…                    bytes recovery moved aside; never deleted by Sillok

Always true:

- A segment number is used once. The highest of a slot is never removed, so numbers never restart.
- Names appear and move only with their folder synced afterwards.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from msgspec import DecodeError, Struct, json

from contract.errors import FolderNotWritable, SegmentChanged, SpoolFormatError
from storage.spool.files import Files, OsFiles

OPEN: Final = ".open"
SEALED: Final = ".sealed"
_NAME_DIGITS: Final = 20


class SegmentId(Struct, frozen=True, order=True):
    """A segment's name: unique over all machines and for all time."""

    spool_id: UUID
    slot: int
    segment: int

    def __str__(self) -> str:
        return f"{str(self.spool_id)[:8]}.{self.slot}.{self.segment}"


class _SpoolFile(Struct, forbid_unknown_fields=True):
    spool_id: UUID
    format: int = 1


class SlotFolder:
    """The files of one writer."""

    def __init__(self, path: Path, spool_id: UUID, slot: int, files: Files) -> None:
        self.path = path
        self.spool_id = spool_id
        self.slot = slot
        self.files = files

    @property
    def archive(self) -> Path:
        """Where loaded segments wait out their grace period."""
        return self.path / "archive"

    @property
    def damaged(self) -> Path:
        """Where recovery puts what it could not read."""
        return self.path / "damaged"

    def prepare(self) -> None:
        """Make the folder and its parts, durably."""
        for folder in (self.path, self.archive, self.damaged):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.files.sync_folder(self.path)
        self.files.sync_folder(self.path.parent)

    def segment_path(self, segment: int, suffix: str = SEALED) -> Path:
        """Return the path of a segment in this slot, loaded or not."""
        return self.path / f"{segment:0{_NAME_DIGITS}}{suffix}"

    def segments(self, suffix: str, folder: Path | None = None) -> list[int]:
        """Return the numbers of the segments with this suffix, ascending."""
        names = self.files.names(folder or self.path)
        return sorted({int(n[:_NAME_DIGITS]) for n in names if n.endswith(suffix) and n[:_NAME_DIGITS].isdigit()})

    def archived(self, segment: int) -> Path | None:
        """Return the archived file of a segment, the last one where a crash left two; None when there is none."""
        start = f"{segment:0{_NAME_DIGITS}}"
        names = [n for n in self.files.names(self.archive) if n.startswith(start) and n.endswith(SEALED)]
        return self.archive / max(names, key=_revision_of) if names else None

    def revised_path(self, segment: int, revision: int) -> Path:
        """Return the path in the archive of a segment that was rewritten."""
        return self.archive / f"{segment:0{_NAME_DIGITS}}-r{revision}{SEALED}"

    def last_segment(self) -> int:
        """Return the highest number ever used here, 0 before the first."""
        numbers = self.segments(OPEN) + self.segments(SEALED) + self.segments(SEALED, self.archive)
        # A segment that was set aside unread has its number nowhere else.
        return max(numbers + self.segments(OPEN, self.damaged), default=0)

    def is_sealed(self, segment: int) -> bool:
        """Say whether the segment stands sealed, waiting for the loader or already released by it."""
        return self.segment_path(segment).exists() or self.archived(segment) is not None

    def waiting(self) -> list[int]:
        """Return the numbers that wait for the loader, ascending."""
        return self.segments(SEALED)

    def released(self) -> list[int]:
        """Return the numbers in the archive, ascending."""
        return self.segments(SEALED, self.archive)

    def newest(self) -> int:
        """Return the highest number that waits or is being written, 0 when there is none."""
        return max(self.segments(OPEN) + self.segments(SEALED), default=0)

    def read(self, segment: int) -> bytes:
        """Return a sealed segment, waiting or archived; raise FileNotFoundError when it is neither.

        Its name is on the disk then: what the ledger knows of must not lose it in a power cut, and come back
        recovered with other bytes.
        """
        try:
            data = self.files.read(self.segment_path(segment))
        except FileNotFoundError:
            archived = self.archived(segment)
            if archived is None:
                raise
            return self.files.read(archived)
        self.files.sync_folder(self.path)
        return data

    def release(self, segment: int, sha256: bytes | None = None) -> None:
        """Move a segment whose load is committed into the archive; repeating it is harmless.

        With `sha256`, of what was loaded: raise SegmentChanged when the segment has other contents.
        """
        if sha256 is not None:
            self._check_contents(segment, sha256)
        path = self.segment_path(segment)
        if not path.exists():
            return
        try:
            self.files.rename(path, self.archive / path.name)
        except (FileNotFoundError, FileExistsError):
            if path.exists():
                raise
            return  # a second loader was faster
        self.files.sync_folder(self.archive)
        self.files.sync_folder(self.path)

    def _check_contents(self, segment: int, sha256: bytes) -> None:
        try:
            data = self.files.read(self.segment_path(segment))
        except FileNotFoundError:  # released before, perhaps by a second loader just now
            archived = self.archived(segment)
            if archived is None or _revision_of(archived.name):
                return  # long gone, or rewritten since without what was erased
            data = self.files.read(archived)
        if hashlib.sha256(data).digest() != sha256:
            name = SegmentId(self.spool_id, self.slot, segment)
            raise SegmentChanged(f"segment {name} has other contents than were loaded: keep the file and find out why")

    def recall(self, segment: int) -> None:
        """Move a segment from the archive back among those that wait for the loader; repeating it is harmless."""
        archived = self.archived(segment)
        if archived is None:
            return
        try:
            self.files.rename(archived, self.segment_path(segment))
        except (FileNotFoundError, FileExistsError):
            return  # a second loader was faster
        self.files.sync_folder(self.path)
        self.files.sync_folder(self.archive)

    def drop_archived(self, *, keep: Callable[[Path], bool]) -> int:
        """Remove archived segments, oldest first, until `keep` says stop; return how many.

        The highest number of the slot stays, whatever `keep` says.
        """
        last = self.last_segment()
        removed = 0
        for name in self.files.names(self.archive):
            path = self.archive / name
            if not name.endswith(SEALED):
                continue
            try:
                if int(name[:_NAME_DIGITS]) == last or keep(path):
                    break
                self.files.remove(path)
            except FileNotFoundError:
                continue  # collector and loaders all do this, and another was faster
            removed += 1
        return removed


def _revision_of(name: str) -> int:
    """Return how often the file of this name was rewritten."""
    revision = name.removesuffix(SEALED)[_NAME_DIGITS:].removeprefix("-r")
    return int(revision) if revision.isdigit() else 0


class SpoolFolder:
    """The spool of one machine: an id and its slots."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        """Open the spool, making it when it is not there; raise FolderNotWritable or SpoolFormatError."""
        self.path = path
        self.files = files or OsFiles()
        self.spool_id = self._read_id() or self._initialise()

    def _read_id(self) -> UUID | None:
        try:
            found = json.decode((self.path / "SPOOL.json").read_bytes(), type=_SpoolFile)
        except FileNotFoundError:
            return None
        except DecodeError as error:
            raise SpoolFormatError(
                f"{self.path / 'SPOOL.json'} cannot be read; restore it from a backup: it names every segment"
            ) from error
        except OSError as error:
            raise FolderNotWritable(
                f"cannot read the spool folder {self.path}: {error.strerror}; check its owner and permissions"
            ) from error
        if found.format != 1:
            raise SpoolFormatError(f"the spool {self.path} has format {found.format}: install the newer Sillok")
        return found.spool_id

    def _initialise(self) -> UUID:
        """Write SPOOL.json once, even when two processes try."""
        made = [folder for folder in self.path.parents if not folder.exists()]
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            guard = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(guard, fcntl.LOCK_EX)
                existing = self._read_id()
                if existing is not None:
                    return existing
                spool_id = uuid4()
                draft = self.path / "SPOOL.json.new"
                draft.unlink(missing_ok=True)
                fd = self.files.create(draft)
                self.files.write(fd, json.encode(_SpoolFile(spool_id)) + b"\n")
                self.files.sync(fd)
                self.files.close(fd)
                self.files.rename(draft, self.path / "SPOOL.json")
                # A folder whose own name is not synced is gone after a power cut, with all that was answered.
                for folder in (self.path, self.path.parent, *(folder.parent for folder in made)):
                    self.files.sync_folder(folder)
            finally:
                os.close(guard)
        except OSError as error:
            raise FolderNotWritable(
                f"cannot write the spool folder {self.path}: {error.strerror}; check its owner and permissions"
            ) from error
        return spool_id

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.path)

    @property
    def remedy(self) -> str:
        """What to do when it is out of reach."""
        return "make the spool readable and writable again"

    def expire(self, released_before: float) -> None:
        """Drop archived segments that were sealed before this time, seconds since the epoch."""
        for slot in self.slots():
            slot.drop_archived(keep=lambda path: path.stat().st_mtime >= released_before)

    def slot(self, slot: int) -> SlotFolder:
        """Return one slot's folder, whether it exists yet or not."""
        return SlotFolder(self.path / f"slot-{slot:04}", self.spool_id, slot, self.files)

    def slots(self) -> list[SlotFolder]:
        """Return the slots that exist, in order."""
        names = self.files.names(self.path)
        return [self.slot(int(n[5:])) for n in names if n.startswith("slot-") and n[5:].isdigit()]
