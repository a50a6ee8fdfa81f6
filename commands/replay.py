"""`sillok replay`: archived segments, once more."""

import argparse
import sys

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, moment, progress, write_json
from contract.errors import UsageError
from processor.batch import prepare_session
from processor.operate.actions import alone
from processor.operate.again import make_dictionaries
from processor.operate.replay import replay

HELP = "hold archived segments of a range against the database, and bring back what it lacks"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which range of `received_at`."""
    command.add_argument("--from", dest="range_from", type=moment, required=True, metavar="TIME", help="inclusive")
    command.add_argument("--to", dest="range_until", type=moment, required=True, metavar="TIME", help="exclusive")
    command.add_argument("--reason", default="", metavar="TEXT", help="why; kept in ops.actions")
    add_json(command)
    command.epilog = (
        "Rows of raw or clean that were lost come back; what is there is not doubled; what was erased, purged or "
        "discarded stays away. Reads the archive of this machine's spool ([spool] archive_grace_days)."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Replay; status 1 when a segment could not be read."""
    spool = find_spool(settings)
    if spool is None:
        raise UsageError(f"there is no spool in {settings.spool_folder()}: run this where the collector runs")
    if options.range_until <= options.range_from:
        raise UsageError("--to must be later than --from")
    dictionaries = make_dictionaries(settings.process)
    with operating(settings, "replay") as connection, alone(connection, "this"), progress("segments") as bar:
        prepare_session(connection)
        report = replay(connection, dictionaries, spool, options.range_from, options.range_until, options.reason, bar)
    if options.json:
        write_json(report)
    else:
        sys.stdout.write(
            f"{report.segments:,} archived segments of the range: {report.loaded:,} loaded anew; "
            f"{report.raw_restored:,} rows of raw, {report.clean_restored:,} of clean and {report.others_restored:,} "
            f"duplicates and dead letters restored; {report.unreadable:,} segments unreadable\n"
        )
    return PROBLEM if report.unreadable else OK
