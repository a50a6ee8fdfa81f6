"""`sillok serve`: N workers on one port, restarted when they die, and the admin plane beside them.

The supervisor holds the port (bound, not listening), so nobody else can take it while a worker is away.
It never touches an event.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Final

import msgspec
import re2
import structlog
from aiohttp import web

from collector_server import stdin
from collector_server.addresses import add_addresses
from collector_server.client_address import read_networks
from collector_server.counters import Snapshot, Totals
from collector_server.demo import add_demo
from collector_server.handout import Handout
from collector_server.key_file import KeyRecord, digest
from collector_server.key_store import KeyStore
from collector_server.metrics import Seen, render
from collector_server.port import hold_port, port_error
from collector_server.settings import CollectorSettings
from collector_server.tls import check_tls, ends_in_force, pull_context, renew_pull
from collector_server.worker import WorkerOrder
from contract.errors import PortInUse, SettingsError
from storage.notify import Notifier
from storage.spool.files import lock_file
from storage.spool.folder import SpoolFolder
from storage.spool.settings import SpoolSettings
from storage.spool.usage import Usage, measure

log: Final = structlog.get_logger()

_RESTART_DELAYS_S: Final = (0.1, 0.5, 1, 2, 5, 10, 30)
_HEALTHY_AFTER_S: Final = 60.0
_DRAIN_S: Final = 20.0
# A line with the figures of thousands of sources.
_REPORT_BYTES_MAX: Final = 1024 * 1024
_PREDECESSOR_S: Final = 10.0
_NOTIFY_S: Final = 0.2


class Worker:
    """One slot's process, and the last it said of itself."""

    def __init__(self, order: WorkerOrder) -> None:
        self._order = order
        self.process: Process | None = None
        self.snapshot = Snapshot()
        self.past = Totals()
        """Of its processes that have ended."""
        self.restarts = 0
        self._reported_at = 0.0

    def is_stuck(self, patience_s: float) -> bool:
        """Say whether a worker that was ready has said nothing for so long, though it still runs."""
        runs = self.process is not None and self.process.returncode is None
        return runs and self.snapshot.ready and time.monotonic() - self._reported_at > patience_s

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the worker running until `stop`; wait longer after each failure in a row."""
        failures = 0
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            started_at = loop.time()
            status = await self._run_once(stop)
            if stop.is_set():
                return
            failures = 0 if loop.time() - started_at > _HEALTHY_AFTER_S else failures + 1
            delay = _RESTART_DELAYS_S[min(failures, len(_RESTART_DELAYS_S) - 1)]
            log.error("worker_died", slot=self._order.slot, status=status, restart_in_s=delay)
            self.restarts += 1
            self.snapshot.unavailable = "its worker ended and is started again: see the log"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay)

    def take_keys(self, keys: tuple[KeyRecord, ...]) -> None:
        """Hand the worker the keys in force from now on, and every worker that comes after it."""
        self._order = msgspec.structs.replace(self._order, keys=keys)
        if self.process is not None and self.process.returncode is None and self.process.stdin is not None:
            self.process.stdin.write(msgspec.json.encode(keys) + b"\n")

    async def _run_once(self, stop: asyncio.Event) -> int:
        # A session of its own: Ctrl-C reaches the supervisor alone, which then stops the workers in order.
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "collector_server.worker",
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            limit=_REPORT_BYTES_MAX,
        )
        self.process = process
        assert process.stdin is not None  # noqa: S101 - PIPE was asked for
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(msgspec.json.encode(self._order) + b"\n")
        reader = asyncio.create_task(self._read(process.stdout))
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), _DRAIN_S)
            if not ended.done():
                log.error("worker_killed", slot=self._order.slot, waited_s=_DRAIN_S)
                process.kill()
        status = await ended
        stopped.cancel()
        await reader
        self.past = self.past.plus(self.snapshot.totals)
        self.snapshot = Snapshot()
        return status

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            with contextlib.suppress(msgspec.DecodeError):  # a killed worker leaves half a line
                self.snapshot = msgspec.json.decode(line, type=Snapshot)
                self._reported_at = time.monotonic()


class Supervisor:
    """Runs the workers and answers on the admin plane."""

    def __init__(
        self, serve: CollectorSettings, spool: SpoolSettings, log_level: str, notifier: Notifier | None = None
    ) -> None:
        self._serve = serve
        self._notifier = notifier or Notifier()
        if spool.folder is None:
            raise ValueError("the spool's folder is not named")
        _check_patterns(serve.account_patterns)
        check_tls(serve)
        read_networks(serve.trusted_proxies)
        _check_keys([key.key for key in serve.keys])
        # An unwritable folder or a foreign spool is said before anything starts.
        self._spool = SpoolFolder(Path(spool.folder))
        path = Path(serve.keys_file) if serve.keys_file else None
        self._key_store = KeyStore(path, Path(spool.folder), {digest(key.key) for key in serve.keys})
        self._key_store.start()
        self._handout: Handout | None = None
        self._pull_context: ssl.SSLContext | None = None
        if serve.pull_port is not None:
            self._pull_context = pull_context(serve)
            self._handout = Handout(serve, self._spool, spool.archive_grace_days)
        self._certificate_ends = ends_in_force(serve, {})
        self._workers = [
            Worker(WorkerOrder(slot, serve, spool, log_level, self._key_store.records)) for slot in range(serve.workers)
        ]

    async def run(self, *, stop_with_stdin: bool = False) -> int:
        """Serve until SIGTERM or SIGINT, or until standard input ends if asked; return the exit status."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        if stop_with_stdin:
            stdin.stop_with_stdin(loop, stop)
        for signal_ in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        with await self._take_port():
            runner = await self._start_admin()
            try:
                pulled = await self._start_handout()
                watched = asyncio.create_task(self._notify(stop))
                await asyncio.gather(*(worker.run(stop) for worker in self._workers))
                await watched
                await pulled()
            finally:
                await runner.cleanup()
        return 0

    async def _notify(self, stop: asyncio.Event) -> None:
        """Tell the service manager when every worker takes events, and then that none is stuck, until `stop`."""
        patience_s = self._notifier.watchdog_s or 0.0
        while not stop.is_set():
            if all(worker.snapshot.ready for worker in self._workers):
                self._notifier.ready()
            if not any(worker.is_stuck(patience_s) for worker in self._workers):
                self._notifier.alive()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _NOTIFY_S)
        self._notifier.stopping()

    def _reload(self) -> None:
        self._key_store.reload()
        if self._pull_context is not None:
            try:
                renew_pull(self._pull_context, self._serve)
            except SettingsError as error:
                log.error("pull_certificate_not_renewed", reason=str(error))
        self._certificate_ends = ends_in_force(self._serve, self._certificate_ends)
        # Also with the keys of before: the workers look at their certificate again as well.
        for worker in self._workers:
            worker.take_keys(self._key_store.records)

    async def _take_port(self) -> socket.socket:
        """Hold the port; the worker of a supervisor that was killed may need a moment to let go of it."""
        patience_ends = time.monotonic() + _PREDECESSOR_S
        awaited = False
        while True:
            try:
                return hold_port(self._serve.host, self._serve.port)
            except PortInUse:
                if time.monotonic() > patience_ends or not self._has_predecessor():
                    raise
            if not awaited:
                log.warning("predecessor_awaited", port=self._serve.port, patience_s=_PREDECESSOR_S)
                awaited = True
            await asyncio.sleep(0.1)

    def _has_predecessor(self) -> bool:
        """Say whether another process still writes to this spool."""
        for slot in self._spool.slots():
            lock = lock_file(slot.path / "LOCK")
            if lock is None:
                return True
            os.close(lock)
        return False

    async def _start_admin(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        if self._serve.demo:
            add_demo(app, self._serve, self._spool)
        add_addresses(app, self._serve)
        return await self._listen(app, self._serve.admin_host, self._serve.admin_port, "admin_port")

    async def _start_handout(self) -> Callable[[], Awaitable[None]]:
        """Listen for a loader outside, if there is to be one; return what ends it."""
        if self._handout is None or self._serve.pull_port is None:
            return _nothing
        host, port = self._serve.pull_host, self._serve.pull_port
        runner = await self._listen(self._handout.app(), host, port, "pull_port", self._pull_context)
        expiring = asyncio.create_task(self._handout.expire())

        async def end() -> None:
            expiring.cancel()
            await runner.cleanup()

        return end

    async def _listen(
        self, app: web.Application, host: str, port: int, setting: str, context: ssl.SSLContext | None = None
    ) -> web.AppRunner:
        """Serve an application; raise PortInUse, naming the setting, when it cannot be."""
        # aiohttp would leave a connection that says nothing open for an hour.
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=self._serve.keepalive_timeout_ms / 1000)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port, ssl_context=context).start()
        except OSError as error:
            await runner.cleanup()
            raise port_error(error, host, port, setting) from error
        return runner

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        waiting = {
            f"slot {n}": worker.snapshot.unavailable or "starting"
            for n, worker in enumerate(self._workers)
            if not worker.snapshot.ready
        }
        return web.json_response({"ready": not waiting, "waiting": waiting}, status=503 if waiting else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        slots = await asyncio.get_running_loop().run_in_executor(None, self._usages)
        seen = Seen(
            workers=[worker.snapshot for worker in self._workers],
            past=reduce(Totals.plus, (worker.past for worker in self._workers)),
            restarts=sum(worker.restarts for worker in self._workers),
            slots=slots,
            keys_file_ok=self._key_store.ok,
            pull=self._handout.counts if self._handout else None,
            certificate_ends=self._certificate_ends,
        )
        return web.Response(body=render(seen), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def _usages(self) -> dict[int, Usage]:
        """Look at the folders, also those of slots that have no worker any more."""
        return {slot.slot: measure(slot) for slot in self._spool.slots()}


async def _nothing() -> None:
    """Do it."""


def _check_keys(keys: Sequence[str]) -> None:
    """Raise SettingsError when one key stands twice: the later would silently be the only one."""
    if len(set(keys)) < len(keys):
        raise SettingsError("[serve.keys] has the same key twice: give each source a key of its own")


def _check_patterns(patterns: Sequence[str]) -> None:
    """Raise SettingsError for a pattern the workers could not use."""
    options = re2.Options()
    options.log_errors = False
    for pattern in patterns:
        try:
            matches_empty = re2.compile(pattern, options).search("") is not None
        except re2.error as error:
            raise SettingsError(f"[serve.account_patterns] {pattern!r} is not a pattern of RE2: mend it") from error
        if matches_empty:
            raise SettingsError(f"[serve.account_patterns] {pattern!r} matches an empty text: narrow it")
