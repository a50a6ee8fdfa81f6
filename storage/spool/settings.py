"""The spool's settings, section `[spool]`."""

from msgspec import Struct


class SpoolSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the spool trades latency, file count and disk."""

    folder: str | None = None
    """Where the spool lives; default `<data folder>/spool`. Another: what waits in the old one is not loaded until
    a program works there; not on PostgreSQL's file system (both fill up together), not on NFS (a sync is none)."""
    segment_bytes_max: int = 64 * 1024 * 1024
    """Bytes at which a segment is sealed. Larger: larger loads, and more to reread after a crash. Smaller: more
    ledger rows."""
    segment_age_ms: int = 2_000
    """Milliseconds after which a segment is sealed. Shorter: more ledger rows. Longer: events reach the tables
    later."""
    heartbeat_ms: int = 10_000
    """Milliseconds after which an idle slot seals an empty segment. Longer: the books' watermark follows more
    slowly. Shorter: more ledger rows."""
    queue_bytes_max: int = 32 * 1024 * 1024
    """Bytes waiting for the disk, per worker; beyond it the server answers 503. Lower: clients wait in a busy
    moment. Higher: as much more memory."""
    free_bytes_min: int = 256 * 1024 * 1024
    """Below this much free disk, in bytes, archived segments go first; then the server answers 503. Lower: a full
    disk may stop the machine's other programs before it stops the collector. Higher: less room for what waits."""
    bytes_max: int | None = None
    """Bytes the whole spool folder may take, shared evenly by the workers; None for no limit but the disk's. Beyond
    it archived segments go first; then the server answers 503. Lower: a loader may be away for less long; at least
    some hours of events."""
    archive_grace_days: float = 7.0
    """Days for which loaded segments are kept. Shorter: less to reload after the database was restored to the past:
    what is older is lost. Longer: more disk, and erased customers' events stay longer in a DMZ."""
