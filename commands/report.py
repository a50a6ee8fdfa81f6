"""The books for people: tables on a terminal, in words that name the minute, source and stage."""

from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contract.calendar import SEOUL
from processor.books import Books
from processor.clients import ClientAccount
from processor.equations import CLOSED, Difference
from processor.watermark import waiting_for

_DIFFERENCES_SHOWN = 20
# What one column of a table adds up.
COLUMNS = {
    "received": ("spool.received",),
    "rejected": ("spool.rejected",),
    "accepted": ("spool.accepted",),
    "loaded": ("load.loaded", "operator.loaded"),
    "clean": ("process.clean", "operator.clean"),
    "duplicate": ("process.duplicate", "operator.duplicate"),
    "dead letter": (
        "load.dead_lettered",
        "process.dead_lettered",
        "operator.dead_lettered",
        "operator.load_dead_lettered",
    ),
    "damaged": ("load.damaged",),
    "removed": ("operator.discarded", "operator.erased", "operator.purged"),
    "pending": ("pending",),
}


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
    _print_closes(books, console)
    _print_written_off(books, console)
    if books.outside:
        _print_outside(books, console)
    _print_differences(books.differences, console)
    _print_verdict(books, console)


def _moment(books: Books) -> str:
    return _korean(books.finished_until) if books.finished_until else "nothing yet"


def _korean(moment: datetime) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M %Z}"


def count(totals: dict[str, int], column: str) -> int:
    """Return one column's events of one source's accounts."""
    return sum(totals.get(account, 0) for account in COLUMNS[column])


def _print_flow(books: Books, console: Console) -> None:
    shown = [c for c in COLUMNS if c != "removed" or any(count(totals, c) for totals in books.totals.values())]
    table = Table(title="Events by source", title_justify="left")
    table.add_column("source")
    for name in shown:
        table.add_column(name, justify="right")
    for source, totals in sorted(books.totals.items()):
        table.add_row(escape(source), *(f"{count(totals, name):,}" for name in shown))
    console.print(table)


def _print_clients(clients: list[ClientAccount], console: Console) -> None:
    table = Table(title="What the SDKs say they made (shown beside; never forced to balance)", title_justify="left")
    for name in ("day", "source", "platform", "app version"):
        table.add_column(name)
    for name in ("instances", "created", "arrived", "dropped", "pending", "vanished"):
        table.add_column(name, justify="right")
    for c in clients:
        # From anybody's SDK: as many reasons as somebody likes to invent.
        reasons = ", ".join(f"{escape(reason)[:24]} {events:,}" for reason, events in sorted(c.dropped.items())[:4])
        counts = (f"{c.created:,}", f"{c.arrived:,}", reasons or "0", f"{c.pending:,}", f"{c.vanished:,}")
        names = (f"{c.day:%m-%d}", escape(c.source), escape(c.platform), escape(c.app_version))
        table.add_row(*names, f"{c.instances:,}", *counts)
    console.print(table)


def _print_closes(books: Books, console: Console) -> None:
    for close in books.written:
        what = "received day" if close.kind == "received_day" else "event day"
        again = f", restatement {close.revision}" if close.revision else ""
        console.print(f"[bold]Closed[/] {what} {close.day}{again}: {close.digest}", highlight=False)
    if books.closes:
        table = Table(title="Closes", title_justify="left")
        for name in ("day", "of", "revision", "closed", "digest"):
            table.add_column(name)
        for close in books.closes:
            kind = "what was received" if close.kind == "received_day" else "what happened"
            table.add_row(str(close.day), kind, str(close.revision), _korean(close.closed_at), close.digest[:16])
        console.print(table)
    for r in books.restatements:
        when = f"restatement {r.revision}" if r.revision else "to be restated by the next close"
        what = escape(f"{r.source} {r.event_type}") + (" (test keys)" if r.account == "clean_test" else "")
        console.print(
            f"[yellow]{when}[/] {r.day} {what}: {r.before:,} → {r.after:,} ({r.after - r.before:+,})", highlight=False
        )
    for day in books.raw_gone:
        console.print(f"raw.events of {day} is past its retention: held against the close instead", highlight=False)


def _print_written_off(books: Books, console: Console) -> None:
    for loss in books.written_off:
        what = (
            f"{loss.count} {'group' if loss.count == 1 else 'groups'} of segment"
            if loss.kind == "groups"
            else "segment"
        )
        console.print(
            f"[yellow]damaged[/] {_korean(loss.minute)}: {what} {loss.segment}, of unknown size, written off "
            f"{_korean(loss.at)} by {escape(loss.operator)}: {escape(loss.reason)}",
            highlight=False,
        )


def _print_outside(books: Books, console: Console) -> None:
    table = Table(title=f"What should have happened, within {books.outside_tolerance}", title_justify="left")
    for name in ("day", "type", "source", "name"):
        table.add_column(name)
    for name in ("expected", "found", "apart", "holds"):
        table.add_column(name, justify="right")
    for row in books.outside:
        names = (str(row.event_date), row.event_type, escape(row.source) or "all", escape(row.event_name) or "all")
        holds = "[green]yes[/]" if row.holds else "[red]NO[/]"
        open_ = "" if row.final else " (open)"
        table.add_row(*names, f"{row.expected:,}", f"{row.found:,}", f"{row.found - row.expected:+,}", holds + open_)
    console.print(table)
    if books.outside_left_out:
        console.print(f"{books.outside_left_out:,} expectations of other days were left out", highlight=False)


def where(d: Difference) -> str:
    """Say where a difference is: its day or minute, source and type."""
    moment = f"{d.minute.astimezone(SEOUL):%Y-%m-%d}" if d.identity == CLOSED else _korean(d.minute)
    return f"{moment} {f'{d.source} {d.event_type}'.strip() or '(no source)'}"


def _print_differences(differences: list[Difference], console: Console) -> None:
    for d in differences[:_DIFFERENCES_SHOWN]:
        detail = f" ({escape(d.detail)})" if d.detail else ""
        equal = " (equal counts, other events)" if d.left[0] == d.right[0] else ""
        console.print(
            f"[red]difference[/] {escape(where(d))}: {d.identity}{detail}: {d.left[0]:,} against {d.right[0]:,}"
            + equal
            + ("" if d.final else " (minute still open)"),
            highlight=False,
        )
    if len(differences) > _DIFFERENCES_SHOWN:
        console.print(f"… and {len(differences) - _DIFFERENCES_SHOWN} more; --json lists all")


def _print_verdict(books: Books, console: Console) -> None:
    if not books.final and (books.waiting or books.finished_until is None):
        console.print(f"The watermark waits: {escape(waiting_for(books.waiting, books.read_at))}", highlight=False)
    failed = sum(not row.holds for row in books.outside)
    if not books.balanced:
        console.print("[bold red]The books do NOT balance.[/]")
    elif books.stalled:
        console.print("[bold red]The books are NOT final: the watermark stands still.[/]")
    elif failed:
        console.print(f"[bold red]The books balance, but {failed} of what should have happened is NOT there.[/]")
    elif books.final:
        console.print("[bold green]The books balance.[/]")
    else:
        console.print("[bold green]The books balance so far[/]; minutes after the watermark are open.")
