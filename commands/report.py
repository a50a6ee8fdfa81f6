"""The books for people: tables on a terminal, in words that name the minute, source and stage."""

from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract.calendar import SEOUL
from processor.books import Books, ClientAccount, Difference

_DIFFERENCES_SHOWN = 20


def print_books(books: Books, console: Console) -> None:
    """Print the books of a range."""
    span = f"{_korean(books.range_from)} … {_korean(books.range_until)}"
    state = "final" if books.final else f"open: finished until {_moment(books)}"
    console.print(f"[bold]Books[/] of what was received {span} ({state})\n", highlight=False)
    _print_flow(books, console)
    table = Table(title="Identities, by minute, source and type, with hash sums", title_justify="left")
    table.add_column("identity")
    table.add_column("holds")
    for name, holds in books.identities.items():
        table.add_row(name, "[green]yes[/]" if holds else "[red]NO[/]")
    console.print(table)
    if books.clients:
        _print_clients(books.clients, console)
    _print_differences(books.differences, console)
    console.print("[bold green]The books balance.[/]" if books.balanced else "[bold red]The books do NOT balance.[/]")


def _moment(books: Books) -> str:
    return _korean(books.finished_until) if books.finished_until else "nothing yet"


def _korean(moment: datetime) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M}"


def _print_flow(books: Books, console: Console) -> None:
    columns = {
        "received": ("spool.received",),
        "rejected": ("spool.rejected",),
        "accepted": ("spool.accepted",),
        "loaded": ("load.loaded",),
        "clean": ("process.clean",),
        "duplicate": ("process.duplicate",),
        "dead letter": ("load.dead_lettered", "process.dead_lettered"),
        "damaged": ("load.damaged",),
        "pending": ("pending",),
    }
    table = Table(title="Events by source", title_justify="left")
    table.add_column("source")
    for name in columns:
        table.add_column(name, justify="right")
    for source, totals in sorted(books.totals.items()):
        counts = [sum(totals.get(account, 0) for account in accounts) for accounts in columns.values()]
        table.add_row(escape(source), *(f"{n:,}" for n in counts))
    console.print(table)


def _print_clients(clients: list[ClientAccount], console: Console) -> None:
    table = Table(title="What the SDKs say they made (shown beside; never forced to balance)", title_justify="left")
    for name in ("source", "platform", "app version"):
        table.add_column(name)
    for name in ("instances", "created", "arrived", "dropped", "pending", "vanished"):
        table.add_column(name, justify="right")
    for c in clients:
        counts = (c.instances, c.created, c.arrived, c.dropped, c.pending, c.vanished)
        table.add_row(escape(c.source), escape(c.platform), escape(c.app_version), *(f"{n:,}" for n in counts))
    console.print(table)


def _print_differences(differences: list[Difference], console: Console) -> None:
    for d in differences[:_DIFFERENCES_SHOWN]:
        what = escape(f"{d.source or '(no source)'} {d.event_type}".strip())
        console.print(
            f"[red]difference[/] {_korean(d.minute)} {what}: {d.identity}: "
            f"{d.left[0]:,} against {d.right[0]:,}"
            + (" (equal counts, other events)" if d.left[0] == d.right[0] else "")
            + ("" if d.final else " (minute still open)"),
            highlight=False,
        )
    if len(differences) > _DIFFERENCES_SHOWN:
        console.print(f"… and {len(differences) - _DIFFERENCES_SHOWN} more; --json lists all")
