"""What only Chromium can be made to suffer: a dead renderer, a storage without room, a profile that is deleted."""

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.conftest import World, crash, eventually
from tests.browser.test_delivery import BIG, QUIET, judge, track

IN_LOCAL_STORAGE = "Object.keys(localStorage).filter((key) => key.startsWith('sillok:q:')).length"
IN_INDEXED_DB = """async () => {
  if (!(await indexedDB.databases()).some(({name}) => name == 'sillok:q')) return 0;
  return new Promise((done, failed) => {
    const opening = indexedDB.open('sillok:q');
    opening.onerror = failed;
    opening.onsuccess = () => {
      const asking = opening.result.transaction('q').objectStore('q').getAllKeys();
      opening.result.close();
      asking.onsuccess = () => done(asking.result.filter((key) => key.startsWith('sillok:q:')).length);
    };
  });
}"""


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


def test_a_crashed_renderer(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    page.evaluate(track(50))
    crash(page)
    reopen(world, context, 50)


def test_a_browser_without_a_network(world: World, context: BrowserContext) -> None:
    page = world.open(context)
    context.set_offline(True)
    page.evaluate(track(50))
    page.wait_for_function("localStorage['sillok:w']")
    context.set_offline(False)
    judge(world, 50)


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
    eventually(lambda: page.evaluate(IN_INDEXED_DB) + page.evaluate(IN_LOCAL_STORAGE) == 200)
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
    eventually(lambda: world.account().created == 200)
    context.close()
    eventually(lambda: world.account().arrived == len({event["event_id"] for event in world.road.events}))
    account = world.account()
    arrived = account.arrived
    assert 10 < arrived < 100
    assert (account.pending, account.vanished) == (200 - arrived, 0)
    world.execute("update ops.clients set last_seen = last_seen - interval '8 days' where source = %s", world.source)
    later = world.account()
    assert (later.created, later.arrived, later.pending, later.vanished) == (200, arrived, 0, 200 - arrived)
