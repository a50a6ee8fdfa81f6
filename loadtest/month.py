"""A small broker's visitors, day by day, for somebody who wants to look at more than an empty table.

Always true:

- A day follows from the seed and its date alone, ids too: made again, it is the same day, event for event.
- Who comes again is the same person: same device, same habits, same customer number.

What a marketing person would look for is in it: weekdays busier than weekends, the market's opening, its close and the
evening; campaigns on days of their own; newcomers who mostly leave and sometimes return; an account opening and an
order, each with its drop-offs; a release every second Wednesday whose first days have more errors.
"""

import math
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final

from msgspec import Struct

from contract.calendar import SEOUL
from loadtest.visitors import DEVICES, ERRORS, Call, Visit

_MEMBERS: Final = 420
_NEWCOMERS: Final = 90
_COHORT_DAYS: Final = 27
_SATURDAY: Final = 5
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
OPENING: Final = ("약관 동의", "본인인증", "신분증 촬영", "계좌 비밀번호", "개설 완료")
# Who has done a step and goes on to the next; photographing one's identity card is where people give up.
_OPENING_ON: Final = (0.80, 0.72, 0.58, 0.88)
ORDER: Final = ("종목 선택", "수량·가격 입력", "주문 확인", "주문 완료")
_ORDER_ON: Final = (0.74, 0.81, 0.93)
SUBSCRIPTION: Final = ("종목 선택", "청약 수량", "청약 완료")
_SUBSCRIPTION_ON: Final = (0.66, 0.84)
# By hour of the Korean day, on a trading day and on a weekend.
_TRADING_HOURS: Final = (2, 1, 1, 1, 1, 1, 3, 8, 18, 26, 15, 12, 14, 12, 13, 17, 9, 7, 8, 9, 11, 12, 9, 4)
_FREE_HOURS: Final = (3, 2, 1, 1, 1, 1, 2, 3, 5, 8, 10, 10, 9, 9, 10, 10, 9, 9, 8, 9, 11, 12, 10, 6)
_DEVICE_SHARES: Final = (42, 27, 24, 7)
_BOT: Final = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def _always(_day: date) -> bool:
    return True


class _Way(Struct, frozen=True):
    """A way in: what the first page view says of it, and what its visitors do."""

    fields: dict[str, str]
    share: int
    bounces: float
    """Who looks at one page and leaves."""
    wants_account: float
    """Of those that stay: who begins to open an account."""
    lands_on: str = "M0101"
    is_open: Callable[[date], bool] = _always
    """On which days the way exists: campaigns have their days."""


def _every_other_week(day: date) -> bool:
    return day.isocalendar().week % 2 == 0


def _on(*weekdays: int) -> Callable[[date], bool]:
    return lambda day: day.weekday() in weekdays


def _tagged(source: str, medium: str, campaign: str, **more: str) -> dict[str, str]:
    return {"utm_source": source, "utm_medium": medium, "utm_campaign": campaign, **more}


_NEWCOMERS_WAYS: Final = (
    _Way({}, 14, 0.42, 0.10),
    _Way({"referrer": "https://search.naver.com/search.naver?query=%EC%A6%9D%EA%B6%8C"}, 22, 0.38, 0.14),
    _Way({"referrer": "https://www.google.com/"}, 11, 0.46, 0.08),
    _Way({"referrer": "https://search.daum.net/search?q=%EC%A3%BC%EC%8B%9D"}, 4, 0.44, 0.09),
    _Way(_tagged("naver", "cpc", "비대면계좌_신규", utm_term="비대면 계좌개설"), 18, 0.31, 0.42, "M0201"),
    _Way(_tagged("google", "cpc", "비대면계좌_신규", utm_term="증권 계좌 수수료"), 8, 0.37, 0.34, "M0201"),
    _Way(_tagged("instagram", "paid_social", "수수료평생무료", utm_content="릴스_15초"), 12, 0.62, 0.12, "M0601",
         _every_other_week),
    _Way({"referrer": "https://m.blog.naver.com/stock_study"}, 7, 0.35, 0.12, "M0801"),
    _Way({"referrer": "https://www.youtube.com/"}, 4, 0.48, 0.10, "M0601"),
    _Way({"referrer": "https://finance-news.example/market"}, 5, 0.55, 0.04, "M0801"),
)  # fmt: skip
_MEMBERS_WAYS: Final = (
    _Way({}, 74, 0.09, 0.0),
    _Way({"referrer": "https://search.naver.com/search.naver?query=%EC%A6%9D%EA%B6%8C"}, 8, 0.12, 0.0),
    _Way(_tagged("kakao", "alimtalk", "공모주_알림"), 22, 0.24, 0.0, "M0701", _on(1, 2)),
    _Way(_tagged("app", "push", "급등주_알림"), 9, 0.33, 0.0, "M0301", _on(0, 1, 2, 3, 4)),
    _Way(_tagged("newsletter", "email", "주간시황"), 14, 0.41, 0.0, "M0801", _on(0)),
)


class Person(Struct, frozen=True):
    """Who visits: from the same device each time."""

    name: str
    device: int
    way: _Way | None
    """How a newcomer found the site; None: a customer since before the month."""
    frequency: float
    """Visits on a trading day, on the average."""
    steps: int
    """How far he gets in opening an account on his first visit; 0: he does not begin."""
    hour: int
    """When he is most often here."""

    @property
    def customer_id(self) -> str | None:
        """His number, once he is a customer."""
        return f"c-{_digits(self.name)}" if self.way is None or self.steps == len(OPENING) else None


def visits_of(seed: int, day: date) -> Iterator[Visit]:
    """Yield a Korean calendar day's visits; the last may end a few minutes after midnight."""
    is_free = day.weekday() >= _SATURDAY
    rng = random.Random(f"{seed} {day}")
    for person in _members(seed):
        for _ in range(_times(rng, person.frequency * (0.3 if is_free else 1.0))):
            yield _Walk(rng, person, day, is_first=False).visit()
    for person in _newcomers(seed, day):
        yield _Walk(rng, person, day, is_first=True).visit()
    for age in range(1, _COHORT_DAYS + 1):
        for person in _newcomers(seed, day - timedelta(days=age)):
            likely = 0.42 / age**0.35 if person.customer_id else 0.14 / age**0.9
            if rng.random() < likely * (0.6 if is_free else 1.0):
                yield _Walk(rng, person, day, is_first=False).visit()
    for number in range(4):
        yield _bot_visit(rng, day, number)


@cache
def _members(seed: int) -> list[Person]:
    return [_person(random.Random(f"{seed} member {n}"), f"member {seed} {n}", None) for n in range(_MEMBERS)]


@cache
def _newcomers(seed: int, day: date) -> list[Person]:
    rng = random.Random(f"{seed} newcomers {day}")
    ways = [way for way in _NEWCOMERS_WAYS if way.is_open(day)]
    weights = [way.share for way in ways]
    # A campaign brings people beside those who come anyway.
    usual = sum(way.share for way in _NEWCOMERS_WAYS if way.is_open is _always)
    busy = sum(weights) / usual * (0.7 if day.weekday() >= _SATURDAY else 1.0)
    count = round(_NEWCOMERS * busy * rng.uniform(0.85, 1.15))
    return [_person(rng, f"{day} {seed} {n}", rng.choices(ways, weights)[0]) for n in range(count)]


def _person(rng: random.Random, name: str, way: _Way | None) -> Person:
    steps = 0
    if way is not None and rng.random() > way.bounces and rng.random() < way.wants_account:
        steps = _reached(rng, _OPENING_ON)
    return Person(
        name=name,
        device=rng.choices(range(len(DEVICES)), _DEVICE_SHARES)[0],
        way=way,
        # A few trade all day, most look in now and then.
        frequency=min(rng.lognormvariate(math.log(0.16), 0.9), 2.5),
        steps=steps,
        hour=rng.choices(range(24), _TRADING_HOURS)[0],
    )


def _times(rng: random.Random, frequency: float) -> int:
    whole = int(frequency)
    return whole + (rng.random() < frequency - whole)


def _reached(rng: random.Random, goes_on: tuple[float, ...]) -> int:
    """Return the number of the last step that somebody reaches."""
    for done, share in enumerate(goes_on, 1):
        if rng.random() > share:
            return done
    return len(goes_on) + 1


def _digits(name: str) -> str:
    return f"{random.Random(f'digits {name}').getrandbits(48):012x}"


def _version(person: Person, day: date) -> str:
    """Return the app's version on this device: a release every second Wednesday, installed within days."""
    release, age = divmod((day - _WEDNESDAY).days, _RELEASE_DAYS)
    patience = random.Random(f"{person.name} {release}").expovariate(1 / 2.5)
    return f"5.{release - (age < patience)}.0"


class _Walk:
    """One visit while it is made."""

    def __init__(self, rng: random.Random, person: Person, day: date, *, is_first: bool) -> None:
        self._rng, self._person, self._day, self._is_first = rng, person, day, is_first
        self._device, self._user_agent = DEVICES[person.device]
        self._is_phone = self._device["platform"] != "web"
        self._host = f"https://{'m' if self._is_phone else 'www'}.demo-securities.co.kr"
        self._calls: list[Call] = []
        self._page: dict[str, Any] = {}
        self._customer: str | None = None
        hours = _FREE_HOURS if day.weekday() >= _SATURDAY else _TRADING_HOURS
        hour = person.hour if not is_first and rng.random() < 0.4 else rng.choices(range(24), hours)[0]  # noqa: PLR2004
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

    def _way(self) -> _Way:
        if self._is_first and self._person.way is not None:
            return self._person.way
        ways = [way for way in _MEMBERS_WAYS if way.is_open(self._day)]
        return self._rng.choices(ways, [way.share for way in ways])[0]

    def _arrival(self, way: _Way) -> dict[str, str]:
        if way.fields.get("utm_medium") == "cpc" and self._rng.random() < 0.8:  # noqa: PLR2004
            name = "n_ad" if way.fields["utm_source"] == "naver" else "gclid"
            return {**way.fields, "ad_click_id": f"{name}:{self._rng.getrandbits(60):015x}k"}
        return way.fields

    def _context(self) -> dict[str, Any]:
        name, address = self._person.name, random.Random(f"address {self._person.name}")
        return {
            **self._device,
            "app_name": "demo-mts" if self._is_phone else "demo-web",
            "app_version": _version(self._person, self._day),
            "language": "ko-KR",
            "timezone": "Asia/Seoul",
            "network_type": self._rng.choice(("wifi", "5g", "4g")) if self._is_phone else "wifi",
            "session_id": f"s-{self._rng.getrandbits(64):016x}",
            "anonymous_id": f"a-{_digits('device ' + name)}",
            "ip": f"{address.choice(('192.0.2', '198.51.100', '203.0.113'))}.{address.randrange(1, 255)}",
            "user_agent": self._user_agent,
        }

    def _stay(self, way: _Way) -> None:
        if self._is_first and self._person.steps:
            self._open_account()
            return
        for _ in range(max(1, round(self._rng.lognormvariate(0.7, 0.6)))):
            chosen: Callable[[], None] = self._rng.choices(
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
        reached = _reached(self._rng, _ORDER_ON)
        self._steps("stock_order", ORDER, reached)
        if self._rng.random() < 0.05 * self._trouble:
            code_, message = self._rng.choice(ERRORS)
            self._do("error", error_code=code_, error_message=message)
        if reached == len(ORDER):
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
            self._steps("ipo_subscription", SUBSCRIPTION, _reached(self._rng, _SUBSCRIPTION_ON))

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

    def _steps(self, flow: str, names: tuple[str, ...], reached: int) -> None:
        for position, name in enumerate(names[:reached], 1):
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


def _bot_visit(rng: random.Random, day: date, number: int) -> Visit:
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
