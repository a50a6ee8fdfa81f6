"""`sillok export`: rows of clean in a file."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from commands.database import find_migrated_dsn, operating
from commands.settings import Settings
from commands.terminal import OK, add_json, moment, progress, stoppable, write_json
from contract.errors import SillokError, UsageError
from processor.operate.actions import acting
from processor.operate.export import TABLES, Exported, Format, export, is_writable
from storage.postgres import connect

HELP = "write cleaned rows of a range to one file: SQLite, CSV or Parquet"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what, and where to."""
    command.add_argument("--from", dest="range_from", type=moment, required=True, metavar="TIME", help="inclusive")
    command.add_argument("--to", dest="range_until", type=moment, required=True, metavar="TIME", help="exclusive")
    command.add_argument("--format", choices=get_args(Format), default="sqlite", help="default: sqlite")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="a file that is not there yet")
    command.add_argument(
        "--table", choices=list(TABLES), help="one table (csv, parquet: default events; sqlite: default all)"
    )
    command.add_argument(
        "--reason", default="", metavar="TEXT", help="why people's data is needed; kept in ops.actions"
    )
    add_json(command)
    command.epilog = (
        "Without --reason the columns that say who somebody is are left out: customer_id, anonymous_id, visitor_id, "
        "ip, user_agent. The range is of the events' own time. Parquet needs the extra sillok[parquet]."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Export, and write down that it was done."""
    if options.range_until <= options.range_from:
        raise UsageError("--to must be later than --from")
    if not is_writable(options.out):
        raise UsageError(f"cannot write into {options.out.parent}: choose another place")
    default = list(TABLES) if options.format == "sqlite" else ["events"]
    tables = [options.table] if options.table else default
    has_people = bool(options.reason)
    arguments = {
        "from": options.range_from.isoformat(), "until": options.range_until.isoformat(), "format": options.format,
        "tables": tables, "people": has_people,
    }  # fmt: skip
    reading = connect(find_migrated_dsn(settings, "operate"), role="sillok_reader", application="sillok export")
    with reading as reader, operating(settings, "export") as connection:
        # Before the first row: an export that is cut short was one all the same.
        with acting(connection, "export", arguments, options.reason):
            pass
        try:
            with stoppable(), progress("rows") as bar:
                done = export(
                    reader, options.out, options.format, tables, options.range_from, options.range_until,
                    has_people=has_people, watch=bar,
                )  # fmt: skip
        except KeyboardInterrupt:
            raise SillokError(f"stopped: nothing was written to {options.out}") from None
        with acting(connection, "export done", arguments, options.reason) as action:
            action.result |= done.rows
    _print(done, is_json=options.json)
    return OK


def _print(done: Exported, *, is_json: bool) -> None:
    if is_json:
        write_json(done)
        return
    rows = ", ".join(f"{count:,} {table}" for table, count in done.rows.items())
    people = "" if done.has_people else "; without people's data (--reason TEXT takes it along)"
    sys.stdout.write(f"{done.file}: {rows}{people}\n")
