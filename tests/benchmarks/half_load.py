"""`python -m tests.benchmarks.half_load`: how long a durable answer takes at half of what the collector can do.

The full rate is found by wrk, as in `collector.py`. Then a process of its own (`open_loop.c`, compiled here) sends at
half of it on a fixed schedule, and counts from when a request was due: a closed loop, which waits for each answer
before it asks again, would leave out the very requests a stall has delayed. Latencies are the collector's only as
far as the driver itself was on time: its lag stands beside them, and a driver that was late is called the limit.

BENCH_SECONDS is the length of each run, BENCH_LOAD the part of the full rate (0.5).
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.collector import SECONDS, Served, bodies_of, has, rate_of, serving, wrk, wrk_script
from tests.benchmarks.results import record

LOAD: Final = float(os.environ.get("BENCH_LOAD", "0.5"))
CONNECTIONS: Final = 256
_LAG_US_MAX: Final = 3_000
_SOURCE: Final = Path(__file__).with_name("open_loop.c")
_HEAD: Final = (
    "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer demo\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


def main() -> int:
    """Print one line per case."""
    if not has("wrk", "cc"):
        return 2
    print(f"durable answers at {LOAD:.0%} of the full rate, milliseconds since a request was due")
    print(
        "workers  batch   full rate/s  sent/s      p50     p90     p99   p99.9      max  non-200  connected  driver late p99, max"
    )
    with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder:
        driver = compiled(Path(folder))
        for workers in (1, 2):
            for events in (1, 10, 50):
                _case(driver, workers, events)
    return 0


def _case(driver: Path, workers: int, events: int) -> None:
    with serving(workers) as served:
        script = wrk_script(served.folder, events, "plain")
        wrk(served.port, script, 1)
        full = rate_of(wrk(served.port, script, SECONDS))
        said = drive(driver, served, events, full * LOAD)
    _print(workers, events, full, said)
    _record(f"{workers} worker{'s' * (workers > 1)}, batches of {events}", full, said)


def compiled(folder: Path) -> Path:
    """Compile the driver into a folder."""
    driver = folder / "open_loop"
    subprocess.run(["cc", "-O2", "-o", str(driver), str(_SOURCE)], check=True)
    return driver


def drive(driver: Path, served: Served, events: int, rate: float, *, each_once: bool = False) -> dict[str, Any]:
    """Send batches on a schedule, `rate` of them a second, the same ones in turn or each once; return what was said."""
    # Each connection sends one before the schedule begins.
    bodies = bodies_of(events, int(rate * SECONDS) + CONNECTIONS) if each_once else bodies_of(events)
    requests = _requests(served.folder, served.port, bodies)
    command = [driver, str(served.port), str(CONNECTIONS), str(rate), str(SECONDS), requests]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _requests(folder: Path, port: int, bodies: Iterable[bytes]) -> Path:
    """Write the requests as the driver reads them: each behind its length."""
    file = folder / "requests"
    with file.open("wb") as out:
        for data in bodies:
            request = (_HEAD % (port, len(data))).encode() + data
            out.write(struct.pack("<I", len(request)) + request)
    return file


def _print(workers: int, events: int, full: float, said: dict[str, Any]) -> None:
    latency, lag = said["latency"], said["lag"]
    figures = " ".join(f"{latency[name] / 1000:7.1f}" for name in ("p50", "p90", "p99", "p999"))
    print(
        f"{workers:7}  {events:5} {full:13,.0f} {said['answered'] / SECONDS:7,.0f}  {figures}  {latency['max'] / 1000:7.1f} "
        f"{said['not_200']:8} {said['first'] / 1000:10.0f} {lag['p99'] / 1000:13.1f}, {lag['max'] / 1000:.1f}",
        flush=True,
    )
    if said["answered"] < said["sent"]:
        print(f"         {said['sent'] - said['answered']} requests were never answered: it cannot take this load")
    if said["waited"]:
        print(f"         {said['waited']} requests waited for one of {CONNECTIONS} connections; their wait is counted")
    if lag["p99"] > _LAG_US_MAX:
        print("         the driver was late itself: these latencies are this machine's limit, not the collector's")


def _record(name: str, full: float, said: dict[str, Any]) -> None:
    record("half load", f"{name}: full rate", full, "requests/s")
    for title, key in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"), ("longest", "max")):
        record("half load", f"{name}: {title}", said["latency"][key] / 1000, latency_unit(said))


def latency_unit(said: dict[str, Any]) -> str:
    """Return the unit, and that it is the driver's own lateness where it was late."""
    return "ms, driver late" if said["lag"]["p99"] > _LAG_US_MAX else "ms"


if __name__ == "__main__":
    sys.exit(main())
