"""What every command shares: exit statuses, the terminal, JSON for machines, times as people write them."""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from commands.settings import Settings
from contract.calendar import SEOUL

OK: Final = 0
PROBLEM: Final = 1
WRONG: Final = 2


class Command(Protocol):
    """A module of `commands/` that is a command."""

    HELP: str

    def add_arguments(self, command: argparse.ArgumentParser, /) -> None:
        """Say which arguments it takes."""
        ...

    def run(self, settings: Settings, options: argparse.Namespace, /) -> int:
        """Do it; return its exit status."""
        ...


def terminal() -> Console:
    """Return the terminal; where there is none, tables may be wide."""
    return Console() if sys.stdout.isatty() else Console(width=120)


def write_json(value: object) -> None:
    """Print a value as JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def add_json(command: argparse.ArgumentParser) -> None:
    """Let a machine read what the command prints."""
    command.add_argument("--json", action="store_true", help="print JSON")


def add_reason(command: argparse.ArgumentParser) -> None:
    """Ask why: it is written down."""
    command.add_argument(
        "--reason", required=True, metavar="TEXT", help="why; kept in ops.actions, so no personal data"
    )


def add_config(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Let the settings be named behind an action too."""
    for action in actions.choices.values():
        action.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="settings, as above")


def moment(text: str) -> datetime:
    """Read a day or a time; without an offset it is Korean."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 2026-09-21 or 2026-09-21T13:00") from None
    return found if found.tzinfo else found.replace(tzinfo=SEOUL)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the block as Ctrl-C does, so that it clears up; once, then they wait."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def progress(what: str) -> Iterator["Bar"]:
    """Show a bar on standard error while long work goes on, when a terminal watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        yield Bar(shown, what)


class Bar:
    """How far long work has come."""

    def __init__(self, shown: Progress, what: str) -> None:
        self._shown = shown
        self._task = shown.add_task(what, total=None)

    def __call__(self, done: int, total: int | None = None) -> None:
        """Say how much is done, and of how much where that is known."""
        self._shown.update(self._task, completed=done, total=total)
