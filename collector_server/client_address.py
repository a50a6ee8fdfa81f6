"""Whose address a request has: the peer's, or the one that a trusted proxy names in `X-Forwarded-For`.

Each proxy appends the address it was called from, so only the entries that our own proxies wrote can be believed:
read from the right, the first that is no trusted proxy is the client. What stands left of it anybody may have
written. A header from any other peer, and one that cannot be read, is ignored.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from multidict import CIMultiDictProxy

from contract.address import read_address
from contract.errors import SettingsError

_HEADER: Final = "X-Forwarded-For"
_HOPS_MAX: Final = 32
_REMEMBERED: Final = 4096
_IPV4: Final = 4

Network = IPv4Network | IPv6Network


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of `trusted_proxies`; raise SettingsError for what is none."""
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise SettingsError(
                f"[serve.trusted_proxies] {text!r} is no network: write 10.0.0.0/24, or the address of one proxy"
            ) from error
    return tuple(networks)


def client_address(networks: Sequence[Network]) -> Callable[[str | None, CIMultiDictProxy[str]], str | None]:
    """Return the function from a connection's peer and a request's headers to the client's address."""

    @lru_cache(_REMEMBERED)
    def is_trusted(address: str) -> bool:
        parsed = ip_address(address)
        return any(parsed in network for network in networks)

    def find(peer: str | None, headers: CIMultiDictProxy[str]) -> str | None:
        own = read_address(peer or "")
        if own is None or _HEADER not in headers or not is_trusted(str(own)):
            return peer
        client = peer
        for entry in reversed(",".join(headers.getall(_HEADER)).rsplit(",", _HOPS_MAX)):
            named = read_address(entry)
            if named is None:
                return peer
            client = str(named)
            if not is_trusted(client):
                return client
        return client

    return find


def is_from_here(client: str | None, headers: CIMultiDictProxy[str]) -> bool:
    """Say whether a request was made on this machine: one that a proxy has handed on was not."""
    return is_loopback(client) and _HEADER not in headers


@lru_cache(_REMEMBERED)
def is_loopback(address: str | None) -> bool:
    """Say whether an address is this machine's own."""
    parsed = read_address(address or "")
    return parsed is not None and parsed.is_loopback


def network_of(address: str) -> str:
    """Return what one subscriber has: an IPv4 address, or the /64 of an IPv6 address."""
    parsed = read_address(address)
    if parsed is None or parsed.version == _IPV4:
        return address
    return str(ip_network((parsed, 64), strict=False))
