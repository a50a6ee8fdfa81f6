"""The processes of `sillok up`: each gets its settings on standard input, and stops when that ends.

Nothing stands in an argument list or an environment that another user could read, and no child outlives
its parent: when the parent is killed, the pipe ends.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from commands.settings import Settings

log: Final = structlog.get_logger()

_RESTART_S: Final = (0.2, 1.0, 3.0, 10.0)
_HEALTHY_S: Final = 60.0
_STOP_S: Final = 30.0


class Child:
    """One `sillok` command as a process that is started again when it dies."""

    def __init__(self, command: str, settings: Settings, environment: Mapping[str, str]) -> None:
        self.command = command
        self._settings = settings
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._failures = 0
        self._restart_at: float | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The running process, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process and hand it its settings."""
        # A session of its own: Ctrl-C reaches the parent alone, which stops the children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sillok", self.command, "--settings-from-stdin"],
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - PIPE was asked for
        try:
            self._process.stdin.write(msgspec.json.encode(self._settings) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once; `watch` will see and say so
        self._started_at = time.monotonic()
        self._restart_at = None

    def send(self, signal_: signal.Signals) -> None:
        """Send the process a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(signal_)

    def watch(self) -> int | None:
        """Restart the process when it died; return its status when it refused to run (2), else None."""
        if self._process is None or self._process.poll() is None:
            return None
        if self._process.returncode == 2:  # noqa: PLR2004 - wrong settings do not mend by repetition
            return self._process.returncode
        now = time.monotonic()
        if self._restart_at is None:
            self._failures = 0 if now - self._started_at > _HEALTHY_S else self._failures + 1
            delay = _RESTART_S[min(self._failures, len(_RESTART_S)) - 1]
            log.error("child_died", command=self.command, status=self._process.returncode, restart_in_s=delay)
            self._restart_at = now + delay
        if now >= self._restart_at:
            self.restarts += 1
            if self._process.stdin is not None:
                self._process.stdin.close()
            self.start()
        return None

    def stop(self) -> None:
        """End the process's input, wait, and kill it only when it does not stop."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101
        with_pipe = process.poll() is None
        try:
            process.stdin.close()
        except BrokenPipeError:
            with_pipe = False
        try:
            process.wait(_STOP_S if with_pipe else 1)
        except subprocess.TimeoutExpired:
            log.error("child_killed", command=self.command, waited_s=_STOP_S)
            process.kill()
            process.wait()
        self._process = None


def stop_with_stdin(stop: threading.Event) -> None:
    """Set `stop` when standard input ends: the parent closed it, or is gone."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        stop.set()

    threading.Thread(target=wait, name="stdin", daemon=True).start()


def stop_with_signals(stop: threading.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT."""
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_, lambda *_: stop.set())


def stop_event(*, with_stdin: bool) -> threading.Event:
    """Return what is set when the process is told to stop: by a signal, or by the end of its input."""
    stop = threading.Event()
    stop_with_signals(stop)
    if with_stdin:
        stop_with_stdin(stop)
    return stop
