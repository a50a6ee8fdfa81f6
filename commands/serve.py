"""`sillok serve`: HTTP in, spool out."""

import argparse
import asyncio
import os

from collector_server.supervisor import Supervisor
from commands.settings import Settings, refuse_database_credentials
from storage.notify import Notifier

HELP = "run the collector: HTTP in, spool out; holds no database credentials"


def add_arguments(_command: argparse.ArgumentParser) -> None:
    """Take none."""


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    refuse_database_credentials(settings, os.environ)
    notifier = Notifier.from_environment(os.environ)
    supervisor = Supervisor(settings.located_serve(), settings.located_spool(), settings.log.level, notifier)
    return asyncio.run(supervisor.run(stop_with_stdin=options.settings_from_stdin))
