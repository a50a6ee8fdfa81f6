"""One installation and one browser of each kind a run; a key, a source, a site and a road of its own for every test."""

import contextlib
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from collector_server.settings import CollectorSettings, WriteKeySettings
from commands.settings import DataSettings, Settings
from commands.up import Installation
from processor.clients import read_clients
from storage.postgres import connect
from tests.browser.engines import (
    ANSWER_S,
    ENGINES,
    Chromium,
    Engine,
    Firefox,
    Gone,
    Tab,
    Visitor,
    WebKit,
    chromium,
    missing,
)
from tests.browser.faulty import Road, Site
from tests.conftest import free_port, without_fsync

_KEYS: Final = 250
_PATIENCE_S: Final = 120.0
_TEST_S: Final = 420
READY: Final = "window.sillok && sillok.sessionId && sillok.push != Array.prototype.push"
_numbers = itertools.count()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox"],
            # As people have it.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield started
        started.close()


@pytest.fixture(
    scope="package", params=[ENGINES[0], *(pytest.param(name, marks=pytest.mark.peer) for name in ENGINES[1:])]
)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if lacks := missing(request.param):
        pytest.skip(f"not on this machine: {lacks}")
    started: Engine
    if request.param == "chromium":
        started = Chromium(request.getfixturevalue("browser"))
    else:
        started = {"webkit": WebKit, "firefox": Firefox}[request.param](tmp_path_factory.mktemp(request.param))
    yield started
    started.close()


@pytest.fixture
def visitor(engine: Engine) -> Iterator[Visitor]:
    came = engine.visitor()
    yield came
    came.close()


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    settings = Settings(
        data=DataSettings(folder=str(tmp_path_factory.mktemp("browser"))),
        serve=CollectorSettings(
            port=free_port(),
            admin_port=free_port(),
            keys=tuple(WriteKeySettings(key=f"k{n}", source=f"s{n}", origins=("*",)) for n in range(_KEYS)),
        ),
    )
    with Installation(settings) as started:
        without_fsync(started.dsn)
        yield started


class Account(NamedTuple):
    created: int
    arrived: int
    pending: int
    vanished: int
    dropped: dict[str, int]


class Ground:
    """A site, a road to the collector and what became of its events."""

    def __init__(self, installation: Installation, connection: psycopg.Connection) -> None:
        number = next(_numbers)
        self.key, self.source = f"k{number}", f"s{number}"
        self._connection = connection
        self.collector = f"http://127.0.0.1:{installation.settings.serve.port}"
        self.site = Site()
        self.road = Road(installation.settings.serve.port)

    def script(self, **options: Any) -> str:
        """Return the tag that includes the SDK from the collector, and sends over the road."""
        given = {"key": self.key, "url": self.road.url, "flush_ms": 200, **options}
        data = " ".join(f'data-{name.replace("_", "-")}="{str(value).lower()}"' for name, value in given.items())
        return f'<script async src="{self.collector}/sillok.js" {data}></script>'

    def rows(self, columns: str = "*", more: str = "") -> list[dict[str, Any]]:
        """Return the cleaned events of this world, instance by instance, in the order they were made."""
        query = f"select {columns} from clean.events where source = %s {more} order by client_id, seq"
        with self._connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            return cursor.execute(query, (self.source,)).fetchall()

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Return the rows once there are so many; a moment later there must not be more."""
        eventually(lambda: len(self.rows("seq")) >= count, lambda: f"{len(self.rows('seq'))} of {count} are clean")
        return self.rows()

    def account(self) -> Account:
        """Return what the books say of this world's instances, over all their days."""
        now = datetime.now(UTC)
        days = read_clients(self._connection, now - timedelta(days=9), now + timedelta(days=1))
        found = [day for day in days if day.source == self.source]
        dropped: Counter[str] = Counter()
        for day in found:
            dropped.update(day.dropped)
        sums = (sum(getattr(day, name) for day in found) for name in ("created", "arrived", "pending", "vanished"))
        return Account(*sums, dict(dropped))

    def execute(self, statement: str, *parameters: Any) -> None:
        self._connection.execute(statement, parameters)

    def close(self) -> None:
        self.site.close()
        self.road.close()


class World(Ground):
    """The same, with a Chromium that visits it."""

    def __init__(self, browser: Browser, installation: Installation, connection: psycopg.Connection) -> None:
        super().__init__(installation, connection)
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def visitor(self, **options: Any) -> BrowserContext:
        """Return a browser's profile of its own."""
        context = self._browser.new_context(**options)
        context.set_default_timeout(ANSWER_S * 1_000)
        self._contexts.append(context)
        return context

    def open(self, context: BrowserContext, path: str = "/") -> Page:
        """Open a page and wait until the SDK is there."""
        page = context.new_page()
        page.goto(self.site.url + path)
        ready(page)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        super().close()


@pytest.fixture
def ground(installation: Installation) -> Iterator[Ground]:
    with _bounded(), connect(installation.dsn) as connection:
        made = Ground(installation, connection)
        yield made
        made.close()


@pytest.fixture
def world(browser: Browser, installation: Installation) -> Iterator[World]:
    with _bounded(), connect(installation.dsn) as connection:
        made = World(browser, installation, connection)
        yield made
        made.close()


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End a test that waits for a browser which will never answer: some of its calls have no limit of their own."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TimeoutError("the browser did not answer")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_TEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ready(page: Page) -> None:
    """Wait until the SDK is there and has taken the calls that were made before."""
    page.wait_for_function(READY)


def visit(tab: Tab, url: str) -> None:
    """Open a page and wait until the SDK is there."""
    tab.go(url)
    until(tab, READY)


def until(tab: Tab, claim: str) -> None:
    """Wait until an expression is true in a tab, on whatever page it is then."""

    def is_true() -> bool:
        try:
            return bool(tab.ask(f"!!({claim})"))
        except Gone:
            return False

    eventually(is_true, lambda: f"not in time: {claim}")


def eventually(claim: Callable[[], object], what: Callable[[], str] = lambda: "it did not come true in time") -> None:
    patience_ends = time.monotonic() + _PATIENCE_S
    while not claim():
        assert time.monotonic() < patience_ends, what()
        time.sleep(0.1)


def crash(page: Page) -> None:
    """Kill the page's renderer, as the system does when memory is short, and wait until the browser knows."""
    browser = page.context.browser
    assert browser is not None
    session = browser.new_browser_cdp_session()

    def renderers() -> set[int]:
        found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        return {process["id"] for process in found if process["type"] == "renderer"}

    killed = renderers()
    with page.expect_event("crash"):
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    # A page that is opened earlier may be given one of the dead, and wait for it for ever.
    eventually(lambda: not killed & renderers())
    session.detach()
