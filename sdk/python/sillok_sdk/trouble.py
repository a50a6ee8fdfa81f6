"""What the operator and the developer are told, on the logger `sillok_sdk`, never with the value of an event.

One warning for each kind of trouble. In the debug mode every one of them, and beside them what goes well.
"""

from __future__ import annotations

import sys

# Should what somebody answers be ever new.
_TOLD_MAX = 200


class Troubles:
    """Remembers which kinds were told, so that an outage of a day is one line and not a million."""

    def __init__(self, *, debug: bool = False) -> None:
        self._told: set[tuple[str, str]] = set()
        self._is_debug = debug

    def tell(self, kind: str, message: str, about: str = "") -> None:
        """Log a warning, the first time this kind occurs, or occurs about this."""
        if not self._is_debug:
            if (kind, about) in self._told or len(self._told) >= _TOLD_MAX:
                return
            self._told.add((kind, about))
        import logging  # noqa: PLC0415  4 ms of import that only trouble pays for

        logging.getLogger("sillok_sdk").warning("%s: %s", kind, message)

    def say(self, kind: str, message: str) -> None:
        """Log what goes well, in the debug mode."""
        if self._is_debug:
            import logging  # noqa: PLC0415

            logging.getLogger("sillok_sdk").debug("%s: %s", kind, message)


def show() -> None:
    """Have the debug mode's words shown: where the program's logging goes, else on stderr."""
    import logging  # noqa: PLC0415

    logger = logging.getLogger("sillok_sdk")
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
        logger.addHandler(handler)
