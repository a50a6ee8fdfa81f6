"""The demo page shows what is on the disk, of the demo key alone, and is not there unless asked for."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector_server.settings import DEMO_KEY, CollectorSettings, WriteKeySettings
from commands.settings import DataSettings, Settings
from commands.up import Installation
from tests.conftest import free_port
from tests.integration.conftest import Collector, batch, event, eventually, running


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    settings = Settings(
        data=DataSettings(folder=str(tmp_path_factory.mktemp("demo"))),
        serve=CollectorSettings(
            port=free_port(), admin_port=free_port(), keys=(DEMO_KEY, WriteKeySettings(key="other", source="other"))
        ),
    )
    with Installation(settings) as installation:
        yield installation


def post(up: Installation, body: bytes, key: str = "demo") -> None:
    url = f"http://127.0.0.1:{up.settings.serve.port}/v1/events?key={key}"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
        assert answer.status == 200


def shown(up: Installation, after: int = 0) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{up.settings.serve.admin_port}/demo/events?after={after}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def test_an_event_is_shown_as_it_was_stored_and_a_wrong_one_without_its_contents(up: Installation) -> None:
    good = event(event_type="search", search_text="주민번호 900101-1234567")
    wrong = event(time="secret-words", click_text="secret-words")
    body = {"context": {"app_version": "9"}, "events": [good, wrong]}
    post(up, json.dumps(body).encode())
    post(up, batch(3), key="other")
    entries = eventually(lambda: shown(up))
    assert [entry.get("event", {}).get("search_text") for entry in entries] == ["주민번호 [rrn]", None]
    assert entries[0]["event"]["flags"] == ["masked"]
    assert entries[0]["event"]["app_version"] == "9"
    assert entries[1]["rejected"]["code"] == "invalid_field"
    assert "secret-words" not in json.dumps(entries)
    assert shown(up, entries[0]["received_at_us"]) == [], "what was shown once is not shown again"
    # Loaded and archived meanwhile, it is still shown to who comes later.
    installation_spool = Path(up.settings.spool_folder())
    eventually(lambda: list(installation_spool.glob("slot-*/archive/*")))
    assert [entry["received_at_us"] for entry in shown(up)] == [entry["received_at_us"] for entry in entries]


def test_the_page_has_a_strict_policy_and_names_the_ingest_plane(up: Installation) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{up.settings.serve.admin_port}/demo", timeout=10) as answer:
        html = answer.read().decode()
        policy = answer.headers["Content-Security-Policy"]
    assert f'src="http://127.0.0.1:{up.settings.serve.port}/sillok.js" data-key="demo"' in html
    assert policy.startswith("default-src 'self'; script-src 'self' http://127.0.0.1:")
    assert "unsafe" not in policy


def test_it_is_not_there_unless_asked_for(tmp_path: Path) -> None:
    with running(tmp_path) as collector:
        collector.wait_until_ready()
        assert is_missing(collector, "/demo")
        assert is_missing(collector, "/demo/events")


def is_missing(collector: Collector, path: str) -> bool:
    return collector.admin(path)[0] == 404
