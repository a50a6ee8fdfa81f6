"""An address as programs write it, read by one function: of the header at the door, and of a relay's `context.ip`.

Relays copy what they have: `203.0.113.7:51234` of a socket, `[2001:db8::1]:443`, `"[2001:db8::1]"` of a `Forwarded`
header, `::ffff:203.0.113.7` of one that listens for both (Node joins a port to it), `fe80::1%eth0`,
`/203.0.113.7:51234` or `host/203.0.113.7:51234` of Java, `ipv4:203.0.113.7:51234` of gRPC, `203.0.113.7/32` of
PostgreSQL, or the whole list of an `X-Forwarded-For`. What says that there is none (`unknown`, `_hidden`, `0.0.0.0`) is
none.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

# What stands around an address in one entry of a header: `for="…";proto=https`.
_ENTRY: Final = re.compile(
    r"""\s*(?:(?:[^"]*;\s*)?for\s*=|ipv[46]:)?[\s"'(]*(?:[a-z][\w.-]*(?=/))?[/\s"']*([^\s"';/]*)(?:/(?:32|128))?(?![^\s"';])""",
    re.IGNORECASE,
)
_MAPPED: Final = re.compile(r"::ffff:([0-9.]+):[0-9]*", re.IGNORECASE)


def read_address(text: str) -> Address | None:
    """Return an address in its one form, without port, brackets or zone; None for what is none."""
    found = _ENTRY.match(text)
    plain = found[1] if found else ""
    if plain.startswith("["):
        plain = plain[1:].partition("]")[0]
    elif mapped := _MAPPED.fullmatch(plain):
        plain = mapped[1]
    elif plain.count(":") == 1:
        plain = plain.partition(":")[0]
    try:
        address = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return None if address.is_unspecified else address


def read_relayed(text: str) -> Address | None:
    """Return the visitor's address as a relay names it: of a list, the first, which is the farthest away."""
    return read_address(next((entry for entry in text.split(",") if entry.strip()), ""))
