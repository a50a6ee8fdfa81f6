"""`sillok load`: spool segments into `raw.events`."""

import argparse
import os
from functools import partial

from commands.children import stop_event
from commands.database import find_migrated_dsn
from commands.settings import Settings
from commands.terminal import OK
from storage.loader import Loader
from storage.log import SegmentLog
from storage.notify import Notifier
from storage.remote import RemoteSpool
from storage.sink import PostgresSink
from storage.spool.folder import SpoolFolder

HELP = "run the loader: sealed spool segments into raw.events"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say when to stop."""
    command.add_argument("--once", action="store_true", help="stop when nothing is left to do")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Load until told to stop."""
    stop = stop_event(with_stdin=options.settings_from_stdin)
    logs = find_logs(settings)
    open_sink = partial(PostgresSink.open, find_migrated_dsn(settings, "load"))
    loader = Loader(settings.load, open_sink, logs, settings.spool.archive_grace_days)
    notifier = Notifier.from_environment(os.environ)
    loader.run(stop, once=options.once, turned=notifier.turned)
    notifier.stopping()
    return OK


def find_logs(settings: Settings) -> list[SegmentLog]:
    """Return what is to be loaded: the collectors' spools that the settings name, or else this machine's own."""
    remote = [RemoteSpool(each.url, each.token_file, each.ca_file) for each in settings.load.collectors]
    return [*remote] or [SpoolFolder(settings.spool_folder())]
