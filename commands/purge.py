"""`sillok purge`: a test source's events."""

import argparse
import sys

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, add_json, add_reason, write_json
from processor.batch import prepare_session
from processor.operate.actions import alone
from processor.operate.purge import purge_source

HELP = "remove all that a test's source sent; audited and in the books"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say whose."""
    command.add_argument("--source", required=True, metavar="SOURCE", help="which; refused unless all of it is test")
    command.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for what is on its way (60)"
    )
    add_reason(command)
    add_json(command)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Purge it."""
    spool = find_spool(settings)
    with operating(settings, "purge") as connection, alone(connection, "this"):
        prepare_session(connection)
        report = purge_source(connection, spool, options.source, options.reason, patience_s=options.wait)
    if options.json:
        write_json(report)
    else:
        sys.stdout.write(f"{report.events:,} events of source {report.source} purged\n")
    return OK
