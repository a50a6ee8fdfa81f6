"""What a Python program did is what is clean, whatever becomes of the program, the network and the server.

Each fault is one that loses events elsewhere. The processes are real, and so is the road to the collector.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest

from collector_server.settings import CollectorSettings, WriteKeySettings
from commands.settings import DataSettings, Settings
from commands.up import Installation
from processor.clients import read_clients
from storage.postgres import connect
from tests.browser.faulty import Road
from tests.conftest import free_port, without_fsync

_PATIENCE_S: Final = 180.0
_KEYS: Final = 40
_START: Final = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from sillok_sdk import Client
client = Client(sys.argv[1], sys.argv[2], folder=sys.argv[3] or None, flush_interval_ms=100, retry_first_ms=100,
    close_timeout_ms=int(sys.argv[4]))
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    keys = tuple(WriteKeySettings(key=f"k{n}", source=f"s{n}", kind="server") for n in range(_KEYS))
    settings = Settings(
        data=DataSettings(folder=str(tmp_path_factory.mktemp("python-sdk"))),
        serve=CollectorSettings(port=free_port(), admin_port=free_port(), keys=keys),
    )
    with Installation(settings) as started:
        without_fsync(started.dsn)
        yield started


class World:
    """A key of one's own, a road to the collector, and what became of the events."""

    def __init__(self, installation: Installation, connection: psycopg.Connection, number: int, folder: Path) -> None:
        self.road = Road(installation.settings.serve.port)
        self.source = f"s{number}"
        self._key = f"k{number}"
        self.connection = connection
        self._folder = folder

    def start(self, script: str, *, durable: bool = True, close_ms: int = 20_000) -> subprocess.Popen[str]:
        code = textwrap.dedent(_START) + textwrap.dedent(script)
        folder = str(self._folder) if durable else ""
        command = [sys.executable, "-c", code, self.road.url, self._key, folder, str(close_ms)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self, script: str, *, durable: bool = True, close_ms: int = 20_000) -> None:
        process = self.start(script, durable=durable, close_ms=close_ms)
        process.communicate(timeout=_PATIENCE_S)
        assert process.returncode == 0

    def next_process(self) -> None:
        """Let a process come that uses the folder; it makes one event, and leaves when the folder is empty."""
        self.run(
            """
            client.exit()
            client.flush()
            while len(os.listdir(sys.argv[3])) > 1: time.sleep(0.05)
            """
        )

    def arrived(self, expected: int) -> Counter[str]:
        """Return the clean events by page code, once there are so many; a moment later there are no more."""

        def count() -> int:
            query = "select count(*) from clean.events where source = %s"
            return self.connection.execute(query, (self.source,)).fetchone()[0]  # type: ignore[index]

        def says() -> str:
            return f"{count()} of {expected} are clean; created, arrived, pending, vanished, dropped: {self.account()}"

        eventually(lambda: count() >= expected, says)
        query = "select page_code, count(*) from clean.events where source = %s group by 1"
        rows = Counter(dict(self.connection.execute(query, (self.source,)).fetchall()))
        assert rows.total() == expected
        return rows

    def account(self) -> tuple[int, int, int, int, dict[str, int]]:
        """Return created, arrived, pending, vanished and dropped, as the books have them."""
        now = datetime.now(UTC)
        days = read_clients(self.connection, now - timedelta(days=9), now + timedelta(days=1))
        found = [day for day in days if day.source == self.source]
        dropped: Counter[str] = Counter()
        for day in found:
            dropped.update(day.dropped)
        created, arrived, pending, vanished = (
            sum(getattr(day, name) for day in found) for name in ("created", "arrived", "pending", "vanished")
        )
        return created, arrived, pending, vanished, dict(dropped)

    def is_whole(self, expected: int) -> None:
        """Every event is clean once, and the account says the same."""
        self.arrived(expected)
        whole = (expected, expected, 0, 0, {})
        eventually(lambda: self.account() == whole, lambda: repr(self.account()))

    def a_week_passes(self) -> None:
        query = "update ops.clients set last_seen = last_seen - interval '8 days' where source = %s"
        self.connection.execute(query, (self.source,))


@pytest.fixture
def world(installation: Installation, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    number = request.session.config.stash.setdefault(_NUMBERS, Counter())
    number["next"] += 1
    with connect(installation.dsn) as connection:
        made = World(installation, connection, number["next"], tmp_path / "queue")
        yield made
        made.road.close()


_NUMBERS = pytest.StashKey[Counter[str]]()


def eventually(claim: Callable[[], object], what: Callable[[], str]) -> None:
    patience_ends = time.monotonic() + _PATIENCE_S
    while not claim():
        assert time.monotonic() < patience_ends, what()
        time.sleep(0.1)


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("how", ["client.close()", "client.flush()", ""], ids=["close", "flush", "exit"])
def test_a_burst(world: World, how: str, durable: bool) -> None:
    world.run(f"for n in range(2_005): client.click()\n{how}", durable=durable)
    world.is_whole(2_005)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_in_the_middle(world: World, how: signal.Signals) -> None:
    """285 events at 1 kHz: what its calls have returned is in the folder."""
    process = world.start(
        "for n in range(285): client.click(); time.sleep(0.001)\nprint('made', flush=True); time.sleep(60)"
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(how)
    process.communicate(timeout=_PATIENCE_S)
    world.next_process()
    world.is_whole(286)


def test_without_a_folder_the_books_say_how_many_vanished(world: World) -> None:
    """The first batch says that 150 were made; then the network is cut, and the process killed."""
    process = world.start(
        """
        for n in range(150): client.click()
        print("made", flush=True)
        time.sleep(60)
        """,
        durable=False,
    )
    world.road.fault = 503
    assert process.stdout is not None
    assert process.stdout.readline()
    world.road.allowed = 1
    world.road.fault = ""
    world.arrived(50)
    process.kill()
    process.communicate(timeout=_PATIENCE_S)
    eventually(lambda: world.account()[0] == 150, lambda: repr(world.account()))
    assert world.account() == (150, 50, 100, 0, {})
    world.a_week_passes()
    assert world.account() == (150, 50, 0, 100, {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_forked_workers(world: World, durable: bool) -> None:
    """105 wait in the parent, four workers make 500 each."""
    world.run(
        """
        for n in range(105): client.click(page_code="parent")
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for n in range(500): client.click(page_code=f"child {child}")
                os._exit(not client.close(20_000))
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
        """,
        durable=durable,
    )
    world.is_whole(2_105)
    assert world.arrived(2_105)["parent"] == 105


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
@pytest.mark.parametrize("fault", ["cut", "mute", 500, 503, 429], ids=str)
def test_a_while_of_trouble(world: World, fault: str | int, durable: bool) -> None:
    """400 events at 200 a second; the trouble costs requests, not events, and few requests."""
    world.road.fault, world.road.retry_after_s = fault, 1 if fault == 429 else 0
    process = world.start("for n in range(400): client.click(); time.sleep(0.005)\nclient.flush()", durable=durable)
    eventually(lambda: world.road.posts, lambda: "no request met the trouble")
    time.sleep(2.5)
    in_trouble = len(world.road.posts)
    world.road.fault = ""
    process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    assert in_trouble < 40
    world.is_whole(400)


def test_a_proxy_that_takes_100_kilobytes(world: World) -> None:
    world.road.bytes_max = 100_000
    world.run("for n in range(300): client.click(props={'text': str(n) * 500})")
    world.is_whole(300)


def test_a_huge_event_among_a_hundred(world: World) -> None:
    """It arrives without its props, and says so."""
    world.run(
        """
        for n in range(100): client.click()
        client.click(page_code="huge", props={"text": "가" * 700_000})
        client.click(page_code="long", click_text="나" * 700_000)
        """
    )
    world.is_whole(102)
    assert {"huge", "long"} <= set(world.arrived(102))


def test_eleven_values_that_are_no_json(world: World) -> None:
    world.run(
        """
        import datetime, decimal, uuid
        circle = {}
        circle["own"] = circle
        bad = [object(), {1, 2}, datetime.datetime.now(), decimal.Decimal("1.5"), b"\\xff", float("nan"), uuid.uuid4(),
               circle, "\\ud800", {1: 2}, {(1, 2): 3}]
        for value in bad: client.click(props={"value": value})
        """
    )
    world.is_whole(11)


def test_an_exit_while_the_server_is_down(world: World) -> None:
    world.road.fault = "cut"
    started = time.monotonic()
    world.run("for n in range(205): client.click()", close_ms=2_000)
    assert time.monotonic() - started < 20
    world.road.fault = ""
    world.next_process()
    world.is_whole(206)


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_a_captive_portal_answers_in_the_collector_s_place(world: World, durable: bool) -> None:
    """200 and a page: until the collector itself speaks, nothing leaves the queue."""
    world.road.fault = 200
    process = world.start("for n in range(120): client.click(); time.sleep(0.005)\nclient.flush()", durable=durable)
    eventually(lambda: len(world.road.posts) >= 2, lambda: "the portal was not met")
    world.road.fault = ""
    process.communicate(timeout=_PATIENCE_S)
    assert process.returncode == 0
    world.is_whole(120)


def test_one_event_and_then_many(world: World) -> None:
    """Into a ring that was emptied, where nothing is settled between them."""
    world.run("client.click(props={'text': 'x' * 900})\nclient.flush()\nfor n in range(2_000): client.click()")
    world.is_whole(2_001)


def test_untyped_callers(world: World) -> None:
    """None of these is what the field is, and none costs its event; the last is refused, and counted as arrived."""
    world.run(
        """
        with client.context(app_version=412, screen_width="390", screen_height="tall", platform="Windows"):
            client.page_view(page_code=405)
            client.search(search_text=5930, page_code=True)
        client.step(step_position="3", step_name=3.0, page_code="step")
        client.step(step_position=0, page_code="step", time=__import__("datetime").datetime.now())
        client.checkbox(checkbox_checked="on", event_id="none", page_code="step")
        client.track(7, session_id="undefined", customer_id="", anonymous_id="0", page_code="nobody")
        client.click(session_id="s" * 65)
        client.flush()
        assert client.figures().dropped == {"rejected": 1}, client.figures()
        """
    )
    assert world.arrived(6) == {"405": 1, "true": 1, "step": 3, "nobody": 1}
    eventually(lambda: world.account() == (7, 7, 0, 0, {}), lambda: repr(world.account()))
    query = "select session_id, customer_id, anonymous_id from clean.events where source = %s and page_code = 'nobody'"
    ((session_id, *others),) = world.connection.execute(query, (world.source,)).fetchall()
    assert session_id != "undefined"
    assert others == [None, None]
