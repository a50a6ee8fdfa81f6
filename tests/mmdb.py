"""A small writer of the MaxMind DB format, so that tests need nobody's data. Format: maxmind.github.io/MaxMind-DB.

    search tree: nodes of two 24-bit records │ 16 zero bytes │ data section │ marker │ metadata

A record is the next node, or the number of nodes (nothing here), or that plus 16 plus an offset into the data.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_network
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_EPOCH = 1_750_000_000
_STRING, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11
# Readers in C insist on the type of each.
_NUMBERS = {"build_epoch": _UINT64, "node_count": _UINT32}
_FIRST_EXTENDED = 8


def make_mmdb(networks: Mapping[str, Any], *, ip_version: int = 6, database_type: str = "Test-City") -> bytes:
    """Return a file that says `value` of every address in `network`; the networks must not overlap."""
    nodes: list[list[Any]] = [[None, None]]
    data = bytearray()
    for network, value in networks.items():
        bits = _bits(network, ip_version)
        node = nodes[0]
        for bit in bits[:-1]:
            if node[bit] is None:
                nodes.append([None, None])
                node[bit] = len(nodes) - 1
            node = nodes[node[bit]]
        node[bits[-1]] = ("data", len(data))
        data += _encode(value)
    tree = b"".join(_record(side, len(nodes)) for node in nodes for side in node)
    metadata = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": _EPOCH,
        "database_type": database_type,
        "description": {"en": "made by a test"},
        "ip_version": ip_version,
        "languages": ["en"],
        "node_count": len(nodes),
        "record_size": 24,
    }
    return tree + bytes(16) + bytes(data) + _MARKER + _encode(metadata)


def _bits(network: str, ip_version: int) -> list[int]:
    """Return the path through the tree; in a tree of IPv6, IPv4 lies under ::/96."""
    parsed = ip_network(network)
    packed = parsed.network_address.packed
    length = parsed.prefixlen
    if isinstance(parsed, IPv4Network) and ip_version == 6:
        packed, length = bytes(12) + packed, length + 96
    number = int.from_bytes(packed)
    return [number >> (len(packed) * 8 - 1 - place) & 1 for place in range(length)]


def _record(side: Any, nodes: int) -> bytes:
    value = nodes if side is None else nodes + 16 + side[1] if isinstance(side, tuple) else side
    return int(value).to_bytes(3)


def _encode(value: Any, number: int = _UINT16) -> bytes:
    if isinstance(value, str):
        octets = value.encode()
        return _control(_STRING, len(octets)) + octets
    if isinstance(value, int):
        octets = value.to_bytes(8).lstrip(b"\0")
        return _control(number, len(octets)) + octets
    if isinstance(value, Mapping):
        pairs = (_encode(key) + _encode(inner, _NUMBERS.get(key, _UINT16)) for key, inner in value.items())
        return _control(_MAP, len(value)) + b"".join(pairs)
    return _control(_ARRAY, len(value)) + b"".join(map(_encode, value))


def _control(type_: int, size: int) -> bytes:
    """Type and size in one byte, where they fit: types from 8 and sizes from 29 on have a byte of their own."""
    small = min(size, 29)
    more = bytes([size - 29]) if size >= 29 else b""
    if type_ < _FIRST_EXTENDED:
        return bytes([type_ << 5 | small]) + more
    return bytes([small, type_ - 7]) + more
