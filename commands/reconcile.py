"""`sillok reconcile`: the books."""

import argparse
from datetime import datetime, timedelta

from commands.database import find_migrated_dsn
from commands.report import print_books
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, moment, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import UsageError
from processor.books import read_books
from storage.postgres import connect

HELP = "print the books of a day or a range; exit 0 only when they balance"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which books, and how to print them."""
    command.add_argument("--day", type=moment, metavar="DATE", help="a Korean day (default: today)")
    command.add_argument("--from", dest="range_from", type=moment, metavar="TIME", help="start, inclusive")
    command.add_argument("--until", dest="range_until", type=moment, metavar="TIME", help="end, exclusive")
    add_json(command)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print the books; say by the exit status whether they balance."""
    range_from, range_until = _range(options)
    dsn = find_migrated_dsn(settings, "process")
    with connect(dsn, role="sillok_processor", application="sillok reconcile") as connection:
        books = read_books(connection, range_from, range_until)
    if options.json:
        write_json(books)
    else:
        print_books(books, terminal())
    return OK if books.balanced else PROBLEM


def _range(options: argparse.Namespace) -> tuple[datetime, datetime]:
    """Return whole minutes: a day (default today, Korean time), or from … until."""
    day = options.day or datetime.now(SEOUL).replace(hour=0, minute=0, second=0, microsecond=0)
    range_from = options.range_from or day
    range_until = options.range_until or (
        day + timedelta(days=1) if options.range_from is None else datetime.now(SEOUL)
    )
    if range_until <= range_from:
        raise UsageError("--until must be later than --from")
    return range_from.replace(second=0, microsecond=0), range_until.replace(second=0, microsecond=0)
