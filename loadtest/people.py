"""Whom a small broker's site has for visitors: its customers, each day's newcomers, and by which ways they come.

All follow from the seed, newcomers from their day too, and nobody's habits change.
"""

import math
import random
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Final

from msgspec import Struct

from loadtest.visitors import DEVICES

_MEMBERS: Final = 420
_NEWCOMERS: Final = 90
_SATURDAY: Final = 5
OPENING: Final = ("약관 동의", "본인인증", "신분증 촬영", "계좌 비밀번호", "개설 완료")
# Who has done a step and goes on to the next; photographing one's identity card is where people give up.
_OPENING_ON: Final = (0.80, 0.72, 0.58, 0.88)
# By hour of the Korean day, on a trading day and on a weekend.
_TRADING_HOURS: Final = (2, 1, 1, 1, 1, 1, 3, 8, 18, 26, 15, 12, 14, 12, 13, 17, 9, 7, 8, 9, 11, 12, 9, 4)
_FREE_HOURS: Final = (3, 2, 1, 1, 1, 1, 2, 3, 5, 8, 10, 10, 9, 9, 10, 10, 9, 9, 8, 9, 11, 12, 10, 6)
_DEVICE_SHARES: Final = (42, 27, 24, 7)


def is_free(day: date) -> bool:
    """Tell whether it is a day without trading."""
    return day.weekday() >= _SATURDAY


def hours_of(day: date) -> tuple[int, ...]:
    """Return how busy each of the day's hours is beside the others."""
    return _FREE_HOURS if is_free(day) else _TRADING_HOURS


def _always(_day: date) -> bool:
    return True


class Way(Struct, frozen=True):
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
    Way({}, 14, 0.42, 0.10),
    Way({"referrer": "https://search.naver.com/search.naver?query=%EC%A6%9D%EA%B6%8C"}, 22, 0.38, 0.14),
    Way({"referrer": "https://www.google.com/"}, 11, 0.46, 0.08),
    Way({"referrer": "https://search.daum.net/search?q=%EC%A3%BC%EC%8B%9D"}, 4, 0.44, 0.09),
    Way(_tagged("naver", "cpc", "비대면계좌_신규", utm_term="비대면 계좌개설"), 18, 0.31, 0.42, "M0201"),
    Way(_tagged("google", "cpc", "비대면계좌_신규", utm_term="증권 계좌 수수료"), 8, 0.37, 0.34, "M0201"),
    Way(_tagged("instagram", "paid_social", "수수료평생무료", utm_content="릴스_15초"), 12, 0.62, 0.12, "M0601",
         _every_other_week),
    Way({"referrer": "https://m.blog.naver.com/stock_study"}, 7, 0.35, 0.12, "M0801"),
    Way({"referrer": "https://www.youtube.com/"}, 4, 0.48, 0.10, "M0601"),
    Way({"referrer": "https://finance-news.example/market"}, 5, 0.55, 0.04, "M0801"),
)  # fmt: skip
_MEMBERS_WAYS: Final = (
    Way({}, 74, 0.09, 0.0),
    Way({"referrer": "https://search.naver.com/search.naver?query=%EC%A6%9D%EA%B6%8C"}, 8, 0.12, 0.0),
    Way(_tagged("kakao", "alimtalk", "공모주_알림"), 22, 0.24, 0.0, "M0701", _on(1, 2)),
    Way(_tagged("app", "push", "급등주_알림"), 9, 0.33, 0.0, "M0301", _on(0, 1, 2, 3, 4)),
    Way(_tagged("newsletter", "email", "주간시황"), 14, 0.41, 0.0, "M0801", _on(0)),
)


class Person(Struct, frozen=True):
    """Who visits: from the same device each time."""

    name: str
    device: int
    way: Way | None
    """How a newcomer found the site; None: a customer since before the month."""
    frequency: float
    """Visits on a trading day, on the average."""
    steps: int
    """How far he gets in opening an account on his first visit; 0: he does not begin."""
    hour: int
    """When he is most often here."""

    @property
    def anonymous_id(self) -> str:
        """His device's id."""
        return f"a-{_digits('device ' + self.name)}"

    @property
    def customer_id(self) -> str | None:
        """His number, once he is a customer."""
        return f"c-{_digits(self.name)}" if self.way is None or self.steps == len(OPENING) else None


def way_back(rng: random.Random, day: date) -> Way:
    """Choose a way in for somebody who has been here before."""
    ways = [way for way in _MEMBERS_WAYS if way.is_open(day)]
    return rng.choices(ways, [way.share for way in ways])[0]


@cache
def members(seed: int) -> list[Person]:
    """Return who is a customer since before the month."""
    return [_person(random.Random(f"{seed} member {n}"), f"member {seed} {n}", None) for n in range(_MEMBERS)]


@cache
def newcomers(seed: int, day: date) -> list[Person]:
    """Return who comes for the first time on this day."""
    rng = random.Random(f"{seed} newcomers {day}")
    ways = [way for way in _NEWCOMERS_WAYS if way.is_open(day)]
    weights = [way.share for way in ways]
    # A campaign brings people beside those who come anyway.
    usual = sum(way.share for way in _NEWCOMERS_WAYS if way.is_open is _always)
    busy = sum(weights) / usual * (0.7 if is_free(day) else 1.0)
    count = round(_NEWCOMERS * busy * rng.uniform(0.85, 1.15))
    return [_person(rng, f"{day} {seed} {n}", rng.choices(ways, weights)[0]) for n in range(count)]


def _person(rng: random.Random, name: str, way: Way | None) -> Person:
    steps = 0
    if way is not None and rng.random() > way.bounces and rng.random() < way.wants_account:
        steps = reached(rng, _OPENING_ON)
    return Person(
        name=name,
        device=rng.choices(range(len(DEVICES)), _DEVICE_SHARES)[0],
        way=way,
        # A few trade all day, most look in now and then.
        frequency=min(rng.lognormvariate(math.log(0.16), 0.9), 2.5),
        steps=steps,
        hour=rng.choices(range(24), _TRADING_HOURS)[0],
    )


def reached(rng: random.Random, goes_on: tuple[float, ...]) -> int:
    """Return the number of the last step that somebody reaches."""
    for done, share in enumerate(goes_on, 1):
        if rng.random() > share:
            return done
    return len(goes_on) + 1


def _digits(name: str) -> str:
    return f"{random.Random(f'digits {name}').getrandbits(48):012x}"
