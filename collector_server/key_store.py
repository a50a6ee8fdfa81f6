"""Which write keys are in force: those of the key file, or of its last good state when it is broken.

A copy of every good file is kept in the spool's folder, which is the one place the collector can surely
write; so a restart with a broken file goes on with what was in force before it broke.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import structlog

from collector_server.key_file import KeyRecord, decode_keys, encode_keys, read_keys, replace_file
from contract.errors import KeyFileBroken

log: Final = structlog.get_logger()

LAST_GOOD: Final = "keys.last-good"
_ADVICE: Final = "mend the file or restore it from a backup, then send SIGHUP; until then the last good one counts"


class KeyStore:
    """The key file as the supervisor knows it: `records` are in force; `ok` says that they are what the file holds."""

    def __init__(self, path: Path | None, spool: Path, taken: Collection[str]) -> None:
        self._path = path
        self._last_good = spool / LAST_GOOD
        self._taken = taken
        self.records: tuple[KeyRecord, ...] = ()
        self.ok = True

    def start(self) -> None:
        """Read the file, or its last good state when it is broken; raise KeyFileBroken when there is neither."""
        if self._path is None or self._read(self._path):
            return
        try:
            self.records = decode_keys(self._last_good.read_bytes(), self._taken)
        except (OSError, KeyFileBroken) as error:
            raise KeyFileBroken(
                f"the key file {self._path} cannot be used, and there is no last good state of it: "
                "mend it, or make it anew with `sillok keys`"
            ) from error
        log.warning("keys_last_good_used", file=str(self._path), keys=len(self.records))

    def reload(self) -> bool:
        """Read the file again and say whether it is good; a broken one changes nothing."""
        if self._path is None:
            return True
        if not self._read(self._path):
            return False
        states = {f"keys_{state}": n for state, n in count_states(self.records).items()}
        log.info("keys_reloaded", file=str(self._path), **states)
        return True

    def _read(self, path: Path) -> bool:
        try:
            if not path.exists() and (self.records or self._last_good.exists()):
                raise KeyFileBroken(f"{path} is gone")
            records = read_keys(path, self._taken)
        except (OSError, KeyFileBroken) as error:
            self.ok = False
            reason = str(error) if isinstance(error, KeyFileBroken) else f"{path}: {error.strerror}"
            log.error("keys_file_broken", reason=reason, action=_ADVICE)
            return False
        self.records, self.ok = records, True
        if path.exists():
            self._keep()
        return True

    def _keep(self) -> None:
        """Keep the good state; a full disk costs the copy only, and says so."""
        data = encode_keys(self.records)
        try:
            if self._last_good.exists() and self._last_good.read_bytes() == data:
                return
            replace_file(self._last_good, data)
        except OSError as error:
            log.error("keys_last_good_not_kept", file=str(self._last_good), reason=error.strerror)


def count_states(records: Collection[KeyRecord]) -> dict[str, int]:
    """Return how many keys are in each state."""
    states = [record.state for record in records]
    return {state: states.count(state) for state in ("active", "retiring", "revoked")}
