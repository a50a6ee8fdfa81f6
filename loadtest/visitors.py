"""A seeded model of people who use a trading app: sessions of pages, steps, clicks, errors, in Korean.

The same seed and start time give the same visits; ids are the SDK's own and differ from run to run.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

Call = tuple[str, int, dict[str, Any]]
"""(method of the SDK's client, milliseconds since the epoch, fields)"""

_PAGES: Final = {
    "M0101": ("홈", "/home"),
    "M0301": ("국내주식 현재가", "/stock/005930"),
    "M0302": ("호가", "/stock/005930/quote"),
    "M0405": ("주식 주문", "/order/stock"),
    "M0501": ("잔고", "/account/balance"),
    "M0701": ("공모주 청약", "/ipo"),
    "M0801": ("뉴스·리서치", "/research"),
    "M0901": ("고객센터", "/help"),
}
_WAYS_IN: Final[tuple[tuple[dict[str, str], int], ...]] = (
    ({}, 30),
    ({"referrer": "https://search.naver.com/search.naver?query=%EC%A6%9D%EA%B6%8C"}, 14),
    ({"referrer": "https://www.google.com/"}, 8),
    ({"utm_source": "naver", "utm_medium": "cpc", "utm_campaign": "비대면계좌_신규"}, 9),
    ({"utm_source": "kakao", "utm_medium": "alimtalk", "utm_campaign": "공모주_알림"}, 7),
    ({"referrer": "https://m.blog.naver.com/stock_study"}, 4),
    ({"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "주간시황"}, 3),
)
WEBKIT: Final = "AppleWebKit/537.36 (KHTML, like Gecko)"
DEVICES: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    (
        {"platform": "android", "os_name": "Android", "os_version": "16", "device_model": "SM-S938N",
         "screen_width": 412, "screen_height": 915},
        f"Mozilla/5.0 (Linux; Android 16; SM-S938N) {WEBKIT} Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36",
    ),
    (
        {"platform": "ios", "os_name": "iOS", "os_version": "26.1", "device_model": "iPhone18,1",
         "screen_width": 402, "screen_height": 874},
        "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    ),
    (
        {"platform": "web", "screen_width": 1920, "screen_height": 1080},
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        {"platform": "web", "screen_width": 1440, "screen_height": 900},
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/26.1 Safari/605.1.15",
    ),
)  # fmt: skip
_STEPS: Final = ("약관 동의", "본인인증", "신분증 촬영", "계좌 비밀번호", "개설 완료")
ERRORS: Final = (
    ("ORD-0042", "주문 가능 금액이 부족합니다"),
    ("NET-0007", "서버와의 연결이 끊어졌습니다. 다시 시도해 주세요"),
    ("CRT-0003", "공동인증서가 만료되었습니다"),
)
_SEARCHES: Final = ("삼성전자", "카카오뱅크", "ETF 배당", "미국주식 환전")
_CLICKS: Final = (
    ("매수", "btn_buy"),
    ("매도", "btn_sell"),
    ("관심종목 ⭐ 추가", "btn_favourite"),
    ("더보기", "btn_more"),
)


class Visit(Struct, frozen=True):
    """One visitor's session: what is the same for all of it, and its calls in order of time."""

    context: dict[str, Any]
    calls: list[Call]


def visits(seed: int, count: int, start_ms: int, span_ms: int) -> Iterator[Visit]:
    """Yield `count` visits that begin within `span_ms` of `start_ms`."""
    rng = random.Random(seed)
    for number in range(count):
        yield _visit(rng, number, start_ms + rng.randrange(span_ms))


def _visit(rng: random.Random, number: int, start_ms: int) -> Visit:
    device, user_agent = rng.choice(DEVICES)
    context = {
        **device,
        "app_name": "demo-mts" if device["platform"] != "web" else "demo-web",
        "app_version": rng.choice(("5.12.0", "5.12.1", "5.13.0")),
        "language": "ko-KR",
        "timezone": "Asia/Seoul",
        "session_id": f"s-{rng.getrandbits(64):016x}",
        "anonymous_id": f"a-{number}-{rng.getrandbits(32):08x}",
        "ip": f"203.0.113.{rng.randrange(1, 255)}",
        "user_agent": user_agent,
    }
    (way_in,) = rng.choices([w for w, _ in _WAYS_IN], [n for _, n in _WAYS_IN])
    calls: list[Call] = []
    now, previous = start_ms, None
    for index in range(rng.randint(2, 7)):
        code = "M0101" if index == 0 else rng.choice(list(_PAGES))
        name, path = _PAGES[code]
        page = {"page_url": f"https://m.demo-securities.co.kr{path}", "page_code": code, "page_name": name}
        arrival = way_in if index == 0 else {"referrer": previous}
        calls.append(("page_view", now, {**page, **arrival}))
        previous = page["page_url"]
        for method, fields in _actions(rng, code):
            now += rng.randrange(700, 9_000)
            calls.append((method, now, {"page_code": code, "page_url": page["page_url"], **fields}))
        now += rng.randrange(1_500, 20_000)
    calls.append(("exit", now, {"exit_menu": name, "page_code": code}))
    return Visit(context, calls)


def _actions(rng: random.Random, code: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what the visitor does on one page."""
    actions: list[tuple[str, dict[str, Any]]] = []
    for _ in range(rng.randrange(3)):
        text, name = rng.choice(_CLICKS)
        actions.append(("click", {"click_text": text, "click_name": name}))
    if code == "M0405" and rng.random() < 0.4:  # noqa: PLR2004 - the model's shares stand where they act
        error_code, message = rng.choice(ERRORS)
        actions.append(("error", {"error_code": error_code, "error_message": message}))
    if code == "M0701":
        last = rng.randint(1, len(_STEPS))
        actions += [
            ("step", {"flow_name": "account_opening", "step_position": n, "step_name": _STEPS[n - 1]})
            for n in range(1, last + 1)
        ]
        actions.append(("checkbox", {"checkbox_name": "투자위험 고지 확인", "checkbox_checked": True}))
    if code == "M0301":
        actions.append(("tab", {"tab_name": rng.choice(("호가", "차트", "토론"))}))
        actions.append(("search", {"search_text": rng.choice(_SEARCHES)}))
    if code == "M0901" and rng.random() < 0.3:  # noqa: PLR2004
        # People type what they should not; it must never reach the disk.
        actions.append(("error", {"error_code": "FRM-0001", "error_message": "입력값 오류: 900101-1234567"}))
    if code == "M0501":
        actions.append(("popup", {"popup_name": "양도소득세 안내"}))
        actions.append(("login", {"customer_id": f"c-{rng.getrandbits(48):012x}"}))
    return actions
