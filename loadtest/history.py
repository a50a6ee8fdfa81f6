"""Earlier runs, in a SQLite file: what a run came to, and how it compares with those that were like it."""

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlite_utils
from msgspec import Struct
from sqlite_utils.db import NotFoundError

from contract.errors import FolderNotWritable

_TABLE: Final = "runs"
_FORMAT: Final = 1
# Runs that differ in one of these are not alike.
LIKE: Final = ("url", "shape", "rate", "seconds", "batch_events", "mix", "machine")


class Run(Struct, frozen=True, kw_only=True):
    """A row of the history."""

    run_id: str
    started_at: datetime
    url: str
    shape: str
    rate: float
    seconds: float
    batch_events: int
    mix: str
    machine: str
    holds: bool
    sent: int
    acknowledged: int
    shed: int
    missing: int
    achieved_rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    lag_p95_s: float | None
    drained_s: float | None
    highest_rate: float | None


class History:
    """The runs that are known; FolderNotWritable when the file cannot be one."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite_utils.Database(path)
            self._database.execute(f"pragma user_version = {_FORMAT}")  # or it is no file that can be written
        except (OSError, sqlite3.Error) as error:
            raise FolderNotWritable(
                f"cannot keep the history of runs in {path}: {error}; name another --history"
            ) from error

    def add(self, run: Run) -> None:
        """Keep a run; the same run id again replaces it."""
        row: dict[str, Any] = {name: getattr(run, name) for name in run.__struct_fields__}
        row["started_at"] = run.started_at.isoformat()
        try:
            self._database.table(_TABLE).upsert(row, pk="run_id", alter=True)
        except sqlite3.Error as error:
            raise FolderNotWritable(f"this run is not in the history: {error}") from error

    def like(self, run: Run, *, most: int = 10) -> list[Run]:
        """Return the last runs before this one that differ from it in none of `LIKE`, oldest first."""
        try:
            rows = list(
                self._database.table(_TABLE).rows_where(
                    " and ".join(f"{name} = :{name}" for name in LIKE) + " and started_at < :before",
                    {**{name: getattr(run, name) for name in LIKE}, "before": run.started_at.isoformat()},
                    order_by="started_at desc",
                    limit=most,
                )
            )
        except (NotFoundError, sqlite3.OperationalError):
            return []
        return msgspec.convert(rows[::-1], list[Run], strict=False)
