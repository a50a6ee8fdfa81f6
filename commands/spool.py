"""`sillok spool`: what operators do with the spool's slots."""

import argparse
import sys
from uuid import UUID

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, add_config, add_json, add_reason, write_json
from contract.errors import UsageError
from processor.operate.slots import retire_slot

HELP = "end a writer slot that will not come back"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which actions there are."""
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION", dest="spool_command")
    retire = actions.add_parser(
        "retire",
        help="stop waiting for a slot that will not come back",
        description="The watermark waits for every slot a loader has seen. After fewer workers, or a machine that is "
        "gone, this says which one is not to be waited for. Refused while the slot lives or holds events.",
    )
    retire.add_argument("--slot", type=int, required=True, metavar="N", help="the slot: slot-0003 is 3")
    retire.add_argument("--spool-id", type=UUID, metavar="UUID", help="whose slot (default: this machine's spool)")
    add_reason(retire)
    add_json(retire)
    add_config(actions)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Retire a slot."""
    spool = find_spool(settings)
    spool_id = options.spool_id or (spool.spool_id if spool else None)
    if spool_id is None:
        raise UsageError(f"there is no spool in {settings.spool_folder()}: name one with --spool-id, see ops.slots")
    here = spool if spool is not None and spool.spool_id == spool_id else None
    with operating(settings, "spool retire") as connection:
        retired = retire_slot(connection, here, spool_id, options.slot, options.reason)
    if options.json:
        write_json(retired)
    else:
        already = "was retired already" if retired.was_retired else "is retired; it comes back when it is written to"
        sys.stdout.write(f"slot {retired.slot} of spool {retired.spool_id} {already}\n")
    return OK
