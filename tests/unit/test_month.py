"""The sample's month is the same each time, and what somebody who reads reports would believe."""

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta

import pytest

from contract.calendar import SEOUL
from loadtest.month import visits_of
from loadtest.people import OPENING
from loadtest.visitors import Visit
from loadtest.walk import ORDER

MONDAY = date(2026, 11, 2)


@pytest.fixture(scope="module")
def month() -> dict[date, list[Visit]]:
    return {day: list(visits_of(1, day)) for day in (MONDAY + timedelta(days=n) for n in range(28))}


def calls(month: dict[date, list[Visit]]):
    return ((visit, *call) for visits in month.values() for visit in visits for call in visit.calls)


def test_a_day_follows_from_its_date_and_seed(month):
    day = MONDAY + timedelta(days=9)
    assert list(visits_of(1, day)) == month[day]
    assert list(visits_of(2, day)) != month[day]


def test_what_happens_on_a_day_is_of_that_day_in_order_of_time(month):
    for day, visits in month.items():
        for visit in visits:
            times = [time_ms for _, time_ms, _ in visit.calls]
            assert times == sorted(times)
            assert datetime.fromtimestamp(times[0] / 1000, SEOUL).date() == day
            assert max(after - before for before, after in zip(times, times[1:] or times, strict=False)) < 1_800_000
    sessions = [visit.context["session_id"] for visits in month.values() for visit in visits]
    assert len(sessions) == len(set(sessions))


def test_trading_days_are_busier_than_weekends(month):
    sizes = defaultdict(list)
    for day, visits in month.items():
        sizes[day.weekday() >= 5].append(len(visits))
    assert min(sizes[False]) > max(sizes[True])


@pytest.mark.parametrize(("flow", "names"), [("account_opening", OPENING), ("stock_order", ORDER)])
def test_each_step_of_a_flow_loses_some_and_keeps_some(month, flow, names):
    reached = Counter(f["step_position"] for _, kind, _, f in calls(month) if kind == "step" and f["flow_name"] == flow)
    counts = [reached[position] for position in range(1, len(names) + 1)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 0.15 * counts[0]
    assert counts[-1] < 0.7 * counts[0]


def test_people_come_again_from_the_same_device(month):
    devices = defaultdict(set)
    visits = Counter()
    for visit in (visit for found in month.values() for visit in found):
        who = visit.context["anonymous_id"]
        devices[who].add(visit.context["user_agent"])
        visits[who] += 1
    assert all(len(agents) == 1 for agents in devices.values())
    again = sum(n > 1 for n in visits.values()) / len(visits)
    assert 0.2 < again < 0.7


def test_a_customer_keeps_his_number_and_a_number_its_device(month):
    owners = defaultdict(set)
    for visit, _, _, fields in calls(month):
        if "customer_id" in fields:
            owners[visit.context["anonymous_id"]].add(fields["customer_id"])
    assert all(len(numbers) == 1 for numbers in owners.values())
    numbers = [number for found in owners.values() for number in found]
    assert len(numbers) == len(set(numbers)) > 200


def test_campaigns_have_their_days_and_searches_their_favourites(month):
    mails = {visit.calls[0][1] for visit, _, _, f in calls(month) if f.get("utm_medium") == "email"}
    assert {datetime.fromtimestamp(ms / 1000, SEOUL).weekday() for ms in mails} == {0}
    searches = Counter(f["search_text"] for _, kind, _, f in calls(month) if kind == "search")
    [(favourite, most), *_] = searches.most_common()
    assert (favourite, len(searches)) == ("삼성전자", 10)
    assert most > 0.2 * searches.total()


def test_a_release_has_its_errors_in_its_first_days(month):
    versions = {visit.context.get("app_version") for found in month.values() for visit in found} - {None}
    assert len(versions) >= 3
    errors = sum(kind == "error" for _, kind, _, _ in calls(month))
    assert 0.003 < errors / sum(1 for _ in calls(month)) < 0.02
