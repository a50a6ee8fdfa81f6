"""The key file: every write key that `sillok keys` has made, hashed, in every state it may have.

JSON Lines, UTF-8. The first line says how many follow, so that a file cut short is broken and not smaller:

    {"sillok_keys":1,"count":2}                                           1 is the format's version
    {"id":"k3f9a…","sha256":"…","state":"active","source":"mts","kind":"browser","origins":["https://…"], …}

- `sha256` is of the key's text. A key is 256 random bits, so nothing slower than SHA-256 is needed.
- `id` names the key to people, in lists and metrics; it is random too, and says nothing of the key.
- The file is only ever replaced whole, by rename: a reader sees the old one or the new one.
- A key goes from active to retiring (it works; its users are moving to another) to revoked (401), never back.
"""

import hashlib
import os
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from collector_server.settings import KeyRights
from contract.errors import FolderNotWritable, KeyFileBroken, UsageError
from storage.spool.files import lock_file

_T = TypeVar("_T")

KeyState = Literal["active", "retiring", "revoked"]

FORMAT: Final = 1
_KEY_BYTES: Final = 32
_ID_BYTES: Final = 5
_MODE: Final = 0o644  # hashes of random keys tell nobody anything
_LOCK_PATIENCE_S: Final = 10.0


class KeyRecord(KeyRights, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the file."""

    id: Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,64}$")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    state: KeyState
    created: datetime
    changed: datetime


class _Head(Struct, frozen=True, forbid_unknown_fields=True):
    sillok_keys: int
    count: int


def digest(key: str) -> str:
    """Return what the file holds of a key: never fails, whatever a header held."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def make_key(rights: KeyRights, now: datetime | None = None) -> tuple[str, KeyRecord]:
    """Return a new key's text, which stands nowhere else, and its record."""
    text = f"{rights.kind}-{secrets.token_urlsafe(_KEY_BYTES)}"
    moment = now or datetime.now(UTC).replace(microsecond=0)
    record = KeyRecord(
        id=f"k{secrets.token_hex(_ID_BYTES)}",
        sha256=digest(text),
        state="active",
        created=moment,
        changed=moment,
        **msgspec.structs.asdict(rights),
    )
    return text, record


def decode_keys(data: bytes, taken: Collection[str] = ()) -> tuple[KeyRecord, ...]:
    """Return the records of a file; raise KeyFileBroken, naming the line and no value of it.

    `taken` are digests of keys that stand in the settings: a key that stood in both could not be revoked.
    """
    lines = data.splitlines()
    head = _decode(_Head, lines[0] if lines else b"", 1)
    if head.sillok_keys != FORMAT:
        raise KeyFileBroken(f"line 1: this version reads format {FORMAT} only: install the Sillok that wrote the file")
    if head.count != len(lines) - 1:
        raise KeyFileBroken(
            f"line 1 promises {head.count} keys, but {len(lines) - 1} follow: the file is cut or mended"
        )
    records: list[KeyRecord] = []
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], 2):
        record = _decode(KeyRecord, line, number)
        if record.sha256 in taken:
            raise KeyFileBroken(f"line {number}: this key stands in [serve.keys] too: remove it there")
        if record.id in seen or record.sha256 in seen:
            raise KeyFileBroken(f"line {number}: this key stands in an earlier line too")
        seen |= {record.id, record.sha256}
        records.append(record)
    return tuple(records)


def encode_keys(records: Sequence[KeyRecord]) -> bytes:
    """Return the file that holds these records."""
    encode = msgspec.json.encode
    return b"".join(encode(line) + b"\n" for line in (_Head(FORMAT, len(records)), *records))


def _decode(type_: type[_T], line: bytes, number: int) -> _T:
    try:
        return msgspec.json.decode(line, type=type_)
    except msgspec.ValidationError as error:
        raise KeyFileBroken(f"line {number}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KeyFileBroken(f"line {number} is not JSON") from error


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in the place of another, whole and durable, with the old one's owner and mode; raise OSError."""
    like = path.stat() if path.exists() else None
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), like.st_mode & 0o777 if like else _MODE)
            if os.geteuid() == 0:
                # Run by root, it must stay readable and replaceable for the user the collector runs as.
                owner = like or path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def edited_keys(path: Path, taken: Collection[str] = ()) -> Iterator[list[KeyRecord]]:
    """Yield the file's records to be changed, and write them when the block ends well; one editor at a time.

    Raises KeyFileBroken for a file that cannot be read, UsageError when another editor does not end.
    """
    path = path.resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _lock(path.with_name(f"{path.name}.lock"))
        try:
            records = list(read_keys(path, taken))
            yield records
            replace_file(path, encode_keys(records))
        finally:
            os.close(lock)
    except OSError as error:
        raise FolderNotWritable(
            f"cannot write the key file {path}: {error.strerror}; check owner and permissions, or set [serve] keys_file"
        ) from error


def read_keys(path: Path, taken: Collection[str] = ()) -> tuple[KeyRecord, ...]:
    """Return the file's records, none when there is no file; raise KeyFileBroken or OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    try:
        return decode_keys(data, taken)
    except KeyFileBroken as error:
        raise KeyFileBroken(f"{path}: {error}") from error


def _lock(path: Path) -> int:
    patience_ends = time.monotonic() + _LOCK_PATIENCE_S
    while (lock := lock_file(path)) is None:
        if time.monotonic() > patience_ends:
            raise UsageError(f"another `sillok keys` holds {path}: try again when it has ended")
        time.sleep(0.02)
    return lock
