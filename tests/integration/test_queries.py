"""The queries of `docs/queries.md` run as an analyst, and say what the visitors of the demo's model really did."""

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from contract.event import StoredContext, StoredEvent
from loadtest.visitors import Visit, visits
from storage.postgres import connect
from tests.builders import DAY_US, KST, Sent, event, fresh_database, moment, on_road, today_us
from tests.fakes import FakeClock

DOCUMENT = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## (\d+)\. (.+)\n\n((?:.+\n)+)\n```sql\n([^`]+)```$", DOCUMENT, re.MULTILINE)
QUERIES = {int(number): sql for number, _, _, sql in SECTIONS}
START = today_us(9, days=-4)
VISITORS = 150
# When a test key and a robot were there.
NOISE = today_us(1)


def all_visits() -> list[Visit]:
    """Return the model's visits of three days, of which every third visitor comes again on the last."""
    first = list(visits(seed=7, count=VISITORS, start_ms=START // 1000, span_ms=2 * DAY_US // 1000))
    again = [
        msgspec.structs.replace(
            visit,
            context={**visit.context, "session_id": visit.context["session_id"] + "-2"},
            calls=[(method, at + 3 * DAY_US // 1000, fields) for method, at, fields in visit.calls],
        )
        for visit in first[::3]
    ]
    closing = [
        msgspec.structs.replace(visit, calls=[*visit.calls, ("click", visit.calls[-1][1] + 1, fields)])
        for visit in again[:5]
        for fields in [
            {"popup_name": "양도소득세 안내", "click_name": "btn_close", "click_text": "닫기", "page_code": "M0501"}
        ]
    ]
    return first + closing + again[5:]


VISITS = all_visits()
CALLS: list[tuple[dict[str, Any], str, int, dict[str, Any]]] = [
    (visit.context, *call) for visit in VISITS for call in visit.calls
]


def batch(visit: Visit) -> Sent:
    """Return a visit as the SDK would send it, at its end."""
    context = {key: value for key, value in visit.context.items() if key not in ("ip", "user_agent")}
    events: list[StoredEvent] = [
        event(event_type=method, time=at_ms, seq=seq, client_id=visit.context["session_id"], **fields)
        for seq, (method, at_ms, fields) in enumerate(visit.calls, 1)
    ]
    end_ms = visit.calls[-1][1] + 1
    return Sent(
        events,
        at_us=end_ms * 1000,
        sent_at=end_ms,
        context=StoredContext(**context),
        ip=visit.context["ip"],
        user_agent=visit.context["user_agent"],
    )


@pytest.fixture(scope="module")
def reader(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    """Yield an analyst's connection to a database that holds these visits, and a test key's and a robot's."""
    with on_road(database, tmp_path_factory.mktemp("queries") / "spool") as road:
        road.spool.clock = FakeClock(START)
        noise = event(event_type="search", search_text="시험", time=NOISE // 1000, session_id="t")
        robot = event(event_type="page_view", time=NOISE // 1000, session_id="bot", page_code="M0101")
        road.spool.write(
            *sorted(map(batch, VISITS), key=lambda sent: sent.at_us or 0),
            Sent([noise], at_us=NOISE, is_test=True),
            Sent([robot], at_us=NOISE, user_agent="Mozilla/5.0 (compatible; Yeti/1.1; +https://naver.me/spd)"),
        )
        road.load()
        road.process()
        with connect(road.dsn, role="sillok_reader") as opened:
            yield opened


def rows(reader: psycopg.Connection, number: int) -> list[tuple[Any, ...]]:
    return reader.execute(QUERIES[number].encode()).fetchall()


def day(at_ms: int) -> date:
    return moment(at_ms * 1000).astimezone(KST).date()


def test_every_query_has_a_heading_and_says_in_two_languages_what_it_answers():
    """Numbered without a hole; no SQL of the document escapes the tests."""
    assert list(QUERIES) == list(range(1, len(QUERIES) + 1))
    assert len(QUERIES) >= 10
    assert DOCUMENT.count("```") == 2 * len(QUERIES)
    for _, title, text, _ in SECTIONS:
        korean, english = text.splitlines()
        assert re.search("[가-힣]", korean), title
        assert re.match("[A-Z]", english), title


@pytest.mark.parametrize("number", QUERIES)
def test_a_query_returns_rows(reader, number):
    """As the reader, on a week of visits."""
    assert rows(reader, number)


def test_daily_visitors(reader):
    """All channels together: each visit is a session, each visitor is counted once a day, no robot, no test."""
    found: Counter[date] = Counter()
    sessions: Counter[date] = Counter()
    for on, _, visitors, count in rows(reader, 1):
        found[on] += visitors
        sessions[on] += count
    began = Counter(day(visit.calls[0][1]) for visit in VISITS)
    assert sessions == began
    assert found == began, "nobody of the model comes twice a day"


def test_the_funnel_of_account_opening(reader):
    reached: dict[tuple[str, int], set[str]] = defaultdict(set)
    for context, method, _, fields in CALLS:
        if method == "step":
            reached[context["app_version"], fields["step_position"]].add(context["session_id"])
    found = rows(reader, 2)
    assert {(version, position): sessions for version, position, _, sessions, _ in found} == {
        key: len(sessions) for key, sessions in reached.items()
    }
    before = {key: len(sessions) for key, sessions in reached.items()}
    for version, position, _, sessions, percent in found:
        expected = round(100 * sessions / before[version, position - 1], 1) if position > 1 else None
        assert percent is None if expected is None else abs(float(percent) - expected) < 0.051


def test_where_visitors_leave(reader):
    expected = Counter(fields["exit_menu"] for _, method, _, fields in CALLS if method == "exit")
    assert {menu: sessions for menu, sessions, _ in rows(reader, 3)} == expected


def test_the_error_rate(reader):
    counts: dict[str, Counter[tuple[str, str]]] = {"page_view": Counter(), "error": Counter()}
    for context, method, _, fields in CALLS:
        if method in counts:
            counts[method][fields["page_code"], context["app_version"]] += 1
    found = {(page, version): (views, errors) for page, version, views, errors, _ in rows(reader, 4)}
    assert found == {key: (counts["page_view"][key], errors) for key, errors in counts["error"].items()}


def test_what_is_searched_for(reader):
    searches = Counter(fields["search_text"] for _, method, _, fields in CALLS if method == "search")
    visitors: dict[str, set[str]] = defaultdict(set)
    for context, method, _, fields in CALLS:
        if method == "search":
            visitors[fields["search_text"]].add(context["anonymous_id"])
    assert {text: (count, who) for text, count, who in rows(reader, 5)} == {
        text: (count, len(visitors[text])) for text, count in searches.items()
    }


def test_how_long_sessions_last(reader):
    durations = [(visit.calls[-1][1] - visit.calls[0][1]) / 1000 for visit in VISITS]
    bounds = {"1": (0, 10), "2": (10, 60), "3": (60, 180), "4": (180, 600), "5": (600, 10**9)}
    expected = {
        name: (len(within), statistics.median(within))
        for name, (low, high) in bounds.items()
        if (within := [d for d in durations if low <= d < high])
    }
    found = {name[0]: (sessions, median) for name, sessions, median in rows(reader, 6)}
    assert {name: count for name, (count, _) in found.items()} == {name: count for name, (count, _) in expected.items()}
    assert all(abs(found[name][1] - median) <= 1 for name, (_, median) in expected.items())


def test_login_conversion(reader):
    with_login = {context["session_id"] for context, method, _, _ in CALLS if method == "login"}
    found = rows(reader, 7)
    assert (sum(row[1] for row in found), sum(row[2] for row in found)) == (len(VISITS), len(with_login))


def test_campaigns(reader):
    expected: Counter[tuple[str, str]] = Counter()
    for visit in VISITS:
        did = [
            "login" if method == "login" else "opened"
            for method, _, fields in visit.calls
            if method == "login" or fields.get("step_name") == "개설 완료"
        ]
        campaign = visit.calls[0][2].get("utm_campaign")
        if campaign:
            expected.update((campaign, what) for what in {"session", *did})
    found: Counter[tuple[str, str]] = Counter()
    for _, _, campaign, sessions, logins, opened in rows(reader, 8):
        found.update({(campaign, "session"): sessions, (campaign, "login"): logins, (campaign, "opened"): opened})
    assert +found == expected


def test_time_on_a_page(reader):
    stays: dict[str, list[float]] = defaultdict(list)
    for visit in VISITS:
        views = [(at, fields["page_code"]) for method, at, fields in visit.calls if method == "page_view"]
        for (at, page), (next_at, _) in pairwise(views):
            stays[page].append((next_at - at) / 1000)
    found = {page: (views, float(median)) for page, _, views, median in rows(reader, 9)}
    assert found.keys() == stays.keys()
    for page, times in stays.items():
        assert found[page][0] == len(times)
        assert abs(found[page][1] - statistics.median(times)) <= 0.051


def test_who_comes_back(reader):
    days: dict[str, set[date]] = defaultdict(set)
    for visit in VISITS:
        days[visit.context["anonymous_id"]].add(day(visit.calls[0][1]))
    expected = Counter((min(seen), (on - min(seen)).days) for seen in days.values() for on in seen)
    assert {(first, later): visitors for first, later, visitors in rows(reader, 10)} == expected
    assert any(later for _, later, _ in rows(reader, 10))


def test_popups_that_are_closed(reader):
    shown = sum(method == "popup" for _, method, _, _ in CALLS)
    [(name, found, closed, percent)] = rows(reader, 11)
    assert (name, found, closed) == ("양도소득세 안내", shown, 5)
    assert abs(float(percent) - 500 / shown) < 0.051


def test_how_good_the_data_is(reader):
    """Here the test key's event and the robot's count too."""
    expected = Counter(day(at) for _, _, at, _ in CALLS)
    found = {on: (events, bots) for on, events, _, _, _, bots in rows(reader, 13)}
    today = day(NOISE // 1000)
    expected[today] += 2
    assert {on: events for on, (events, _) in found.items()} == expected
    assert {on: bots for on, (_, bots) in found.items() if bots} == {today: 1}


def in_order(calls: list[tuple[str, int, dict[str, Any]]], positions: tuple[int, ...]) -> int:
    """Return how many of these steps a visit did, each after the one before."""
    done = 0
    for method, _, fields in calls:
        if method == "step" and done < len(positions) and fields["step_position"] == positions[done]:
            done += 1
    return done


def test_the_ordered_funnel(reader):
    depths = [in_order(visit.calls, (1, 2, 5)) for visit in VISITS]
    expected = [sum(depth >= stage for depth in depths) for stage in (1, 2, 3)]
    assert [sessions for _, _, sessions, _ in rows(reader, 14)] == expected
    assert expected[0] > expected[2] > 0


def test_paths_of_three_pages(reader):
    """A page viewed twice in a row is one."""
    expected: Counter[tuple[str, ...]] = Counter()
    for visit in VISITS:
        pages = [fields["page_code"] for method, _, fields in visit.calls if method == "page_view"]
        seen = [page for nth, page in enumerate(pages) if nth == 0 or pages[nth - 1] != page]
        expected.update(zip(seen, seen[1:], seen[2:], strict=False))
    found = {tuple(row[:3]): row[3] for row in rows(reader, 15)}
    assert len(found) == 50
    assert all(expected[path] == times for path, times in found.items())
    assert sorted(found.values(), reverse=True) == sorted(expected.values(), reverse=True)[:50]


def test_weekly_retention(reader):
    weeks: dict[str, set[date]] = defaultdict(set)
    for visit in VISITS:
        on = day(visit.calls[0][1])
        weeks[visit.context["anonymous_id"]].add(on - timedelta(days=on.weekday()))
    expected = Counter((min(seen), (week - min(seen)).days // 7) for seen in weeks.values() for week in seen)
    found = rows(reader, 16)
    assert {(first, later): visitors for first, later, visitors, _ in found} == expected
    assert all(percent == 100 for _, later, _, percent in found if later == 0)


def test_from_channel_to_goal(reader):
    opened = sum(any(fields.get("step_name") == "개설 완료" for _, _, fields in visit.calls) for visit in VISITS)
    found = rows(reader, 17)
    assert (sum(row[1] for row in found), sum(row[2] for row in found)) == (len(VISITS), opened)
    assert all(row[5] <= row[4] <= row[1] for row in found)


def test_pages_with_what_is_done_on_them(reader):
    views = Counter(fields["page_code"] for _, method, _, fields in CALLS if method == "page_view")
    found = {page: (count, clicks, errors) for page, _, count, clicks, errors in rows(reader, 18)}
    assert {page: count for page, (count, _, _) in found.items()} == views
    assert sum(clicks for _, clicks, _ in found.values()) == sum(method == "click" for _, method, _, _ in CALLS)
    assert all(name for _, name, *_ in rows(reader, 18))


@pytest.fixture(scope="module")
def ordinary(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    """Yield an analyst's connection to the visits of a site whose pages have addresses and names, and no codes."""
    spool = tmp_path_factory.mktemp("ordinary") / "spool"
    with fresh_database(postgres, template) as database, on_road(database, spool) as road:
        road.spool.clock = FakeClock(START)
        page = {"page_url": "https://www.example.com/docs/", "page_name": "문서"}
        start = {"page_url": "https://www.example.com/", "page_name": "처음"}
        end = {"page_url": "https://www.example.com/docs/end?x=1", "page_name": "끝"}
        for visitor in range(3):
            own = {"session_id": f"s{visitor}", "anonymous_id": f"v{visitor}", "client_id": f"c{visitor}"}
            calls = [
                ("page_view", start), ("page_view", page), ("click", {"page_url": page["page_url"], "click_text": "목차"}),
                ("error", {"page_url": page["page_url"], "error_message": "x"}), ("page_view", end),
            ]  # fmt: skip
            made = [
                event(event_type=method, time=START // 1000 + 1000 * seq, seq=seq, **own, **fields)
                for seq, (method, fields) in enumerate(calls, 1)
            ]
            road.spool.write(
                Sent(made, at_us=START + 60_000_000, user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/114.0")
            )
        road.load()
        road.process()
        with connect(road.dsn, role="sillok_reader") as opened:
            yield opened


def test_a_site_without_page_codes_has_pages_all_the_same(ordinary):
    """By their paths; a click and an error fall on the page that was viewed."""
    assert [(page, views, errors) for page, _, views, errors, _ in rows(ordinary, 4)] == [("/docs/", 3, 3)]
    assert {(page, name, views) for page, name, views, _ in rows(ordinary, 9)} == {
        ("/", "처음", 3),
        ("/docs/", "문서", 3),
    }
    assert rows(ordinary, 12) == [("/docs/", "목차", "목차", 3)]
    assert rows(ordinary, 15) == [("/", "/docs/", "/docs/end", 3, 3)]
    assert rows(ordinary, 18) == [("/", "처음", 3, 0, 0), ("/docs/", "문서", 3, 3, 3), ("/docs/end", "끝", 3, 0, 0)]
