"""What was done to the key file, and by whom: a chain of JSON lines beside it, since its machine may know no database.

Each line is a `KeyAction` and a newline: `{"link":1,"at":"…","operator":"kim","command":"keys make", … "chain":"hex"}`.
`chain` is the SHA-256 of the former line's `chain` (nothing for the first) and of the line without its own: who changes
or removes a line breaks every later one. Only the end can be cut off unseen: keep the last link elsewhere.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from collector_server.key_file import KeyRecord, read_keys, replace_file
from contract.errors import AuditBroken
from processor.operate.actions import operating_user

_FIRST: Final = b""


class KeyAction(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One change of the key file; `chain` is empty while it is computed."""

    link: int
    at: datetime
    operator: str
    command: str
    key: str
    """The key's id; its text stands nowhere."""
    source: str
    chain: str = ""

    def following(self, previous: bytes) -> bytes:
        """Return the SHA-256 this line must bear."""
        bare = msgspec.structs.replace(self, chain="")
        return hashlib.sha256(previous + msgspec.json.encode(bare)).digest()


def log_path(keys_file: Path) -> Path:
    """Return where the log of a key file is."""
    return keys_file.with_name(f"{keys_file.name}.log")


def note(keys_file: Path, command: str, record: KeyRecord) -> None:
    """Add a line, before the change it speaks of, under the key file's lock; raise AuditBroken or OSError."""
    path = log_path(keys_file)
    known = path.read_bytes() if path.exists() else b""
    actions = list(read_actions(path))
    now = datetime.now(UTC)
    action = KeyAction(
        link=len(actions) + 1, at=now, operator=operating_user(), command=command, key=record.id, source=record.source
    )
    previous = bytes.fromhex(actions[-1].chain) if actions else _FIRST
    linked = msgspec.structs.replace(action, chain=action.following(previous).hex())
    replace_file(path, known + msgspec.json.encode(linked) + b"\n")


def read_actions(path: Path) -> Iterator[KeyAction]:
    """Yield every line, checked against the one before; raise AuditBroken at the first that does not follow."""
    previous = _FIRST
    data = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(data.splitlines(keepends=True), 1):
        try:
            action = msgspec.json.decode(line, type=KeyAction)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AuditBroken(
                f"{path}, line {number} is no line of this log: keep the file and find out why"
            ) from error
        if not line.endswith(b"\n") or action.link != number or action.chain != action.following(previous).hex():
            raise AuditBroken(
                f"{path}, line {number} does not follow from the line before it: it was changed, or lines were removed"
            )
        previous = bytes.fromhex(action.chain)
        yield action


def unlogged(keys_file: Path) -> list[str]:
    """Return the ids of keys that no line of the log speaks of: somebody wrote them into the file by hand."""
    made = {action.key for action in read_actions(log_path(keys_file)) if action.command == "keys make"}
    return [record.id for record in read_keys(keys_file) if record.id not in made]
