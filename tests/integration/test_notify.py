"""What systemd hears: ready once it is so, alive while nothing is stuck, and stopping."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.notify import Notifier
from tests.crash.processes import Machine, wait_until

_WATCHDOG_S = 1.5


class Manager:
    """A service manager's socket, and what was said on it."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        while True:
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    opened = Manager(address)
    yield opened
    opened.socket.close()


@pytest.fixture
def machine(tmp_path: Path, dsn: str) -> Iterator[Machine]:
    made = Machine(tmp_path, dsn)
    yield made
    made.clean_up()


def watched(machine: Machine, command: str, address: str, **settings: str):
    return machine.program(
        command, f"watched-{command}", NOTIFY_SOCKET=address, WATCHDOG_USEC=str(int(_WATCHDOG_S * 1e6)), **settings
    )


def test_a_collector_says_when_it_takes_events_and_falls_silent_when_a_worker_is_stuck(
    machine: Machine, manager: Manager, address: str
) -> None:
    collector = watched(machine, "serve", address, **machine.ports())
    collector.start()
    wait_until(lambda: "READY=1" in manager.listen(), "the collector to say it is ready")
    assert machine.is_ready()
    wait_until(lambda: manager.listen().count("WATCHDOG=1") >= 3, "signs of life")
    (worker,) = collector.children("collector_server.worker")
    os.kill(worker, signal.SIGSTOP)
    time.sleep(_WATCHDOG_S + 1)
    before = len(manager.listen())
    time.sleep(_WATCHDOG_S)
    assert len(manager.listen()) == before, "a collector that takes no events must not look alive"
    os.kill(worker, signal.SIGCONT)
    wait_until(lambda: len(manager.listen()) > before, "signs of life again")
    assert collector.terminate() == 0
    assert manager.listen()[-1] == "STOPPING=1"
    assert manager.heard.count("READY=1") == 1


@pytest.mark.parametrize(("command", "section"), [("load", "LOAD"), ("process", "PROCESS")])
def test_loader_and_processor_say_that_their_loops_come_round(
    machine: Machine, manager: Manager, address: str, dsn: str, command: str, section: str
) -> None:
    program = watched(machine, command, address, **{f"SILLOK_{section}_DSN": dsn})
    program.start()
    wait_until(lambda: manager.listen().count("WATCHDOG=1") >= 2, "signs of life")
    assert program.terminate() == 0
    assert manager.listen()[0] == "READY=1"
    assert manager.heard[-1] == "STOPPING=1"


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(address: str) -> None:
    Notifier().turned()
    Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}).turned()
    other = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    assert other.watchdog_s is None


def test_an_abstract_address_is_understood() -> None:
    manager = Manager(f"@sillok-test-{os.getpid()}")
    Notifier(f"@sillok-test-{os.getpid()}").ready()
    assert manager.listen() == ["READY=1"]
    manager.socket.close()
