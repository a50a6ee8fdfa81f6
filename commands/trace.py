"""`sillok trace`: where is this event."""

import argparse
import sys
from uuid import UUID

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_json, progress, write_json
from contract.calendar import SEOUL
from processor.operate.trace import Arrival, trace

HELP = "say where an event is: segment and position, load, raw row, and what became of it"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which event."""
    command.add_argument("event_id", type=UUID, metavar="EVENT_ID", help="the event's UUID")
    command.add_argument("--source", metavar="SOURCE", help="only of this app (ids of two apps may be equal)")
    add_json(command)
    command.epilog = "Exit status 1: it is nowhere, or a row of it is gone. Looks into this machine's spool as well."


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Trace it."""
    with operating(settings, "trace") as connection, progress("archive") as bar:
        arrivals = trace(connection, find_spool(settings), options.event_id, options.source, bar)
    if options.json:
        write_json(arrivals)
    elif arrivals:
        sys.stdout.write("\n".join(_described(arrival) for arrival in arrivals))
    else:
        sys.stdout.write(f"{options.event_id} is nowhere: not in the tables, not in this machine's spool\n")
    is_well = arrivals and all(a.outcome != "lost" and a.raw != "the row is gone" for a in arrivals)
    return OK if is_well else PROBLEM


def _described(a: Arrival) -> str:
    lines = [
        f"{a.source}, received {a.received_at.astimezone(SEOUL):%Y-%m-%d %H:%M:%S.%f %Z}",
        f"  outcome   {a.outcome}{': ' if a.detail else ''}{a.detail}",
        f"  raw       {a.raw}",
        f"  load      {a.load_id or 'none'}",
    ]
    if a.place is None:
        lines.append("  segment   not found on this machine")
    else:
        p = a.place
        lines.append(f"  segment   {p.segment} of slot {p.slot}, spool {p.spool_id}: {p.state}")
        lines.append(f"            group {p.group}, frame {p.frame}, event {p.index} of {p.file}")
    return "\n".join(lines) + "\n"
