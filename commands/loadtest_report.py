"""A load test on the terminal: how it goes, and how it went."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.report import Report
from loadtest.tally import Load


def progress_of(load: Load, report: Report) -> Table:
    """Return how the load goes."""
    table = Table.grid(padding=(0, 2))
    left = (
        f"step {len(report.steps) + 1}" if report.rate_grows else f"{max(0.0, report.seconds - load.seconds):.0f} left"
    )
    table.add_row(f"{load.seconds:6.0f} s, {left}", f"{load.acknowledged:,} acknowledged", f"{load.shed:,} shed")
    table.add_row("", f"p50 {load.p50_ms:.1f} ms   p99 {load.p99_ms:.1f} ms", f"lag {load.driver_lag_p99_ms:.1f} ms")
    return table


def print_report(report: Report, console: Console) -> None:
    """Print a run for people."""
    load, verdict = report.load, report.verdict
    console.print(
        f"[bold]Load test[/] {escape(report.run_id)}: {escape(report.shape)}, {load.seconds:g} s", highlight=False
    )
    counts = {
        "sent": load.sent,
        "acknowledged": load.acknowledged,
        "shed": load.shed,
        "refused": load.refused,
        "loaded": verdict.loaded,
        "clean": verdict.clean,
        "duplicate": verdict.duplicates,
        "missing": verdict.missing,
    }
    _print_table(console, "Events", list(counts), [[f"{count:,}" for count in counts.values()]], numbers=True)
    drained = verdict.drained_s
    clean = "not everything clean" if drained is None else f"everything clean {drained:g} s after the last answer"
    console.print(
        f"{load.achieved_rate:,.0f} events a second; answers p50 {load.p50_ms:.1f}, p99 {load.p99_ms:.1f}, p99.9 "
        f"{load.p999_ms:.1f}, at most {load.max_ms:.1f} ms from when they were due; {clean}",
        highlight=False,
    )
    if report.steps:
        _print_steps(report, console)
    if report.earlier:
        _print_earlier(report, console)
    rows = [
        [check.name, check.wanted, check.found, "[green]yes[/]" if check.holds else "[red]NO[/]"]
        for check in verdict.checks
    ]
    _print_table(console, "Verdict", ["claim", "wanted", "found", "holds"], rows)
    if not verdict.is_valid:
        console.print("[bold red]INVALID: the driver was the limit, not the server: nothing is known of it.[/]")
    else:
        console.print("[bold green]It took the load.[/]" if report.holds else "[bold red]It did NOT take the load.[/]")


def _print_steps(report: Report, console: Console) -> None:
    rows = [
        [
            f"{step.rate:,.0f}",
            f"{step.p50_ms:.1f}",
            f"{step.p99_ms:.1f}",
            f"{step.shed:,}",
            "—" if step.drained_s is None else f"{step.drained_s:g}",
            "[green]yes[/]" if step.holds else f"[red]NO[/] {step.broke}",
        ]
        for step in report.steps
    ]
    _print_table(console, "Steps", ["events/s", "p50 ms", "p99 ms", "shed", "clean after s", "held"], rows)


def _print_earlier(report: Report, console: Console) -> None:
    rows = [
        [
            f"{run.started_at.astimezone():%Y-%m-%d %H:%M %Z}",
            f"{run.achieved_rate:,.0f}",
            f"{run.p50_ms:.1f}",
            f"{run.p99_ms:.1f}",
            "—" if run.lag_p95_s is None else f"{run.lag_p95_s:.1f}",
            "—" if run.drained_s is None else f"{run.drained_s:g}",
            "—" if run.highest_rate is None else f"{run.highest_rate:,.0f}",
            "[green]yes[/]" if run.holds else "[red]NO[/]",
        ]
        for run in [*report.earlier[-3:], report.row()]
    ]
    names = ["like this one", "events/s", "p50 ms", "p99 ms", "clean p95 s", "drained s", "highest", "held"]
    _print_table(console, "Compared with earlier runs; the last line is this one", names, rows)


def _print_table(
    console: Console, title: str, names: list[str], rows: list[list[str]], *, numbers: bool = False
) -> None:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
