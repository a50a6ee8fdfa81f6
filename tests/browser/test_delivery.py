"""Nothing is lost, in any browser, when a page, a tab, the network or the server goes: after one reopen all is clean, once.

The account is exact in each case: created is arrived, and nothing is dropped, pending or vanished. When an event arrives is
promised to nobody: a browser may send as a tab closes, or leave it to the next page.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.browser.conftest import Ground, eventually, until, visit
from tests.browser.engines import ANSWER_S, Engine, Tab, Visitor, end

QUIET: Final = {"pages": "false", "exits": "false"}
LATER: Final = {"flush_ms": 600_000}
PROPS = "{a: 1, b: 'two', c: '셋', d: 4.5, e: [1, 2], f: {g: true}, h: 'eight', n: i}"
TRACK = (
    f"for (let i = 0; i < COUNT; i++) sillok.track('did', {{page_code: 'M0301', click_text: '매수', props: {PROPS}}});"
)
BIG = "for (let i = 0; i < COUNT; i++) sillok.track('did', {props: {n: i, text: Array.from({length: 200}, () => Math.random().toString(36).slice(2, 12)).join('')}});"


def track(count: int, how: str = TRACK) -> str:
    return how.replace("COUNT", str(count))


@pytest.fixture(autouse=True)
def site(ground: Ground) -> None:
    ground.site.add("/", "<body>", ground.script(**QUIET))
    ground.site.add("/unsent", "<body>", ground.script(**QUIET, **LATER))
    ground.site.add("/next", "<body>", "")


def opened(ground: Ground, visitor: Visitor, path: str = "/") -> Tab:
    tab = visitor.new_tab()
    visit(tab, ground.site.url + path)
    return tab


def reopen(ground: Ground, visitor: Visitor, expected: int) -> None:
    """Open the page once more, as the visitor does the next day, with one more event; then everything is there."""
    tab = opened(ground, visitor)
    tab.run("localStorage.removeItem('sillok:w')")  # the visitor takes longer than any waiting
    tab.run(track(1))
    judge(ground, expected + 1)


def judge(ground: Ground, expected: int) -> None:
    rows = ground.wait_for(expected)
    assert len(rows) == len({row["event_id"] for row in rows}) == expected
    by_instance: dict[str, list[int]] = {}
    for row in rows:
        by_instance.setdefault(row["client_id"], []).append(row["seq"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_instance.values())
    assert {row["platform"] for row in rows} == {"web"}
    told = {(row["client_id"], row["app_version"]) for row in rows}
    assert len(told) == len(by_instance), "each instance's events came with its own context"
    eventually(
        lambda: ground.account().pending == 0 and ground.account().created == expected, lambda: repr(ground.account())
    )
    account = ground.account()
    assert (account.created, account.arrived) == (expected, expected)
    assert (account.dropped, account.pending, account.vanished) == ({}, 0, 0)


def test_a_page_view_and_a_click(ground: Ground, visitor: Visitor) -> None:
    ground.site.add("/shop", "<body><button id=buy>매수</button>", ground.script(exits="false"), "현재가")
    tab = opened(ground, visitor, "/shop")
    tab.click("#buy")
    judge(ground, 2)
    told = [(row["event_type"], row["page_name"], row["click_name"], row["click_text"]) for row in ground.rows()]
    assert [(kind, *rest) for kind, _, *rest in told] == [("page_view", None, None), ("click", "buy", "매수")]
    assert told[0][1] == "현재가"


def test_a_link_before_anything_was_sent(ground: Ground, visitor: Visitor) -> None:
    script = ground.script(exits="false", **LATER)
    ground.site.add("/home", "<body><a href=/quotes>국내주식</a>", script, "홈")
    ground.site.add("/quotes", "<body>", script, "현재가")
    tab = opened(ground, visitor, "/home")
    tab.run(track(3))
    tab.click("a")
    until(tab, "document.title == '현재가' && window.sillok?.sessionId")
    tab.run("sillok.flush()")
    judge(ground, 6)


@pytest.mark.parametrize("wait_ms", [0, 300], ids=["same task", "300 ms later"])
def test_navigation(ground: Ground, visitor: Visitor, wait_ms: int) -> None:
    tab = opened(ground, visitor)
    tab.run(f"{track(50)} setTimeout(() => location.href = '/next', {wait_ms});")
    until(tab, "location.pathname == '/next'")
    reopen(ground, visitor, 50)


def test_navigation_in_the_very_task_with_200_big_events(ground: Ground, visitor: Visitor) -> None:
    """A browser takes 64 KiB from a page that goes; the rest waits for the next page."""
    tab = opened(ground, visitor)
    tab.run(f"{track(200, BIG)} location.href = '/next';")
    until(tab, "location.pathname == '/next'")
    reopen(ground, visitor, 200)


@pytest.mark.parametrize("path", ["/", "/unsent"])
def test_a_closed_tab(ground: Ground, visitor: Visitor, path: str) -> None:
    tab = opened(ground, visitor, path)
    tab.run(track(50))
    tab.close()
    reopen(ground, visitor, 50)


def test_a_browser_that_is_quit(ground: Ground, engine: Engine, tmp_path: Path) -> None:
    """The last window closes with unsent events in it; the browser's next start sends what it did not."""
    script = ground.script(**QUIET, **LATER).replace("async ", "")
    ground.site.add("/last", f"<body><script>{track(50)} close()</script>", script)
    ground.site.add("/first", f"<body><script>{track(1)}</script>", ground.script(**QUIET).replace("async ", ""))
    process = engine.start(tmp_path, ground.site.url + "/last")
    try:
        process.wait(ANSWER_S)
    finally:
        end(process)
    process = engine.start(tmp_path, ground.site.url + "/first")
    try:
        judge(ground, 51)
    finally:
        end(process)


def test_a_server_that_is_down_when_the_tab_closes(ground: Ground, visitor: Visitor) -> None:
    tab = opened(ground, visitor)
    ground.road.fault = "cut"
    tab.run(track(50))
    eventually(lambda: ground.road.posts)
    tab.close()
    ground.road.fault = ""
    reopen(ground, visitor, 50)


def test_two_tabs_and_a_server_that_is_down(ground: Ground, visitor: Visitor) -> None:
    tabs = [opened(ground, visitor) for _ in range(2)]
    ground.road.fault = "cut"
    for tab in tabs:
        tab.run(track(50))
    eventually(lambda: ground.road.posts)
    for tab in tabs:
        tab.close()
    ground.road.fault = ""
    reopen(ground, visitor, 100)


def test_two_tabs_send_every_event_once(ground: Ground, visitor: Visitor) -> None:
    """One tab sends at a time. What the other still sees, browsers tell each other late, may go twice; most does not."""
    tabs = [opened(ground, visitor) for _ in range(2)]
    for _ in range(5):
        for tab in tabs:
            tab.run(track(30))
    judge(ground, 300)
    assert len(ground.road.events) < 450


def test_a_tab_that_keeps_the_others_from_sending_does_not_for_ever(ground: Ground, visitor: Visitor) -> None:
    """Firefox sometimes leaves the lock with a page that is gone, until it is quit."""
    holder = visitor.new_tab()
    holder.go(ground.site.url + "/next")
    holder.run("navigator.locks.request('sillok:send', () => { window.isHeld = true; return new Promise(() => {}); })")
    until(holder, "window.isHeld")
    tab = opened(ground, visitor)
    tab.run(track(20))
    judge(ground, 20)


def test_a_tab_sends_for_another_as_the_other_would(ground: Ground, visitor: Visitor) -> None:
    ground.site.add("/slow", "<body>", ground.script(**QUIET, **LATER, app_version="2.0"))
    sender, other = opened(ground, visitor), opened(ground, visitor, "/slow")
    for round_ in range(1, 4):
        other.run(track(5))
        sender.run(track(5))
        # What browsers have not told each other yet goes with what comes next.
        eventually(lambda: sender.run(track(0)) is None and len(ground.rows("seq")) >= 10 * round_)  # noqa: B023
    judge(ground, 30)
    assert {row["app_version"] for row in ground.rows("app_version")} == {None, "2.0"}


@pytest.mark.parametrize(
    ("fault", "retry_after_s"), [("cut", 0), (500, 0), (503, 0), (429, 2)], ids=["down", "500", "503", "429"]
)
def test_a_while_of_trouble(ground: Ground, visitor: Visitor, fault: str | int, retry_after_s: int) -> None:
    """100 events are made meanwhile; they cost a few requests, and arrive without another event."""
    tab = opened(ground, visitor)
    ground.road.fault, ground.road.retry_after_s = fault, retry_after_s
    tab.run(track(5))
    eventually(lambda: ground.road.posts)
    for _ in range(19):
        tab.run(track(5))
    eventually(lambda: len(ground.road.posts) >= 3)
    assert len(ground.road.posts) <= 10
    if retry_after_s:
        gaps = [b - a for a, b in zip(ground.road.posts, ground.road.posts[1:], strict=False)]
        assert min(gaps) >= retry_after_s, "it waits as long as it is told"
    ground.road.fault = ""
    judge(ground, 100)


def test_the_network_is_cut_and_comes_back(ground: Ground, visitor: Visitor) -> None:
    """Nothing listens any more, and what was connected is not; the page comes back by itself."""
    tab = opened(ground, visitor)
    ground.road.unplug()
    tab.run(track(50))
    until(tab, "localStorage['sillok:w']")
    ground.road.plug()
    judge(ground, 50)


def test_an_answer_that_is_lost_brings_the_same_ids_again(ground: Ground, visitor: Visitor) -> None:
    tab = opened(ground, visitor)
    ground.road.fault = "mute"
    tab.run(track(20))
    eventually(lambda: len(ground.road.posts) >= 2)
    ground.road.fault = ""
    judge(ground, 20)
    assert len(ground.road.events) > 20
    assert len({event["event_id"] for event in ground.road.events}) == 20


def test_a_proxy_that_takes_only_small_bodies(ground: Ground, visitor: Visitor) -> None:
    tab = opened(ground, visitor)
    ground.road.bytes_max = 8_000
    tab.run(track(40, BIG))
    judge(ground, 40)


def test_a_key_that_is_refused_keeps_the_queue(ground: Ground, visitor: Visitor) -> None:
    tab = opened(ground, visitor)
    ground.road.fault = 401
    tab.run(track(50))
    until(tab, "localStorage['sillok:w'] > Date.now() + 240_000")
    tab.run("sillok.flush().then(() => { window.isAnswered = true; })")
    until(tab, "window.isAnswered")
    assert len(ground.road.posts) == 1, "it asks again only minutes later"
    tab.close()
    ground.road.fault = ""
    reopen(ground, visitor, 50)


def test_three_thousand_events_while_the_server_is_down(ground: Ground, visitor: Visitor) -> None:
    tab = opened(ground, visitor)
    ground.road.fault = "cut"
    tab.run(track(3_000))
    until(tab, "localStorage['sillok:w']")
    ground.road.fault = ""
    tab.run("localStorage.removeItem('sillok:w')")
    tab.run("sillok.flush()")
    judge(ground, 3_000)
