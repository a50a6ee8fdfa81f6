"""What `sillok loadtest` can be told, and what it refuses to be told."""

import argparse
import os
from pathlib import Path
from urllib.parse import urlsplit

from collector_server.client_address import is_loopback
from commands.terminal import add_json
from contract.errors import UsageError
from loadtest.driver import CONNECTIONS_MAX
from loadtest.shapes import SHAPES

P99_MS = 1_000.0


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say where, how much, for how long, and what is good enough."""
    add = command.add_argument
    add("--url", default="http://127.0.0.1:7070", help="the collector (http://127.0.0.1:7070)")
    add("--key", required=True, metavar="KEY", help="a write key of kind test, whose source is the run's")
    _add_load(command)
    _add_bounds(command)
    add("--i-own-this-server", metavar="HOST", help="name the host, when it is not this machine")
    add("--html", type=Path, metavar="FILE", help="also write one self-contained page")
    add(
        "--history",
        type=Path,
        metavar="FILE",
        help="where runs are kept, to be compared with (~/.local/state/sillok/loadtest.sqlite)",
    )
    add_json(command)


def _add_load(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("the load").add_argument
    add("--shape", choices=SHAPES, default="constant", help="the course of the load (constant)")
    add(
        "--rate",
        type=_positive,
        default=1_000.0,
        metavar="N",
        help="events a second, at the peak; of the first step (1000)",
    )
    add("--seconds", type=_positive, default=30.0, metavar="S", help="how long; of each step (30)")
    add("--batch", type=_batch, default=10, metavar="N", help="events in a request (10)")
    add("--seed", type=int, default=1, metavar="N", help="which visitors (1)")
    add("--run-id", default="", metavar="TEXT", help="what makes the ids new (the time)")
    add("--duplicates", type=_share, default=0.02, metavar="SHARE", help="batches sent twice (0.02)")
    add("--malformed", type=_share, default=0.01, metavar="SHARE", help="batches with a bad event (0.01)")
    add("--gzip", type=_share, default=0.5, metavar="SHARE", help="batches compressed (0.5)")
    add("--replay", type=Path, metavar="PATH", help="send what was recorded: a spool's folder, or an access log")
    add("--speed", type=_positive, default=1.0, metavar="N", help="replay so many times as fast (1)")
    add("--connections", type=_connections, default=CONNECTIONS_MAX, metavar="N", help="kept open at most (256)")
    add("--site", default="http://localhost", metavar="URL", help="where the access log's pages are (http://localhost)")


def _add_bounds(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("what is good enough").add_argument
    add("--p99-ms", type=_positive, default=P99_MS, metavar="MS", help="answers, from when they were due (1000)")
    add("--drain-s", type=_positive, metavar="S", help="from the last answer until everything is clean")
    add("--max-shed", type=int, default=0, metavar="N", help="events that may be shed (0)")
    add("--max-lag-ms", type=_positive, default=100.0, metavar="MS", help="of the driver itself (100)")
    add("--patience", type=_positive, default=120.0, metavar="S", help="wait so long for the tables (120)")


def checked_host(options: argparse.Namespace) -> str:
    """Return the host of the collector; raise UsageError when it may not be loaded."""
    try:
        parts = urlsplit(options.url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"--url: {error}: write http://HOST:PORT") from error
    if options.replay and options.shape != "constant":
        raise UsageError("--replay has a shape of its own: leave out --shape")
    if options.html and not (options.html.parent.is_dir() and os.access(options.html.parent, os.W_OK)):
        raise UsageError(f"cannot write {options.html}: choose another place for --html")
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError("--url: write http://HOST:PORT; TLS is the front's, and is not what is measured")
    if not is_local(parts.hostname) and options.i_own_this_server != parts.hostname:
        raise UsageError(
            f"{parts.hostname} is not this machine: say --i-own-this-server {parts.hostname} if it is yours"
        )
    return str(parts.hostname)


def is_local(host: str) -> bool:
    """Whether a host's name says that it is this machine."""
    return host == "localhost" or is_loopback(host)


def history_file(options: argparse.Namespace) -> Path:
    """Return where runs are kept; raise UsageError when that was not said and this user has no home."""
    if options.history:
        return Path(options.history)
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sillok" / "loadtest.sqlite"
    except RuntimeError as error:
        raise UsageError("this user has no home to keep the history of runs in: name a file with --history") from error


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write a number from 0 to 1")
    return share


def _connections(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of connections")
    return int(text)


def _batch(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:  # noqa: PLR2004 - the wire's limit
        raise argparse.ArgumentTypeError(f"{text!r} is no size of a batch: from 1 to 1000")
    return int(text)
