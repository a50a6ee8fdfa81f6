"""What befalls a site: one fault after the other, in an order that follows from a seed."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from tests.crash.processes import Program
from tests.soak.site import Node, Site

_PAUSE_S: Final = 10.0
_FULL_S: Final = 10.0
_CUT_S: Final = 20.0
_AWAY_S: Final = 5.0
# As the delivered units do.
_RESTART_S: Final = 1.0


class Struck(Struct):
    """One fault: seconds since the beginning of the load."""

    name: str
    from_s: float
    until_s: float = 0.0


def _kill(program: Program) -> None:
    program.kill()
    time.sleep(_RESTART_S)
    program.start()


def _kill_worker(node: Node) -> None:
    node.collector.kill_process(node.collector.children("collector_server.worker")[0])
    node.wait_until_ready()


def _kill_collector(node: Node) -> None:
    _kill(node.collector)
    node.wait_until_ready()


def _pause(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(_PAUSE_S)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


def _fill(node: Node) -> None:
    with node.full_disk():
        time.sleep(_FULL_S)
    node.wait_until_ready()


def _take_database(site: Site, how: str, seconds: float) -> None:
    site.database.take_away(how)
    time.sleep(seconds)
    site.database.give_back(how)


def _silence(node: Node, *, forgotten: bool) -> None:
    node.cable.silence()
    if forgotten:  # as by a firewall that starts anew, or a database that moves: nobody there knows the connection
        node.cable.tear()
        node.cable.mend()
    time.sleep(_CUT_S)
    node.cable.speak()


def _tear(node: Node) -> None:
    node.cable.tear()
    time.sleep(_CUT_S)
    node.cable.mend()


def faults_of(site: Site) -> dict[str, Callable[[], None]]:
    """Return every fault that can be made here, by name."""
    faults: dict[str, Callable[[], None]] = {
        "kill processor": lambda: _kill(site.processor),
        "pause processor": lambda: _pause(site.processor.pid),
        "database restarts (fast)": lambda: _take_database(site, "stopped", _AWAY_S),
        "database restarts (immediate)": lambda: _take_database(site, "aborted", _AWAY_S),
        "database hangs": lambda: _take_database(site, "hanging", _PAUSE_S),
    }
    for node in site.nodes:
        faults |= _faults_of_node(node)
    return faults


def _faults_of_node(node: Node) -> dict[str, Callable[[], None]]:
    n, workers = node.number, lambda: node.collector.children("collector_server.worker")
    faults: dict[str, Callable[[], None]] = {
        f"kill worker of collector {n}": lambda: _kill_worker(node),
        f"kill collector {n}": lambda: _kill_collector(node),
        f"kill loader {n}": lambda: _kill(node.loader),
        f"pause worker of collector {n}": lambda: _pause(workers()[0]),
        f"pause collector {n}": lambda: _pause(node.collector.pid, *workers()),
        f"pause loader {n}": lambda: _pause(node.loader.pid),
        f"network of loader {n} torn": lambda: _tear(node),
    }
    if node.cable.can_be_silent:
        faults[f"network of loader {n} silent"] = lambda: _silence(node, forgotten=False)
        faults[f"network of loader {n} silent and forgotten"] = lambda: _silence(node, forgotten=True)
    if node.has_disk:
        faults[f"disk of collector {n} full"] = lambda: _fill(node)
    return faults


class Faults(threading.Thread):
    """Strikes every so many seconds; later, while the fault before is still being mended."""

    def __init__(self, site: Site, every_s: float, seed: int, say: Callable[[str], None]) -> None:
        super().__init__(name="faults")
        self.struck: list[Struck] = []
        self.failure: BaseException | None = None
        self._faults = faults_of(site)
        self._every_s = every_s
        self._chance = random.Random(seed)
        self._say = say
        self._stop_asked = threading.Event()
        self._began = time.monotonic()

    def stop(self) -> None:
        """Strike no more; return when everything is mended."""
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        """Go through all of them in a new order, again and again."""
        self._began = time.monotonic()
        order: list[str] = []
        due = self._began + self._every_s
        while not self._stop_asked.wait(max(0.0, due - time.monotonic())):
            if not order:
                order = self._chance.sample(list(self._faults), len(self._faults))
            self._strike(order.pop())
            due = max(due + self._every_s, time.monotonic())

    def _strike(self, name: str) -> None:
        struck = Struck(name, round(time.monotonic() - self._began, 1))
        self.struck.append(struck)
        try:
            self._faults[name]()
        except BaseException as error:  # noqa: BLE001 - told at the end, with everything else
            self.failure = self.failure or error
            self._say(f"{struck.from_s:7.0f} s  {name}: {error!r}")
            self._stop_asked.set()
        struck.until_s = round(time.monotonic() - self._began, 1)
        self._say(f"{struck.from_s:7.0f} s  {name} ({struck.until_s - struck.from_s:.1f} s)")
