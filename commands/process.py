"""`sillok process`: `raw.events` into `clean`."""

import argparse
import os
import signal
import threading

from commands.children import stop_event
from commands.database import find_migrated_dsn
from commands.settings import Settings
from commands.terminal import OK
from processor.run import Processor
from storage.notify import Notifier

HELP = "run the processor: raw.events into clean"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say when to stop."""
    command.add_argument("--once", action="store_true", help="stop when nothing is left to do")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Clean until told to stop."""
    stop, reload = stop_event(with_stdin=options.settings_from_stdin), threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    dsn = find_migrated_dsn(settings, "process")
    notifier = Notifier.from_environment(os.environ)
    processor = Processor(settings.process, dsn, retention=settings.retention, reload=reload)
    processor.run(stop, once=options.once, turned=notifier.turned)
    notifier.stopping()
    return OK
