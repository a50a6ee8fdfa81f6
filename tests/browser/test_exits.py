"""An exit is said of a visitor who leaves the site, and never of one who stays, in any browser and whatever the way."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.browser.conftest import Ground, eventually, until, visit
from tests.browser.engines import Engine, Tab, Visitor

Way = Callable[[Tab], None]
_OLD: Final = "window.isOld = true;"
_NEW: Final = "!window.isOld && document.readyState == 'complete'"
PAGE: Final = """<body>
<a id=near href="/near">현재가</a> <a id=away href="{away}"><b>다른 회사</b></a>
<a id=tab target=_blank href="{away}">새 창</a>
<a id=kept href="{away}" onclick="event.preventDefault()">준비 중</a>
<a id=taken href="{away}" onclick="event.preventDefault(); location.href = '/near'">안내</a>
<form id=search action="/near"><button id=find>찾기</button></form>
<form id=pay action="{away}"><button id=pay-now>결제</button></form>"""
STAYS: Final[dict[str, Way]] = {
    "a link": lambda tab: tab.click("#near"),
    "a form": lambda tab: tab.click("#find"),
    "a script": lambda tab: tab.run("setTimeout(() => location.assign('/near'))"),
    "a script that reloads": lambda tab: tab.run("setTimeout(() => location.reload())"),
    "a script in place of a link": lambda tab: tab.click("#taken"),
    "the button to reload": lambda tab: tab.reload(),
    "the button after a link that did not go": lambda tab: (tab.click("#kept"), tab.reload())[1],
    "the button after a link into another tab": lambda tab: (tab.click("#tab"), tab.reload())[1],
    "the way back": lambda tab: tab.back(),
}
LEAVES: Final[dict[str, Way]] = {"a link": lambda tab: tab.click("#away b")}
LEAVES_BY_THE_API: Final[dict[str, Way]] = {
    "a form": lambda tab: tab.click("#pay-now"),
    "a script": lambda tab: tab.run("setTimeout(() => location.assign(document.querySelector('#away').href))"),
}


@pytest.fixture(autouse=True)
def site(ground: Ground) -> None:
    away = ground.site.url.replace("127.0.0.1", "localhost") + "/away"
    ground.site.add("/away", "<body>", "", "다른 회사")
    ground.site.add("/near", "<body>", ground.script(), "가까이")
    for way in STAYS | LEAVES | LEAVES_BY_THE_API:
        ground.site.add(_path(way), PAGE.format(away=away), ground.script(), way)


def _path(way: str) -> str:
    return "/" + way.replace(" ", "-")


def exits(ground: Ground, tab: Tab) -> list[str]:
    """Return from which pages visitors have left, once all that was ever said is clean."""
    visit(tab, ground.site.url + "/near")
    tab.run("localStorage.removeItem('sillok:w'); sillok.track('last')")
    eventually(lambda: ground.rows("seq", "and event_name = 'last'"))
    eventually(
        lambda: ground.account().pending == 0 and ground.account().created == len(ground.rows("seq")),
        lambda: f"{ground.account()}, {len(ground.rows('seq'))} are clean",
    )
    return [row["exit_menu"] for row in ground.rows("exit_menu", "and event_type = 'exit'")]


def test_who_stays_has_not_left(ground: Ground, visitor: Visitor) -> None:
    tab = visitor.new_tab()
    for way, go in STAYS.items():
        visit(tab, ground.site.url + _path(way))
        tab.run(_OLD)
        go(tab)
        until(tab, _NEW)
    assert exits(ground, tab) == []


def test_a_closed_tab_may_be_a_reload_and_is_no_exit(ground: Ground, visitor: Visitor) -> None:
    tab = visitor.new_tab()
    visit(tab, ground.site.url + _path("a link"))
    tab.close()
    assert exits(ground, visitor.new_tab()) == []


def test_who_goes_to_another_site_has_left(ground: Ground, engine: Engine, visitor: Visitor) -> None:
    """Once. Where the browser does not say where a page goes, only links do: nothing is said of the other ways."""
    tab = visitor.new_tab()
    visit(tab, ground.site.url + "/near")
    has_api = tab.ask("'navigation' in window")
    assert has_api == (engine.name != "webkit"), "the documentation says which browsers have it"
    for way, go in (LEAVES | LEAVES_BY_THE_API).items():
        visit(tab, ground.site.url + _path(way))
        go(tab)
        until(tab, "document.title == '다른 회사'")
    assert sorted(exits(ground, tab)) == sorted(LEAVES | LEAVES_BY_THE_API if has_api else LEAVES)


def test_sub_domains_are_one_site(ground: Ground, visitor: Visitor) -> None:
    port = ground.site.url.rpartition(":")[2]
    link = f"<body><a id=near href=http://trade.firm.localhost:{port}/trade>주문</a>"
    ground.site.add("/home", link, ground.script(cookie_domain="firm.localhost"), "홈")
    ground.site.add("/trade", "<body>", ground.script(cookie_domain="firm.localhost"), "주문")
    tab = visitor.new_tab()
    visit(tab, f"http://www.firm.localhost:{port}/home")
    tab.click("#near")
    until(tab, "document.title == '주문'")
    ground.wait_for(3)
    visit(tab, f"http://www.firm.localhost:{port}/home")
    tab.run("sillok.track('last')")
    eventually(lambda: ground.rows("seq", "and event_name = 'last'"))
    assert ground.rows("seq", "and event_type = 'exit'") == []
