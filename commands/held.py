"""`sillok held`: what there is of a customer, for his right of access."""

import argparse
from datetime import datetime

from rich.table import Table

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, add_reason, progress, terminal, write_json
from contract.calendar import SEOUL
from processor.batch import prepare_session
from processor.operate.held import Held, held_of

HELP = "print what is held about a customer, everywhere; audited"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say about whom."""
    command.add_argument("--customer", required=True, metavar="ID", help="his customer_id, as the events have it")
    command.add_argument("--source", metavar="SOURCE", help="only what this app sent (default: all)")
    command.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for what is on its way (60)"
    )
    add_reason(command)
    add_json(command)
    command.epilog = (
        "Looks where `sillok erase` would: clean, identities, raw, duplicates, dead letters, rejected events and this "
        "machine's archived segments, and in sessions that name him and nobody else. It changes nothing. --json prints "
        "the rows themselves: for him, so keep the file from others. Run it on every machine with a spool."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print it; status 1 when something could not be searched."""
    spool = find_spool(settings)
    with operating(settings, "held") as connection, progress("archive") as bar:
        prepare_session(connection)
        held = held_of(
            connection,
            spool,
            options.customer,
            options.reason,
            source=options.source,
            patience_s=options.wait,
            watch=bar,
        )
    if options.json:
        write_json(held)
    else:
        _print(held)
    return OK if held.is_whole else PROBLEM


def _print(held: Held) -> None:
    table = Table("where", "rows", "from", "to")
    for place in held.places:
        table.add_row(place.name, f"{len(place.rows):,}", _korean(place.first), _korean(place.last))
    for found in held.archive:
        rejected = f" and {found.rejected:,} rejected" if found.rejected else ""
        table.add_row(f"archived segment {found.segment}", f"{found.events:,}{rejected}", "", "")
    console = terminal()
    console.print(table, highlight=False)
    console.print(
        f"{held.segments_searched:,} archived segments of this machine searched. --json prints the rows; `sillok "
        "retention --list` says how long each is kept.",
        highlight=False,
    )
    if not held.is_whole:
        console.print(
            f"Not searched: {held.segments_unreadable:,} unreadable segments and {held.damaged_files:,} files in "
            "damaged/ folders; look at them yourself.",
            highlight=False,
        )


def _korean(moment: datetime | None) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M} KST" if moment else ""
