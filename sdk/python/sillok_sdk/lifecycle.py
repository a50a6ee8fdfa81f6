"""What the process does to clients: it forks, and it ends.

A fork copies a client but not its thread. The child's copy starts afresh, with its own `client_id`, `seq`
and an empty queue; what was pending is sent by the parent, once. At exit, every client that is still open
is closed within its `close_timeout_ms`.
"""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Any


# 15 ms, which importing the package does not pay; the last one comes with the first name that is looked up.
_FOR_THREADS = ("http.client", "logging", "zlib", "encodings.idna")
_FOR_FOLDERS = ("sillok_sdk.durable", "sillok_sdk.journal")


def import_for_threads(*, with_folder: bool) -> None:
    """Import what the sending threads need, before there are any.

    A fork in the middle of a thread's import leaves the child a half-made module, and an ImportError for ever.
    """
    for name in (*_FOR_THREADS, *(_FOR_FOLDERS if with_folder else ())):
        __import__(name)


class Living(Protocol):
    """What this module needs of a client."""

    def end(self) -> bool:
        """Send what waits, within a bounded time."""

    def begin_again(self) -> None:
        """Start afresh in a forked child."""


_all: weakref.WeakSet[Any] = weakref.WeakSet()
_open: set[Any] = set()  # strong: a client that was let go of may still hold events


def opened(client: Living) -> None:
    """Have the client closed when the process ends."""
    _all.add(client)
    _open.add(client)


def closed(client: Living) -> None:
    """Let go of a client that has said all it had to say."""
    _open.discard(client)


def close_at_child_exit() -> None:
    """Cover a `multiprocessing` child, which leaves through `os._exit` and runs no `atexit` function."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize  # noqa: PLC0415  such a child has imported it already

        Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    for client in list(_open):
        # What goes wrong in one, a transport of the program's own perhaps, must not cost another its events.
        with suppress(Exception):
            client.end()


def _begin_again() -> None:
    for client in list(_all):
        client.begin_again()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_begin_again)
