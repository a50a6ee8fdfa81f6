"""`sillok migrate`: the database's schema."""

import argparse
import sys

from commands.database import find_dsn
from commands.settings import Settings
from commands.terminal import OK
from storage.migrate import migrate
from storage.postgres import connect

HELP = "bring the database's schema up to date"


def add_arguments(_command: argparse.ArgumentParser) -> None:
    """Take none."""


def run(settings: Settings, _options: argparse.Namespace) -> int:
    """Apply what is pending."""
    with connect(find_dsn(settings, "migrate"), application="sillok migrate") as connection:
        names = list(migrate(connection))
    sys.stdout.write("".join(f"applied {name}\n" for name in names) or "nothing to do: the schema is up to date\n")
    return OK
