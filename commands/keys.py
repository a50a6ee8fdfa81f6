"""`sillok keys`: makes, lists, retires and revokes the write keys of the key file.

A key's text is shown once, when it is made; afterwards only its id is. The collector takes a change at its
next SIGHUP.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, get_args

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from collector_server.key_file import KeyRecord, KeyState, digest, edited_keys, make_key, read_keys
from collector_server.settings import KeyKind, KeyRights
from commands.key_log import note
from commands.settings import Settings
from commands.terminal import OK, add_config, add_json, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import FolderNotWritable, UsageError

HELP = "make, list, retire and revoke write keys; the collector takes changes at SIGHUP"

# As browsers send it: lower case, no path, the port only where it is not the scheme's own.
_ORIGIN: Final = re.compile(r"\*|(?:[a-z][a-z0-9+.-]*)://(?:[a-z0-9_.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")
_OWN_PORT: Final = re.compile(r"http://.*:80|https://.*:443")
_STEPS: Final[dict[KeyState, tuple[KeyState, ...]]] = {"retiring": ("active",), "revoked": ("active", "retiring")}


class MadeKey(Struct, frozen=True):
    """A new key as `sillok keys make --json` shows it; `key` stands nowhere else."""

    key: str
    id: str
    source: str


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which actions there are."""
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION", dest="keys_command")
    make = actions.add_parser("make", help="make a key and show it, once")
    make.add_argument("--source", required=True, help="which app; becomes the column `source`")
    make.add_argument("--kind", choices=get_args(KeyKind), default="browser", help="default: browser, also for apps")
    make.add_argument(
        "--origin", dest="origins", action="append", default=[], metavar="ORIGIN", help="web origin that may use it"
    )
    make.add_argument("--rate", type=float, metavar="EVENTS", help="events per second it may send (default: no limit)")
    list_ = actions.add_parser("list", help="show every key by its id, never its text")
    for action in (make, list_):
        add_json(action)
    changes = (
        ("retire", "mark a key: it works on, and the metrics count its use, until it is revoked"),
        ("revoke", "end a key: it is answered 401"),
    )
    for name, help_ in changes:
        actions.add_parser(name, help=help_).add_argument("key", metavar="KEY_OR_ID")
    add_config(actions)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do one action."""
    if options.keys_command == "make":
        made = make(settings, options.source, options.kind, options.origins, options.rate)
        write_json(made) if options.json else print_made(made)
    elif options.keys_command == "list":
        records = listed(settings)
        write_json(records) if options.json else print_keys(records, terminal())
    else:
        changed = change(settings, options.key, "retiring" if options.keys_command == "retire" else "revoked")
        sys.stdout.write(f"key {changed.id} of source {changed.source} is {changed.state} after the next SIGHUP\n")
    return OK


def make(settings: Settings, source: str, kind: KeyKind, origins: Sequence[str], rate: float | None) -> MadeKey:
    """Make a key and write it; raise UsageError for rights that cannot work."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin) or _OWN_PORT.fullmatch(origin):
            raise UsageError(f"{origin!r} is no origin as browsers send it: write https://m.example.com, no path")
    if kind == "server" and origins:
        raise UsageError("a server's key is a secret and has no place in a page: leave --origin out")
    rights = {"source": source, "kind": kind, "origins": tuple(origins), "events_per_second_max": rate}
    try:
        checked = msgspec.convert(rights, KeyRights)
    except msgspec.ValidationError as error:
        raise UsageError(f"no such key can be made: {error}") from error
    text, record = make_key(checked)
    with edited_keys(settings.keys_file(), taken_by(settings)) as records:
        records.append(record)
        note(settings.keys_file().resolve(), "keys make", record)
    return MadeKey(text, record.id, source)


def change(settings: Settings, key_or_id: str, state: KeyState) -> KeyRecord:
    """Give a key its next state; raise UsageError when it is not there or has gone further already."""
    hashed = digest(key_or_id)
    with edited_keys(settings.keys_file(), taken_by(settings)) as records:
        place = next((n for n, r in enumerate(records) if key_or_id == r.id or hashed == r.sha256), None)
        if place is None:
            raise UsageError(f"no such key in {settings.keys_file()}: `sillok keys list` shows the ids")
        former = records[place]
        if former.state not in _STEPS[state]:
            raise UsageError(f"key {former.id} is {former.state} already; make a new one with `sillok keys make`")
        now = datetime.now(UTC).replace(microsecond=0)
        records[place] = msgspec.structs.replace(former, state=state, changed=now)
        note(settings.keys_file().resolve(), "keys retire" if state == "retiring" else "keys revoke", former)
        return records[place]


def listed(settings: Settings) -> tuple[KeyRecord, ...]:
    """Return every key of the file; raise KeyFileBroken or FolderNotWritable when it cannot be read."""
    path = settings.keys_file()
    try:
        return read_keys(path, taken_by(settings))
    except OSError as error:
        raise FolderNotWritable(f"cannot read the key file {path}: {error.strerror}; check its permissions") from error


def taken_by(settings: Settings) -> set[str]:
    """Return the digests of the keys that stand in the settings."""
    return {digest(key.key) for key in settings.serve.keys}


def print_made(made: MadeKey) -> None:
    """Show a new key, once."""
    sys.stdout.write(
        f"{made.key}\n"
        f"This is key {made.id} of source {made.source}. It is not shown again: the file holds its hash only.\n"
        "The collector knows it after SIGHUP (systemctl reload, or kill -HUP of `sillok serve` or `sillok up`).\n"
    )


def print_keys(records: Sequence[KeyRecord], console: Console) -> None:
    """Show the keys as a table."""
    table = Table("id", "state", "source", "kind", "origins", "events/s", "created", "changed")
    for r in records:
        rate = f"{r.events_per_second_max:g}" if r.events_per_second_max else "no limit"
        days = [f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M %Z}" for moment in (r.created, r.changed)]
        table.add_row(r.id, r.state, r.source, r.kind, " ".join(r.origins) or "no pages", rate, *days)
    console.print(table, highlight=False)
