"""In a WebView the app says who is there, and may take a page's batches into a queue of its own.

Android's side is the Kotlin of the documentation, compiled as it stands there and run as a process that can be killed.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.browser.conftest import World, eventually, ready
from tests.browser.test_delivery import QUIET, track

_PAGE: Final = Path("docs/browser-sdk/webview-android.md")
_APP: Final = Path(__file__).with_name("android.kt")
_JARS: Final = Path("/usr/share/java")
_COMPILE_S: Final = 300


@pytest.fixture(scope="package")
def app_jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the classes of the documentation; statements around them stay out."""
    if not (compiler := shutil.which("kotlinc")) or not (_JARS / "com.android.json.jar").exists():
        pytest.skip("no Kotlin compiler, or no Android JSON, on this machine")
    folder = tmp_path_factory.mktemp("android")
    blocks = re.findall(r"```kotlin\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
    classes = [
        found.group() for block in blocks for found in re.finditer(r"^class .*?^}", block, re.DOTALL | re.MULTILINE)
    ]
    assert [text.split("(")[0] for text in classes] == ["class SillokBridge", "class SillokQueue"]
    source = folder / "App.kt"
    source.write_text("\n".join([_APP.read_text("utf-8"), *classes]), "utf-8")
    jar = folder / "app.jar"
    command = [compiler, "-cp", str(_JARS / "com.android.json.jar"), str(source), "-d", str(jar)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMPILE_S, check=False)
    assert jar.exists(), done.stderr
    return jar


class App:
    """The app's process, and what its bridge answers."""

    def __init__(self, jar: Path, folder: Path, world: World) -> None:
        path = ":".join(map(str, [jar, _JARS / "com.android.json.jar", *_JARS.glob("kotlin-stdlib*.jar")]))
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", path, "AppKt", str(folder), world.road.url, world.key]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.context = self._read()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def take(self, line: str) -> bool:
        """Hand over a page's body, or make a native event of this type; return whether it is on the disk."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        return self._read() == "true"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def start(app_jar: Path, tmp_path: Path, world: World) -> Iterator[Callable[[], App]]:
    started: list[App] = []

    def start() -> App:
        started.append(App(app_jar, tmp_path / "queue", world))
        return started[-1]

    yield start
    for app in started:
        app.kill()


def _is_whole(world: World, expected: int) -> list[dict[str, Any]]:
    rows = world.wait_for(expected)
    assert len(rows) == expected
    eventually(lambda: world.account().pending == 0, lambda: repr(world.account()))
    account = world.account()
    assert (account.created, account.arrived, account.dropped, account.vanished) == (expected, expected, {}, 0)
    return rows


def test_a_page_in_the_android_app_hands_its_batches_to_it(world: World, start: Callable[[], App]) -> None:
    """The app is killed and the server away: what the app has taken is on its disk, and arrives from its next process."""
    app = start()
    world.road.fault = 503
    context = world.visitor()
    context.expose_function("handOver", app.take)
    context.add_init_script(
        f"SillokBridge = {{context: () => {json.dumps(app.context)}, send: (body) => handOver(body)}}"
    )
    world.site.add("/", "<body>", world.script(**QUIET))
    page = world.open(context)
    page.evaluate(track(120))
    page.wait_for_function("Object.keys(localStorage).every((key) => !key.includes(':q:'))")
    assert app.take("page_view")
    app.kill()
    world.road.fault = ""
    app = start()
    rows = _is_whole(world, 121)
    told = {
        (row["platform"], row["app_version"], row["session_id"], row["customer_id"]) for row in rows if row["page_url"]
    }
    assert told == {("android", "4.2.1", "native-session", "c-8731")}
    assert [row["event_type"] for row in rows if not row["page_url"]] == ["page_view"]


def test_what_an_app_sends_later_keeps_the_time_it_was_made(world: World, start: Callable[[], App]) -> None:
    """A page's batch waits hours in the app, behind a captive portal too; each try says anew when it is sent."""
    app = start()
    world.road.fault = 200
    hours_ago = time.time_ns() // 1_000_000 - 3 * 3_600_000
    event = {"event_id": "0199a000-0000-7000-8000-00000000000a", "time": hours_ago, "event_type": "page_view", "seq": 1}
    body = {"sent_at": hours_ago, "clients": [], "context": {"client_id": "page"}, "events": [event]}
    assert app.take(json.dumps(body))
    eventually(lambda: bool(world.road.bodies))
    world.road.fault = ""
    (row,) = world.wait_for(1)
    assert abs(row["event_time"].timestamp() * 1000 - hours_ago) < 60_000
    tries = [body["sent_at"] for body in world.road.bodies]
    assert len(tries) == len(set(tries)) >= 2
    assert tries[0] > hours_ago + 3_000_000
    assert "clock_corrected" not in row["flags"]


def test_the_android_queue_halves_what_is_too_large(world: World, start: Callable[[], App]) -> None:
    app = start()
    world.road.bytes_max = 700
    events = [
        {
            "event_id": f"0199a000-0000-7000-8000-{n:012d}",
            "time": time.time_ns() // 1_000_000,
            "seq": n + 1,
            "event_type": "custom",
            "event_name": "x" * 200,
        }
        for n in range(5)
    ]
    report = {"id": "page", "created": 5, "pending": 5}
    assert app.take(json.dumps({"clients": [report], "context": {"client_id": "page"}, "events": events}))
    _is_whole(world, 5)


def test_a_page_in_the_ios_app_keeps_what_the_app_does_not_take(world: World) -> None:
    """The handler's answer decides: what is not true leaves the events in the page's own queue."""
    bodies: list[str] = []
    is_taken = False

    def post_message(body: str) -> bool:
        if is_taken:
            bodies.append(body)
        return is_taken

    context = world.visitor()
    context.expose_function("postMessage_", post_message)
    native = {"platform": "ios", "app_version": "7.1", "session_id": "ios-session"}
    context.add_init_script(
        f"sillokContext = {json.dumps(native)};"
        "webkit = {messageHandlers: {sillok: {postMessage: (body) => postMessage_(body)}}}"
    )
    world.site.add("/", "<body>", world.script(**QUIET))
    page = world.open(context)
    page.evaluate(track(7))
    page.wait_for_function("localStorage['sillok:w']")
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes(':q:')).length") == 7
    is_taken = True
    page.evaluate("localStorage.removeItem('sillok:w')")
    page.reload()
    ready(page)
    page.evaluate(track(1))
    page.wait_for_function("Object.keys(localStorage).every((key) => !key.includes(':q:'))")
    assert not world.road.bodies
    assert not [body for body in bodies if "sent_at" in json.loads(body)], "the app sends at a time of its own"
    events = [event for body in bodies for event in json.loads(body)["events"]]
    assert len({event["event_id"] for event in events}) == 8
    assert {event["session_id"] for event in events} == {"ios-session"}
    assert {(told["platform"], told["app_version"]) for told in (json.loads(body)["context"] for body in bodies)} == {
        ("ios", "7.1")
    }
