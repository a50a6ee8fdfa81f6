"""An exit is said of a visitor who leaves the site, and never of one who stays, in any browser and whatever the way."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.browser.conftest import READY, Ground, eventually, until, visit
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
    "the way back": lambda tab: tab.back(),
}
# To the page it looks like its tab's closing, where it can tell that from going on in the site at all.
LIKE_A_CLOSED_TAB: Final[dict[str, Way]] = {
    "the button to reload": lambda tab: tab.reload(),
    "the button after a link that did not go": lambda tab: (tab.click("#kept"), tab.reload())[1],
    "the button after a link into another tab": lambda tab: (tab.click("#tab"), tab.reload())[1],
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
    for way in STAYS | LIKE_A_CLOSED_TAB | LEAVES | LEAVES_BY_THE_API:
        ground.site.add(_path(way), PAGE.format(away=away), ground.script(), way)


def _path(way: str) -> str:
    return "/" + way.replace(" ", "-")


def walk(ground: Ground, tab: Tab, path: str) -> None:
    """Go to a page of the site as the site itself does: an address that is typed looks like leaving."""
    if tab.ask("location.origin") != ground.site.url:
        return visit(tab, ground.site.url + path)
    # A mark of its own: a page that comes back from the browser's cache has still the one it was left with.
    tab.run(f"window.isLeft = true; setTimeout(() => location.assign('{path}'))")
    return until(tab, f"!window.isLeft && location.pathname == '{path}' && {READY}")


def go_all(ground: Ground, tab: Tab, ways: dict[str, Way]) -> None:
    for way, go in ways.items():
        walk(ground, tab, _path(way))
        tab.run(_OLD)
        go(tab)
        until(tab, _NEW)


def has_api(tab: Tab, engine: Engine) -> bool:
    """Say whether the browser tells of what begins in a page."""
    found = bool(tab.ask("'navigation' in window"))
    assert found == (engine.name != "webkit"), "the documentation says which browsers have it"
    return found


def exits(ground: Ground, tab: Tab) -> list[str]:
    """Return from which pages visitors have left, once all that was ever said is clean."""
    walk(ground, tab, "/near")
    tab.run("localStorage.removeItem('sillok:w'); sillok.track('last')")
    eventually(lambda: ground.rows("seq", "and event_name = 'last'"))
    # More may be there than was told of: Firefox lost a closed tab's last report, though not its exit, once in seven times.
    eventually(
        lambda: ground.account().pending == 0 and ground.account().created <= len(ground.rows("seq")),
        lambda: f"{ground.account()}, {len(ground.rows('seq'))} are clean",
    )
    return sorted(row["exit_menu"] for row in ground.rows("exit_menu", "and event_type = 'exit'"))


def test_who_stays_has_not_left(ground: Ground, visitor: Visitor) -> None:
    tab = visitor.new_tab()
    go_all(ground, tab, STAYS)
    assert exits(ground, tab) == []


def test_the_button_to_reload_is_an_exit_where_a_closed_tab_is(
    ground: Ground, engine: Engine, visitor: Visitor
) -> None:
    """And then a view of the same session follows it, which tells the two apart."""
    tab = visitor.new_tab()
    walk(ground, tab, "/near")
    expected = sorted(LIKE_A_CLOSED_TAB) if has_api(tab, engine) else []
    go_all(ground, tab, LIKE_A_CLOSED_TAB)
    assert exits(ground, tab) == expected
    assert len({row["session_id"] for row in ground.rows("session_id")}) == 1


def test_a_closed_tab_is_an_exit_where_the_browser_tells_of_all_else(
    ground: Ground, engine: Engine, visitor: Visitor
) -> None:
    tab = visitor.new_tab()
    walk(ground, tab, _path("a link"))
    expected = ["a link"] if has_api(tab, engine) else []
    tab.close()
    assert exits(ground, visitor.new_tab()) == expected


def test_who_goes_to_another_site_has_left(ground: Ground, engine: Engine, visitor: Visitor) -> None:
    """Once. Where the browser does not say where a page goes, only links do: nothing is said of the other ways."""
    tab = visitor.new_tab()
    walk(ground, tab, "/near")
    ways = LEAVES | LEAVES_BY_THE_API if has_api(tab, engine) else LEAVES
    for way, go in (LEAVES | LEAVES_BY_THE_API).items():
        walk(ground, tab, _path(way))
        go(tab)
        until(tab, "document.title == '다른 회사'")
    assert exits(ground, tab) == sorted(ways)


def test_sub_domains_are_one_site(ground: Ground, visitor: Visitor) -> None:
    port = ground.site.url.rpartition(":")[2]
    link = f"<body><a id=near href=http://trade.firm.localhost:{port}/trade>주문</a>"
    ground.site.add("/home", link, ground.script(cookie_domain="firm.localhost"), "홈")
    ground.site.add("/trade", "<body>", ground.script(cookie_domain="firm.localhost"), "주문")
    tab = visitor.new_tab()
    visit(tab, f"http://www.firm.localhost:{port}/home")
    tab.click("#near")
    until(tab, "document.title == '주문'")
    tab.run("sillok.track('last')")
    eventually(lambda: ground.rows("seq", "and event_name = 'last'"))
    assert ground.rows("seq", "and event_type = 'exit'") == []
