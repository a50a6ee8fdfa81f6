"""The command: parse, load settings, run. Each command is a module of `commands/`."""

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from collector_server.stdin import read_line
from commands import (
    audit,
    dead_letters,
    demo,
    doctor,
    erase,
    export,
    held,
    keys,
    load,
    loadtest,
    metrics,
    migrate,
    process,
    psql,
    purge,
    reconcile,
    replay,
    retention,
    sbom,
    serve,
    settings_list,
    spool,
    tail,
    trace,
    up,
)
from commands.settings import Settings, load_settings
from commands.terminal import OK, PROBLEM, WRONG, Command
from contract.errors import SillokError, UsageError
from storage.logs import configure_logs

COMMANDS: Final[dict[str, Command]] = {
    "up": up,
    "serve": serve,
    "load": load,
    "process": process,
    "reconcile": reconcile,
    "sql": psql,
    "tail": tail,
    "trace": trace,
    "dead-letters": dead_letters,
    "replay": replay,
    "erase": erase,
    "held": held,
    "purge": purge,
    "export": export,
    "retention": retention,
    "spool": spool,
    "migrate": migrate,
    "doctor": doctor,
    "metrics": metrics,
    "keys": keys,
    "settings": settings_list,
    "audit": audit,
    "sbom": sbom,
    "demo": demo,
    "loadtest": loadtest,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 for fine, 1 for a problem found, 2 for wrong usage or settings."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        # Who does not know yet what there is reads it; a script whose variable is empty was wrong all the same.
        parser.print_help()
        sys.stdout.flush()
        parser.error("say which COMMAND, one of those above")
    try:
        settings = _settings(options)
        configure_logs(settings.log.level)
        command: Command = options.command
        return command.run(settings, options)
    except SillokError as error:
        sys.stderr.write(f"sillok: {error}\n")
        return WRONG if isinstance(error, UsageError) else PROBLEM
    except KeyboardInterrupt:
        return PROBLEM


def _settings(options: argparse.Namespace) -> Settings:
    if options.settings_from_stdin:
        return msgspec.json.decode(read_line(), type=Settings)
    return load_settings(options.config, os.environ)


class _Version(argparse.Action):
    """Looked up only when somebody asks: it reads a folder."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object, **_named: object) -> None:
        parser.exit(OK, f"sillok {importlib.metadata.version('sillok')}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sillok",
        description="Collects behaviour events on your own machines: durable when acknowledged, cleaned exactly "
        "once, with books that prove it. `sillok up` runs everything on this machine.",
        epilog="Exit status: 0 fine, 1 a problem was found, 2 wrong usage or settings.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(command=None)
    for name, command in COMMANDS.items():
        help_ = command.HELP
        added = commands.add_parser(name, help=help_, description=help_[:1].upper() + help_[1:] + ".")
        added.add_argument("--config", metavar="FILE", help="settings (default: $SILLOK_CONFIG, ./sillok.toml)")
        added.add_argument("--settings-from-stdin", action="store_true", help=argparse.SUPPRESS)
        added.set_defaults(command=command)
        command.add_arguments(added)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
