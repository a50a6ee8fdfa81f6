"""One visit to the broker's site, page by page, of somebody who wants something there.

A release every second Wednesday has more errors in its first days; orders, account openings and subscriptions each have
their drop-offs.
"""

import random
from datetime import date, datetime
from typing import Any, Final

from contract.calendar import SEOUL
from loadtest.people import OPENING, Person, Way, hours_of, reached, way_back
from loadtest.visitors import DEVICES, ERRORS, Call, Visit

_RELEASE_DAYS: Final = 14
_WEDNESDAY: Final = date(2026, 1, 7)
PAGES: Final = {
    "M0101": ("홈", "/home"),
    "M0201": ("비대면 계좌개설", "/open-account"),
    "M0301": ("국내주식 현재가", "/stock/{code}"),
    "M0302": ("호가", "/stock/{code}/quote"),
    "M0405": ("주식 주문", "/order/stock"),
    "M0501": ("잔고", "/account/balance"),
    "M0601": ("이벤트 · 수수료 혜택", "/event/fee"),
    "M0701": ("공모주 청약", "/ipo"),
    "M0801": ("뉴스·리서치", "/research"),
    "M0901": ("고객센터", "/help"),
}
# What is searched for, and how often: few names are most of it.
_STOCKS: Final = {
    "삼성전자": ("005930", 30), "SK하이닉스": ("000660", 18), "현대차": ("005380", 9), "네이버": ("035420", 8),
    "카카오": ("035720", 7), "LG에너지솔루션": ("373220", 6), "셀트리온": ("068270", 5), "POSCO홀딩스": ("005490", 4),
    "KODEX 200": ("069500", 6), "TIGER 미국S&P500": ("360750", 7),
}  # fmt: skip
ORDER: Final = ("종목 선택", "수량·가격 입력", "주문 확인", "주문 완료")
_ORDER_ON: Final = (0.74, 0.81, 0.93)
SUBSCRIPTION: Final = ("종목 선택", "청약 수량", "청약 완료")
_SUBSCRIPTION_ON: Final = (0.66, 0.84)
_BOT: Final = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def _version(person: Person, day: date) -> str:
    """Return the app's version on this device: a release every second Wednesday, installed within days."""
    release, age = divmod((day - _WEDNESDAY).days, _RELEASE_DAYS)
    patience = random.Random(f"{person.name} {release}").expovariate(1 / 2.5)
    return f"5.{release - (age < patience)}.0"


class Walk:
    """One visit while it is made."""

    def __init__(self, rng: random.Random, person: Person, day: date, *, is_first: bool) -> None:
        self._rng, self._person, self._day, self._is_first = rng, person, day, is_first
        self._device, self._user_agent = DEVICES[person.device]
        self._is_phone = self._device["platform"] != "web"
        self._host = f"https://{'m' if self._is_phone else 'www'}.demo-securities.co.kr"
        self._calls: list[Call] = []
        self._page: dict[str, Any] = {}
        self._customer: str | None = None
        hour = person.hour if not is_first and rng.random() < 0.4 else rng.choices(range(24), hours_of(day))[0]  # noqa: PLR2004
        starts = datetime(day.year, day.month, day.day, hour, tzinfo=SEOUL)
        self._now_ms = int(starts.timestamp() * 1000) + rng.randrange(3_600_000)
        # On a release's first two days more goes wrong.
        self._trouble = 2.6 if self._is_phone and (day - _WEDNESDAY).days % _RELEASE_DAYS < 2 else 1.0  # noqa: PLR2004

    def visit(self) -> Visit:
        """Walk, and return what was recorded."""
        way = self._way()
        self._view(way.lands_on, **self._arrival(way))
        if self._rng.random() >= (way.bounces if self._person.steps == 0 or not self._is_first else 0.0):
            self._login()
            self._stay(way)
        if self._rng.random() < 0.7:  # noqa: PLR2004 - not every way of leaving is seen
            self._do("exit", exit_menu=self._page["page_name"])
        return Visit(self._context(), self._calls)

    def _way(self) -> Way:
        if self._is_first and self._person.way is not None:
            return self._person.way
        return way_back(self._rng, self._day)

    def _arrival(self, way: Way) -> dict[str, str]:
        if way.fields.get("utm_medium") == "cpc" and self._rng.random() < 0.8:  # noqa: PLR2004
            name = "n_ad" if way.fields["utm_source"] == "naver" else "gclid"
            return {**way.fields, "ad_click_id": f"{name}:{self._rng.getrandbits(60):015x}k"}
        return way.fields

    def _context(self) -> dict[str, Any]:
        address = random.Random(f"address {self._person.name}")
        return {
            **self._device,
            "app_name": "demo-mts" if self._is_phone else "demo-web",
            "app_version": _version(self._person, self._day),
            "language": "ko-KR",
            "timezone": "Asia/Seoul",
            "network_type": self._rng.choice(("wifi", "5g", "4g")) if self._is_phone else "wifi",
            "session_id": f"s-{self._rng.getrandbits(64):016x}",
            "anonymous_id": self._person.anonymous_id,
            "ip": f"{address.choice(('192.0.2', '198.51.100', '203.0.113'))}.{address.randrange(1, 255)}",
            "user_agent": self._user_agent,
        }

    def _stay(self, way: Way) -> None:
        if self._is_first and self._person.steps:
            self._open_account()
            return
        for _ in range(max(1, round(self._rng.lognormvariate(0.7, 0.6)))):
            chosen = self._rng.choices(
                (self._look_at_a_stock, self._order, self._balance, self._read, self._subscribe, self._help),
                (34, 26 if self._customer else 3, 18 if self._customer else 0, 14,
                 12 if way.lands_on == "M0701" or self._day.weekday() in (1, 2) else 2, 4),
            )[0]  # fmt: skip
            chosen()

    def _login(self) -> None:
        if self._is_first or self._person.customer_id is None or self._rng.random() > 0.78:  # noqa: PLR2004
            return
        self._customer = self._person.customer_id
        self._do("login")

    def _open_account(self) -> None:
        if self._page["page_code"] != "M0201":
            self._do("click", click_text="계좌 만들기", click_name="btn_open_account")
            self._view("M0201")
        self._do("checkbox", checkbox_name="전체 동의", checkbox_checked=True)
        self._steps("account_opening", OPENING, self._person.steps)
        if self._person.steps == 3 and self._rng.random() < 0.45:  # noqa: PLR2004
            self._do(
                "error",
                error_code="IDC-0011",
                error_message="신분증이 인식되지 않습니다. 밝은 곳에서 다시 촬영해 주세요",
            )
        if self._person.customer_id:
            self._customer = self._person.customer_id
            self._do("login")
            self._view("M0101")

    def _look_at_a_stock(self) -> None:
        name, code = self._stock()
        if self._rng.random() < 0.6:  # noqa: PLR2004
            self._do("search", search_text=name)
        self._view("M0301", code)
        for tab in self._rng.sample(("호가", "차트", "토론", "재무"), self._rng.choice((0, 1, 1, 2))):
            self._do("tab", tab_name=tab)
        if self._rng.random() < 0.18:  # noqa: PLR2004
            self._do("click", click_text="관심종목 ⭐ 추가", click_name="btn_favourite")

    def _order(self) -> None:
        _, code = self._stock()
        self._view("M0301", code)
        side = self._rng.choice((("매수", "btn_buy"), ("매수", "btn_buy"), ("매도", "btn_sell")))
        self._do("click", click_text=side[0], click_name=side[1])
        if not self._customer:
            self._do("popup", popup_name="로그인이 필요합니다")
            return
        self._view("M0405")
        done = reached(self._rng, _ORDER_ON)
        self._steps("stock_order", ORDER, done)
        if self._rng.random() < 0.05 * self._trouble:
            code_, message = self._rng.choice(ERRORS)
            self._do("error", error_code=code_, error_message=message)
        if done == len(ORDER):
            amount_krw = self._rng.choice((50, 100, 300, 1000)) * 10_000
            placed = {"side": side[0], "stock": code, "amount_krw": amount_krw}
            self._do("track", event_name="order_placed", props=placed)

    def _balance(self) -> None:
        self._view("M0501")
        if self._rng.random() < 0.08:  # noqa: PLR2004
            self._do("popup", popup_name="양도소득세 안내")
        if self._rng.random() < 0.2:  # noqa: PLR2004
            self._do("click", click_text="수익률 보기", click_name="btn_profit")

    def _read(self) -> None:
        self._view("M0801")
        if self._rng.random() < 0.5:  # noqa: PLR2004
            self._do("click", click_text="더보기", click_name="btn_more")

    def _subscribe(self) -> None:
        self._view("M0701")
        if self._rng.random() < 0.55:  # noqa: PLR2004
            self._do("checkbox", checkbox_name="투자위험 고지 확인", checkbox_checked=True)
            self._steps("ipo_subscription", SUBSCRIPTION, reached(self._rng, _SUBSCRIPTION_ON))

    def _help(self) -> None:
        self._view("M0901")
        if self._rng.random() < 0.12:  # noqa: PLR2004
            # People type what they should not; it must never reach the disk.
            self._do("error", error_code="FRM-0001", error_message="입력값 오류: 900101-1234567")
        elif self._rng.random() < 0.3 * self._trouble:
            self._do("error", error_code="NET-0007", error_message="서버와의 연결이 끊어졌습니다. 다시 시도해 주세요")

    def _stock(self) -> tuple[str, str]:
        name = self._rng.choices(list(_STOCKS), [share for _, share in _STOCKS.values()])[0]
        return name, _STOCKS[name][0]

    def _steps(self, flow: str, names: tuple[str, ...], done: int) -> None:
        for position, name in enumerate(names[:done], 1):
            self._do("step", flow_name=flow, step_position=position, step_name=name)

    def _view(self, code: str, stock: str = "005930", **arrival: str) -> None:
        name, path = PAGES[code]
        if self._page:
            arrival = {"referrer": self._page["page_url"]}
        self._page = {"page_url": self._host + path.format(code=stock), "page_code": code, "page_name": name}
        self._do("page_view", **arrival)

    def _do(self, method: str, **fields: Any) -> None:
        if self._calls:
            # Seconds to a minute on a page, with a long tail.
            self._now_ms += 400 + int(1000 * min(self._rng.lognormvariate(2.4, 0.9), 300))
        who = {"customer_id": self._customer} if self._customer else {}
        self._calls.append((method, self._now_ms, {**self._page, **who, **fields}))


def bot_visit(rng: random.Random, day: date, number: int) -> Visit:
    """Return what a search engine's robot leaves: every page's script runs for it too."""
    starts = int(datetime(day.year, day.month, day.day, 2 + 5 * number, tzinfo=SEOUL).timestamp() * 1000)
    calls: list[Call] = []
    for n, (code, (name, path)) in enumerate(PAGES.items()):
        page = {
            "page_url": f"https://www.demo-securities.co.kr{path.format(code='005930')}",
            "page_code": code,
            "page_name": name,
        }
        calls.append(("page_view", starts + n * 11_000, page))
    who = {"anonymous_id": f"a-{rng.getrandbits(48):012x}", "session_id": f"s-{rng.getrandbits(64):016x}"}
    robot = {"app_name": "demo-web", "ip": f"192.0.2.{200 + number}", "user_agent": _BOT}
    return Visit({"platform": "web", **who, **robot}, calls)
