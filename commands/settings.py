"""One TOML file, read once: sections composed from the parts that use them, unknown keys refused by name.

Order: defaults, then the file (`--config`, `SILLOK_CONFIG` or `./sillok.toml`), then the environment
(`SILLOK_<SECTION>_<KEY>`). This is the only module that reads the environment.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

import msgspec
from msgspec import Struct

from collector_server.settings import CollectorSettings
from contract.errors import SettingsError
from processor.retention import RetentionSettings
from processor.settings import ProcessSettings
from storage.loader import LoadSettings
from storage.postgres import DatabaseSettings
from storage.spool.settings import SpoolSettings

_PREFIX: Final = "SILLOK_"
_DEFAULT_FILE: Final = "sillok.toml"
# What libpq would read behind our back.
_LIBPQ: Final = (
    "PGHOST", "PGHOSTADDR", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGUSER", "PGDATABASE",
    "DATABASE_URL",
)  # fmt: skip

# The decoder's words, and what a person calls them.
_PLAIN_WORDS: Final = (
    (re.compile(r"Object contains unknown field `(\w*)`"), r"`\1` is no setting: check its spelling"),
    (re.compile(r"Object missing required field `(\w*)`"), r"`\1` is missing"),
    (re.compile(r"Expected `object`"), "expected a table"),
    (re.compile(r"Invalid enum value"), "not one of the possible values:"),
)


class DataSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section `[data]`."""

    folder: str = "./sillok-data"
    """Where spool, key file and embedded database live. Another: an empty place to begin in, while what waits in
    the old spool is not loaded."""


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Section `[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """How much is said: `debug`, `info`, `warning` or `error`. Less: `error` leaves out what was waited for and
    mended by itself. More: `debug` fills the log."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All sections."""

    data: DataSettings = DataSettings()
    """Where things are kept on this machine."""
    log: LogSettings = LogSettings()
    """What the programs say of themselves, on standard output."""
    serve: CollectorSettings = CollectorSettings()
    """The collector."""
    spool: SpoolSettings = SpoolSettings()
    """The collector's log on disk, and how long the loader keeps what is loaded."""
    load: LoadSettings = LoadSettings()
    """The loader."""
    process: ProcessSettings = ProcessSettings()
    """The processor."""
    migrate: DatabaseSettings = DatabaseSettings()
    """Who owns the database: `sillok migrate` alone."""
    expect: DatabaseSettings = DatabaseSettings()
    """Where `sillok reconcile --expect FILE.sql` asks what should have happened: the firm's own system."""
    operate: DatabaseSettings = DatabaseSettings()
    """Operators' commands, as a user that may act as `sillok_operator`."""
    retention: RetentionSettings = RetentionSettings()
    """How long the tables keep what. The processor drops what is past its time, once an hour."""

    def spool_folder(self) -> Path:
        """Return where the spool is."""
        return Path(self.spool.folder) if self.spool.folder else Path(self.data.folder) / "spool"

    def keys_file(self) -> Path:
        """Return where the write keys are."""
        return Path(self.serve.keys_file) if self.serve.keys_file else Path(self.data.folder) / "keys.jsonl"

    def located_serve(self) -> CollectorSettings:
        """Return the collector's section with its key file filled in."""
        return msgspec.structs.replace(self.serve, keys_file=str(self.keys_file()))

    def located_spool(self) -> SpoolSettings:
        """Return the spool's section with its folder filled in."""
        return msgspec.structs.replace(self.spool, folder=str(self.spool_folder()))


def load_settings(config: str | None, environment: Mapping[str, str]) -> Settings:
    """Read file and environment; raise SettingsError that names the key and the file."""
    path = settings_file(config, environment)
    values = _read_file(path) if path else {}
    _check(values, path or "the defaults")
    overrides = _from_environment(environment)
    for section, found in overrides.items():
        values[section] = {**values.get(section, {}), **found}
    return _check(values, "the environment")


def settings_file(config: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the file the settings come from, None when there is none."""
    return config or environment.get("SILLOK_CONFIG") or (_DEFAULT_FILE if Path(_DEFAULT_FILE).exists() else None)


def named_sections(path: str, environment: Mapping[str, str]) -> frozenset[str]:
    """Return the sections that a settings file or the environment says something of: what its program is about."""
    return frozenset(_read_file(path)) | frozenset(_from_environment(environment))


def _read_file(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise SettingsError(
            f"cannot read the settings file {path}: {error.strerror}; check --config and SILLOK_CONFIG"
        ) from error


def _check(values: dict[str, Any], origin: str) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=origin != "the environment")
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        where = path.strip("`").removeprefix("$").removeprefix(".")
        for pattern, plain in _PLAIN_WORDS:
            message = pattern.sub(plain, message)
        raise SettingsError(f"{origin}: [{where or 'top level'}] {message[:1].lower()}{message[1:]}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    sections = {f.name: f.type for f in msgspec.structs.fields(Settings)}
    found: dict[str, dict[str, Any]] = {}
    for name, text in environment.items():
        if not name.startswith(_PREFIX) or name == "SILLOK_CONFIG":
            continue
        section, _, key = name.removeprefix(_PREFIX).lower().partition("_")
        if section not in sections or key not in sections[section].__struct_fields__:
            raise SettingsError(f"the environment: {name} is no setting; it reads SILLOK_<SECTION>_<KEY>")
        value = _value(text)
        # A folder may be called 2026: what is a text stays one.
        is_text = get_type_hints(sections[section])[key] in (str, str | None)
        found.setdefault(section, {})[key] = text if is_text and not isinstance(value, str) else value
    return found


def _value(text: str) -> Any:
    """Read a value as TOML would, and a bare word as itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def refuse_database_credentials(settings: Settings, environment: Mapping[str, str]) -> None:
    """Raise SettingsError when the collector, which attackers may reach, could know where the database is."""
    sections = ("load", "process", "migrate", "expect", "operate")
    found = [f"[{section}] dsn" for section in sections if getattr(settings, section).dsn]
    found += [name for name in _LIBPQ if environment.get(name)]
    if found:
        raise SettingsError(
            f"`sillok serve` must not hold database credentials, but finds {', '.join(found)}: "
            "give the collector a settings file of its own"
        )


def without_databases(settings: Settings) -> Settings:
    """Return the settings as the collector may see them."""
    nowhere = DatabaseSettings()
    return msgspec.structs.replace(
        settings, load=LoadSettings(), process=ProcessSettings(), migrate=nowhere, expect=nowhere, operate=nowhere
    )
