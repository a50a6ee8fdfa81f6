"""The reports, in a real browser: on a phone nothing is beyond the edge, and they open in the reader's language."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from commands.pages.books import render_page
from commands.pages.loadtest import render_run
from tests.unit.test_books_page import SABOTAGED, books
from tests.unit.test_loadtest_page import report

REPORTS = {
    "books": lambda: render_page(books()),
    "sabotaged books": lambda: render_page(SABOTAGED),
    "load test": lambda: render_run(report(spoiled=True, with_steps=True)),
}
# What is beyond the right edge of the screen, or of a box that would have to be moved sideways to see it.
BEYOND = """() => [...document.querySelectorAll("main *")].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > document.documentElement.clientWidth + 1;
}).map(element => element.tagName + " " + element.textContent.slice(0, 40))"""


@pytest.fixture
def shown(browser: Browser, tmp_path: Path):
    """Return what opens a report in a window of some width and language."""
    contexts = []

    def show(name: str, width: int, language: str) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, locale=language))
        page = contexts[-1].new_page()
        path = tmp_path / "report.html"
        path.write_text(REPORTS[name](), encoding="utf-8")
        page.goto(path.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.mark.parametrize("language", ["ko-KR", "en-US"])
@pytest.mark.parametrize("name", REPORTS)
def test_on_a_phone_nothing_is_beyond_the_edge(shown, name: str, language: str):
    page = shown(name, 390, language)
    assert page.evaluate(BEYOND) == []
    # The smallest letters of a picture, as they are on the screen.
    size = """() => Math.min(...[...document.querySelectorAll("svg text")].filter(text => text.getClientRects().length
        && getComputedStyle(text).display !== "none").map(text => parseFloat(getComputedStyle(text).fontSize)
        * text.getScreenCTM().a))"""
    assert page.evaluate(size) >= 9


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_every_verdict_is_seen(shown, name: str, width: int):
    page = shown(name, width, "en-US")
    badges = page.locator("td span.good:visible, td span.bad:visible, td span.open:visible")
    assert badges.count() >= 10
    for box in (badge.bounding_box() for badge in badges.all()):
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize(
    ("language", "opens"),
    [("ko-KR", "ko"), ("ko", "ko"), ("en-US", "en"), ("en-GB", "en"), ("fr-FR", "en"), ("ja-JP", "en")],
)
def test_a_report_opens_in_the_readers_language_and_can_be_switched(shown, language: str, opens: str):
    page = shown("books", 390, language)
    other = {"ko": "en", "en": "ko"}[opens]
    assert page.locator(f"h1 span[lang={opens}]").is_visible()
    assert page.locator(f"h1 span[lang={other}]").is_hidden()
    page.locator(f"label[for={other}]").click()
    assert page.locator(f"h1 span[lang={other}]").is_visible()
    assert page.evaluate("document.documentElement.lang") == other
    # A row's names on a phone follow.
    before = "getComputedStyle(document.querySelector('td'), '::before').content"
    assert page.evaluate(before) == page.evaluate(f"JSON.stringify(document.querySelector('td').dataset.{other})")


@pytest.mark.parametrize("name", REPORTS)
def test_every_time_of_day_names_its_zone(shown, name: str):
    """A moment is a day and a time; the axis of the picture is explained beside it."""
    text = shown(name, 1280, "en-US").locator("main").inner_text()
    moments = text.replace("--from 2026-11-22T00:00", "").replace("--until 2026-11-23T00:00", "")
    found = re.findall(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(.{0,4})", moments)
    assert found
    assert set(found) == {" KST"}
