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
    page_dictionary: str | None = None
    """A CSV file of page codes, names and menus; None: pages are called what the apps call them."""
    geoip_file: str | None = None
    """A MaxMind DB file (`.mmdb`) for country and region; None: both stay empty."""
    app_user_agents: dict[str, str] = {}
    """Your own apps: the name to show as browser → what the app adds to its user agent."""

    def __repr__(self) -> str:
        return f"ProcessSettings(dsn={'…' if self.dsn else ''!r}, poll_ms={self.poll_ms})"
