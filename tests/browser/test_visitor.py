"""What a visitor did is what is in clean.events: event for event, text for text."""

from typing import Any

from tests.browser.conftest import World, eventually

SAID = (
    "event_type, page_url, page_code, page_name, click_text, click_name, checkbox_name, checkbox_checked, popup_name, "
    "tab_name, flow_name, step_position, step_name, search_text, customer_id, error_code, error_message, referrer, props"
)
MENU = """<body data-sillok-page-code="M0001"><h1>홈</h1>
<nav><a id=quotes href="/quotes?code=005930&tab=chart&name=김" data-sillok-menu="주식"><span>국내주식</span> 현재가</a></nav>
<button data-sillok-click="btn_notice" onclick="document.getElementById('notice').style.display='block'">공지 보기</button>
<div id=notice style="display:none" data-sillok-popup="공지"><button id=close>닫기</button></div>"""
QUOTES = """<body data-sillok-page-code="M0301">
<div role=tablist><span role=tab id=chart>차트</span> <span data-sillok-tab="호가창" id=book>호가</span></div>
<label><input type=checkbox name=alert> 체결 알림</label>
<input id=quantity type=text value="10"><input type=button id=buy value="매수">
<a id=out href="/404/missing">없는 곳</a>"""
APP = """<body><div id=view>첫 화면</div>
<button id=go>다음</button>
<script>
document.getElementById('go').onclick = () => {
  history.pushState({}, '', '/app/orders/7?secret=1');
  document.title = '주문 내역';
  document.body.dataset.sillokPageCode = 'M0701';
  document.getElementById('view').innerHTML = '<section data-sillok-flow="account_opening" data-sillok-step="3" data-sillok-step-name="본인인증">인증</section>';
};
</script>"""


def said(row: dict[str, Any], world: World) -> dict[str, Any]:
    """Return what a row says, without what is empty and without the site's address."""
    found = {name: value for name, value in row.items() if value not in (None, {})}
    for name in ("page_url", "referrer"):
        if name in found:
            found[name] = found[name].removeprefix(world.site.url)
    return found


def sent(world: World) -> set[str]:
    """Return the kinds of the events that have come by."""
    return {event["event_type"] for event in world.road.events}


def test_a_site_of_pages(world: World) -> None:
    script = world.script(app_version="4.2.1")
    world.site.add("/", MENU, script, "홈")
    world.site.add("/quotes", QUOTES, script, "현재가")
    page = world.open(world.visitor(), "/?utm_source=naver&utm_medium=cpc&name=kim")
    page.click("text=공지 보기")
    eventually(lambda: "popup" in sent(world))
    page.click("#close")
    page.click("#quotes")
    page.wait_for_url("**/quotes*")
    page.wait_for_function("window.sillok && sillok.sessionId")
    page.click("#chart")
    page.click("#book")
    page.check("[name=alert]")
    page.fill("#quantity", "9001011234567")
    page.click("#buy")
    page.evaluate("sillok.identify('c-17')")
    page.evaluate("sillok.search({search_text: '삼성전자 010-1234-5678'})")
    page.evaluate("sillok.track('주문완료', {props: {수량: 10, 메모: 'hong@example.com'}})")
    page.close(run_before_unload=True)
    home, quotes = "/?utm_source=naver&utm_medium=cpc&name=", "/quotes?code=&tab=chart&name="
    touch = {"first_touch": "utm_source=naver&utm_medium=cpc", "last_touch": "utm_source=naver&utm_medium=cpc"}
    first, second = {"page_url": home, "page_code": "M0001"}, {"page_url": quotes, "page_code": "M0301"}
    known = second | {"customer_id": "c-17"}
    link = {"link": world.site.url + quotes, "menu": "주식"}
    rows = world.wait_for(14)
    assert [said(row, world) for row in world.rows(SAID)] == [
        first | {"event_type": "page_view", "page_name": "홈", "props": touch},
        first | {"event_type": "click", "click_text": "공지 보기", "click_name": "btn_notice"},
        first | {"event_type": "popup", "popup_name": "공지"},
        first | {"event_type": "click", "click_text": "닫기", "click_name": "close", "popup_name": "공지"},
        first | {"event_type": "click", "click_text": "국내주식 현재가", "click_name": "quotes", "props": link},
        second | {"event_type": "page_view", "page_name": "현재가", "referrer": home},
        second | {"event_type": "tab", "tab_name": "차트"},
        second | {"event_type": "tab", "tab_name": "호가창"},
        second
        | {"event_type": "checkbox", "checkbox_name": "alert", "checkbox_checked": True, "click_text": "체결 알림"},
        second | {"event_type": "click", "click_text": "매수", "click_name": "buy"},
        known | {"event_type": "login"},
        known | {"event_type": "search", "search_text": "삼성전자 [phone]"},
        known | {"event_type": "custom", "props": {"수량": 10, "메모": "[email]"}},
        known | {"event_type": "exit"},
    ]
    assert len(rows) == 14
    assert len({(row["anonymous_id"], row["session_id"]) for row in rows}) == 1
    assert {(row["app_version"], row["platform"]) for row in rows} == {("4.2.1", "web")}
    assert rows[0]["utm_source"] == "naver"
    assert rows[0]["channel"] == "paid_search"


def test_a_single_page_app(world: World) -> None:
    world.site.add("/app", APP, world.script(), "앱")
    page = world.open(world.visitor(), "/app")
    page.click("#go")
    eventually(lambda: "step" in sent(world))
    page.evaluate("history.replaceState({}, '', '/app/orders/7?secret=2')")  # a value is no address: no new page
    page.evaluate("location.hash = 'section'")  # an anchor: no new page
    page.evaluate("location.hash = '#/quotes/005930?token=abc'")
    eventually(lambda: len({event["event_id"] for event in world.road.events}) == 5)
    page.go_back()
    page.evaluate("() => void Promise.reject(new RangeError('한도 초과 900101-1234567'))")
    page.evaluate("fetch('/503/orders?token=1')")
    world.wait_for(8)
    kinds = [(row["event_type"], row["page_url"].removeprefix(world.site.url)) for row in world.rows()]
    assert kinds == [
        ("page_view", "/app"),
        ("click", "/app"),
        ("page_view", "/app/orders/7?secret="),
        ("step", "/app/orders/7?secret="),
        ("page_view", "/app/orders/7?secret=#/quotes/005930?token="),
        ("page_view", "/app/orders/7?secret="),
        ("error", "/app/orders/7?secret="),
        ("error", "/app/orders/7?secret="),
    ]
    rows = [said(row, world) for row in world.rows(SAID)]
    assert rows[2]["page_name"] == "주문 내역"
    assert rows[2]["page_code"] == "M0701"
    assert rows[2]["referrer"] == "/app"
    assert (rows[3]["flow_name"], rows[3]["step_position"], rows[3]["step_name"]) == ("account_opening", 3, "본인인증")
    assert (rows[6]["error_code"], rows[6]["error_message"]) == ("RangeError", "한도 초과 [rrn]")
    assert (rows[7]["error_code"], rows[7]["error_message"]) == ("HTTP_503", f"{world.site.url}/503/orders")
