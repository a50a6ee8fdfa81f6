"""`python -m tests.benchmarks.collector`: what the collector takes, per CPU-second of its workers.

wrk drives it from outside (one thread, 32 connections), so that the driver is not what is measured. All
is switched on: key, validation, masking, zstd, fdatasync before the answer. The bodies rotate through
many different ones: one repeated body would flatter the compression. The first lines are of a bare aiohttp
that reads the body and says 200: machines differ, the ratio to it travels.
"""

import contextlib
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.results import record
from tests.benchmarks.traffic import body
from tests.conftest import free_port

SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
BODIES = 200
TICKS = os.sysconf("SC_CLK_TCK")

_SCRIPT = """
local bodies, sizes = {}, {%SIZES%}
local file = io.open("%FILE%", "rb")
for i, size in ipairs(sizes) do bodies[i] = file:read(size) end
local headers = {["Authorization"] = "Bearer demo", ["Content-Type"] = "application/json"%ENCODING%}
local requests, n = {}, 0
init = function() for i, b in ipairs(bodies) do requests[i] = wrk.format("POST", "/v1/events", headers, b) end end
request = function() n = n % #requests + 1; return requests[n] end
"""


def main() -> int:
    """Print one line per case."""
    if not has("wrk"):
        return 2
    print("workers  batch  coding     requests/s     events/s  events/CPU-s   µs/request   p50 ms   p99 ms  non-200")
    bare_us = {events: _bare_case(events) for events in (1, 10, 50)}
    for workers in (1, 2):
        for coding in ("plain", "gzip"):
            for events in (1, 10, 50):
                _case(workers, events, coding, bare_us[events])
    return 0


def has(*programs: str) -> bool:
    """Say whether these programs are installed; tell who runs the benchmark which are not."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        sys.stderr.write(f"the benchmark needs {' and '.join(missing)}: see your distribution's packages\n")
    return not missing


def _case(workers: int, events: int, coding: str, bare_us: float) -> None:
    with serving(workers) as served:
        output, cpu = _drive(served.port, served.workers(), wrk_script(served.folder, events, coding))
    _print(workers, events, coding, output, cpu)
    name = f"{workers} worker{'s' * (workers > 1)}, batches of {events}, {coding}"
    _record(name, output, _request_us(output, cpu), bare_us)


class Served(NamedTuple):
    """A collector that runs."""

    port: int
    folder: Path
    pid: int

    def workers(self) -> list[int]:
        """Return its workers' processes."""
        return [int(p) for p in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@contextlib.contextmanager
def serving(workers: int, **settings: str) -> Iterator[Served]:
    """Yield a collector with everything switched on, on a spool of its own, once it takes events."""
    with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder:
        port, admin_port = free_port(), free_port()
        environment = {
            **os.environ,
            "SILLOK_DATA_FOLDER": folder,
            "SILLOK_LOG_LEVEL": "warning",
            "SILLOK_SERVE_PORT": str(port),
            "SILLOK_SERVE_ADMIN_PORT": str(admin_port),
            "SILLOK_SERVE_WORKERS": str(workers),
            **settings,
        }
        server = subprocess.Popen([sys.executable, "-m", "sillok", "serve"], env=environment)
        try:
            _wait(f"http://127.0.0.1:{admin_port}/readyz")
            yield Served(port, Path(folder), server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _bare_case(events: int) -> float:
    """Return the CPU of a request, in microseconds."""
    with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder:
        port = free_port()
        server = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.bare", str(port)])
        try:
            _wait(f"http://127.0.0.1:{port}/")
            output, cpu = _drive(port, [server.pid], wrk_script(Path(folder), events, "plain"))
        finally:
            server.kill()
            server.wait()
    _print("bare", events, "plain", output, cpu)
    _record(f"bare aiohttp, batches of {events}", output, each_us := _request_us(output, cpu))
    return each_us


def _record(name: str, output: str, each_us: float, bare_us: float | None = None) -> None:
    record("door", f"{name}: CPU", each_us, "µs a request", "bare aiohttp", bare_us)
    record("door", f"{name}: answered", rate_of(output), "requests/s")
    for percentile in (50, 99):
        record("door", f"{name}: p{percentile}", _milliseconds(output, percentile), "ms")


def _drive(port: int, pids: list[int], script: Path) -> tuple[str, float]:
    """Return what wrk said, and the CPU seconds the server took meanwhile."""
    wrk(port, script, 1)
    before = cpu_seconds(pids)
    output = wrk(port, script, SECONDS)
    return output, cpu_seconds(pids) - before


def bodies_of(events: int, count: int = BODIES) -> list[bytes]:
    """Return so many different batches of this many events."""
    rng = random.Random(7)
    return [body(rng, events, n * events) for n in range(count)]


def wrk_script(folder: Path, events: int, coding: str) -> Path:
    """Return wrk's script for batches of this many events; `coding` is plain or gzip."""
    bodies = bodies_of(events)
    if coding == "gzip":
        bodies = [gzip.compress(b, 6) for b in bodies]
    data = folder / "bodies"
    data.write_bytes(b"".join(bodies))
    script = folder / "wrk.lua"
    encoding = ', ["Content-Encoding"] = "gzip"' if coding == "gzip" else ""
    sizes = ",".join(str(len(b)) for b in bodies)
    script.write_text(
        _SCRIPT.replace("%SIZES%", sizes).replace("%FILE%", str(data)).replace("%ENCODING%", encoding),
        encoding="utf-8",
    )
    return script


def wrk(port: int, script: Path, seconds: int) -> str:
    """Drive a collector at full load; return what wrk said."""
    return subprocess.run(wrk_command(port, script, seconds), check=True, capture_output=True, text=True).stdout


def wrk_command(port: int, script: Path, seconds: int) -> list[str]:
    """Return the command line of full load."""
    return ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-s", str(script), f"http://127.0.0.1:{port}"]


def _print(workers: int | str, events: int, coding: str, output: str, cpu: float) -> None:
    requests = _requests(output)
    rate = rate_of(output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    print(
        f"{workers:7}  {events:5}  {coding:6} {rate:14,.0f} {rate * events:12,.0f} {requests * events / cpu:13,.0f} "
        f"{_request_us(output, cpu):12.0f} {_milliseconds(output, 50):8.1f} {_milliseconds(output, 99):8.1f} "
        f"{refused[1] if refused else 0:>8}",
        flush=True,
    )


def _requests(output: str) -> int:
    return int(_find(r"(\d+) requests in", output))


def _request_us(output: str, cpu: float) -> float:
    return cpu / _requests(output) * 1e6


def rate_of(output: str) -> float:
    """Return the requests a second that wrk reports."""
    return float(_find(r"Requests/sec:\s+([\d.]+)", output))


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said nothing like {pattern}: {text}")
    return found[1]


def _milliseconds(output: str, percentile: int) -> float:
    found = re.search(rf"{percentile}%\s+([\d.]+)(us|ms|s)", output)
    return float(found[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[found[2]] if found else float("nan")


def _wait(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the collector was not ready within 30 s")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return what these processes used so far, in user and kernel mode."""
    return sum(sum(_ticks(pid)[:2]) for pid in pids) / TICKS


def cpu_seconds_of_tree(pid: int) -> float:
    """Return what a process, its children and those of them that have ended used so far."""
    living = 0.0
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended: its parent says it
            living += cpu_seconds([int(child)])
    return living + sum(_ticks(pid)) / TICKS


def _ticks(pid: int) -> list[int]:
    """Return utime, stime, and those of the children that were waited for; see proc(5)."""
    return [int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]]


if __name__ == "__main__":
    raise SystemExit(main())
