"""`sillok retention`: what is past its time goes."""

import argparse

from rich.table import Table

from commands.database import operating
from commands.settings import Settings
from commands.terminal import OK, add_json, terminal, write_json
from processor.operate.actions import operating_user
from processor.retention import drop_expired, expired

HELP = "drop what is past its time, as the processor does every hour"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say whether to look only."""
    command.add_argument("--dry-run", action="store_true", help="say what is past its time, and drop nothing")
    add_json(command)
    command.epilog = (
        "How long things are kept stands in [retention]. Never dropped: a day of raw with rows that are not processed."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Drop, or look."""
    with operating(settings, "retention") as connection:
        if options.dry_run:
            found = expired(connection, settings.retention)
        else:
            found = drop_expired(connection, settings.retention, operating_user())
    if options.json:
        write_json(found)
        return OK
    table = Table("table", "day", "rows dropped")
    for x in found:
        table.add_row(x.table, str(x.day), "" if x.rows is None else f"{x.rows:,}")
    terminal().print(table if found else "Nothing is past its time.", highlight=False)
    return OK
