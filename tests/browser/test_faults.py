"""Nothing is lost when a page, a tab, the network or the server goes: after one reopen every event is clean, once.

The account is exact in each case: created is arrived, and nothing is dropped, pending or vanished.
"""

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import World, crash, eventually

QUIET = {"pages": "false", "exits": "false"}
PROPS = "{a: 1, b: 'two', c: '셋', d: 4.5, e: [1, 2], f: {g: true}, h: 'eight', n: i}"
TRACK = (
    f"for (let i = 0; i < COUNT; i++) sillok.track('did', {{page_code: 'M0301', click_text: '매수', props: {PROPS}}});"
)
BIG = "for (let i = 0; i < COUNT; i++) sillok.track('did', {props: {n: i, text: Array.from({length: 200}, () => Math.random().toString(36).slice(2, 12)).join('')}});"


def track(count: int, how: str = TRACK) -> str:
    return how.replace("COUNT", str(count))


@pytest.fixture
def context(world: World) -> BrowserContext:
    world.site.add("/", "<body>", world.script(**QUIET))
    world.site.add("/next", "<body>", "")
    return world.visitor()


def reopen(world: World, context: BrowserContext, expected: int) -> None:
    """Open the page once more, as the visitor does the next day, with one more event; then everything is there."""
    page = world.open(context)
    page.evaluate("localStorage.removeItem('sillok:w')")  # the visitor takes longer than any waiting
    page.evaluate(track(1))
    judge(world, expected + 1)


def judge(world: World, expected: int) -> None:
    rows = world.wait_for(expected)
    assert len(rows) == len({row["event_id"] for row in rows}) == expected
    by_instance: dict[str, list[int]] = {}
    for row in rows:
        by_instance.setdefault(row["client_id"], []).append(row["seq"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_instance.values())
    assert {row["platform"] for row in rows} == {"web"}
    told = {(row["client_id"], row["app_version"]) for row in rows}
    assert len(told) == len(by_instance), "each instance's events came with its own context"
    eventually(
        lambda: world.account().pending == 0 and world.account().created == expected, lambda: repr(world.account())
    )
    account = world.account()
    assert (account.created, account.arrived) == (expected, expected)
    assert (account.dropped, account.pending, account.vanished) == ({}, 0, 0)


@pytest.mark.parametrize("wait_ms", [0, 300], ids=["same task", "300 ms later"])
def test_navigation(world: World, context: BrowserContext, wait_ms: int) -> None:
    page = world.open(context)
    page.evaluate(f"() => {{ {track(50)} setTimeout(() => location.href = '/next', {wait_ms}); }}")
    page.wait_for_url("**/next")
    world.wait_for(50)
    reopen(world, context, 50)


def test_navigation_in_the_very_task_with_200_big_events(world: World, context: BrowserContext) -> None:
    """A browser takes 64 KiB from a page that goes; the rest waits for the next page."""
    page = world.open(context)
    page.evaluate(f"() => {{ {track(200, BIG)} location.href = '/next'; }}")
    page.wait_for_url("**/next")
    reopen(world, context, 200)


def test_a_closed_tab(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    page.evaluate(track(50))
    page.close()
    world.wait_for(50)
    reopen(world, context, 50)


def test_a_crashed_renderer(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    page.evaluate(track(50))
    crash(page)
    reopen(world, context, 50)


def test_a_server_that_is_down_when_the_tab_closes(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    world.road.fault = "cut"
    page.evaluate(track(50))
    page.wait_for_timeout(500)
    page.close()
    world.road.fault = ""
    reopen(world, context, 50)


def test_two_tabs_and_a_server_that_is_down(world: World, context: BrowserContext) -> None:
    pages = [world.open(context) for _ in range(2)]
    world.road.fault = "cut"
    for page in pages:
        page.evaluate(track(50))
    for page in pages:
        page.wait_for_timeout(300)
        page.close()
    world.road.fault = ""
    reopen(world, context, 100)


def test_two_tabs_send_every_event_once(world: World, context: BrowserContext) -> None:
    """One tab sends at a time. What the other still sees, browsers tell each other late, may go twice; most does not."""
    pages = [world.open(context) for _ in range(2)]
    for _ in range(5):
        for page in pages:
            page.evaluate(track(30))
    judge(world, 300)
    assert len(world.road.events) < 450


def test_a_tab_sends_for_another_as_the_other_would(world: World, context: BrowserContext) -> None:
    world.site.add("/slow", "<body>", world.script(**QUIET, app_version="2.0", flush_ms=600_000))
    sender, other = world.open(context), world.open(context, "/slow")
    for round_ in range(1, 4):
        other.evaluate(track(5))
        sender.evaluate(track(5))
        world.wait_for(10 * round_)
    judge(world, 30)
    assert {row["app_version"] for row in world.rows("app_version")} == {None, "2.0"}


@pytest.mark.parametrize(
    ("fault", "retry_after_s"), [("cut", 0), (500, 0), (503, 0), (429, 2)], ids=["down", "500", "503", "429"]
)
def test_a_while_of_trouble(world: World, context: BrowserContext, fault: str | int, retry_after_s: int) -> None:
    """100 events are made meanwhile; they cost less than ten requests, and arrive without another event."""
    page = world.open(context)
    world.road.fault, world.road.retry_after_s = fault, retry_after_s
    for _ in range(20):
        page.evaluate(track(5))
        page.wait_for_timeout(300)
    assert 1 <= len(world.road.posts) <= 10
    if retry_after_s:
        gaps = [b - a for a, b in zip(world.road.posts, world.road.posts[1:], strict=False)]
        assert min(gaps) >= retry_after_s, "it waits as long as it is told"
    world.road.fault = ""
    judge(world, 100)


def test_an_answer_that_is_lost_brings_the_same_ids_again(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    world.road.fault = "mute"
    page.evaluate(track(20))
    eventually(lambda: len(world.road.posts) >= 2)
    world.road.fault = ""
    judge(world, 20)
    assert len(world.road.events) > 20
    assert len({event["event_id"] for event in world.road.events}) == 20


def test_a_proxy_that_takes_only_small_bodies(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    world.road.bytes_max = 8_000
    page.evaluate(track(40, BIG))
    judge(world, 40)


def test_a_key_that_is_refused_keeps_the_queue(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    world.road.fault = 401
    page.evaluate(track(50))
    page.wait_for_timeout(1_500)
    assert len(world.road.posts) == 1, "it asks again only minutes later"
    page.close()
    world.road.fault = ""
    reopen(world, context, 50)


def test_the_network_is_cut_and_comes_back(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    context.set_offline(True)
    page.evaluate(track(50))
    page.wait_for_timeout(1_000)
    context.set_offline(False)
    judge(world, 50)


def test_three_thousand_events_while_the_server_is_down(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    world.road.fault = "cut"
    page.evaluate(track(3_000))
    page.wait_for_timeout(500)
    world.road.fault = ""
    page.evaluate("localStorage.removeItem('sillok:w')")
    page.evaluate("sillok.flush()")
    judge(world, 3_000)


def overfill(page: Page) -> None:
    """Leave no room in the page's localStorage."""
    page.evaluate(
        "() => { let size = 1 << 20; for (let n = 0; size > 8; n++) {"
        " try { localStorage.setItem('site' + n, 'x'.repeat(size)) } catch { size >>= 1 } } }"
    )


def test_a_full_storage_goes_on_to_indexed_db(world: World, context: BrowserContext) -> None:
    """What the site left no room for survives the tab as well, a moment later."""
    page = world.open(context)
    world.road.fault = "cut"
    overfill(page)
    page.evaluate(track(200))
    page.wait_for_timeout(1_500)
    crash(page)
    world.road.fault = ""
    page = world.open(context)
    page.evaluate("() => { for (let n = 0; n < 2000; n++) localStorage.removeItem('site' + n) }")
    reopen(world, context, 200)


def test_what_never_came_back_has_vanished_and_is_counted_to_the_event(world: World, context: BrowserContext) -> None:
    """The beacon of a page that goes carries the report, though not all the events; then the profile is deleted."""
    page = world.open(context)
    page.evaluate(f"() => {{ {track(200, BIG)} location.href = '/next'; }}")
    page.wait_for_url("**/next")
    page.wait_for_timeout(1_000)
    context.close()
    arrived = len({event["event_id"] for event in world.road.events})
    assert 10 < arrived < 100
    world.wait_for(arrived)
    eventually(lambda: world.account().created == 200)
    account = world.account()
    assert (account.arrived, account.pending, account.vanished) == (arrived, 200 - arrived, 0)
    world.execute("update ops.clients set last_seen = last_seen - interval '8 days' where source = %s", world.source)
    later = world.account()
    assert (later.created, later.arrived, later.pending, later.vanished) == (200, arrived, 0, 200 - arrived)
