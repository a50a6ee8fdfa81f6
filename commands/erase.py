"""`sillok erase`: a customer's events, on request."""

import argparse

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, add_reason, progress, terminal, write_json
from processor.batch import prepare_session
from processor.operate.actions import alone
from processor.operate.erase import erase_customer

HELP = "remove a customer's events everywhere, for good; audited and in the books"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say whose."""
    command.add_argument("--customer", required=True, metavar="ID", help="his customer_id, as the events have it")
    command.add_argument("--source", metavar="SOURCE", help="only what this app sent (default: all)")
    command.add_argument(
        "--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait for what is on its way (60)"
    )
    add_reason(command)
    add_json(command)
    command.epilog = (
        "Reaches clean, raw, duplicates, dead letters, rejected events and this machine's archived segments, which are "
        "rewritten; a keyed-hash tombstone keeps each event from coming back. Events without a customer go too where "
        "their session names him and nobody else. Interrupted, run it again. Run it on every machine with a spool."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Erase him; status 1 when something could not be searched."""
    spool = find_spool(settings)
    with operating(settings, "erase") as connection, alone(connection, "this"), progress("archive") as bar:
        prepare_session(connection)
        report = erase_customer(
            connection,
            spool,
            options.customer,
            options.reason,
            source=options.source,
            patience_s=options.wait,
            watch=bar,
        )
    if options.json:
        write_json(report)
    else:
        console = terminal()
        console.print(
            f"{report.events:,} events and {report.rejected:,} rejected ones erased; "
            f"{report.segments_rewritten:,} of {report.segments_searched:,} archived segments rewritten.",
            highlight=False,
        )
        if report.segments_unreadable or report.damaged_files:
            console.print(
                f"Not searched: {report.segments_unreadable:,} unreadable segments and {report.damaged_files:,} files "
                "in damaged/ folders; look at them yourself.",
                highlight=False,
            )
    return PROBLEM if report.segments_unreadable or report.damaged_files else OK
