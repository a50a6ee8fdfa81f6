"""The processor's settings, section `[process]`."""

from msgspec import Struct


class ProcessSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How raw becomes clean."""

    dsn: str = ""
    """PostgreSQL, as a user that may act as `sillok_processor`. Empty: the embedded one of `sillok up`. Another
    than the loader's: nothing that is loaded becomes clean."""
    poll_ms: int = 500
    """Milliseconds between two looks at the ledger. Longer: events reach `clean` later. Shorter: more queries."""
    batch_events_max: int = 50_000
    """About how many events one transaction cleans. More: more memory and later rows. Fewer: more overhead an
    event."""
    channel_rules: str | None = None
    """A channel rules file of your own (TOML); None for the built-in rules. Another: sessions from then on are told
    by other rules than those before."""
    page_dictionary: str | None = None
    """A CSV file of page codes, names and menus. None: pages are called what the apps call them."""
    geoip_file: str | None = None
    """A MaxMind DB file (`.mmdb`) for country and region. None: both stay empty."""
    app_user_agents: dict[str, str] = {}
    """Your own apps: the name to show as browser → what the app adds to its user agent. Fewer: their visitors are
    shown as those of the system's own browser."""

    def __repr__(self) -> str:
        return f"ProcessSettings(dsn={'…' if self.dsn else ''!r}, poll_ms={self.poll_ms})"
