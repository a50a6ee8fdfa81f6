"""What each part takes, and what waits, every five seconds."""

import os
import threading
import time
from pathlib import Path
from statistics import median
from typing import Final

from msgspec import Struct, field

from tests.soak.site import Site

_EVERY_S: Final = 5.0
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_COLUMNS: Final = 60


class Curve(Struct):
    """One part's memory over time: PSS of all its processes in MiB."""

    at_s: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    @property
    def first(self) -> float:
        """The median of the second tenth: the first still fills what is always there."""
        tenth = max(1, len(self.mib) // 10)
        return median(self.mib[tenth : 2 * tenth] or self.mib)

    @property
    def last(self) -> float:
        """The median of the last tenth."""
        return median(self.mib[-max(1, len(self.mib) // 10) :])

    def drawn(self) -> str:
        """Return it as a line of blocks, from nothing to its highest."""
        highest = max(self.mib)
        width = min(_COLUMNS, len(self.mib))
        slots = [self.mib[i * len(self.mib) // width : (i + 1) * len(self.mib) // width] for i in range(width)]
        return "".join(_LEVELS[min(7, int(8 * max(slot) / highest))] for slot in slots)


class Watch(threading.Thread):
    """Looks until told to stop."""

    def __init__(self, site: Site) -> None:
        super().__init__(name="watch")
        self.curves: dict[str, Curve] = {}
        self.waiting: list[tuple[float, int]] = []
        """Segments that are not loaded, over all spools."""
        self.machine_load: list[float] = []
        """Processes of the whole machine that want to run: a shared one measures its other users too."""
        self._site = site
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Look no more."""
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        """Take a sample every five seconds."""
        began = time.monotonic()
        while not self._stop_asked.wait(_EVERY_S):
            at = round(time.monotonic() - began, 1)
            for name, pids in self._site.parts().items():
                if mib := sum(map(_pss_mib, pids)):
                    curve = self.curves.setdefault(name, Curve())
                    curve.at_s.append(at)
                    curve.mib.append(round(mib, 1))
            self.machine_load.append(os.getloadavg()[0])
            self.waiting.append((at, sum(len(node.waiting_segments()) for node in self._site.nodes)))


def _pss_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)
