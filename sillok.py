"""The command: parse, load settings, build, run. No logic of its own."""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import msgspec
from rich.console import Console

from collector_server.settings import KeyKind
from collector_server.stdin import read_line
from collector_server.supervisor import Supervisor
from commands import keys
from commands.children import stop_with_signals, stop_with_stdin
from commands.database import find_dsn, find_migrated_dsn
from commands.demo import run_demo
from commands.doctor import examine
from commands.reconcile import add_arguments, reconcile
from commands.report import print_books
from commands.settings import Settings, load_settings, refuse_database_credentials
from commands.up import Installation
from contract.errors import SillokError, UsageError
from processor.run import Processor
from storage.embedded import running_dsn
from storage.loader import Loader
from storage.logs import configure_logs
from storage.migrate import migrate
from storage.postgres import connect

OK, PROBLEM, WRONG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 for fine, 1 for a problem found, 2 for wrong usage or settings."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        configure_logs(settings.log.level)
        command: Callable[[Settings, argparse.Namespace], int] = options.command
        return command(settings, options)
    except SillokError as error:
        sys.stderr.write(f"sillok: {error}\n")
        return WRONG if isinstance(error, UsageError) else PROBLEM
    except KeyboardInterrupt:
        return PROBLEM


def _settings(options: argparse.Namespace) -> Settings:
    if options.settings_from_stdin:
        return msgspec.json.decode(read_line(), type=Settings)
    return load_settings(options.config, os.environ)


def _stop_event(options: argparse.Namespace) -> threading.Event:
    stop = threading.Event()
    stop_with_signals(stop)
    if options.settings_from_stdin:
        stop_with_stdin(stop)
    return stop


def _up(settings: Settings, _options: argparse.Namespace) -> int:
    stop = threading.Event()
    stop_with_signals(stop)
    with Installation(settings) as installation:
        signal.signal(signal.SIGHUP, lambda *_: installation.reload())
        installation.announce()
        installation.run(stop)
    return OK


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    refuse_database_credentials(settings, os.environ)
    supervisor = Supervisor(settings.located_serve(), settings.located_spool(), settings.log.level)
    return asyncio.run(supervisor.run(stop_with_stdin=options.settings_from_stdin))


def _load(settings: Settings, options: argparse.Namespace) -> int:
    stop = _stop_event(options)
    loader = Loader(
        settings.load,
        find_migrated_dsn(settings, "load"),
        settings.spool_folder(),
        settings.spool.archive_grace_days,
    )
    loader.run(stop, once=options.once)
    return OK


def _process(settings: Settings, options: argparse.Namespace) -> int:
    stop, reload = _stop_event(options), threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    Processor(settings.process, find_migrated_dsn(settings, "process"), reload).run(stop, once=options.once)
    return OK


def _migrate(settings: Settings, _options: argparse.Namespace) -> int:
    with connect(find_dsn(settings, "migrate"), application="sillok migrate") as connection:
        names = list(migrate(connection))
    sys.stdout.write("".join(f"applied {name}\n" for name in names) or "nothing to do: the schema is up to date\n")
    return OK


def _reconcile(settings: Settings, options: argparse.Namespace) -> int:
    books = reconcile(settings, options)
    if options.json:
        _write_json(books)
    else:
        print_books(books, _console())
    return OK if books.holds else PROBLEM


def _doctor(settings: Settings, options: argparse.Namespace) -> int:
    dsn = settings.process.dsn or running_dsn(Path(settings.data.folder) / "postgres")
    findings = list(examine(settings, dsn))
    if options.json:
        _write_json(findings)
    else:
        console = _console()
        for finding in findings:
            mark = "[red]!![/]" if finding.advice else "[green]ok[/]"
            advice = f"\n   → {finding.advice}" if finding.advice else ""
            console.print(f"{mark} {finding.check}: {finding.result}{advice}", highlight=False)
    return PROBLEM if any(finding.advice for finding in findings) else OK


def _keys(settings: Settings, options: argparse.Namespace) -> int:
    if options.keys_command == "make":
        made = keys.make(settings, options.source, options.kind, options.origins, options.rate)
        _write_json(made) if options.json else keys.print_made(made)
    elif options.keys_command == "list":
        records = keys.listed(settings)
        _write_json(records) if options.json else keys.print_keys(records, _console())
    else:
        changed = keys.change(settings, options.key, "retiring" if options.keys_command == "retire" else "revoked")
        sys.stdout.write(f"key {changed.id} of source {changed.source} is {changed.state} after the next SIGHUP\n")
    return OK


def _write_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def _demo(settings: Settings, _options: argparse.Namespace) -> int:
    return run_demo(settings, _console())


def _console() -> Console:
    """Return the terminal; where there is none, tables may be wide."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def _add_keys(command: argparse.ArgumentParser) -> None:
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
        action.add_argument("--json", action="store_true", help="print JSON")
    changes = (
        ("retire", "mark a key: it works on, and the metrics count its use, until it is revoked"),
        ("revoke", "end a key: it is answered 401"),
    )
    for name, help_ in changes:
        actions.add_parser(name, help=help_).add_argument("key", metavar="KEY_OR_ID")
    for action in actions.choices.values():
        action.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="settings, as above")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sillok",
        description="Collects behaviour events on your own machines: durable when acknowledged, cleaned exactly "
        "once, with books that prove it. `sillok up` runs everything on this machine.",
        epilog="Exit status: 0 fine, 1 a problem was found, 2 wrong usage or settings.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Settings, argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_, description=help_[:1].upper() + help_[1:] + ".")
        command.add_argument("--config", metavar="FILE", help="settings (default: $SILLOK_CONFIG, ./sillok.toml)")
        command.add_argument("--settings-from-stdin", action="store_true", help=argparse.SUPPRESS)
        command.set_defaults(command=run)
        return command

    add("up", _up, "run everything on this machine: database, collector, loader, processor")
    add("serve", _serve, "run the collector: HTTP in, spool out; holds no database credentials")
    for name, run, help_ in (
        ("load", _load, "run the loader: sealed spool segments into raw.events"),
        ("process", _process, "run the processor: raw.events into clean"),
    ):
        add(name, run, help_).add_argument("--once", action="store_true", help="stop when nothing is left to do")
    add_arguments(add("reconcile", _reconcile, "print the books of a day or a range; exit 0 only when they balance"))
    add("migrate", _migrate, "bring the database's schema up to date")
    add("doctor", _doctor, "check everything and say what to do").add_argument(
        "--json", action="store_true", help="print JSON"
    )
    _add_keys(add("keys", _keys, "make, list, retire and revoke write keys; the collector takes changes at SIGHUP"))
    add("demo", _demo, "run everything in a temporary folder with simulated visitors, and print the books")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
