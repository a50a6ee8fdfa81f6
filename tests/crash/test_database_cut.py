"""The connection to PostgreSQL breaks in the worst places: within COPY, before COMMIT, after COMMIT."""

import itertools
import threading
from collections import Counter

import pytest

from storage.postgres import connect
from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, wait_until
from tests.crash.proxy import COPY_DATA, Cut, Proxy

# How often each kind of cut happens at least.
_CUTS = 2
_SOAK_CUTS = 50


class Saboteur:
    """Cuts at one message after the other, each kind in its turn, a few messages apart."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.cuts: Counter[str] = Counter()
        self.is_on = threading.Event()
        self._kinds = itertools.cycle(kinds)
        self._next = next(self._kinds)
        self._passed = 0

    def judge(self, kind: bytes, payload: bytes) -> Cut:
        place, cut = _PLACES[self._next]
        if not self.is_on.is_set() or (kind == COPY_DATA) != (place == "copy"):
            return ""
        if place == "commit" and not payload.upper().startswith(b"COMMIT"):
            return ""
        self._passed += 1
        if self._passed % 2:
            return ""
        self.cuts[self._next] += 1
        self._next = next(self._kinds)
        return cut


_PLACES: dict[str, tuple[str, Cut]] = {
    "within COPY": ("copy", "half"),
    "before COMMIT": ("commit", "before"),
    "after COMMIT": ("commit", "after"),
}


@pytest.mark.parametrize("cuts", [_CUTS, pytest.param(_SOAK_CUTS, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    ("program", "kinds"),
    [("loader", tuple(_PLACES)), ("processor", ("before COMMIT", "after COMMIT"))],
)
def test_a_connection_cut_at_the_worst_moment_loads_and_cleans_once(machine: Machine, program: str, kinds, cuts):
    """Nobody is told whether the COMMIT came through: the ledger is asked, and nothing is there twice or missing."""
    saboteur = Saboteur(kinds)
    with Proxy(machine.dsn, saboteur.judge).running() as proxy:
        if program == "loader":
            machine.loader = machine.program("load", SILLOK_LOAD_DSN=proxy.dsn)
        else:
            machine.processor = machine.program("process", SILLOK_PROCESS_DSN=proxy.dsn)
        machine.start()
        with Driver(machine).sending() as driver:
            driver.wait_for_more(200)
            saboteur.is_on.set()
            wait_until(
                lambda: min(saboteur.cuts[kind] for kind in kinds) >= cuts, "enough cuts", 60 + 10 * cuts * len(kinds)
            )
            saboteur.is_on.clear()
            driver.wait_for_more(200)
        assert machine.collector.terminate() == 0
        with connect(machine.dsn) as connection:
            drain(machine, connection)
            verdict = judge(connection, machine.folder / "journals")
        print(verdict, saboteur.cuts)
        verdict.assert_clean()
        assert verdict.acknowledged > 400
        for part in (machine.loader, machine.processor):
            assert part.terminate() == 0
