"""The spool's settings, section `[spool]`."""

from msgspec import Struct


class SpoolSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the spool trades latency, file count and disk."""

    folder: str | None = None
    """Where the spool lives; default `<data folder>/spool`. Not on PostgreSQL's file system, not on NFS."""
    segment_bytes_max: int = 64 * 1024 * 1024
    """A segment is sealed at this size. Larger segments mean larger loads and more to reread after a crash."""
    segment_age_ms: int = 2_000
    """A segment is sealed at this age. Shorter: fresher tables, more ledger rows."""
    heartbeat_ms: int = 10_000
    """An idle slot seals an empty segment this often. Longer: the books' watermark follows more slowly."""
    queue_bytes_max: int = 32 * 1024 * 1024
    """Bytes waiting for the disk, per worker; beyond it the server answers 503."""
    free_bytes_min: int = 256 * 1024 * 1024
    """Below this much free disk, archived segments go first; then the server answers 503."""
    bytes_max: int | None = None
    """Bytes the whole spool folder may take, shared evenly by the workers; None for no limit but the disk's.
    Beyond it archived segments go first; then the server answers 503. At least some hours of events."""
    archive_grace_days: float = 7.0
    """How long loaded segments are kept. Shorter: less to reload after the database was restored to the past."""
