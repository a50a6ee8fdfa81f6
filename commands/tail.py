"""`sillok tail`: events as they become clean.

The processor cleans in numbered runs, one after the other, so what is new is what runs after the last one seen have
cleaned: nothing is shown twice or left out, however late a segment comes.
"""

import argparse
import contextlib
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

import psycopg
from psycopg.rows import namedtuple_row
from rich.cells import set_cell_size

from commands.children import stop_event
from commands.database import find_migrated_dsn
from commands.settings import Settings
from commands.terminal import OK
from contract.errors import DatabaseUnavailable
from contract.event import EVENT_TYPES
from storage.postgres import connect, read_sql

HELP = "show events as they become clean"

_POLL_S: Final = 0.3
_RUNS_BACK: Final = 200
_ROWS: Final = 2_000
_COLUMNS: Final = (("time (KST)", 14), ("source", 10), ("type", 10), ("page", 20), ("what", 26), ("channel", 14),
                   ("device", 8), ("flags", 0))  # fmt: skip


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which, and how they are shown."""
    command.add_argument("--source", metavar="SOURCE", help="only of this app")
    command.add_argument("--type", action="append", choices=EVENT_TYPES, metavar="TYPE",
                         help=f"only of this type; may be repeated ({', '.join(EVENT_TYPES)})")  # fmt: skip
    command.add_argument(
        "-n", "--last", type=_count, default=10, metavar="N", help="begin with the last N that are there (default: 10)"
    )
    command.add_argument("--json", action="store_true", help="print each event whole, as one line of JSON")
    command.epilog = "An event is shown some seconds after its receipt, when it is clean. Ctrl-C ends it."


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Follow until Ctrl-C, or until nobody reads any more."""
    dsn = find_migrated_dsn(settings, "process")
    stop = stop_event(with_stdin=False)
    with contextlib.suppress(BrokenPipeError):
        try:
            with connect(dsn, role="sillok_processor", application="sillok tail") as connection:
                connection.execute("set default_transaction_read_only = on")
                _follow(connection, options, stop)
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable("the database went away: start `sillok tail` again when it is back") from error
    _leave_quietly()
    return OK


def _follow(connection: psycopg.Connection, options: argparse.Namespace, stop: threading.Event) -> None:
    seen = _last_run(connection)
    _write([] if options.json else [_line([name for name, _ in _COLUMNS])], stop)
    _write(_earlier(connection, options, seen), stop)
    while not stop.wait(_POLL_S):
        newest = _last_run(connection)
        if newest > seen:
            _write(_cleaned(connection, options, seen + 1, newest), stop)
            seen = newest


def _last_run(connection: psycopg.Connection) -> int:
    (run,) = connection.execute("select coalesce(max(run_id), 0) from ops.runs").fetchone() or (0,)
    return int(run)


def _earlier(connection: psycopg.Connection, options: argparse.Namespace, last: int) -> Iterator[str]:
    """Yield the last events of the last runs, as many as are wanted and found."""
    found: deque[str] = deque()
    for run in range(last, max(last - _RUNS_BACK, 0), -1):
        if len(found) >= options.last:
            break
        tail = deque(_cleaned(connection, options, run, run), maxlen=options.last - len(found))
        found.extendleft(reversed(tail))
    yield from found


def _cleaned(connection: psycopg.Connection, options: argparse.Namespace, first: int, last: int) -> Iterator[str]:
    """Yield what these runs cleaned, as it is shown."""
    loads, received_from, received_until = connection.execute(
        "select array_agg(distinct p.load_id), min(r.received_at), max(r.received_at)"
        " from ops.processed p join raw.events r using (load_id) where p.run_id between %s and %s",
        (first, last),
    ).fetchone() or (None, None, None)
    if not loads:
        return
    asked = {"load_ids": loads, "received_from": received_from, "received_until": received_until,
             "source": options.source, "types": options.type, "as_json": options.json}  # fmt: skip
    with connection.transaction(), connection.cursor(name="tail", row_factory=namedtuple_row) as cursor:
        cursor.itersize = _ROWS
        rows: Iterator[Any] = iter(cursor.execute(read_sql("commands.sql", "tail.sql").encode(), asked))
        for row in rows:
            yield row.whole if options.json else _shown(row)


def _shown(row: Any) -> str:
    return _line(
        [row.shown_time, row.source, row.event_type, row.page, row.what, row.channel, row.device_type, row.flags]
    )


def _line(cells: list[str]) -> str:
    """Return cells in columns; a Korean letter is two wide, and what would move the cursor is shown as a mark."""
    plain = ("".join(letter if letter.isprintable() else "�" for letter in cell) for cell in cells)
    columns = zip(plain, _COLUMNS, strict=True)
    return "  ".join(set_cell_size(cell, width) if width else cell for cell, (_, width) in columns).rstrip()


def _write(lines: Iterable[str], stop: threading.Event) -> None:
    for line in lines:
        if stop.is_set():
            break
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _leave_quietly() -> None:
    """Write what is left, if anybody still reads; the interpreter would complain of a pipe that is closed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the rest of the process


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of events")
    return int(text)
