"""The processor's settings, section `[process]`."""

from msgspec import Struct


class ProcessSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How raw becomes clean."""

    dsn: str = ""
    """PostgreSQL, as a user that may act as `sillok_processor`. Empty: the embedded one of `sillok up`."""
    poll_ms: int = 500
    """How often the ledger is looked at. Longer: events reach `clean` later."""
    batch_events_max: int = 50_000
    """About how many events one transaction cleans. More: less overhead an event, more memory and later rows."""
    channel_rules: str | None = None
    """A channel rules file of your own (TOML); None for the built-in rules."""

    def __repr__(self) -> str:
        return f"ProcessSettings(dsn={'…' if self.dsn else ''!r}, poll_ms={self.poll_ms})"
