"""What untyped callers give, made into what a field is: one wrong value must not cost its event.

    text        numbers and booleans (`true`, `false`) as JSON writes them, whole floats without their `.0`; UUIDs
    number      the number that a text is; what is behind the point is cut off
    boolean     1 and 0, and the words for them
    time        a datetime, too
    event_id    any way of writing a UUID
    platform    one of the four, in any case

Anything else cannot be what the field is: `ValueError`, whose text never shows the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_INFINITY = float("inf")
_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on", "y", "t"), True),
    **dict.fromkeys(("false", "0", "no", "off", "n", "f"), False),
}
_PLATFORMS = ("web", "android", "ios", "server")
_INT64 = (-(2**63), 2**63 - 1)
_BOUNDS = {"step_position": (1, 999), "screen_width": (0, 1_000_000), "screen_height": (0, 1_000_000)}
# Of a number that is written as text; longer ones are no number of ours.
_DIGITS_MAX = 40


def fitted(name: str, kind: type[object], value: Any) -> Any:
    """Return the value as the field's kind. Raises `ValueError`; what the value's own code raises, too."""
    value = _plain(value)
    if kind is dict:
        if not isinstance(value, Mapping):
            raise _wrong("a mapping", value)
        return value
    if kind is bool:
        return _flag(value)
    if kind is int:
        return _number(name, value)
    text = _text(value)
    if name == "event_id":
        return _uuid(text)
    if name == "platform":
        return _platform(text)
    return text


def _plain(value: Any) -> Any:
    """Return what a value of numpy or a member of an enumeration holds; other values as they are."""
    if isinstance(value, (str, int, float, Mapping)):
        return value
    if getattr(value, "shape", None) == ():
        return value.item()
    from enum import Enum  # noqa: PLC0415  imported long since

    return value.value if isinstance(value, Enum) else value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str.__str__(value)  # of a subclass, what it holds
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if not -_INFINITY < value < _INFINITY:
            raise _wrong("str", value)
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(float(value))
    from decimal import Decimal  # noqa: PLC0415  only an untyped caller pays for it
    from uuid import UUID  # noqa: PLC0415

    if isinstance(value, UUID) or (isinstance(value, Decimal) and value.is_finite()):
        return str(value)
    raise _wrong("str", value)


def _number(name: str, value: Any) -> int:
    if isinstance(value, bool):
        raise _wrong("int", value)
    if isinstance(value, str):
        text = value.strip()
        if not text.isascii() or len(text) > _DIGITS_MAX or "_" in text:
            raise _wrong("int", value)
        try:
            number = int(text)
        except ValueError:
            number = _whole(value, text)
    elif isinstance(value, int):
        number = int(value)
    elif name == "time" and callable(moment := getattr(value, "timestamp", None)):
        number = int(moment() * 1000)
    else:
        number = _whole(value, value)
    least, most = _BOUNDS.get(name, _INT64)
    if not least <= number <= most:
        raise ValueError(f"must be from {least} to {most}")
    return number


def _whole(value: object, number: object) -> int:
    """Return the whole part of a number, or of a text that is one."""
    from numbers import Number  # noqa: PLC0415  only an untyped caller pays for it

    try:
        return int(float(number if isinstance(number, (str, Number)) else ""))  # type: ignore[arg-type]
    except (ValueError, OverflowError, TypeError):
        raise _wrong("int", value) from None


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    if known is None and isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    if known is None:
        raise _wrong("bool", value)
    return known


def _uuid(text: str) -> str:
    from uuid import UUID  # noqa: PLC0415  few make their own ids

    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("must be a UUID") from None


def _platform(text: str) -> str:
    platform = text.strip().lower()
    if platform not in _PLATFORMS:
        raise ValueError(f"must be one of {', '.join(_PLATFORMS)}")
    return platform


def _wrong(wanted: str, value: object) -> ValueError:
    return ValueError(f"must be {wanted}, not {type(value).__name__}")
