"""Which country and region an address belongs to, by a file in the MaxMind DB format (`.mmdb`).

Any vendor's: `country.iso_code` and `subdivisions[0]` as MaxMind and DB-IP write them, or plain texts under `country`
(or `country_code`) and `region`. A look-up costs about 2 µs with maxminddb's C extension.

Always true:

- The file is read from a private copy: an operator may overwrite the original in place.
- Every address has an answer; one that the file does not know, or cannot be read for, has no country.
"""

import tempfile
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import Any, Final, NamedTuple, Self

import structlog

from contract.errors import RuleFileBroken

log: Final = structlog.get_logger()

_TEXT_LENGTH_MAX: Final = 64
# Entries of a new file that are read before it is believed.
_LOOKED_AT: Final = 10_000


class Place(NamedTuple):
    """Where an address is: ISO 3166-1 code of the country, and the region's English name or code."""

    country: str | None = None
    region: str | None = None


class GeoFile:
    """One geography file, open."""

    def __init__(self, data: bytes) -> None:
        import maxminddb  # noqa: PLC0415 - only where a site has such a file

        self._broken = maxminddb.InvalidDatabaseError
        # The extension reads by path only; the copy has no name left once it is open.
        with tempfile.NamedTemporaryFile(prefix="sillok-geoip-") as copy:
            copy.write(data)
            copy.flush()
            self._reader: Any = maxminddb.open_database(copy.name)
        self._said = False

    @classmethod
    def parse(cls, data: bytes, name: str) -> Self:
        """Open the file; raise RuleFileBroken when it is none, or knows no country."""
        from maxminddb import InvalidDatabaseError  # noqa: PLC0415 - as above

        try:
            geo = cls(data)
            known = any(geo._place_of(record).country for _, record in islice(geo._reader, _LOOKED_AT))
        except (InvalidDatabaseError, ValueError, EOFError) as error:
            raise RuleFileBroken(
                f"{name}: not a whole MaxMind DB file ({len(data):,} bytes): fetch it again, and unpack it"
            ) from error
        if not known:
            raise RuleFileBroken(f"{name}: a MaxMind DB file, but of no countries: take one of cities or countries")
        return geo

    def place(self, address: IPv4Address | IPv6Address) -> Place:
        """Look one address up."""
        try:
            found = self._reader.get(address)
        except (self._broken, ValueError, UnicodeDecodeError):
            # An IPv6 address in a file of IPv4 alone; or damage that only this entry shows.
            if not self._said:
                self._said = True
                log.warning("geoip_entry_unreadable", action="such addresses have no country; said once a file")
            return Place()
        return self._place_of(found)

    @staticmethod
    def _place_of(found: object) -> Place:
        if not isinstance(found, dict):
            return Place()
        country = _text(found.get("country"), "iso_code") or _text(found.get("country_code"))
        country = country or _text(found.get("registered_country"), "iso_code")
        subdivisions = found.get("subdivisions")
        first = subdivisions[0] if isinstance(subdivisions, list) and subdivisions else None
        names = first.get("names") if isinstance(first, dict) else None
        region = _text(names, "en") or _text(first, "iso_code") or _text(found.get("region"))
        return Place(country, region)


def _text(value: object, key: str | None = None) -> str | None:
    """Return a text, or the text under a key of a table; None for whatever else stands there."""
    if key is not None and isinstance(value, dict):
        value = value.get(key)
    return value.replace("\0", "\ufffd")[:_TEXT_LENGTH_MAX] or None if isinstance(value, str) else None
