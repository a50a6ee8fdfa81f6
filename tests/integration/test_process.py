"""Cleaning: duplicates, conflicts, clocks, enrichment; all of a batch or nothing of it."""

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import msgspec
import psycopg
import pytest

from contract.event import StoredContext
from contract.fingerprint import HASH_MODULUS, id_hash
from processor.batch import process_batch
from processor.dictionaries import Dictionaries
from processor.enrich import ChannelRules
from processor.run import Processor
from processor.settings import ProcessSettings
from storage.postgres import connect, read_sql
from tests.builders import DAY_US, KST, Road, Sent, event, eventually, moment, today_us
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("checked")
NOON = today_us(12)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)


def counts(road: Road) -> dict[str, int]:
    """Return what became of all events, by the tables themselves."""
    tables = {"clean": "clean.events", "duplicate": "ops.duplicates", "dead": "ops.dead_letters"}
    return {name: road.values(f"select count(*) from {table}")[0] for name, table in tables.items()}


# One row, whole


def test_a_clean_row_is_the_event_enriched(road):
    """Every column of clean.events, from an event with an SDK's session."""
    full = event(
        time=NOON // 1000 - 5, seq=7, event_type="page_view", client_id="c-1", session_id="s-1", anonymous_id="a-1",
        customer_id="고객-1", page_url="https://www.example.com/%EC%A3%BC%EC%8B%9D?utm_source=naver&utm_medium=cpc&n_ad=9",
        referrer="https://m.search.naver.com/search", page_code="M0405", page_name="주문", platform="web",
        language="ko-KR", props={"a": 1}, flags=["truncated"],
    )  # fmt: skip
    road.send(Sent([full], at_us=NOON, sent_at=NOON // 1000 - 1, ip="192.0.2.7", user_agent=CHROME, is_test=True))
    [row] = road.clean(full)
    expected = dict.fromkeys(row) | {
        name: value for name, value in msgspec.structs.asdict(full).items() if name in row and value is not None
    } | {
        "event_date": moment(NOON).astimezone(KST).date(),
        "event_time": moment(NOON - 5000),
        "client_time": moment(NOON - 5000),
        "sent_at": moment(NOON - 1000),
        "received_at": moment(NOON),
        "source": "web",
        "is_test": True,
        "sdk_session_id": "s-1",
        "page_host": "www.example.com",
        "page_path": "/주식",
        "referrer_host": "m.search.naver.com",
        "channel": "paid_search",
        "utm_source": "naver",
        "utm_medium": "cpc",
        "ad_click_id": "n_ad:9",
        "device_type": "desktop",
        "os_name": "Windows",
        "os_version": "10",
        "browser_name": "Chrome",
        "browser_version": row["browser_version"],
        "is_bot": False,
        "ip": ip_address("192.0.2.7"),
        "user_agent": CHROME,
        "flags": ["truncated"],
    }  # fmt: skip
    assert row == expected
    assert row["browser_version"].startswith("126")


def test_a_bare_event_becomes_clean_too(road):
    """What nobody said is null, never a guess; the session is derived."""
    bare = event(time=NOON // 1000)
    road.send(Sent([bare], at_us=NOON))
    [row] = road.clean(bare)
    said = {name: value for name, value in row.items() if value is not None}
    assert said == {
        "event_date": moment(NOON).astimezone(KST).date(),
        "event_time": moment(NOON),
        "client_time": moment(NOON),
        "received_at": moment(NOON),
        "event_id": bare.event_id,
        "source": "web",
        "is_test": False,
        "event_type": "click",
        "session_id": "d-" + bare.event_id.hex,
        "channel": "internal",
        "device_type": "other",
        "is_bot": False,
        "flags": ["session_derived"],
    }


# Duplicates


def test_a_second_arrival_in_the_same_batch_is_a_duplicate(road):
    """The first by received_at is clean; the second is listed with the arrival it repeats."""
    stored = event()
    road.spool.write(Sent([stored], at_us=NOON), Sent([stored], at_us=NOON + 1))
    road.load()
    [report] = road.process()
    assert (report.clean, report.duplicates, report.dead_lettered) == (1, 1, 0)
    assert road.rows("select * from ops.duplicates") == [
        {
            "run_id": report.run_id,
            "load_id": road.values("select load_id from ops.loads")[0],
            "received_at": moment(NOON + 1),
            "source": "web",
            "event_type": "click",
            "event_id": stored.event_id,
            "first_received_at": moment(NOON),
        }
    ]
    assert road.clean(stored)[0]["received_at"] == moment(NOON)


def test_twice_in_one_request_is_once(road):
    """The same event twice in one array, at the very same moment."""
    stored = event()
    road.send(Sent([stored, stored, stored], at_us=NOON))
    assert counts(road) == {"clean": 1, "duplicate": 2, "dead": 0}
    assert road.books().balanced


def test_a_second_arrival_in_a_later_batch_is_a_duplicate(road):
    """A retry after the answer was lost."""
    stored = event()
    for at in (NOON, NOON + 1, NOON + 2):
        road.send(Sent([stored], at_us=at))
    assert counts(road) == {"clean": 1, "duplicate": 2, "dead": 0}
    assert road.values("select distinct first_received_at from ops.duplicates") == [moment(NOON)]


@pytest.mark.parametrize("together", [True, False], ids=["one run", "a run each"])
def test_a_second_arrival_on_another_day_is_a_duplicate(road, together):
    """Across midnight, and after a week offline: the window counts arrivals, not partitions."""
    stored = event()
    for days in (-6, -5, 0, 7):
        road.spool.clock = type(road.spool.clock)(NOON + days * DAY_US)
        road.spool.write(stored)
        road.load()
        if not together:
            road.process()
    road.process()
    assert counts(road) == {"clean": 1, "duplicate": 3, "dead": 0}
    assert road.clean(stored)[0]["received_at"] == moment(NOON - 6 * DAY_US)
    assert road.values("select distinct first_received_at from ops.duplicates") == [moment(NOON - 6 * DAY_US)]
    assert road.books().balanced


def test_an_earlier_arrival_that_is_loaded_later_is_still_the_second(road):
    """A slot that was stuck for days: what is clean stays clean, whichever was received first."""
    stored = event()
    road.spool.clock = type(road.spool.clock)(NOON)
    road.send(stored)
    road.spool.clock = type(road.spool.clock)(NOON - 5 * DAY_US)
    road.send(stored)
    assert counts(road) == {"clean": 1, "duplicate": 1, "dead": 0}
    assert road.clean(stored)[0]["received_at"] == moment(NOON)


def test_a_clock_that_changed_between_tries_changes_nothing(road):
    """The same event with another `sent_at` and so another corrected time is the same event."""
    stored = event(time=NOON // 1000)
    road.send(Sent([stored], at_us=NOON, sent_at=NOON // 1000))
    road.send(Sent([stored], at_us=NOON + 1, sent_at=NOON // 1000 + 3 * 86_400_000))
    assert counts(road) == {"clean": 1, "duplicate": 1, "dead": 0}


def test_the_same_id_of_another_source_is_another_event(road):
    """The key is source and event_id: apps do not know each other's ids."""
    stored = event()
    road.send(Sent([stored], at_us=NOON), Sent([stored], at_us=NOON + 1, source="app"))
    road.send(Sent([stored], at_us=NOON + 2, source="mts"))
    assert counts(road) == {"clean": 3, "duplicate": 0, "dead": 0}
    assert road.books().balanced


def test_the_same_content_in_another_context_is_a_duplicate(road):
    """Another tab, another app version, another address delivered it: the event says the same."""
    stored = event()
    road.send(Sent([stored], at_us=NOON, context=StoredContext(app_version="1", client_id="a"), ip="192.0.2.1"))
    adopted = msgspec.structs.replace(stored, client_id="a")
    road.send(Sent([adopted], at_us=NOON + 1, context=StoredContext(app_version="2", client_id="b"), ip="192.0.2.2"))
    assert counts(road) == {"clean": 1, "duplicate": 1, "dead": 0}
    assert road.clean(stored)[0]["app_version"] == "1"


@pytest.mark.parametrize("together", [True, False], ids=["one run", "a run each"])
def test_the_same_id_with_other_content_is_a_dead_letter(road, together):
    """Not a retry: somebody reused the id. The first stays clean, the other is kept whole, with the reason."""
    first = event(click_text="매수")
    other = msgspec.structs.replace(first, click_text="매도", event_type="search")
    if together:
        road.send(Sent([first], at_us=NOON), Sent([other], at_us=NOON + 1))
    else:
        road.send(Sent([first], at_us=NOON))
        road.send(Sent([other], at_us=NOON + 1))
    assert counts(road) == {"clean": 1, "duplicate": 0, "dead": 1}
    assert road.clean(first)[0]["click_text"] == "매수"
    [row] = road.rows("select * from ops.dead_letters")
    body = msgspec.json.decode(row.pop("body"))
    assert (body["click_text"], body["event_type"], body["event_id"]) == ("매도", "search", str(first.event_id))
    assert row.pop("detail").endswith("with other content")
    assert isinstance(row.pop("created_at"), datetime)
    assert row == {
        "dead_letter_id": row["dead_letter_id"],
        "stage": "process",
        "load_id": max(road.values("select load_id from ops.loads")),
        "run_id": max(road.values("select run_id from ops.runs")),
        "received_at": moment(NOON + 1),
        "source": "web",
        "event_type": "search",
        "event_id": first.event_id,
        "reason": "id_conflict",
    }
    assert road.books().balanced


def test_conflicts_and_duplicates_are_told_apart_against_the_first(road):
    """First arrival A: a second A is a duplicate, every B a conflict, also when B came twice."""
    first = event(click_text="A")
    other = msgspec.structs.replace(first, click_text="B")
    road.send(*(Sent([e], at_us=NOON + n) for n, e in enumerate([first, other, first, other])))
    road.send(*(Sent([e], at_us=NOON + 9 + n) for n, e in enumerate([other, first])))
    assert counts(road) == {"clean": 1, "duplicate": 2, "dead": 3}
    assert road.books().balanced


def test_arrivals_are_counted_by_minute_source_and_type(road):
    """The run's audit rows say what its INSERTs returned, with the ids' hash sum."""
    clicks = [event(), event()]
    search = event(event_type="search")
    road.send(
        Sent([*clicks, clicks[0]], at_us=NOON + 59_999_999),
        Sent([search], at_us=NOON + 60_000_000, source="app"),
        Sent([msgspec.structs.replace(search, search_text="x")], at_us=NOON + 60_000_001, source="app"),
    )
    rows = road.rows(
        "select minute, source, event_type, outcome, events, hash_sum from ops.audit where stage = 'process'"
    )
    one = moment(NOON) + timedelta(minutes=1)
    assert sorted(tuple(r.values()) for r in rows) == sorted(
        [
            (moment(NOON), "web", "click", "clean", 2, sum(id_hash(e.event_id) for e in clicks) % HASH_MODULUS),
            (moment(NOON), "web", "click", "duplicate", 1, id_hash(clicks[0].event_id)),
            (one, "app", "search", "clean", 1, id_hash(search.event_id)),
            (one, "app", "search", "dead_lettered", 1, id_hash(search.event_id)),
        ]
    )


# Clocks


def time_of(road: Road, *, time_us: int, sent_us: int | None) -> tuple[int, list[str], int | None]:
    """Send one event; return its event_time relative to its receipt, its flags, and its client_time."""
    stored = event(time=time_us // 1000, session_id="s")
    road.send(Sent([stored], at_us=NOON, sent_at=None if sent_us is None else sent_us // 1000))
    [row] = road.clean(stored)
    client = row["client_time"]
    offset = (row["event_time"] - moment(NOON)) / timedelta(microseconds=1)
    assert row["event_date"] == row["event_time"].astimezone(KST).date()
    return int(offset), row["flags"], client and int(client.timestamp()) * 1_000_000


S = 1_000_000


@pytest.mark.parametrize(
    ("time_us", "sent_us", "expected", "flags"),
    [
        (NOON - 10 * S, NOON, -10 * S, []),
        (NOON - 10 * S, NOON - 30 * S, -10 * S, []),
        (NOON - 10 * S, NOON - 60 * S, -10 * S, []),
        (NOON - 10 * S, NOON - 61 * S, 51 * S, ["clock_corrected"]),
        (NOON - 10 * S, NOON + 60 * S, -10 * S, []),
        (NOON - 10 * S, NOON + 61 * S, -71 * S, ["clock_corrected"]),
        (NOON - 100 * S, NOON - 90 * S, -10 * S, ["clock_corrected"]),
        (NOON + 80 * S, NOON + 90 * S, -10 * S, ["clock_corrected"]),
        (NOON - 10 * S, None, -10 * S, []),
        # A relay that hands on what a page wrote three hours ago, without a `sent_at`: nothing is known of the clock.
        (NOON - 3 * 3600 * S, None, -3 * 3600 * S, []),
        (NOON + 300 * S, None, 300 * S, []),
        # Three weeks offline: `sent_at` is stamped at each try, so the skew is the clock's alone.
        (NOON - 21 * DAY_US, NOON, -21 * DAY_US, ["late"]),
        (NOON - 21 * DAY_US - 3600 * S, NOON - 3600 * S, -21 * DAY_US, ["late", "clock_corrected"]),
        (NOON - 86_400 * S, NOON, -86_400 * S, []),
        (NOON - 86_401 * S, NOON, -86_401 * S, ["late"]),
        (NOON + 600 * S, NOON, 600 * S, []),
        (NOON + 601 * S, NOON, 601 * S, ["future"]),
        # The last that is possible at all; a second beyond stands below.
        (NOON - 400 * DAY_US, NOON, -400 * DAY_US, ["late"]),
        (NOON + DAY_US, NOON, DAY_US, ["future"]),
        # A phone in 1970 or 2099 that knows when it sends is corrected whole.
        (0, 10 * S, -10 * S, ["clock_corrected"]),
        (4_070_908_800 * S, 4_070_908_810 * S, -10 * S, ["clock_corrected"]),
    ],
)
def test_the_clock_is_corrected_beyond_a_minute(road, time_us, sent_us, expected, flags):
    """event_time = client time + (received_at - sent_at) where that is beyond 60 s; the client's own is kept."""
    assert time_of(road, time_us=time_us, sent_us=sent_us) == (expected, flags, time_us)


@pytest.mark.parametrize("sent_us", [None, NOON], ids=["without sent_at", "with sent_at"])
@pytest.mark.parametrize(
    ("time_us", "kept"),
    [
        (0, True),
        (4_070_908_800 * S, True),
        (NOON + DAY_US + S, True),
        (NOON - 400 * DAY_US - S, True),
        (-1000, False),
        ((2**63 - 1) * 1000, False),
        (-(2**63) * 1000, False),
    ],
    ids=["1970", "2099", "over a day ahead", "over 400 days ago", "before 1970", "int64 max", "int64 min"],
)
def test_an_impossible_time_is_replaced_by_the_receipt(road, time_us, kept, sent_us):
    """The event is not lost and stands on the day it came, flagged; what the client said is kept if it is a time."""
    assert time_of(road, time_us=time_us, sent_us=sent_us) == (0, ["clock_wrong"], time_us if kept else None)


@pytest.mark.parametrize("sent", [-(2**63), 2**63 - 1, -1])
def test_an_impossible_sent_at_is_as_good_as_none(road, sent):
    """A number that is no time corrects nothing."""
    assert time_of(road, time_us=NOON - 10 * S, sent_us=sent * 1000)[:2] == (-10 * S, [])


def test_one_correction_holds_for_a_whole_batch(road):
    """The order within the batch stands, whatever the clock."""
    events = [event(time=(NOON - 3600 * S) // 1000 + n, session_id="s") for n in range(3)]
    road.send(Sent(events, at_us=NOON, sent_at=(NOON - 3600 * S) // 1000 + 5))
    times = [row["event_time"] for row in road.clean(*events)]
    assert times == [moment(NOON - 5000 + n * 1000) for n in range(3)]


# Enrichment


def test_a_campaign_is_lifted_from_the_url(road):
    """utm_* and click ids that the SDK did not send as fields; a field of its own wins."""
    url = "https://www.example.com/?utm_source=naver&utm_medium=cpc&utm_campaign=%EB%B4%84&utm_term=a&utm_content=b"
    lifted = event(event_type="page_view", page_url=url + "&gclid=g1")
    own = event(event_type="page_view", page_url=url, utm_source="kakao", utm_medium="email", ad_click_id="n_ad:1")
    road.send(Sent([lifted, own]))
    names = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "ad_click_id", "channel")
    found = [tuple(row[name] for name in names) for row in road.clean(lifted, own)]
    assert found[0][:6] == ("naver", "cpc", "봄", "a", "b", "gclid:g1")
    assert found[1][:6] == ("kakao", "email", "봄", "a", "b", "n_ad:1")
    assert [f[6] for f in found] == ["paid_search", "email"]


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({"event_type": "page_view"}, "direct"),
        ({"event_type": "click"}, "internal"),
        ({"event_type": "page_view", "platform": "android"}, "app"),
        ({"event_type": "click", "platform": "android"}, "internal"),
        ({"event_type": "page_view", "referrer": "https://search.naver.com/"}, "organic_search"),
        ({"event_type": "page_view", "referrer": "https://www.example.com/a", "page_url": "https://www.example.com/b"},
         "internal"),
        ({"event_type": "page_view", "referrer": "https://www.facebook.com/v19.0/dialog/oauth"}, "internal"),
        ({"event_type": "page_view", "referrer": "https://m.facebook.com/groups"}, "social"),
        ({"event_type": "page_view", "referrer": "https://pay.naver.com/payments/1"}, "internal"),
        ({"event_type": "page_view", "referrer": "android-app://com.google.android.gm/"}, "email"),
        ({"event_type": "page_view", "utm_source": "“naver_sa”", "utm_medium": "\uff23\uff30\uff23"}, "paid_search"),
    ],
)  # fmt: skip
def test_only_a_page_view_is_an_arrival(road, fields, channel):
    """What is done on a page without a campaign of its own is internal."""
    stored = event(**fields)
    road.send(stored)
    assert road.clean(stored)[0]["channel"] == channel


def test_the_device_comes_from_the_user_agent_and_the_apps_own_words(road):
    """A native app's platform and system beat what its HTTP library calls itself."""
    app = event(platform="android", os_name="Android", os_version="16", session_id="s")
    robot, person = event(session_id="s"), event(session_id="s")
    road.send(
        Sent([app], user_agent="okhttp/4.12.0"),
        Sent([robot], user_agent="Mozilla/5.0 (compatible; Yeti/1.1; +https://naver.me/spd)"),
        Sent([person], user_agent=CHROME),
    )
    names = ("device_type", "os_name", "os_version", "is_bot")
    assert [tuple(row[name] for name in names) for row in road.clean(app, robot, person)] == [
        ("mobile", "Android", "16", False),
        ("bot", None, None, True),
        ("desktop", "Windows", "10", False),
    ]


# All or nothing


def everything(road: Road) -> dict[str, list]:
    tables = (
        "clean.events", "clean.sessions", "ops.runs", "ops.processed", "ops.waiting", "ops.finished", "ops.dedup", "ops.duplicates",
        "ops.audit", "ops.dead_letters", "ops.visitor_keys",
    )  # fmt: skip
    return {t: sorted(road.values(f"select to_jsonb(t)::text from {t} t")) for t in tables}


def test_running_twice_changes_nothing(road):
    """A load that is processed is not claimed again."""
    road.send(event(), event())
    before = everything(road)
    assert road.process() == []
    assert everything(road) == before


def test_nothing_loaded_is_nothing_to_do(road):
    """An empty ledger is no error."""
    assert road.process() == []


def test_a_heartbeat_is_processed_too(road):
    """A segment without events is claimed, so that the watermark can pass it."""
    road.spool.write()
    road.load()
    [report] = road.process()
    assert (report.loads, report.clean) == (1, 0)
    assert len(road.rows("select from ops.processed")) == 1


def test_loads_are_claimed_whole_and_oldest_first(road):
    """A batch ends between loads, never within one."""
    for _ in range(5):
        road.spool.write(Sent([event() for _ in range(4)]))
    road.load()
    reports = road.process(events_max=5)
    assert [(r.loads, r.clean) for r in reports] == [(2, 8), (2, 8), (1, 4)]
    claimed = road.values("select load_id from ops.processed order by run_id, load_id")
    assert claimed == sorted(claimed)


def test_a_ledger_on_which_much_waits_is_cleaned_in_runs_of_a_thousand(road):
    """After days without a processor, or of idle slots: no run reads all that waits."""
    road.admin.execute(
        "insert into ops.loads (spool_id, slot, segment, content_sha256, frames, received, rejected, accepted,"
        " accepted_hash_sum, loaded, loaded_hash_sum, dead_lettered, damaged, until, final, recovered, torn_bytes)"
        " select gen_random_uuid(), 0, 1, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, now(), true, false, 0 from generate_series(1, 2300)"
    )
    assert [report.loads for report in road.process()] == [1000, 1000, 300]
    assert road.values("select count(*) from ops.waiting") == [0]


def test_a_load_committed_late_is_not_skipped(road):
    """Loads are claimed through the ledger: one whose number is lower than what was processed is found."""
    road.spool.write(event())
    road.load()
    road.admin.execute("update ops.loads set load_id = load_id + 100")
    road.admin.execute("update raw.events set load_id = load_id + 100")
    road.admin.execute("update ops.audit set load_id = load_id + 100")
    road.process()
    late = event()
    road.spool.write(late)
    road.load()
    assert [r.clean for r in road.process()] == [1]
    assert len(road.clean(late)) == 1


@pytest.mark.parametrize("table", ["clean.events", "clean.sessions", "ops.dedup", "ops.duplicates", "ops.audit"])
def test_an_interrupted_run_leaves_nothing_half_written(road, table):
    """The backend dies while it writes any of the tables: all is as before, and the next run does it all."""
    twice = event()
    road.send(Sent([twice], at_us=NOON))
    road.spool.write(Sent([event(), event(), twice], at_us=NOON + 1))
    road.load()
    before = everything(road)
    road.reset_later("drop function ops.die() cascade")
    road.admin.execute(
        "create function ops.die() returns trigger language plpgsql security definer as"
        " $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(9); return new; end $$"
    )
    road.admin.execute(f"create trigger die before insert on {table} for each row execute function ops.die()")
    with pytest.raises(psycopg.OperationalError):
        road.process()
    assert everything(road) == before
    road.admin.execute(f"drop trigger die on {table}")
    road.processor.close()
    road.processor = eventually(Processor(ProcessSettings(), road.dsn)._connect)
    [report] = road.process()
    assert (report.clean, report.duplicates) == (2, 1)
    assert road.books().balanced


class Mortal(psycopg.Connection):
    """A processor's connection that is gone before its n-th statement, as when the process dies there."""

    statements_left: int

    def execute(self, *arguments, **more):
        self.statements_left -= 1
        if self.statements_left < 0:
            with socket.socket(fileno=os.dup(self.pgconn.socket)) as wire:
                wire.shutdown(socket.SHUT_RDWR)
        return super().execute(*arguments, **more)


def test_a_processor_that_dies_at_any_statement_leaves_nothing_half_written(road):
    """Its life ends before the first, the second, … statement of a run with every outcome: all or nothing, each time."""
    twice, clicked = event(), event(click_text="A")
    road.send(Sent([twice], at_us=NOON))
    conflict = msgspec.structs.replace(clicked, click_text="B")
    road.spool.write(Sent([event(), clicked, twice, conflict, event(session_id="s")], at_us=NOON + 1))
    road.load()
    before = everything(road)
    road.processor.close()
    deaths = 0
    while True:
        with Mortal.connect(road.dsn, autocommit=True) as mortal:
            mortal.statements_left = 3 + deaths
            for setup in (
                "set role sillok_processor",
                *(read_sql("processor.sql", n) for n in ("session.sql", "timed.sql")),
            ):
                mortal.execute(setup.encode())
            try:
                report = process_batch(mortal, Dictionaries(ChannelRules.load()), 50_000)
                break
            except psycopg.OperationalError:
                deaths += 1
        assert everything(road) == before
    assert deaths > 15
    assert (report.clean, report.duplicates, report.dead_lettered) == (3, 1, 1)
    assert road.books().balanced


@pytest.mark.parametrize(
    "sabotage",
    [
        "create function ops.sabotage() returns trigger language plpgsql as $$ begin return null; end $$",
        (
            "create function ops.sabotage() returns trigger language plpgsql as"
            " $$ begin if new.click_text = 'lost' then return null; end if; return new; end $$"
        ),
    ],
    ids=["every row", "one row"],
)
def test_a_run_that_loses_a_row_commits_nothing(road, sabotage):
    """What the INSERTs returned must account for what was loaded; else the run is rolled back and says so."""
    road.spool.write(event(click_text="lost"), event(click_text="kept"))
    road.load()
    before = everything(road)
    road.reset_later("drop function ops.sabotage() cascade")
    road.admin.execute(sabotage)
    road.admin.execute(
        "create trigger sabotage before insert on clean.events for each row execute function ops.sabotage()"
    )
    with pytest.raises(AssertionError, match=r"accounts for [01] of 2 loaded events"):
        road.process()
    assert everything(road) == before


def test_a_row_added_by_a_statement_is_noticed_too(road):
    """A count above the load's is as wrong as one below."""
    road.spool.write(event())
    road.load()
    road.admin.execute("insert into raw.events select * from raw.events")
    with pytest.raises(AssertionError, match="accounts for 2 of 1 loaded events"):
        road.process()


def test_one_processor_works_at_a_time(road):
    """A second one waits, and takes over when the first is gone."""
    second = Processor(ProcessSettings(poll_ms=10), road.dsn)
    assert second._connect() is None
    road.spool.write(event())
    road.load()
    stop = threading.Event()
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(second.run(stop, once=False)))
    thread.start()
    thread.join(0.1)
    assert road.values("select count(*) from clean.events") == [0]
    road.processor.close()
    for _ in range(1000):
        if road.values("select count(*) from clean.events") == [1]:
            break
        thread.join(0.01)
    stop.set()
    thread.join(PATIENCE_S)
    assert done == [1]


def test_the_processor_works_as_its_role(road):
    """Whatever the login user may do, the session is sillok_processor's."""
    assert road.processor.execute("select current_user, session_user").fetchone()[0] == "sillok_processor"


def test_the_time_view_reads_only_what_it_needs():
    """The view of the batch's canonical time writes nothing; its head says so."""
    assert "Writes: nothing" in read_sql("processor.sql", "timed.sql")


def test_an_event_date_is_korean(road):
    """15:00 UTC is midnight in Seoul: the next day begins there."""
    before, after = (event(time=(NOON + 12 * 3600 * S + ms * 1000) // 1000, session_id="s") for ms in (-1, 0))
    road.send(Sent([before, after], at_us=NOON + 12 * 3600 * S))
    dates = [row["event_date"] for row in road.clean(before, after)]
    assert dates[1] - dates[0] == timedelta(days=1)
    assert datetime.combine(dates[1], datetime.min.time(), KST).astimezone(UTC) == moment(NOON + 12 * 3600 * S)


def test_events_of_many_days_are_cleaned_in_one_run(road):
    """A phone that was offline for weeks brings its days along; their partitions are made."""
    events = [event(time=(NOON - n * DAY_US) // 1000, session_id=f"s{n}") for n in range(0, 60, 7)]
    road.send(Sent(events, at_us=NOON))
    assert len({row["event_date"] for row in road.clean(*events)}) == 9
    with connect(road.dsn, role="sillok_reader") as reader:
        assert reader.execute("select count(*) from clean.events").fetchone() == (9,)
