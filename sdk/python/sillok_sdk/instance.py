"""One instance as the books know it: an id, a queue with its account, and the thread that sends it.

A client has one; a second when what does not fit into memory spills to disk; and, one after the other, those that
dead processes left in its folder.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from sillok_sdk.encode import encode
from sillok_sdk.sender import Sender
from sillok_sdk.trouble import Troubles
from sillok_sdk.wire import Envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sillok_sdk.journal import Journal
    from sillok_sdk.queue import Queue
    from sillok_sdk.settings import Settings
    from sillok_sdk.transport import Answer, Transport

# Of the time that a close has, kept back for the report of what was given up.
_REPORT_SHARE = 0.1


class Instance:
    """A queue, and what sends it."""

    def __init__(
        self, queue: Queue, envelope: Envelope, transport: Transport, headers: Mapping[str, str], settings: Settings
    ) -> None:
        self.queue = queue
        self.sender = Sender(queue, envelope, transport, headers, settings)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self) -> bool:
        """Start its thread; `False` when it is closed, or when the interpreter shuts down and `close` will send."""
        with self._lock:
            if self._thread is not None or self.queue.closing:
                return False
            thread = threading.Thread(target=self.run, name="sillok-sdk-sender", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
            return True

    def run(self) -> None:
        """Send until the queue is closed, or an orphan's is empty."""
        self.sender.run()

    def stop(self, timeout_s: float) -> None:
        """Take no more events, and send what waits without waiting for company."""
        with self._lock:  # no thread begins once the queue is closed
            self.queue.close(time.monotonic() + timeout_s * (1 - _REPORT_SHARE))

    def end(self, timeout_s: float) -> bool:
        """Wait for the last report; `False` when its one request is still out."""
        if self._thread is None:
            self.run()
        else:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                self.queue.give_up()  # what the answer settles stays exact
                return False
            self._thread = None
        self.queue.let_go()
        return True


class Heirs:
    """Sends what dead processes left in the folder, one journal after the other, from a thread of its own."""

    def __init__(self, transport: Transport, headers: Mapping[str, str], settings: Settings) -> None:
        self._transport = transport
        self._headers = headers
        self._settings = settings
        self._current: Queue | None = None
        self._is_over = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sillok-sdk-heir", daemon=True)

    def start(self) -> None:
        """Look for journals, once."""
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter shuts down; the next process will look
            return

    def stop(self, timeout_s: float) -> None:
        """Leave the rest to the next process."""
        with self._lock:
            self._is_over = True
            if self._current is not None:
                self._current.close(0.0)
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        from sillok_sdk.durable import DurableQueue  # noqa: PLC0415  only with a folder
        from sillok_sdk.journal import orphans  # noqa: PLC0415

        try:
            for journal in orphans(str(self._settings.folder)):
                queue = DurableQueue(self._settings._replace(on_full="drop_new"), journal, is_orphan=True)
                with self._lock:
                    if self._is_over:
                        queue.let_go()
                        return
                    self._current = queue
                client_id, context = _instance(journal)
                envelope = Envelope(client_id, context)
                Sender(queue, envelope, self._transport, self._headers, self._settings).run()
                with self._lock:
                    self._current = None
                queue.let_go()
        except OSError as error:
            Troubles().tell("folder", f"{type(error).__name__}; what other processes left in it waits")


class Turns:
    """One transport for several threads, one at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()

    def send(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Wait for the turn, then send."""
        with self._lock:
            return self._transport.send(body, headers, timeout_s)

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()


def left_at_the_end(instances: list[Instance], lost: int, folder: str | None) -> str:
    """Return what becomes of the events that were not sent when a client was closed; `lost` are counted as dropped."""
    *others, last = [instance.queue.figures().pending for instance in instances]
    in_doubt, waiting = (last, 0) if folder is None else (sum(others), last)
    told = []
    if waiting:
        told.append(f"{waiting} events wait in {folder} for the next process that makes an event with it")
    if lost or in_doubt:
        told.append(f"{lost} events are lost with this process, of {in_doubt} nobody knows whether they arrived")
        if folder is None:
            told.append("a queue on disk keeps such events for the next process: Client(…, folder=…)")
    return "; ".join(told)


def described(client_id: str, context: Mapping[str, Any]) -> bytes:
    """Return what a journal says of its instance."""
    return encode({"client_id": client_id, "context": context})


def _instance(journal: Journal) -> tuple[str, dict[str, Any]]:
    try:
        told = json.loads(journal.instance)
        return str(told["client_id"]), dict(told["context"])
    except (ValueError, KeyError, TypeError):  # torn by a power cut: its name is left
        return journal.path.stem, {}
