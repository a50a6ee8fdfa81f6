"""What people read on a screen can be read: axe finds nothing on our pages, whatever they show."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page

from collector_server.settings import CollectorSettings
from commands.pages.books import render_page
from commands.pages.loadtest import render_run
from commands.settings import DataSettings, Settings
from commands.up import Installation
from tests.browser.conftest import eventually
from tests.browser.engines import ANSWER_S
from tests.conftest import free_port
from tests.unit.test_books_page import EVERY
from tests.unit.test_loadtest_page import report

_AXE: Final = Path("sdk/js/node_modules/axe-core/axe.min.js")
_KINDS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_REPORTS: Final = {
    **{f"books, {name}": render_page(books) for name, books in EVERY.items()},
    "a load test": render_run(report(with_steps=True)),
    "a load test that was too much": render_run(report(spoiled=True)),
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of an installation's demo page."""
    settings = Settings(
        data=DataSettings(folder=str(tmp_path_factory.mktemp("demo"))),
        serve=CollectorSettings(port=free_port(), admin_port=free_port()),
    )
    with Installation(settings):
        yield f"http://127.0.0.1:{settings.serve.admin_port}/demo"


@pytest.fixture(params=[1280, 390])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    if not _AXE.exists():
        pytest.skip("no axe-core on this machine: npm ci in sdk/js")
    context = browser.new_context(viewport={"width": request.param, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(ANSWER_S * 1_000)
    yield context.new_page()
    context.close()


def faults(page: Page) -> list[str]:
    """Return what axe finds wrong with what the page shows now."""
    page.evaluate(_AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate(f"axe.run({{runOnly: {json.dumps(_KINDS)}}})")
    assert found["passes"], "it has looked at something"
    return [
        f"{fault['id']}: {node['target']}: {node['failureSummary']}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def shows(page: Page, claim: str) -> None:
    """Wait until it does. The page's policy forbids what Playwright would wait by."""
    eventually(lambda: page.evaluate(f"() => !!({claim})"), lambda: f"not in time: {claim}")


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_demo_page_can_be_read(page: Page, demo: str, language: str) -> None:
    page.goto(demo)
    shows(page, "window.sillok && sillok.sessionId")
    page.click(f"[data-language={language}]")
    for way in ("#notice-open", "text=900101-1234567", "#typed", "#wrong", "#error"):
        page.click(way)
    # The last of them has come back from the disk, and what is shown is at rest.
    shows(page, "[...document.querySelectorAll('#list b')].some((kind) => kind.textContent == 'error')")
    shows(page, "document.querySelector('#list .why.bad')")
    page.click("#list summary >> nth=0")
    shows(page, "document.getAnimations().every((one) => one.playState == 'finished')")
    assert faults(page) == []
    for view in ("quotes", "account"):
        page.click(f"nav a[href='#/{view}']")
        page.wait_for_selector(f"[data-view={view}]")
        assert faults(page) == []


@pytest.mark.parametrize("page", [1280], indirect=True)
@pytest.mark.parametrize("name", _REPORTS)
def test_a_report_can_be_read(page: Page, name: str) -> None:
    page.set_content(_REPORTS[name])
    for language in ("ko", "en"):
        page.check(f"#{language}", force=True)
        assert faults(page) == []
