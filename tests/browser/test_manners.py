"""It never breaks the page: strict policies, sandboxes, blocked storage, broken calls; and late loading loses no call."""

import re

import pytest

from tests.browser.conftest import World, eventually, ready

CSP = (
    "default-src 'none'; script-src {collector}; connect-src {road}; require-trusted-types-for 'script'; trusted-types"
)
STUB = """<script>window.sillok=window.sillok||[];["init","track","step","identify"].forEach(function(m){
sillok[m]=function(){sillok.push([m,arguments,Date.now()])}})</script>"""
BLOCKED = """for (const name of ['localStorage', 'indexedDB', 'sessionStorage'])
  Object.defineProperty(window, name, { get() { throw new DOMException('blocked', 'SecurityError') } });"""


def test_a_strict_policy_is_not_broken(world: World) -> None:
    policy = CSP.format(collector=world.collector, road=world.road.url)
    world.site.add("/", "<body><button>매수</button>", world.script(), "홈", Content_Security_Policy=policy)
    context = world.visitor()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(world.site.url + "/")
    eventually(lambda: bool(world.road.events))
    page.locator("button").click()
    rows = world.wait_for(2)
    assert [row["event_type"] for row in rows] == ["page_view", "click"]
    assert said == []


def test_a_sandboxed_frame_has_no_storage_and_sends_all_the_same(world: World) -> None:
    world.site.add("/frame", "<body><button id=b>매수</button>", world.script(exits="false"), "틀")
    world.site.add("/", '<body><iframe sandbox="allow-scripts" src="/frame"></iframe>')
    page = world.visitor().new_page()
    page.goto(world.site.url + "/")
    page.frame_locator("iframe").locator("#b").click()
    rows = world.wait_for(2)
    assert [row["event_type"] for row in rows] == ["page_view", "click"]
    assert len({(row["anonymous_id"], row["session_id"]) for row in rows}) == 1


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "goes"])
def test_blocked_storage(world: World, leaves: bool) -> None:
    world.site.add("/", "<body>", world.script(exits="false"))
    world.site.add("/next", "<body>")
    context = world.visitor()
    context.add_init_script(BLOCKED)
    page = world.open(context)
    world.road.fault = 503
    page.evaluate("for (let i = 0; i < 20; i++) sillok.track('a')")
    eventually(lambda: world.road.posts)
    world.road.fault = ""
    if leaves:
        # In trouble nothing is sent as a page goes, and what is only in its memory goes with it: the books say so.
        page.goto(world.site.url + "/next")
        page.wait_for_timeout(500)
        assert len(world.rows("seq")) <= 1
    else:
        assert len(world.wait_for(21)) == 21


def test_calls_made_before_the_file_came_keep_their_order_and_time(world: World) -> None:
    world.site.add(
        "/",
        f"""<body><script>sillok.init({{url: '{world.road.url}', key: '{world.key}', flushMs: 200, pages: false, exits: false}});
sillok.identify('c-1'); sillok.track('early', {{props: {{n: 1}}}}); sillok.step({{step_position: 2}});
setTimeout(() => {{ const s = document.createElement('script'); s.src = '{world.collector}/sillok.js'; document.head.append(s); }}, 1500);
</script>""",
        STUB,
    )
    page = world.visitor().new_page()
    page.goto(world.site.url + "/")
    ready(page)
    page.evaluate("sillok.track('late')")
    rows = world.wait_for(4)
    assert [row["event_name"] or row["event_type"] for row in rows] == ["login", "early", "step", "late"]
    times = [row["event_time"].timestamp() for row in rows]
    assert times[3] - times[1] > 1.0, "an early call is told with the time it was made"


def test_broken_calls_do_not_throw_and_no_number_is_missing(world: World) -> None:
    world.site.add("/", "<body>", world.script(pages="false", exits="false"))
    page = world.open(world.visitor())
    thrown = page.evaluate(
        """() => {
          const circle = {}; circle.circle = circle;
          const trap = { get a() { throw new Error('trap') } };
          const calls = [
            () => sillok.track(), () => sillok.track(null), () => sillok.track('a', null), () => sillok.track('a', 7),
            () => sillok.track('circle', {props: circle}), () => sillok.track('trap', {props: trap}),
            () => sillok.track('trap', trap), () => sillok.track('big', {props: {n: 12345678901234567890n}}),
            () => sillok.track('nan', {props: {n: NaN, d: new Date(NaN), s: '\\ud800', z: '\\u0000'}}),
            () => sillok.track('huge', {props: {text: '가'.repeat(50000)}}), () => sillok.track('가'.repeat(50000)),
            () => sillok.set(null), () => sillok.set(7), () => sillok.identify(), () => sillok.identify(null),
            () => sillok.reset(null), () => sillok.error(), () => sillok.error(null), () => sillok.error({}),
            () => sillok.init(), () => sillok.init(null), () => sillok.push(), () => sillok.push(['nothing', [], 1]),
            () => sillok.optIn(7), () => sillok.click('x'), () => sillok.sessionId(1),
          ];
          const thrown = [];
          for (const call of calls) { try { call() } catch (error) { thrown.push(call + ': ' + error) } }
          sillok.track('last');
          return thrown;
        }"""
    )
    assert thrown == []
    eventually(lambda: world.rows("seq", "and event_name = 'last'") != [])
    last = world.rows("seq", "and event_name = 'last'")[0]["seq"]
    account = world.account()
    assert account.created == last
    eventually(lambda: world.account().vanished == world.account().pending == 0)
    by_name = {row["event_name"]: row for row in world.rows()}
    assert by_name["circle"]["props"] == {"sillok_trimmed": True}
    assert by_name["big"]["props"] == {"n": "12345678901234567890"}
    assert by_name["huge"]["props"] == {"sillok_trimmed": True}


def test_the_page_s_own_requests_and_errors_are_what_they_were(world: World) -> None:
    """Wrapped functions hand on the same promise, value and error, and tell nobody of requests that went well."""
    world.site.add("/", "<body>", world.script(pages="false", exits="false"))
    world.site.add("/data", "hello")
    page = world.open(world.visitor())
    assert page.evaluate("fetch('/data').then(r => r.text())").endswith("hello")
    assert page.evaluate("fetch(new Request('/404/x', {method: 'POST', body: 'x'})).then(r => r.status)") == 501
    assert "TypeError" in page.evaluate("fetch('http://127.0.0.1:1/').catch(e => e.name)")
    assert (
        page.evaluate(
            "new Promise(done => { const x = new XMLHttpRequest(); x.open('GET', '/404/y'); x.onload = () => done(x.status); x.send(); })"
        )
        == 404
    )
    assert page.evaluate("fetch('/data', {signal: AbortSignal.abort()}).catch(e => e.name)") == "AbortError"
    rows = world.wait_for(2)
    assert [(row["error_code"], row["error_message"]) for row in rows] == [
        ("HTTP_501", f"{world.site.url}/404/x"),
        ("HTTP_404", f"{world.site.url}/404/y"),
    ]


def test_an_error_in_a_loop_is_fifty_and_the_rest_is_counted(world: World) -> None:
    world.site.add("/", "<body>", world.script(pages="false", exits="false"))
    page = world.open(world.visitor())
    page.evaluate("() => { for (let i = 0; i < 80; i++) dispatchEvent(new ErrorEvent('error', {message: 'again'})) }")
    world.wait_for(50)
    eventually(lambda: world.account().dropped == {"error_limit": 30})
    account = world.account()
    assert (account.created, account.arrived, account.vanished) == (80, 50, 0)


def test_a_click_makes_the_browser_lay_out_nothing(world: World) -> None:
    """Reading a size or `innerText` in a handler would; the count of layouts says that nobody does."""
    world.site.add("/", "<body><button id=b>매수 <span>주문</span></button>", world.script(exits="false"))
    page = world.open(world.visitor())
    world.wait_for(1)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def layouts() -> float:
        return next(m["value"] for m in session.send("Performance.getMetrics")["metrics"] if m["name"] == "LayoutCount")

    before = layouts()
    page.evaluate(
        """() => { for (let i = 0; i < 20; i++) {
          document.body.style.width = 500 + i + 'px';
          document.querySelector('#b').dispatchEvent(new MouseEvent('click', {bubbles: true, composed: true}));
        } }"""
    )
    assert layouts() - before <= 2, "one for the frame, and none for each of twenty clicks"
    world.wait_for(21)


def test_a_page_that_comes_back_from_the_cache_is_viewed_again(world: World) -> None:
    world.site.add("/", "<body>", world.script(exits="false"), "홈")
    world.site.add("/next", "<body>", "", "다음")
    page = world.open(world.visitor())
    world.wait_for(1)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    rows = world.wait_for(2)
    assert [row["event_type"] for row in rows] == ["page_view", "page_view"]


def test_the_version_is_told_in_the_reports(world: World) -> None:
    world.site.add("/", "<body>", world.script())
    world.open(world.visitor())
    eventually(lambda: bool(world.road.bodies))
    assert re.fullmatch(r"js/\d+\.\d+\.\d+", world.road.bodies[0]["clients"][0]["sdk"])
