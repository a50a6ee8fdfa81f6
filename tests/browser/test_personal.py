"""Numbers of people do not leave the page."""

import json

import pytest

from tests.browser.conftest import World, eventually, ready

# What stands on the control, what of it may not leave, and what is told instead.
CLICKS = [
    ("900101-1234567", "900101-1234567", "[rrn]"),
    ("주민번호 9001011234567 확인", "9001011234567", "주민번호 [rrn] 확인"),
    ("외국인 900101-5234567", "900101-5234567", "외국인 [rrn]"),
    ("4111-1111-1111-1111", "4111-1111-1111-1111", "[card]"),
    ("카드 5555555555554444 결제", "5555555555554444", "카드 [card] 결제"),
    ("110-234-567890", "110-234-567890", "[account]"),
    ("1002-123-456789 로 이체", "1002-123-456789", "[account] 로 이체"),
    ("010-1234-5678", "010-1234-5678", "[phone]"),
    ("전화 02-3456-7890", "02-3456-7890", "전화 [phone]"),
    ("hong.gildong@example.co.kr", "hong.gildong@example.co.kr", "[email]"),
    ("문의 kim+1@example.com 으로", "kim+1@example.com", "문의 [email] 으로"),
]


def test_eleven_clicks_on_personal_numbers(world: World) -> None:
    buttons = "".join(f"<button id=b{n}>{text}</button>" for n, (text, _, _) in enumerate(CLICKS))
    world.site.add("/", f"<body>{buttons}", world.script(pages="false", exits="false"))
    page = world.open(world.visitor())
    for n in range(len(CLICKS)):
        page.click(f"#b{n}")
    rows = world.wait_for(len(CLICKS))
    assert [row["click_text"] for row in rows] == [told for _, _, told in CLICKS]
    sent = json.dumps(world.road.bodies, ensure_ascii=False)
    kept = json.dumps(page.evaluate("({...localStorage})"), ensure_ascii=False)
    for _, secret, _ in CLICKS:
        assert secret not in sent
        assert secret.replace("-", "") not in sent
        assert secret not in kept


def test_what_is_typed_or_marked_is_not_read(world: World) -> None:
    secrets = ["p4ssw0rd-geheim", "9999-typed", "비밀 메모", "숨긴 잔고", "고른 계좌"]
    world.site.add(
        "/",
        f"""<body><form onsubmit="return false">
<button id=all>전송 <input type=password value="{secrets[0]}"><input id=text value="{secrets[1]}">
<textarea>{secrets[2]}</textarea><b data-sillok-mask>{secrets[3]}</b><select><option>{secrets[4]}</select></button>
<div data-sillok-mask><button id=hidden>{secrets[3]}</button></div>
<div data-sillok-ignore><button id=ignored>{secrets[3]}</button></div>
<div contenteditable><button id=editable>{secrets[2]}</button></div></form>""",
        world.script(pages="false", exits="false"),
    )
    page = world.open(world.visitor())
    page.evaluate("document.querySelector('#all').click()")
    page.focus("#text")
    page.keyboard.type(secrets[1])
    for name in ("hidden", "ignored", "editable"):
        page.evaluate(f"document.querySelector('#{name}').click()")
    rows = world.wait_for(3)
    assert [(row["click_name"], row["click_text"]) for row in rows[:2]] == [("all", "전송"), ("hidden", None)]
    sent = json.dumps(world.road.bodies, ensure_ascii=False)
    assert not [secret for secret in secrets if secret in sent and secret != secrets[2]]


def test_personal_numbers_in_every_other_place(world: World) -> None:
    world.site.add("/", "<body>", world.script(exits="false"), "홈 900101-1234567")
    page = world.open(world.visitor(), "/?name=900101-1234567#token=900101-1234567")
    page.evaluate("sillok.track('a 900101-1234567', {props: {'k': ['900101-1234567', {d: 9001011234567}]}})")
    page.evaluate("sillok.error(new Error('900101-1234567'))")
    page.evaluate("sillok.identify('900101-1234567')")
    page.evaluate("sillok.set({page_name: '900101-1234567'}); sillok.step({step_name: '900101-1234567'})")
    page.evaluate("() => void fetch('/404/900101-1234567')")
    rows = world.wait_for(5)
    assert rows[1]["event_name"] == "a [rrn]"
    assert rows[1]["props"] == {"k": ["[rrn]", {"d": "[rrn]"}]}
    sent = json.dumps(world.road.bodies)
    assert "900101" not in sent
    assert all(row["customer_id"] is None for row in rows)


@pytest.mark.parametrize("how", ["data-consent", "optOut"])
def test_nothing_is_recorded_kept_or_sent_without_consent(world: World, how: str) -> None:
    script = world.script(consent="false") if how == "data-consent" else world.script()
    world.site.add("/", "<body><button id=b>매수</button>", script)
    context = world.visitor()
    if how == "optOut":
        world.site.add("/off", "<body>", world.script(pages="false", exits="false"))
        page = world.open(context, "/off")
        page.evaluate("sillok.optOut()")
        page.close()
    page = world.open(context)
    page.click("#b")
    page.evaluate("sillok.track('a'); sillok.identify('c-1'); sillok.flush()")
    page.wait_for_timeout(700)
    assert world.road.events == []
    assert set(page.evaluate("Object.keys(localStorage)")) <= {"sillok:o"}
    assert page.evaluate("document.cookie") == ""
    page.evaluate("sillok.optIn(); sillok.track('b')")
    eventually(lambda: [event.get("event_name") for event in world.road.events][-1:] == ["b"])


def test_opting_out_forgets_what_waits_and_says_how_much(world: World) -> None:
    world.site.add("/", "<body>", world.script(pages="false", exits="false", flush_ms=60_000))
    page = world.open(world.visitor())
    page.evaluate("for (let i = 0; i < 7; i++) sillok.track('a'); sillok.optOut()")
    eventually(lambda: bool(world.road.bodies))
    assert world.road.events == []
    eventually(lambda: bool(world.rows("seq")) or world.road.bodies[-1]["clients"][0]["dropped"] == {"opted_out": 7})
    assert world.road.bodies[-1]["clients"][0]["created"] == 7


def test_sub_domains_share_visitor_session_customer_and_choice(world: World) -> None:
    """With `cookieDomain` a visitor of two hosts is one; without it they are two."""
    port = world.site.url.rpartition(":")[2]
    world.site.add("/shared", "<body>", world.script(cookie_domain="firm.localhost", pages="false", exits="false"))
    world.site.add("/apart", "<body>", world.script(pages="false", exits="false"))
    context = world.visitor()
    page = context.new_page()

    def visit(host: str, path: str, call: str) -> None:
        page.goto(f"http://{host}.firm.localhost:{port}{path}")
        ready(page)
        page.evaluate(call)

    visit("www", "/shared", "sillok.identify('c-1')")
    visit("trade", "/shared", "sillok.track('one')")
    world.wait_for(2)
    visit("trade", "/shared", "sillok.optOut()")
    visit("www", "/shared", "sillok.track('unseen')")
    visit("www", "/apart", "sillok.track('two')")
    visit("trade", "/apart", "sillok.track('three')")
    rows = {row["event_name"] or row["event_type"]: row for row in world.wait_for(4)}
    assert set(rows) == {"login", "one", "two", "three"}
    for column in ("anonymous_id", "session_id", "customer_id"):
        assert rows["login"][column] == rows["one"][column] != rows["two"][column]
    assert rows["two"]["anonymous_id"] != rows["three"]["anonymous_id"]
