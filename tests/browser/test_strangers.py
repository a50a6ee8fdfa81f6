"""Whoever answers, whatever a page has on its prototypes, and however often it includes us: nothing is lost, nothing twice."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

import collector_server
from tests.browser.conftest import World, eventually, ready
from tests.browser.test_faults import QUIET, judge, track

SERVED: Final = Path(collector_server.__file__).parent / "static"
PORTAL = "<!doctype html><title>Wi-Fi</title><form action=/login>"
# What libraries of their time put on every page's prototypes, enumerable; in the words of this test, not in theirs.
OLD_LIBRARY = """<script>
Array.prototype.toJSON = function () { return '[' + this.map(JSON.stringify).join(', ') + ']' };
for (const { prototype } of [String, Number, Date]) prototype.toJSON = function () { return '"' + this + '"' };
Object.prototype.toJSON = () => 'object'; Object.prototype.extend = Array.prototype.each = () => {};
Array.prototype.reduce = function () { return this.length > 1 ? this : this[0] };
Array.from = (item) => [item];
</script>"""


@pytest.mark.parametrize(
    "answer",
    [PORTAL, "", "{}", "null", '{"status": "ok"}', '{"accepted": 20, "rejected": []}'],
    ids=["captive portal", "empty", "object", "null", "another service", "no receipt"],
)
def test_a_200_of_somebody_else_is_an_outage(world: World, answer: str) -> None:
    world.site.add("/", "<body>", world.script(**QUIET))
    page = world.open(world.visitor())
    page.route(
        f"{world.road.url}/**",
        lambda route: route.fulfill(status=200, body=answer, headers={"Access-Control-Allow-Origin": "*"}),
    )
    with page.expect_response(f"{world.road.url}/**"):
        page.evaluate(track(20))
    page.wait_for_function("localStorage.getItem('sillok:w')")
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes(':q:')).length") == 20
    page.unroute_all()
    page.evaluate("localStorage.removeItem('sillok:w'); sillok.flush()")
    judge(world, 20)


def test_what_the_collector_refuses_is_said_once_and_counted_once(world: World) -> None:
    """An event that was refused has arrived, at the door: the account is of each event once, also where one vanishes."""
    world.site.add("/", "<body>", world.script(**QUIET))
    page = world.open(world.visitor())
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate(
        """for (let i = 0; i < 10; i++) sillok.track('did');
           for (const key of Object.keys(localStorage).filter((key) => key.includes(':q:')).sort().slice(2, 5)) {
             localStorage[key] = localStorage[key].replace(/"time":/, '"time":"bad","was":');
           }"""
    )
    world.wait_for(7)
    eventually(lambda: world.road.bodies[-1]["clients"][0]["dropped"] == {"rejected": 3})
    page.evaluate("0")  # and what the console said meanwhile is heard
    assert len([text for text in said if "rejected" in text]) == 1
    eventually(lambda: world.account().pending == 0 and world.account().created == 10, lambda: repr(world.account()))
    account = world.account()
    assert (account.created, account.arrived, account.dropped, account.vanished) == (10, 10, {}, 0)


def test_untyped_calls_arrive_at_the_door(world: World) -> None:
    """Every field of a wrong type is mended or left out before it is sent: the collector refuses nothing."""
    world.site.add("/", "<body>", world.script(app_version="412", **QUIET))
    page = world.open(world.visitor())
    page.evaluate(
        """() => {
          sillok.set({screen_width: 411.4, platform: 'Web', session_id: 'x'.repeat(65)});
          sillok.search({search_text: 5930});
          sillok.pageView({page_code: 405, event_id: 7, seq: 'x', client_id: {}});
          sillok.track(7, {time: String(Date.now()), props: 'text'});
          sillok.track({}, 'text');
          sillok.step({step_position: '3', customer_id: 'undefined', page_name: ['x']});
          sillok.step({step_position: 1e9, anonymous_id: 'x'.repeat(99)});
          sillok.checkbox({checkbox_checked: 'true', session_id: '900101-1234567'});
          let deep = {}; for (let i = 0; i < 40; i++) deep = {deep};
          sillok.click({props: {deep}});
          sillok.click({props: {'\\ud800': '\\ud83d', text: '😀'.repeat(9000)}});
        }"""
    )
    rows = world.wait_for(9)
    assert [row["seq"] for row in rows] == list(range(1, 10))
    assert (rows[0]["search_text"], rows[0]["screen_width"], rows[0]["app_version"]) == ("5930", 411, "412")
    assert rows[1]["page_code"] == "405"
    assert [row["event_name"] for row in rows[2:4]] == ["7", "unnamed"]
    assert [row["step_position"] for row in rows[4:6]] == [3, None]
    assert rows[6]["checkbox_checked"] is True
    assert {row["customer_id"] for row in rows} == {None}
    eventually(lambda: world.account().created == 9)
    assert (world.account().arrived, world.account().dropped) == (9, {})


def test_whatever_a_browser_hands_to_a_listener_is_told_and_nothing_is_thrown(world: World) -> None:
    world.site.add("/", "<body><button id=b>매수<!-- x --></button>", world.script(pages="false", exits="false"))
    page = world.open(world.visitor())
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.evaluate(
        """async () => {
          const text = document.querySelector('#b').firstChild;
          for (const type of ['error', 'click', 'change', 'unhandledrejection', 'popstate', 'hashchange', 'online', 'pageshow'])
            for (const target of [window, document, document.body, text])
              target.dispatchEvent(new CustomEvent(type, {bubbles: true, composed: true}));
          const given = new AbortController(); given.abort(null);
          await fetch('/404/x', {signal: given.signal}).catch(() => {});
          setTimeout(() => { throw '주문 실패 900101-1234567' });
          Promise.reject('결제 실패 900101-1234567'); Promise.reject(null); Promise.reject(Symbol('s')); Promise.reject({});
          sillok.error('조회 실패 900101-1234567');
        }"""
    )
    eventually(lambda: len(world.road.events) >= 6 and page.evaluate("true"))
    found = {event["error_message"].partition(" (")[0] for event in world.road.events if event["event_type"] == "error"}
    assert {"주문 실패 [rrn]", "결제 실패 [rrn]", "조회 실패 [rrn]", "null", "Symbol(s)"} <= found
    assert "1234567" not in json.dumps(world.road.bodies)
    assert not [error for error in errors if "TypeError" in error], errors
    assert not [event for event in world.road.events if event["event_type"] == "error" and event.get("props")]


def test_a_page_s_prototypes_change_nothing(world: World) -> None:
    world.site.add("/", f"<body><button id=b>매수</button>{OLD_LIBRARY}", world.script(exits="false"), "홈")
    page = world.open(world.visitor())
    page.click("#b")
    page.evaluate(
        "sillok.track('a', {props: {list: [1, [2, {b: '둘'}]], when: new Date(0), card: '4111-1111-1111-1111'}})"
    )
    page.evaluate("sillok.error(new RangeError('x'))")
    rows = world.wait_for(4)
    assert [row["event_type"] for row in rows] == ["page_view", "click", "custom", "error"]
    assert rows[1]["click_text"] == "매수"
    assert rows[2]["props"] == {"list": [1, [2, {"b": "둘"}]], "when": "1970-01-01T00:00:00.000Z", "card": "[card]"}
    eventually(lambda: world.account().pending == 0)
    assert world.account().created == world.account().arrived == 4


def test_the_tag_twice_counts_once(world: World) -> None:
    script = world.script(exits="false")
    world.site.add("/", "<body><button id=b>매수</button>", script + script + script, "홈")
    page = world.open(world.visitor())
    page.evaluate("window.first = sillok")
    page.evaluate(
        """async () => { for (const tag of document.querySelectorAll('script')) await new Promise((done) => {
             const again = document.createElement('script');
             for (const { name, value } of tag.attributes) again.setAttribute(name, value);
             again.onload = done; document.head.append(again);
           }) }"""
    )
    assert page.evaluate("sillok === window.first")
    page.click("#b")
    page.evaluate("dispatchEvent(new ErrorEvent('error', {message: 'x'})); sillok.track('last')")
    rows = world.wait_for(4)
    assert [row["event_name"] or row["event_type"] for row in rows] == ["page_view", "click", "error", "last"]


def test_an_element_called_like_us_is_not_us(world: World) -> None:
    world.site.add("/", "<body><div id=sillok></div>", "", "홈")
    world.site.add("/", f"<body><form id=sillok></form>{world.script(exits='false')}", "", "홈")
    page = world.open(world.visitor())
    page.evaluate("sillok.track('a')")
    assert [row["event_type"] for row in world.wait_for(2)] == ["page_view", "custom"]


def test_a_tab_left_open_and_closed_is_no_second_session(world: World) -> None:
    """Hours pass by the page's clock; errors and the exit that follow belong to nobody's session."""
    world.site.add("/", "<body><button id=b>매수</button>", world.script(), "홈")
    context = world.visitor()
    context.add_init_script("const now = Date.now; window.later = 0; Date.now = () => now() - 3 * 36e5 + window.later")
    page = world.open(context, "/?utm_source=naver")
    page.click("#b")
    page.evaluate("window.later = 2 * 36e5; sillok.error('poll'); sillok.exit()")
    rows = world.wait_for(4)
    sessions: list[Any] = [event.get("session_id") for event in world.road.events]
    assert len(set(sessions[:2])) == 1
    assert sessions[0]
    assert sessions[2:] == [None, None]
    assert not any(row["props"] for row in rows[2:])
    page.evaluate("window.later += 1000")
    page.click("#b")
    eventually(lambda: len(world.road.events) >= 5)
    assert world.road.events[4]["session_id"] not in (None, sessions[0])


def test_a_page_that_is_prepared_for_nobody_is_not_viewed(world: World) -> None:
    rules = json.dumps({"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]})
    world.site.add("/next", "<body>", world.script(exits="false"), "다음")
    world.site.add("/", f"<body><script type=speculationrules>{rules}</script>", world.script(exits="false"), "홈")
    page = world.open(world.visitor())
    world.wait_for(1)
    page.evaluate("sillok.track('last')")
    rows = world.wait_for(2)
    assert [row["event_name"] or row["event_type"] for row in rows] == ["page_view", "last"]


def test_a_host_of_another_firm_is_an_exit(world: World) -> None:
    """Of `firm.localhost` the site is `www.firm.localhost`, and not `otherfirm.localhost`."""
    port = world.site.url.rpartition(":")[2]
    world.site.add("/", "<body>", world.script(cookie_domain="firm.localhost", pages="false"), "홈")
    world.site.add("/next", "<body>")
    context = world.visitor()
    page = context.new_page()
    for host in ("www.firm.localhost", "otherfirm.localhost"):
        page.goto(f"http://firm.localhost:{port}/")
        ready(page)
        if not page.evaluate("'navigation' in window"):
            pytest.skip("no Navigation API")
        page.evaluate(f"location.href = 'http://{host}:{port}/next'")
        page.wait_for_url(f"http://{host}:{port}/next")
    assert [row["event_type"] for row in world.wait_for(1)] == ["exit"]


def test_a_script_written_into_the_page_of_an_old_library_starts(world: World) -> None:
    """There it has no address of its own; and the `Map` is the page's, as the textbooks had it before browsers did."""
    before = "<script>real = Map; Map = function () { this.items = {} }; Map.prototype.put = () => {}</script>"
    # The test's driver needs the browser's.
    after = "<script>Map = real</script>"
    script = (SERVED / "sillok.js").read_text(encoding="utf-8")
    data = f'data-key="{world.key}" data-url="{world.road.url}" data-pages="off" data-exits="no"'
    world.site.add("/", "<body>", f"{before}<script {data}>{script}</script>{after}")
    page = world.open(world.visitor())
    page.evaluate("for (let i = 0; i < 5; i++) sillok.track('did'); sillok.flush()")
    judge(world, 5)
