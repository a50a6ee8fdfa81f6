"""`sillok reconcile`: the books of a day or a range, closed, held against an outside account, written as a page."""

import argparse
from datetime import date, datetime, timedelta
from pathlib import Path

from commands.database import find_migrated_dsn
from commands.pages.books import render_page
from commands.pages.page import write_page
from commands.report import print_books
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, moment, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import UsageError
from processor.books import Books, close_day, read_books
from processor.closes import day_range
from processor.outside import Expected, compare, read_expected, read_tolerance
from storage.postgres import connect

HELP = "print the books of a day or a range; exit 0 only when they balance"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    command.add_argument("--day", type=moment, metavar="DATE", help="a Korean day (default: today)")
    command.add_argument("--from", dest="range_from", type=moment, metavar="TIME", help="start, inclusive")
    command.add_argument("--until", dest="range_until", type=moment, metavar="TIME", help="end, exclusive")
    command.add_argument(
        "--close", type=_day, metavar="DATE", help="close a Korean day for good, once its books are final and balance"
    )
    command.add_argument(
        "--expect",
        type=Path,
        metavar="FILE",
        help="what should have happened: a CSV or SQLite file, or a .sql file for the database of [expect]",
    )
    command.add_argument(
        "--tolerance", default="0", metavar="N", help="how far --expect may be off: 0.5%% or a number (default: 0)"
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="also write one self-contained page")
    add_json(command)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print the books; say by the exit status whether they hold."""
    books = reconcile(settings, options)
    if options.json:
        write_json(books)
    else:
        print_books(books, terminal())
    return OK if books.holds else PROBLEM


def reconcile(settings: Settings, options: argparse.Namespace) -> Books:
    """Do what the options ask, and return the books."""
    tolerance = read_tolerance(options.tolerance)
    expected = read_expected(options.expect, settings.expect.dsn) if options.expect else []
    range_from, range_until = _range(options, expected)
    dsn = find_migrated_dsn(settings, "process")
    with connect(dsn, role="sillok_processor", application="sillok reconcile") as connection:
        written = close_day(connection, options.close) if options.close else []
        books = read_books(connection, range_from, range_until)
        books.written = written
        if expected:
            first, last = range_from.astimezone(SEOUL).date(), range_until.astimezone(SEOUL)
            inside = [row for row in expected if first <= row.event_date and day_range(row.event_date)[0] < last]
            if not inside:
                raise UsageError(f"{options.expect.name} expects nothing of these days: leave out --day, or correct it")
            books.outside = compare(connection, inside, tolerance)
            books.outside_tolerance = str(tolerance)
            books.outside_left_out = len(expected) - len(inside)
    if options.html:
        write_page(options.html, render_page(books))
    return books


def _range(options: argparse.Namespace, expected: list[Expected]) -> tuple[datetime, datetime]:
    """Return whole minutes: a day (default today, Korean time), from … until, or the days that are expected."""
    if options.close:
        if options.day or options.range_from or options.range_until:
            raise UsageError("--close is about its own day: leave out --day, --from and --until")
        return day_range(options.close)
    if expected and not (options.day or options.range_from or options.range_until):
        days = [row.event_date for row in expected]
        return day_range(min(days))[0], day_range(max(days))[1]
    day = options.day or datetime.now(SEOUL).replace(hour=0, minute=0, second=0, microsecond=0)
    range_from = options.range_from or day
    range_until = options.range_until or (
        day + timedelta(days=1) if options.range_from is None else datetime.now(SEOUL)
    )
    if range_until <= range_from:
        raise UsageError("--until must be later than --from")
    return range_from.replace(second=0, microsecond=0), range_until.replace(second=0, microsecond=0)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write 2026-09-21") from None
