"""Log lines are events with a stable name and fields: JSON, or pretty on a terminal. Always on stderr."""

import logging
import sys
from typing import Final

import structlog

# Without the values of variables: they hold events and passwords.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logs(level: str = "info") -> None:
    """Set the process's logging up; call once, first thing."""
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _TRACEBACKS if not sys.stderr.isatty() else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # In one write, newline included: several processes share the stream, and print() would let lines run together.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
