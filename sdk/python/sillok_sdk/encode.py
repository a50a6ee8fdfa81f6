"""Values to JSON bytes that any decoder accepts: UTF-8, non-ASCII unescaped, never a bare NaN.

One bad value must not cost its event, and one bad event must not cost its batch, so nothing is refused:

    NaN, Infinity              null
    a lone surrogate           U+FFFD
    bytes                      text, bad UTF-8 replaced by U+FFFD
    tuple, set, frozenset      array
    date, time, datetime       isoformat()
    anything else unknown      str()
    a key that is not text     its JSON text: 1 becomes "1"
    a container inside itself  "<circular>"
    deeper than 32             "<too deep>"
    its str() raises           "<unprintable>"
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH_MAX = 32  # the collector refuses an event nested deeper
_INT_BITS_MAX = 4096  # well below the 4,300 digits above which CPython refuses to print an int

_INFINITY = float("inf")
_ARRAYS = (list, tuple, set, frozenset)

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _encode_once_built() -> Callable[[object], str]:
    """Return `_encoder.encode` without the 2 µs (of 6 for an event) it takes to build a C encoder each time.

    The C encoder is CPython's own and not documented, so it is used only if it proves itself here.
    """
    probe = {"이름": ['"\n', 1, 0.5, None, True]}
    try:
        build = json.encoder.c_make_encoder  # type: ignore[attr-defined]
        escape = json.encoder.encode_basestring
        # No markers for circles: they end in a RecursionError, and the careful way follows.
        chunks = build(None, _encoder.default, escape, None, ":", ",", False, False, False)
        if "".join(chunks(probe, 0)) == _encoder.encode(probe):
            return lambda value: "".join(chunks(value, 0))
    except Exception:  # noqa: BLE001, S110  whatever differs, the documented way is there
        pass
    return _encoder.encode


_encode = _encode_once_built()


def encode(value: Mapping[str, object]) -> bytes:
    """Return the JSON object as UTF-8 bytes. Never raises."""
    try:
        return _encode(value).encode()
    except Exception:  # noqa: BLE001  a caller's value may raise anything; the careful way follows
        return _well_formed(_encoder.encode(_plain(value, ())))


def _well_formed(text: str) -> bytes:
    """Join split surrogate pairs and replace lone halves; UTF-16 is where they are defined."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _plain(value: object, parents: tuple[int, ...]) -> object:
    """Return a copy made of JSON's own types only. `parents` are the ids of the enclosing containers."""
    try:
        return _convert(value, parents)
    except Exception:  # noqa: BLE001  __str__, items() and isoformat() are the caller's code
        return "<unprintable>"


def _convert(value: object, parents: tuple[int, ...]) -> object:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _INT_BITS_MAX else hex(value)
    if isinstance(value, float):
        return value if -_INFINITY < value < _INFINITY else None
    if isinstance(value, (Mapping, *_ARRAYS)):
        return _container(value, parents)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "replace")
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat() if callable(isoformat) else value)


def _container(value: Any, parents: tuple[int, ...]) -> object:
    if id(value) in parents:
        return "<circular>"
    if len(parents) >= DEPTH_MAX:
        return "<too deep>"
    within = (*parents, id(value))
    # list() first: another thread may be adding to the caller's container.
    if isinstance(value, Mapping):
        return {_key(key, within): _plain(item, within) for key, item in list(value.items())}
    return [_plain(item, within) for item in list(value)]


def _key(key: object, parents: tuple[int, ...]) -> str:
    plain = _plain(key, parents)
    return plain if isinstance(plain, str) else _encoder.encode(plain)
