"""Warnings for the operator: one per kind of trouble, never with the value of an event."""

from __future__ import annotations


class Troubles:
    """Remembers which kinds were told, so that an outage of a day is one line and not a million."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, kind: str, message: str) -> None:
        """Log a warning to `sillok_sdk`, the first time this kind occurs."""
        if kind in self._told:
            return
        self._told.add(kind)
        import logging  # noqa: PLC0415  4 ms of import that only trouble pays for

        logging.getLogger("sillok_sdk").warning("%s: %s", kind, message)
