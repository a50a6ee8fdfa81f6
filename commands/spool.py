"""`sillok spool`: what operators do with the spool's slots, and with what is lost of its segments."""

import argparse
import sys
from uuid import UUID

from rich.table import Table

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_config, add_json, add_reason, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import UsageError
from processor.operate.losses import find_losses, write_off
from processor.operate.slots import retire_slot

HELP = "end a writer slot that will not come back; list what is lost, and write it off by name"


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
    actions.add_parser(
        "lost",
        help="list what is lost and holds up the books or the watermark",
        description="Groups that recovery could not read, segments that cannot be loaded, numbers that were skipped. "
        "Look for the files first: in damaged/, in backups of the spool's disk.",
    )
    write_off = actions.add_parser(
        "write-off",
        help="say that a loss is final: by its segment's name, with the reason",
        description="The books count it as damaged from then on, with who said so, when and why. What can be read of a "
        "segment without a footer is loaded; its file goes to damaged/. Nothing is deleted.",
    )
    write_off.add_argument(
        "segment", metavar="SEGMENT", help="its name, as `sillok spool lost` prints it: 1a2b3c4d.0.7"
    )
    add_reason(write_off)
    for action in actions.choices.values():
        add_json(action)
    add_config(actions)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do one action."""
    action = {"retire": _retire, "lost": _lost, "write-off": _write_off}[options.spool_command]
    return action(settings, options)


def _lost(settings: Settings, options: argparse.Namespace) -> int:
    with operating(settings, "spool lost") as connection:
        losses = find_losses(connection, find_spool(settings))
    if options.json:
        write_json(losses)
    elif losses:
        table = Table("segment", "what is lost", "received about")
        for loss in losses:
            minute = f"{loss.minute.astimezone(SEOUL):%Y-%m-%d %H:%M} KST" if loss.minute else ""
            table.add_row(loss.segment, _WHAT[loss.kind].format(loss.groups), minute)
        terminal().print(table, highlight=False)
        sys.stdout.write("When it is certain: `sillok spool write-off SEGMENT --reason …`\n")
    else:
        sys.stdout.write("Nothing is lost.\n")
    return PROBLEM if losses else OK


_WHAT = {
    "groups": "{} groups that not even recovery can read",
    "footer": "its footer: what it should hold is not known",
    "segment": "all of it: no loader ever had it, or its file cannot be read",
}


def _write_off(settings: Settings, options: argparse.Namespace) -> int:
    with operating(settings, "spool write-off") as connection:
        done = write_off(connection, find_spool(settings), options.segment, options.reason)
    said = {
        "groups": f"{done.groups} lost groups of segment {done.segment} are written off as damaged",
        "footer": f"what can be read of segment {done.segment} is sealed anew and will be loaded; "
        "if a group of it is lost, `sillok spool lost` names it then",
        "segment": f"segment {done.segment} is written off as damaged; the watermark goes on once it is processed",
    }
    if options.json:
        write_json(done)
    else:
        sys.stdout.write(said[done.kind] + "\n")
    return OK


def _retire(settings: Settings, options: argparse.Namespace) -> int:
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
