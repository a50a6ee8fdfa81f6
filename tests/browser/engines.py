"""Three browsers by one handle: what a visitor does in a tab, and no more.

Chromium is driven by Playwright, which knows no other browser of a Linux distribution; WebKitGTK and Firefox by their own
WebDriver, over plain HTTP. Any of them can also be started as a person starts it, without a driver.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from playwright.sync_api import Browser, BrowserContext, Error, Page

from tests.conftest import free_port

ENGINES: Final = ("chromium", "webkit", "firefox")
ANSWER_S: Final = 120.0
"""How long a browser may take for an answer: far more than it needs on a slow machine."""
_CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
_FIREFOX: Final = ("firefox-esr", "firefox")
_PREFERENCES: Final = {
    # No tour of the new browser, and no page that asks for anything.
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    # As the others do: a window that a person opened may be closed by its page while that is its only one.
    "dom.allow_scripts_to_close_windows": True,
}


class Gone(Exception):
    """The page went while it was asked, or it threw."""


class Tab(Protocol):
    """One tab of a browser."""

    def go(self, url: str) -> None:
        """Open an address, as one that is typed."""

    def reload(self) -> None:
        """Press the browser's button."""

    def back(self) -> None:
        """Press the browser's button."""

    def click(self, selector: str) -> None:
        """Click into the middle of an element."""

    def run(self, statements: str) -> None:
        """Run a script in the page."""

    def ask(self, expression: str) -> Any:
        """Return the value of an expression in the page."""

    def close(self) -> None:
        """Close the tab, as its cross does."""


class Visitor(Protocol):
    """A browser with a profile of its own."""

    def new_tab(self) -> Tab:
        """Open an empty tab."""

    def close(self) -> None:
        """Quit, and forget the profile."""


class Engine(Protocol):
    name: str

    def visitor(self) -> Visitor:
        """Start with an empty profile."""

    def start(self, folder: Path, url: str) -> subprocess.Popen[bytes]:
        """Start as a person does: at an address, with the profile of this folder, without a driver."""

    def close(self) -> None:
        """End what the engine needs."""


def chromium() -> str | None:
    """Return where Chromium is."""
    return _first(_CHROMIUM)


def missing(engine: str) -> str:
    """Return what this machine lacks for an engine; empty when it can be driven."""
    wanted = {
        "chromium": {"Chromium": chromium()},
        "webkit": {
            "WebKitGTK's MiniBrowser": _mini_browser(),
            "WebKitWebDriver": shutil.which("WebKitWebDriver"),
            "Xvfb": shutil.which("Xvfb"),
        },
        "firefox": {"Firefox": _first(_FIREFOX), "geckodriver": shutil.which("geckodriver")},
    }
    return ", ".join(name for name, found in wanted[engine].items() if found is None)


def _first(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


def _mini_browser() -> str | None:
    found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    return str(found[-1]) if found else None


def _quietly(command: list[str], environment: dict[str, str], **more: Any) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, which ends with it."""
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        command, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True, **more
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, order)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _home(folder: Path) -> dict[str, str]:
    """Return an environment in which a browser finds nobody's settings but its own."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    given = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    return given | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "NO_AT_BRIDGE": "1"}


class Chromium:
    name = "chromium"

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def visitor(self) -> Visitor:
        return _PlaywrightVisitor(self._browser.new_context())

    def start(self, folder: Path, url: str) -> subprocess.Popen[bytes]:
        options = ["--no-sandbox", "--headless=new", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
        return _quietly([str(chromium()), *options, url], _home(folder))

    def close(self) -> None:
        """Leave the browser to whom it belongs."""


class _PlaywrightVisitor:
    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        context.set_default_timeout(ANSWER_S * 1_000)

    def new_tab(self) -> Tab:
        return _PlaywrightTab(self._context.new_page())

    def close(self) -> None:
        self._context.close()


class _PlaywrightTab:
    def __init__(self, page: Page) -> None:
        self._page = page

    def go(self, url: str) -> None:
        self._page.goto(url)

    def reload(self) -> None:
        self._page.reload()

    def back(self) -> None:
        # The page may come from the cache, and then never loads.
        self._page.go_back(wait_until="commit")

    def click(self, selector: str) -> None:
        self._page.click(selector)

    def run(self, statements: str) -> None:
        self._page.evaluate(f"() => {{ {statements} }}")

    def ask(self, expression: str) -> Any:
        try:
            return self._page.evaluate(f"() => ({expression})")
        except Error as error:
            raise Gone(error.message) from error

    def close(self) -> None:
        self._page.close(run_before_unload=True)


class _Driver:
    """A driver's process, and one session of its browser at a time."""

    def __init__(self, command: list[str], environment: dict[str, str], wanted: dict[str, Any]) -> None:
        self._port = free_port()
        self._wanted = wanted
        self._process = _quietly([*command, f"--port={self._port}"], environment)
        self._session = ""
        self._tab = ""
        patience_ends = time.monotonic() + ANSWER_S
        while True:
            with contextlib.suppress(ConnectionError):
                if self._ask("GET", "/status")["ready"]:
                    return
            assert time.monotonic() < patience_ends, f"{command[0]} does not start"
            time.sleep(0.05)

    def begin(self) -> str:
        """Start the browser; return its first tab."""
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": self._wanted}})
        self._session = f"/session/{answer['sessionId']}"
        self._tab = self("GET", "/window")
        return self._tab

    def finish(self) -> None:
        if self._session:
            self("DELETE", "")
            self._session = ""

    def __call__(self, method: str, path: str, **given: Any) -> Any:
        return self._ask(method, self._session + path, given)

    def within(self, tab: str) -> "_Driver":
        """Turn to another tab."""
        if tab != self._tab:
            self("POST", "/window", handle=tab)
            self._tab = tab
        return self

    def is_nowhere(self) -> None:
        """Its tab was closed."""
        self._tab = ""

    def _ask(self, method: str, path: str, given: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S)
        with contextlib.closing(connection):
            body = json.dumps(given or {}) if method == "POST" else None
            connection.request(method, path, body, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        if isinstance(value, dict) and "error" in value:
            raise Gone(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    def close(self) -> None:
        end(self._process)


class _DrivenVisitor:
    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._blank = driver.begin()
        # With its last tab a browser quits. An empty one stays, and behind the first: pages in sight are the rule.
        self._unused = [self._blank]
        self._blank = self._open()

    def _open(self) -> str:
        return str(self._driver.within(self._blank)("POST", "/window/new", type="tab")["handle"])

    def new_tab(self) -> Tab:
        return _DrivenTab(self._driver, self._unused.pop() if self._unused else self._open())

    def close(self) -> None:
        self._driver.finish()


class _DrivenTab:
    def __init__(self, driver: _Driver, handle: str) -> None:
        self._driver = driver
        self._handle = handle

    def _here(self) -> _Driver:
        return self._driver.within(self._handle)

    def go(self, url: str) -> None:
        self._here()("POST", "/url", url=url)

    def reload(self) -> None:
        self._here()("POST", "/refresh")

    def back(self) -> None:
        self._here()("POST", "/back")

    def click(self, selector: str) -> None:
        element = self._here()("POST", "/element", using="css selector", value=selector)
        self._driver("POST", f"/element/{next(iter(element.values()))}/click")

    def run(self, statements: str) -> None:
        self._here()("POST", "/execute/sync", script=statements, args=[])

    def ask(self, expression: str) -> Any:
        return self._here()("POST", "/execute/sync", script=f"return ({expression})", args=[])

    def close(self) -> None:
        self._here()("DELETE", "/window")
        self._driver.is_nowhere()


class _Driven:
    """What WebKitGTK and Firefox have in common."""

    def __init__(self, driver: _Driver, command: Callable[[Path], list[str]], environment: dict[str, str]) -> None:
        self._driver = driver
        self._command = command
        self._environment = environment

    def visitor(self) -> Visitor:
        return _DrivenVisitor(self._driver)

    def start(self, folder: Path, url: str) -> subprocess.Popen[bytes]:
        return _quietly([*self._command(folder), url], self._environment | _home(folder))

    def close(self) -> None:
        self._driver.close()


class WebKit(_Driven):
    name = "webkit"

    def __init__(self, folder: Path) -> None:
        # It shows its windows somewhere, or waits for ever.
        reading, writing = os.pipe()
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        self._screen = _quietly(command, dict(os.environ), pass_fds=[writing])
        os.close(writing)
        with os.fdopen(reading) as said:
            display = {"DISPLAY": f":{said.readline().strip()}"}
        browser = str(_mini_browser())
        wanted = {"webkitgtk:browserOptions": {"binary": browser, "args": ["--automation"]}}
        super().__init__(
            _Driver(["WebKitWebDriver"], _home(folder) | display, wanted),
            lambda _: [browser],
            display,
        )

    def close(self) -> None:
        super().close()
        end(self._screen)


class Firefox(_Driven):
    name = "firefox"

    def __init__(self, folder: Path) -> None:
        browser = str(_first(_FIREFOX))
        options = {"binary": browser, "args": ["-headless"], "prefs": _PREFERENCES}
        super().__init__(
            _Driver(["geckodriver"], _home(folder), {"moz:firefoxOptions": options}),
            lambda profile: [browser, "-headless", "--no-remote", "--profile", str(profile)],
            {},
        )

    def start(self, folder: Path, url: str) -> subprocess.Popen[bytes]:
        folder.mkdir(parents=True, exist_ok=True)
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items())
        (folder / "user.js").write_text("\n".join(lines), "utf-8")
        return super().start(folder, url)
