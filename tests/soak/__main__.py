"""`python -m tests.soak`: a whole installation under load for half an hour, with a fault every minute.

What is run is in `site.py`, what befalls it in `faults.py`. From the environment: SOAK_RATE (events a second, 1500), SOAK_MINUTES
(30), SOAK_EVERY_S (60), SOAK_SEED (1), SOAK_OUT (a file for everything that was measured, as JSON). As root it has file systems and networks
of its own to break; without, those faults are left out. It fails when an acknowledged event is lost, one is clean twice,
the books do not balance or do not become final, or a program ends by itself.
"""

import os
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from msgspec import Struct

from loadtest.tally import Load, Row
from loadtest.verdict import KEPT, Verdict
from processor.checks import run_checks
from storage.postgres import connect
from tests.soak.faults import Faults, Struck
from tests.soak.load import Run
from tests.soak.site import Site
from tests.soak.watch import Curve, Watch

_FINAL_S: Final = 300.0
# What was due while a fault lasted is answered some seconds later.
_AFTER_S: Final = 5.0


class Report(Struct):
    """Everything that was measured."""

    rate: float
    seed: int
    started_at: datetime
    load: Load
    verdict: Verdict
    books: dict[str, Any]
    faults: list[Struck]
    memory: dict[str, Curve]
    waiting_segments: list[tuple[float, int]]
    machine_load: list[float]
    problems: list[str]


def main() -> int:
    """Run it; return 0 when nothing was found."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # what was mounted and started is cleaned up
    rate = float(os.environ.get("SOAK_RATE", "1500"))
    seconds = 60 * float(os.environ.get("SOAK_MINUTES", "30"))
    every_s, seed = float(os.environ.get("SOAK_EVERY_S", "60")), int(os.environ.get("SOAK_SEED", "1"))
    with tempfile.TemporaryDirectory(prefix="sillok-soak-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL, started by root, is another user
        report = soak(Path(folder), rate, seconds, every_s, seed)
    print_report(report)
    out = Path(os.environ.get("SOAK_OUT") or Path(tempfile.gettempdir()) / f"sillok-soak-{seed}.json")
    out.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    print(f"everything that was measured: {out}")
    return 1 if report.problems else 0


def soak(folder: Path, rate: float, seconds: float, every_s: float, seed: int) -> Report:
    """Load, break, wait, judge."""
    with Site(folder).running() as site:
        print(
            f"{rate:,.0f} events/s for {seconds / 60:g} minutes, a fault every {every_s:g} s, seed {seed}", flush=True
        )
        run = Run(site.url, site.key, rate, seconds, seed)
        watch, faults = Watch(site), Faults(site, every_s, seed, say=lambda line: print(line, flush=True))
        watch.start()
        faults.start()
        try:
            load = run.send()
        finally:
            faults.stop()
        with connect(site.database.dsn) as connection:
            run.wait(connection, lambda clean: print(f"{clean:,} are clean", flush=True))
            books = _final_books(site, run.started_at)
            watch.stop()
            verdict = run.verdict(connection)
            problems = [
                f"{check.name}: {check.found}" for check in verdict.checks if not check.holds and check.name != KEPT
            ]
            problems += [f"{o.name}: {offender}" for o in run_checks(connection) for offender in o.offenders]
        problems += site.complaints()
        problems += [f"a fault could not be mended: {faults.failure!r}"] if faults.failure else []
        problems += [] if books["final"] else [f"the books are final only until {books['finished_until']}"]
        problems += [f"the books: {difference}" for difference in books["differences"]]
        return Report(
            rate, seed, run.started_at, load, verdict, books, faults.struck, watch.curves, watch.waiting,
            watch.machine_load, problems,
        )  # fmt: skip


def _final_books(site: Site, started_at: datetime) -> dict[str, Any]:
    """Return the books of the run once they are final, or what they are when patience ends."""
    until = datetime.now(UTC) + timedelta(minutes=1)
    ends = time.monotonic() + _FINAL_S
    while True:
        books = site.reconcile(started_at, until)
        if books["final"] or time.monotonic() > ends:
            return books
        time.sleep(5)


def print_report(report: Report) -> None:
    """Print the figures for people."""
    load, verdict = report.load, report.verdict
    print(
        f"\nsent {load.sent:,}, acknowledged {load.acknowledged:,} ({load.acknowledged / load.sent:.3%}), shed {load.shed:,}, "
        f"tries without an answer {load.tries_without_answer:,}, answers {load.statuses}\n"
        f"clean {verdict.clean:,}, duplicates {verdict.duplicates:,}, rejected {verdict.rejected:,}, lost {verdict.missing:,}, "
        f"twice {verdict.unexpected:,}; everything clean {verdict.drained_s} s after the last answer\n"
        f"books: final {report.books['final']}, differences {report.books['differences']}; most segments that waited: "
        f"{max((count for _, count in report.waiting_segments), default=0)}"
    )
    quiet = [row for row in load.rows if not _is_faulty(row, report.faults)]
    for name, rows in (("quiet", quiet), ("faulty", [row for row in load.rows if row not in quiet])):
        answered = [row for row in rows if row.acknowledged]
        if answered:
            print(
                f"{name:>6} time, {len(answered)} slices: p50 {median(r.p50_ms for r in answered):.1f} ms, p99 "
                f"{median(r.p99_ms for r in answered):.1f} ms at the median, {max(r.p99_ms for r in answered):,.0f} ms at most"
            )
    print(
        f"the machine: {os.cpu_count()} CPUs, load average {median(report.machine_load):.1f} at the median\n"
        f"the driver itself was late by {load.driver_lag_p99_ms:.1f} ms at p99{'' if verdict.is_valid else ': too busy a machine to measure latencies on'}\n"
    )
    for name, curve in report.memory.items():
        print(f"{name:>12} {curve.first:6.1f} → {curve.last:6.1f} MiB, at most {max(curve.mib):6.1f}  {curve.drawn()}")
    print("\n" + ("\n".join(report.problems) or "Nothing acknowledged was lost, nothing is twice, the books balance."))


def _is_faulty(row: Row, faults: list[Struck]) -> bool:
    return any(struck.from_s - 2 <= row.from_s <= struck.until_s + _AFTER_S for struck in faults)


if __name__ == "__main__":
    sys.exit(main())
