"""Makes `error` events of `logging`'s error records.

logging.getLogger().addHandler(Handler(sillok))
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sillok_sdk.client import Client

_MESSAGE_CHARACTERS_MAX = 1_000


class Handler(logging.Handler):
    """Takes records from `level` on: the exception's class, or the logger's name, is the error's code.

    The SDK's own warnings stay out, or an outage would make events about itself.
    """

    def __init__(self, client: Client, level: int = logging.ERROR) -> None:
        super().__init__(level)
        self._client = client

    def emit(self, record: logging.LogRecord) -> None:
        """Record one event; never raises."""
        if record.name.partition(".")[0] == "sillok_sdk":
            return
        try:
            kind = record.exc_info[0] if record.exc_info else None
            self._client.error(
                error_code=(kind.__name__ if kind else record.name)[:64],
                error_message=record.getMessage()[:_MESSAGE_CHARACTERS_MAX],
                props={"logger": record.name, "level": record.levelname, "line": f"{record.module}:{record.lineno}"},
            )
        except Exception:  # noqa: BLE001  a message whose arguments do not fit it
            self.handleError(record)
