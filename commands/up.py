"""`sillok up`: embedded PostgreSQL, collector, loader and processor, in one process tree."""

import argparse
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
import structlog

from collector_server.client_address import is_loopback
from collector_server.settings import DEMO_KEY
from commands import sample
from commands.children import Child, stop_event
from commands.settings import Settings, without_databases
from commands.terminal import OK
from contract.errors import FolderInUse, FolderNotWritable, SillokError, UsageError
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.postgres import connect
from storage.spool.files import lock_file

log: Final = structlog.get_logger()

_READY_S: Final = 60.0
# The collector gets nothing of the environment but what a process needs to run at all.
_COLLECTOR_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")


HELP = "run everything on this machine: database, collector, loader, processor"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take what is there only for trying things out."""
    command.add_argument(
        "--sample",
        action="store_true",
        help="fill the last 28 days with simulated visits of source `sample`, as far as they are not there yet",
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Run everything until told to stop."""
    stop = stop_event(with_stdin=False)
    with Installation(sample.with_key(settings) if options.sample else settings) as installation:
        signal.signal(signal.SIGHUP, lambda *_: installation.reload())
        installation.announce()
        if options.sample:
            with installation.watched():
                sample.fill(installation.settings, installation.dsn, stop)
        installation.run(stop)
    return OK


class Installation:
    """Everything on one machine, on one data folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._folder = Path(settings.data.folder).absolute()
        self._postgres: EmbeddedPostgres | None = None
        self._lock: int | None = None
        self.children: dict[str, Child] = {}
        self.dsn = settings.process.dsn

    def __enter__(self) -> Self:
        try:
            self._own_folder()
            self._start_database()
            self._migrate()
            self._start_children()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _own_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(self._folder / "LOCK")
        except OSError as error:
            raise FolderNotWritable(
                f"cannot write the data folder {self._folder}: {error.strerror}; "
                "check its owner and permissions, or set SILLOK_DATA_FOLDER"
            ) from error
        if self._lock is None:
            raise FolderInUse(
                f"another `sillok up` works in {self._folder}; stop it first, or set another SILLOK_DATA_FOLDER"
            )

    def _start_database(self) -> None:
        dsns = [self.settings.load.dsn, self.settings.process.dsn, self.settings.migrate.dsn]
        if all(dsns):
            return
        if any(dsns):
            raise UsageError("set the dsn of all three of [load], [process] and [migrate], or of none")
        self._postgres = EmbeddedPostgres(self._folder / "postgres")
        self.dsn = self._postgres.start()
        replace = msgspec.structs.replace
        self.settings = replace(
            self.settings,
            load=replace(self.settings.load, dsn=self.dsn),
            process=replace(self.settings.process, dsn=self.dsn),
            migrate=replace(self.settings.migrate, dsn=self.dsn),
        )

    def _migrate(self) -> None:
        with connect(self.settings.migrate.dsn, application="sillok migrate") as connection:
            for _ in migrate(connection):
                pass

    def _start_children(self) -> None:
        bare = {name: os.environ[name] for name in _COLLECTOR_ENVIRONMENT if name in os.environ}
        everything = dict(os.environ)
        serve = msgspec.structs.replace(self.settings.located_serve(), demo=self._has_demo())
        spooled = msgspec.structs.replace(self.settings, serve=serve, spool=self.settings.located_spool())
        self.children = {
            "serve": Child("serve", without_databases(spooled), bare),
            "load": Child("load", spooled, everything),
            "process": Child("process", spooled, everything),
        }
        for child in self.children.values():
            child.start()
        self._wait_until_ready()

    def _has_demo(self) -> bool:
        """Say whether the demo page is shown: its key is only for this machine, and so is the page."""
        serve = self.settings.serve
        return serve.demo or (DEMO_KEY in serve.keys and is_loopback(serve.admin_host))

    def _wait_until_ready(self) -> None:
        url = f"http://{self.settings.serve.admin_host}:{self.settings.serve.admin_port}/readyz"
        patience_ends = time.monotonic() + _READY_S
        while time.monotonic() < patience_ends:
            self.watch()
            try:
                with urllib.request.urlopen(url, timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise SillokError(f"the collector was not ready within {_READY_S:.0f} s: read the log above")

    def watch(self) -> None:
        """Restart what died; raise UsageError when a part refuses its settings."""
        for child in self.children.values():
            if child.watch() is not None:
                # It has said why on standard error.
                raise UsageError(f"`sillok {child.command}` refused to start, for the reason above")

    def run(self, stop: threading.Event) -> None:
        """Keep everything running until `stop`."""
        while not stop.wait(0.2):
            self.watch()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keep everything running, from a thread of its own, while the block works."""
        stop = threading.Event()
        watcher = threading.Thread(target=self.run, args=(stop,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def reload(self) -> None:
        """Let the collector read its key file again, and the processor the operators' files."""
        for child in self.children.values():
            if child.command in ("serve", "process"):
                child.send(signal.SIGHUP)

    def stop(self) -> None:
        """Stop in the order of the data: collector, loader, processor, database."""
        for child in self.children.values():
            child.stop()
        self.children = {}
        if self._postgres is not None:
            self._postgres.stop()
            self._postgres = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def announce(self) -> None:
        """Tell a person where everything is."""
        serve = self.settings.serve
        key = next(iter(serve.keys)).key if serve.keys else "…"
        scheme = "https" if serve.tls_certificate else "http"
        demo = (
            f"  demo      http://{serve.admin_host}:{serve.admin_port}/demo   click, and watch the events arrive\n"
            if self._has_demo()
            else ""
        )
        sys.stdout.write(
            f"Sillok is up. Ctrl-C stops it.\n"
            f"  events    {scheme}://{serve.host}:{serve.port}/v1/events   write key {key}\n"
            f"  admin     http://{serve.admin_host}:{serve.admin_port}/   what is there: /readyz  /healthz  /metrics\n"
            f"{demo}"
            f"  spool     {self.settings.spool_folder()}\n"
            f"  database  {self.dsn if self._postgres else '(as in the settings)'}\n"
        )
        sys.stdout.flush()
