"""One worker process: recovers its slot, listens, and stops without leaving a request unanswered.

It is started by the supervisor. Its settings come on standard input, so that they stand in no process
list; when standard input ends, the supervisor is gone or wants the worker gone, and it stops cleanly.
On standard output it says once a second how it is.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog
import uvloop
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from msgspec.structs import asdict, replace

from collector_server.app import Collector
from collector_server.connection import Server
from collector_server.core_dumps import forbid_core_dumps
from collector_server.counters import Counters, Snapshot
from collector_server.decode import BatchDecoder
from collector_server.handover import resolve
from collector_server.key_file import KeyRecord
from collector_server.keys import KeyRing
from collector_server.mask import Masker
from collector_server.refusal import Refusal
from collector_server.request_log import RequestLog
from collector_server.script import Script
from collector_server.settings import CollectorSettings
from collector_server.stdin import follow_stdin, read_line
from collector_server.tls import renew, tls_context
from contract.errors import SettingsError, SillokError
from storage.logs import configure_logs
from storage.spool.active import Pending
from storage.spool.clock import OsClock
from storage.spool.files import Files, lock_file
from storage.spool.folder import SlotFolder, SpoolFolder
from storage.spool.recovery import Findings, recover_slot
from storage.spool.settings import SpoolSettings
from storage.spool.timed import TimedFiles
from storage.spool.writer import OnDurable, OnRecovered, SpoolWriter

log: Final = structlog.get_logger()

EXIT_DISK_FAILED: Final = 74
_LOCK_PATIENCE_S: Final = 30.0
_REPORT_SECONDS: Final = 0.5
_LAST_CALL_S: Final = 0.1
_BACKLOG: Final = 4096
# Together below the supervisor's patience.
_DRAIN_S: Final = 12.0
_CLEANUP_S: Final = 2.0
# Others add theirs to a page's requests: `baggage` alone may have 8 KB, and the cookies of a site more.
_HEADER_BYTES_MAX: Final = 32 * 1024


class WorkerOrder(msgspec.Struct, frozen=True):
    """What the supervisor tells a worker."""

    slot: int
    serve: CollectorSettings
    spool: SpoolSettings
    log_level: str = "info"
    keys: tuple[KeyRecord, ...] = ()
    """Those of the key file. Later lines of standard input are such lists too, each in the place of the former;
    with each the worker reads its certificate again."""


def main(files: Files | None = None) -> int:
    """Read the order from standard input and serve until told to stop; `files` is the disk, by default the real one."""
    forbid_core_dumps()
    order = msgspec.json.decode(read_line(), type=WorkerOrder)
    configure_logs(order.log_level)
    # A C parser is a security requirement, not a speed one: the Python one has been smuggled past.
    assert HttpRequestParser is not HttpRequestParserPy  # noqa: S101
    return uvloop.run(_serve(order, files))


async def _serve(order: WorkerOrder, files: Files | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # sent to all of a unit, it is the supervisor's alone
    counters = Counters()
    keys = KeyRing(order.serve.keys, order.serve.workers, order.keys, counters.count_retiring)
    tls = tls_context(order.serve)

    def reload(line: bytes) -> None:
        keys.replace(msgspec.json.decode(line, type=tuple[KeyRecord, ...]))
        _renew(tls, order)

    follow_stdin(loop, stop, reload)

    def on_durable(batches: list[Pending], error: BaseException | None) -> None:
        if error is None:
            counters.count_group([len(pending.body) for pending in batches])
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(resolve, batches, error)

    def on_recovered(findings: Findings) -> None:
        counters.count_recovery(asdict(findings))

    writer = _open_spool(order, files or TimedFiles(counters.count_sync), on_durable, on_recovered)
    request_log = RequestLog(
        order.serve.log_sample, order.serve.log_refused_per_second_max, counters.count_lines_left_out
    )
    collector = _collector(order.serve, keys, writer, counters, request_log)

    def on_refused(refusal: Refusal) -> None:
        counters.count_request(refusal.status)
        request_log.refused(refusal)

    runner = await _listen(order.serve, collector, on_refused, tls)
    log.info("collector_ready", slot=order.slot, host=order.serve.host, port=order.serve.port)
    while not stop.is_set() and writer.failure is None:
        request_log.say_left_out()
        _report(counters, collector, writer, ready=writer.unavailable is None)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _REPORT_SECONDS)
    # New requests get 503; those under way are answered; then the segment is sealed.
    collector.stop()
    _report(counters, collector, writer, ready=False)
    await _drain(runner, collector)
    await runner.cleanup()
    await loop.run_in_executor(None, writer.close)
    _report(counters, collector, writer, ready=False)
    log.info("collector_stopped", slot=order.slot)
    return EXIT_DISK_FAILED if writer.failure is not None else 0


def _collector(
    settings: CollectorSettings, keys: KeyRing, writer: SpoolWriter, counters: Counters, request_log: RequestLog
) -> Collector:
    masker = Masker(settings.query_values_kept, settings.account_patterns)
    decoder = BatchDecoder(masker, settings.batch_events_max)
    return Collector(settings, keys, decoder, masker, writer.submit, counters, request_log, Script.read())


def _open_spool(order: WorkerOrder, files: Files, on_durable: OnDurable, on_recovered: OnRecovered) -> SpoolWriter:
    """Take the slot, recover it and begin to write; end this process with a sentence when the disk refuses."""
    try:
        folder = _own_slot(order, files)
        on_recovered(recover_slot(folder, OsClock().wall_us()))
        writer = SpoolWriter(folder, _share_of(order), on_durable, on_recovered=on_recovered)
        writer.start()
    except (OSError, SillokError) as error:
        action = "make the spool's disk readable and writable again: the worker is started again by itself"
        log.error("spool_unavailable", part="collector", slot=order.slot, reason=str(error), action=action)
        raise SystemExit(EXIT_DISK_FAILED) from None
    return writer


def _share_of(order: WorkerOrder) -> SpoolSettings:
    """Return the spool's settings with this worker's part of the quota."""
    whole = order.spool.bytes_max
    return order.spool if whole is None else replace(order.spool, bytes_max=whole // order.serve.workers)


def _own_slot(order: WorkerOrder, files: Files) -> SlotFolder:
    """Take the slot's lock; a predecessor may still be on its way out."""
    folder = SpoolFolder(Path(order.spool.folder), files).slot(order.slot) if order.spool.folder else None
    if folder is None:
        raise ValueError("the supervisor always names the spool's folder")
    folder.prepare()
    patience_ends = time.monotonic() + _LOCK_PATIENCE_S
    while lock_file(folder.path / "LOCK") is None:
        if time.monotonic() > patience_ends:
            log.error("slot_locked", slot=order.slot, action="stop the other collector on this spool")
            raise SystemExit(2)
        time.sleep(0.05)
    return folder


def _renew(tls: ssl.SSLContext | None, order: WorkerOrder) -> None:
    if tls is None:
        return
    try:
        renew(tls, order.serve)
    except SettingsError as error:
        log.error("certificate_not_renewed", slot=order.slot, reason=str(error), action="mend it, then send SIGHUP")
    else:
        log.info("certificate_loaded", slot=order.slot, file=order.serve.tls_certificate)


async def _listen(
    settings: CollectorSettings,
    collector: Collector,
    on_refused: Callable[[Refusal], None],
    tls: ssl.SSLContext | None,
) -> web.ServerRunner:
    server = Server(
        settings,
        collector,
        collector.handle,
        on_refused,
        keepalive_timeout=settings.keepalive_timeout_ms / 1000,
        auto_decompress=False,
        access_log=None,
        lingering_time=1.0,
        max_field_size=_HEADER_BYTES_MAX,
    )
    runner = web.ServerRunner(server, shutdown_timeout=_CLEANUP_S)
    await runner.setup()
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # aiohttp waits forever for a client that does not read its answers; the kernel does not.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, settings.keepalive_timeout_ms)
        listener.bind((settings.host, settings.port))
        await web.SockSite(runner, listener.dup(), backlog=_BACKLOG, ssl_context=tls).start()
    return runner


async def _drain(runner: web.ServerRunner, collector: Collector) -> None:
    """Listen no longer, and wait for the bodies under way: aiohttp's own shutdown would drop their bytes."""
    # Closing the listener resets whoever has connected and is not accepted yet; they get their 503 first.
    await asyncio.sleep(_LAST_CALL_S)
    for site in runner.sites:
        await site.stop()
    patience_ends = time.monotonic() + _DRAIN_S
    while collector.in_flight_bytes and time.monotonic() < patience_ends:  # noqa: ASYNC110 - it ends once
        await asyncio.sleep(0.02)


def _report(counters: Counters, collector: Collector, writer: SpoolWriter, *, ready: bool) -> None:
    snapshot = Snapshot(
        ready=ready,
        unavailable=writer.unavailable,
        queued_bytes=writer.queued_bytes,
        in_flight_bytes=collector.in_flight_bytes,
        totals=counters.totals(),
    )
    with contextlib.suppress(BrokenPipeError):
        os.write(1, msgspec.json.encode(snapshot) + b"\n")


if __name__ == "__main__":
    raise SystemExit(main())
