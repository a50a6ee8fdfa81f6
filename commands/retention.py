"""`sillok retention`: what is past its time goes; `--list` says what is kept how long."""

import argparse
from collections.abc import Iterator
from datetime import datetime

from rich.markup import escape
from rich.table import Table

from commands.database import find_spool, operating
from commands.key_log import log_path
from commands.settings import Settings
from commands.terminal import OK, add_json, terminal, write_json
from contract.calendar import SEOUL
from processor.operate.actions import operating_user
from processor.operate.keeping import Kept, tables_kept
from processor.retention import drop_expired, expired
from storage.spool.usage import measure

HELP = "say what is kept how long; drop what is past its time, as the processor does every hour"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say whether to look only."""
    look = command.add_mutually_exclusive_group()
    look.add_argument("--list", action="store_true", help="say what is kept how long, and drop nothing")
    look.add_argument("--dry-run", action="store_true", help="say what is past its time, and drop nothing")
    add_json(command)
    command.epilog = (
        "How long things are kept stands in [retention]. Never dropped: a day of raw with rows that are not processed."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Drop, or look."""
    if options.list:
        return _list(settings, options)
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


def _list(settings: Settings, options: argparse.Namespace) -> int:
    with operating(settings, "retention") as connection:
        found = [*tables_kept(connection, settings.retention), *_spool_kept(settings)]
    if options.json:
        write_json(found)
        return OK
    table = Table("where", "what", "kept", "oldest", "MiB", "setting")
    for kept in found:
        size = "" if kept.bytes is None else f"{kept.bytes / 2**20:,.1f}"
        table.add_row(kept.where, kept.what, kept.kept, str(kept.oldest or ""), size, escape(kept.setting))
    terminal().print(table, highlight=False)
    return OK


def _spool_kept(settings: Settings) -> Iterator[Kept]:
    """Yield what this machine's spool keeps; without one, how long a collector's does."""
    spool = find_spool(settings)
    slots = spool.slots() if spool else []
    usages = [measure(slot) for slot in slots]
    archived = [path for slot in slots if slot.archive.exists() for path in slot.archive.iterdir()]
    oldest = min((path.stat().st_mtime for path in archived), default=None)
    where = str(spool.path) if spool else "each collector's spool"
    grace = f"{settings.spool.archive_grace_days:g} days, less when the disk is full"
    yield Kept(
        where=f"{where}, archive", what="loaded segments: events as they were sent", kept=grace,
        setting="[spool] archive_grace_days", bytes=sum(u.archived_bytes for u in usages) if spool else None,
        oldest=datetime.fromtimestamp(oldest, SEOUL).date() if oldest else None,
    )  # fmt: skip
    yield Kept(
        where=where, what="segments that wait for the loader", kept="until loaded",
        bytes=sum(u.waiting_bytes for u in usages) if spool else None,
    )  # fmt: skip
    yield Kept(
        where=f"{where}, damaged", what="bytes that recovery moved aside", kept="until you remove them",
        bytes=sum(u.damaged_bytes for u in usages) if spool else None,
    )  # fmt: skip
    yield Kept(where=str(log_path(settings.keys_file())), what="who made and revoked write keys", kept="for ever")
