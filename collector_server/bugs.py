"""What is said of a bug: to the log where the code failed, to the client that it did; never a value."""

import traceback
from typing import Final

import structlog

from collector_server.refusal import Refusal, Refused

log: Final = structlog.get_logger()

_FRAMES_LOGGED: Final = 5


def log_bug(error: BaseException | None) -> None:
    """Log where the code failed."""
    frames = traceback.extract_tb(error.__traceback__ if error else None)[-_FRAMES_LOGGED:]
    log.error("request_failed", error=type(error).__name__, at=[f"{f.filename}:{f.lineno}" for f in frames])


def internal_error() -> Refused:
    """Return the client's answer."""
    return Refused(Refusal.INTERNAL, "something went wrong here: the server's log says where")
