"""The settings of a client, and what is lost by changing each."""

from __future__ import annotations

import os
from typing import NamedTuple

from sillok_sdk.errors import SettingError

BATCH_EVENTS_MAX = 1_000  # the collector answers 413 above it
BATCH_BYTES_MAX = 8 * 1024 * 1024  # the collector answers 413 above it, decompressed
NUMBER_MAX = 2**63 - 1  # what is far beyond has no seconds
ON_FULL = ("drop_new", "block", "spill")


class Settings(NamedTuple):
    """Numbers only: the write key is kept where it is sent, so that no `repr` can show it."""

    batch_events: int
    """Most events in one request. Fewer costs more requests; more delays the first of them."""
    batch_bytes: int
    """Most bytes of events in one request, uncompressed. A single larger event still goes, alone."""
    flush_interval_ms: int
    """Longest wait of an event for company. Longer loses more when the process is killed."""
    queue_events_max: int
    """Most events held while the collector cannot be reached. The next ones are dropped and counted."""
    queue_bytes_max: int
    """Most bytes of events held, likewise: the bound on memory."""
    timeout_ms: int
    """Longest wait for one step of a request. Shorter sends again what has in fact arrived."""
    close_timeout_ms: int
    """Longest wait of `close()` and of the exit of the process. Shorter gives up on more events."""
    gzip_bytes_min: int | None
    """Bodies from this size on are compressed; `None` compresses none and costs bandwidth."""
    retry_first_ms: int
    """Ceiling of the first random pause after a failure; it doubles with every further one."""
    retry_max_ms: int
    """Ceiling of all such pauses. Longer finds out later that the collector is back."""
    refused_retry_ms: int
    """Pause after 401 or 403. Shorter knocks more often; longer notices a corrected key later."""
    on_full: str = "drop_new"
    """`drop_new` counts what does not fit; `block` holds the caller up until there is room, however long;
    `spill` lets it go on to the folder's journal."""
    folder: str | None = None
    """Where the durable queue is. Without it a killed process loses what waits, and the books say how much."""
    journal_bytes_max: int = 64 * 1024 * 1024
    """Size of a process's file in the folder, all of it taken at once: about 200,000 events."""
    debug: bool = False
    """Log what is recorded, sent, refused and left out, names without values: for a developer, a line an event."""


def checked_settings(settings: Settings) -> Settings:
    """Return the settings, or raise `SettingError` naming the first that cannot work."""
    for name, value in settings._asdict().items():
        if name in ("on_full", "folder", "debug") or (name == "gzip_bytes_min" and value is None):
            continue
        if type(value) is not int or not (0 if name == "gzip_bytes_min" else 1) <= value <= NUMBER_MAX:
            raise SettingError(f"{name} must be a positive whole number")
    if settings.batch_events > BATCH_EVENTS_MAX:
        raise SettingError(f"batch_events must be at most {BATCH_EVENTS_MAX}: the collector takes no more")
    if settings.batch_bytes > BATCH_BYTES_MAX:
        raise SettingError(f"batch_bytes must be at most {BATCH_BYTES_MAX}: the collector takes no more")
    if settings.on_full not in ON_FULL:
        raise SettingError(f"on_full must be one of {', '.join(ON_FULL)}")
    if settings.on_full == "spill" and settings.folder is None:
        raise SettingError("on_full: spill needs a folder to spill to")
    return settings


def checked_folder(folder: str | os.PathLike[str]) -> str:
    """Return the folder's path as text, or raise `SettingError`."""
    try:
        path = os.fspath(folder)
    except TypeError:
        path = None
    if not isinstance(path, str) or not path:
        raise SettingError("folder must be the path of a folder")
    return path


def checked_write_key(write_key: str) -> str:
    """Return the key, or raise `SettingError`; it must be able to stand in an HTTP header."""
    if not isinstance(write_key, str) or not write_key:
        raise SettingError("write_key must be the text of a write key")
    if not write_key.isascii() or not write_key.isprintable() or " " in write_key:
        raise SettingError("write_key must be printable ASCII without spaces")
    return write_key
