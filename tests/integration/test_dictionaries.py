"""The dictionaries: each distinct value parsed once, also across a restart, and no more kept than is of use."""

import hashlib
import uuid
from datetime import date, timedelta

import psycopg
import pytest

from processor.dictionaries import ROWS_MAX, Dictionaries
from processor.enrich import ChannelRules, GeoFile, own_apps
from storage.postgres import connect
from tests.builders import Road, Sent, event, fresh_database, on_road
from tests.mmdb import make_mmdb

AGENTS = [
    f"Mozilla/5.0 (Linux; Android 13; SM-S9{n:02}N) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1{n:02}.0.0.0 Mobile Safari/537.36"
    for n in range(30)
]
RULES = ChannelRules.load()
DAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def database(postgres, template):
    with fresh_database(postgres, template) as dsn:
        yield dsn


@pytest.fixture
def road(database, spool_path):
    with on_road(database, spool_path) as road:
        yield road


def restart(road: Road, rules=RULES, geo=None, own=(), *, day=DAY, rows_max=ROWS_MAX) -> Dictionaries:
    """Give the road's processor new dictionaries, as a restart does, on a day of the test's own."""
    road._dictionaries = Dictionaries(rules, geo, own, rows_max=rows_max, today=lambda: day)
    return road._dictionaries


def parsed(road: Road) -> tuple[int, int]:
    """Return how many user agents and how many sets of URLs were parsed."""
    return road._dictionaries.user_agents.parsed, road._dictionaries.urls.parsed


def visit(path: str = "/", **fields):
    return event(**{"event_type": "page_view", "session_id": "s", "page_url": f"https://www.firm.kr{path}", **fields})


def send(road: Road, agents: list[str], events: int, pages: int = 10) -> None:
    """Send as many events of each user agent, on a few pages, in one segment."""
    road.send(*(Sent([visit(f"/{n % pages}") for n in range(events)], user_agent=agent) for agent in agents))


def dumped(road: Road) -> list[str]:
    """Return every dictionary row with the transaction that wrote it last."""
    return [
        row
        for table in ("user_agents", "channels")
        for row in road.values(f"select xmin || t::text from clean.{table} t order by t::text")
    ]


def test_a_distinct_value_is_parsed_once_also_across_a_restart(road):
    """20,000 rows with 30 user agents on 10 pages cost 30 and 10 parses; after a restart, none."""
    restart(road)
    send(road, AGENTS, 667)
    assert road.values("select count(*) from clean.events") == [20_010]
    assert parsed(road) == (30, 10)
    road.send(*(Sent([visit(f"/{n}")], user_agent=AGENTS[n]) for n in range(10)))
    assert parsed(road) == (30, 10)
    restart(road)
    send(road, AGENTS, 20)
    assert parsed(road) == (0, 0)
    assert road.values("select count(distinct browser_version) from clean.events") == [30]


def test_a_batch_of_known_values_writes_nothing(road):
    """Warm or after a restart on the same day, no row of a dictionary is touched."""
    restart(road)
    send(road, AGENTS[:3], 5)
    before = dumped(road)
    assert len(before) == 3 + 5
    send(road, AGENTS[:3], 5)
    restart(road)
    send(road, AGENTS[:3], 5)
    assert dumped(road) == before


def test_what_comes_from_the_dictionary_is_what_was_parsed(road):
    """Every column of clean.events that depends on it is the same before and after a restart."""
    columns = (
        "page_host, page_path, referrer_host, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content,"
        " ad_click_id, device_type, os_name, os_version, browser_name, browser_version, is_bot"
    )
    campaign = "?utm_source=naver&utm_medium=cpc&utm_campaign=c&utm_term=t&utm_content=x"
    visits = [
        {"path": "/a/%EC%A3%BC", "referrer": "https://search.naver.com/x"},
        {"path": "/b" + campaign},
        {"path": "/b" + campaign, "utm_source": "kakao", "utm_medium": "email", "platform": "android"},
        {"path": "/b" + campaign + "&gclid=g1", "utm_term": "own"},
        {"path": "/c", "ad_click_id": "n_ad:1"},
        {"page_url": None},
    ]
    for _ in range(2):
        restart(road)
        road.send(*(Sent([visit(**fields)], user_agent=AGENTS[n]) for n, fields in enumerate(visits)))
    rows = road.rows(f"select {columns}, count(*) as n from clean.events group by {columns}")
    assert len(rows) == len(visits)
    assert {row["n"] for row in rows} == {2}
    assert parsed(road) == (0, 2)


def test_a_click_with_an_id_is_not_kept(road):
    """It is one visitor's, seen once: such rows would fill the dictionary, and say who came."""
    restart(road)
    road.send(*(visit(f"/?gclid=g{n}") for n in range(5)), visit("/"), visit("/", ad_click_id="fbclid:f"))
    assert road.values("select page_path from clean.channels") == ["/"]
    assert road.values("select count(*) from clean.events where ad_click_id is not null") == [6]


def test_another_rule_file_takes_effect_and_drops_the_old_rows(road):
    """With the next batch every value is judged anew; nothing of the old rules is left in the dictionary."""
    restart(road)
    first, second = visit(referrer="https://partner.example/"), visit(referrer="https://partner.example/")
    road.send(first)
    own = b'extends_builtin = true\n[[rule]]\nchannel = "email"\nreferrer_host = "partner.example"\n'
    rules = ChannelRules.parse(own, "own.toml")
    road._dictionaries.use(rules, None)
    road.send(second)
    assert [row["channel"] for row in road.clean(first, second)] == ["referral", "email"]
    assert road.values("select channel from clean.channels") == ["email"]
    restart(road, rules)
    road.send(visit(referrer="https://partner.example/"))
    assert parsed(road) == (0, 0)


def test_another_name_for_the_firms_app_reads_user_agents_anew(road):
    restart(road)
    before, after = event(session_id="s"), event(session_id="s")
    road.send(Sent([before], user_agent="FirmMTS/3.2.1 CFNetwork/1408"))
    restart(road, own=own_apps({"한강 MTS": "FirmMTS"}))
    road.send(Sent([after], user_agent="FirmMTS/3.2.1 CFNetwork/1408"))
    names = [(row["browser_name"], row["browser_version"]) for row in road.clean(before, after)]
    assert names[0] != names[1] == ("한강 MTS", "3.2.1")
    assert road.values("select browser_name from clean.user_agents") == ["한강 MTS"]


def test_what_was_not_seen_for_30_days_is_dropped_and_what_is_seen_is_marked(road):
    """Once a day: the day of the last look-up decides."""
    for days, path in ((31, "/old"), (30, "/month"), (5, "/seen"), (0, "/today")):
        restart(road, day=DAY - timedelta(days=days))
        road.send(visit(path))
    restart(road)
    road.send(visit("/seen"))
    assert dict(road.admin.execute("select page_path, last_seen from clean.channels").fetchall()) == {
        "/today": DAY,
        "/seen": DAY,
        "/month": DAY - timedelta(days=30),
    }
    assert parsed(road) == (0, 0)


def test_a_processor_that_runs_over_midnight_does_the_same(road):
    """The memory ends with the day, so that every day notes what it sees."""
    days = [DAY]
    road._dictionaries = Dictionaries(RULES, today=lambda: days[-1])
    road.send(visit("/"), visit("/once"))
    for n in range(1, 32):
        days.append(DAY + timedelta(days=n))
        road.send(visit("/"))
    assert road.rows("select page_path, last_seen from clean.channels") == [{"page_path": "/", "last_seen": days[-1]}]
    assert parsed(road) == (1, 2)


def test_a_full_dictionary_costs_parses_and_nothing_else(road):
    """An attacker's addresses fill neither the table nor the memory."""
    dictionaries = restart(road, rows_max=4)
    road.send(*(visit(f"/{n}") for n in range(10)))
    road.send(*(visit(f"/{n}") for n in range(10, 20)))
    assert road.values("select count(*) from clean.channels") == [4]
    assert road.values("select count(distinct page_path) from clean.events") == [20]
    assert len(dictionaries.urls._memory) <= 10
    restart(road, rows_max=4)
    road.send(*(visit(f"/{n}") for n in range(10)))
    assert parsed(road) == (0, 6)


def test_a_batch_that_is_rolled_back_leaves_no_gap(road):
    """What the memory believed to be kept, and was not, is found out with the next connection."""
    dictionaries = restart(road)
    road.spool.write(visit("/"))
    road.load()
    road.reset_later("grant insert on clean.events to sillok_processor")
    road.admin.execute("revoke insert on clean.events from sillok_processor")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        road.process()
    road.admin.execute("grant insert on clean.events to sillok_processor")
    assert road.values("select count(*) from clean.channels") == [0]
    dictionaries.forget()
    road.process()
    assert road.values("select page_path from clean.channels") == ["/"]


@pytest.mark.parametrize(
    "agent", ["x" * 9000, "한글" * 4000, "\x1f", "'\\\t\"{},"], ids=["long", "korean", "control", "quotes"]
)
def test_any_user_agent_has_its_row_under_the_hash_of_its_text(road, agent):
    """Longer than an index takes, or of characters that COPY escapes."""
    restart(road)
    road.send(Sent([event(session_id="s")], user_agent=agent))
    [row] = road.rows("select *, md5(e.user_agent)::uuid as computed from clean.user_agents d, clean.events e")
    key = uuid.UUID(bytes=hashlib.md5(agent.encode(), usedforsecurity=False).digest())
    assert row["user_agent_key"] == row["computed"] == key
    restart(road)
    road.send(Sent([event(session_id="s")], user_agent=agent))
    assert parsed(road) == (0, 0)


def test_an_analyst_reads_the_dictionaries(road):
    restart(road)
    road.send(visit("/"))
    with connect(road.dsn, role="sillok_reader") as reader:
        assert reader.execute("select count(*) from clean.channels, clean.user_agents").fetchone() == (1,)


# Addresses


def test_a_distinct_address_is_looked_up_once_and_kept_nowhere(road):
    """Country and region come from the file; a table of addresses would be a list of customers."""

    class Counting(GeoFile):
        looked_up = 0

        def place(self, address):
            self.looked_up += 1
            return super().place(address)

    seoul = {"country": {"iso_code": "KR"}, "subdivisions": [{"names": {"en": "Seoul"}}]}
    geo = Counting.parse(make_mmdb({"203.0.113.0/24": seoul, "2001:db8::/32": seoul}), "geo.mmdb")
    restart(road, geo=geo)
    here, there, sixth, nobody = (event(session_id=f"s{n}") for n in range(4))
    for _ in range(2):
        road.send(
            Sent([here, event(session_id="s")], ip="203.0.113.7"),
            Sent([there], ip="198.51.100.1"),
            Sent([sixth], ip="2001:db8::7"),
            Sent([nobody]),
        )
    assert geo.looked_up == 3
    places = [(row["country"], row["region"]) for row in road.clean(here, there, sixth, nobody)]
    assert places == [("KR", "Seoul"), (None, None), ("KR", "Seoul"), (None, None)]
    assert road.values("select country from clean.sessions where session_id = 's0'") == ["KR"]
    tables = ("clean.user_agents", "clean.channels", "clean.pages", "ops.rule_files")
    for table in tables:
        assert not [row for row in road.values(f"select t::text from {table} t") if "203.0.113" in row]
