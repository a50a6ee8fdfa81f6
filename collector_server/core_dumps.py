"""No core file of a worker: its memory holds bodies that are not masked yet."""

import contextlib
import resource
from pathlib import Path
from typing import Final

_FILTER: Final = Path("/proc/self/coredump_filter")


def forbid_core_dumps() -> None:
    """Forbid core files for this process, also where the kernel hands them to a program, which knows no limit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not Linux
        _FILTER.write_text("0", encoding="ascii")
