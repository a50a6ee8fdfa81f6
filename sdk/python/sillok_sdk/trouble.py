"""Warnings for the operator: one per kind of trouble, never with the value of an event."""

from __future__ import annotations

# Should what somebody answers be ever new.
_TOLD_MAX = 200


class Troubles:
    """Remembers which kinds were told, so that an outage of a day is one line and not a million."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def tell(self, kind: str, message: str, about: str = "") -> None:
        """Log a warning to `sillok_sdk`, the first time this kind occurs, or occurs about this."""
        if (kind, about) in self._told or len(self._told) >= _TOLD_MAX:
            return
        self._told.add((kind, about))
        import logging  # noqa: PLC0415  4 ms of import that only trouble pays for

        logging.getLogger("sillok_sdk").warning("%s: %s", kind, message)
