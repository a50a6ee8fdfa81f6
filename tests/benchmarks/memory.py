"""`python -m tests.benchmarks.memory [MINUTES]`: whether the workers' memory stays flat at full load; 30 minutes by default.

wrk drives two workers with different batches of ten events; every ten seconds each worker's PSS is taken. So
that the disk does not fill, sealed segments are released as the loader does once they are loaded, and the spool's quota
makes the collector drop them: what is measured is all it does for days on end. (A loader and its database would take the
CPU that full load needs, and hundreds of gigabytes.)
"""

import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import linear_regression
from typing import Final, NamedTuple

from storage.spool.folder import SEALED, SpoolFolder
from storage.spool.usage import measure
from tests.benchmarks.collector import Served, has, rate_of, serving, wrk_command, wrk_script

WORKERS: Final = 2
EVENTS: Final = 10
_SAMPLE_S: Final = 10.0
_QUOTA_BYTES: Final = 1 << 30
_RELEASE_S: Final = 0.2


class Memory(NamedTuple):
    """One worker's memory: (minutes since the beginning, KiB) every ten seconds."""

    samples: list[tuple[float, float]]

    @property
    def second_half(self) -> list[tuple[float, float]]:
        """Leave out what is still being filled for the first time."""
        return self.samples[len(self.samples) // 2 :]

    @property
    def slope(self) -> float:
        """KiB a minute over the second half, by least squares."""
        return linear_regression(*zip(*self.second_half, strict=True)).slope

    @property
    def growth(self) -> float:
        """KiB over the second half, by its slope: single samples jump by a megabyte."""
        return self.slope * (self.second_half[-1][0] - self.second_half[0][0])

    @property
    def highest(self) -> float:
        """KiB."""
        return max(kib for _, kib in self.samples)


class Watched(NamedTuple):
    """What was seen, and that the load was there."""

    workers: list[Memory]
    requests_per_second: float
    not_200: int
    segments: int
    """So many were sealed; all but the last were dropped again, as the quota asks."""
    kept_bytes: int


def main(arguments: Sequence[str]) -> int:
    """Print a line a worker, and the samples each minute."""
    if not has("wrk"):
        return 2
    print_watched(watch(float(arguments[0]) if arguments else 30.0))
    return 0


def watch(minutes: float) -> Watched:
    """Drive a collector for so long, and return what its memory did; raise AssertionError when a worker ended."""
    quota = {"SILLOK_SPOOL_BYTES_MAX": str(_QUOTA_BYTES)}
    with serving(WORKERS, **quota) as served, _releasing(served.folder / "spool") as spool:
        pids = served.workers()
        command = wrk_command(served.port, wrk_script(served.folder, EVENTS, "plain"), round(minutes * 60))
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            memories = _sample(served, pids, load)
            output = load.communicate()[0]
        finally:
            load.kill()
            load.wait()
        slots = spool.slots()
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        return Watched(
            memories,
            rate_of(output),
            int(refused[1]) if refused else 0,
            sum(slot.last_segment() for slot in slots),
            sum(measure(slot).kept_bytes for slot in slots),
        )


def print_watched(watched: Watched) -> None:
    """Print the figures for people."""
    print(
        f"{watched.requests_per_second:,.0f} requests/s of {EVENTS} events, {watched.not_200} not answered 200, "
        f"{watched.segments} segments, {watched.kept_bytes >> 20} MiB kept"
    )
    for worker, memory in enumerate(watched.workers):
        every_minute = memory.samples[:: max(1, round(60 / _SAMPLE_S))]
        print(
            f"worker {worker}: {memory.slope:+.1f} KiB/minute over the second half ({memory.growth:+.0f} KiB in all), "
            f"highest {memory.highest / 1024:.1f} MiB\n  MiB, minute by minute: "
            + " ".join(f"{kib / 1024:.1f}" for _, kib in every_minute)
        )


def _sample(served: Served, pids: list[int], load: subprocess.Popen[str]) -> list[Memory]:
    memories = [Memory([]) for _ in pids]
    begun = time.monotonic()
    while load.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            load.wait(_SAMPLE_S)
            break
        assert served.workers() == pids, "a worker ended: its memory is another's"
        for memory, pid in zip(memories, pids, strict=True):
            memory.samples.append(((time.monotonic() - begun) / 60, _pss_kib(pid)))
    return memories


def _pss_kib(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


@contextlib.contextmanager
def _releasing(path: Path) -> Iterator[SpoolFolder]:
    """Release what is sealed, as a loader does, for as long as the block runs."""
    spool, stop = SpoolFolder(path), threading.Event()

    def release() -> None:
        while not stop.wait(_RELEASE_S):
            for slot in spool.slots():
                for number in slot.segments(SEALED):
                    slot.release(number)

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield spool
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
