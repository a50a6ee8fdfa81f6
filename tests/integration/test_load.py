"""Loading: one sealed segment becomes one transaction and one ledger row, or nothing at all."""

import hashlib
import json
import threading
from datetime import timedelta
from ipaddress import ip_address
from uuid import UUID

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import SegmentChanged, SpoolFormatError
from contract.event import ClientReport, StoredContext
from contract.fingerprint import HASH_MODULUS, content_hash, id_hash
from storage.load import LoadReport, load_segment
from storage.postgres import connect
from storage.rows import COLUMNS
from storage.spool.folder import SEALED
from storage.spool.frame import Reject
from storage.spool.reader import parse_segment
from storage.spool.recovery import recover_slot
from tests.builders import (
    DAY_US,
    KST,
    Road,
    Sent,
    Spool,
    event,
    flip_bit,
    moment,
    pieces,
    today_us,
)
from tests.patience import PATIENCE_S
from tests.unit.test_fingerprint import GOLDEN

NASTY = [
    "\\.",
    "\\N",
    "\t",
    "\n",
    "\r\n",
    "\\",
    "\\\\.",
    '"',
    "'",
    "한글 주문",
    "🇰🇷👩‍👩‍👧",
    "\u2028",
    "\x7f",
    "\x01",
    "",
    " ",
]


def raw(road: Road) -> list[dict]:
    rows = road.rows("select * from raw.events order by load_id, received_at, time, event_id")
    for row in rows:
        del row["load_id"]
    return rows


def test_a_row_is_what_was_sent(road):
    """Every column of raw.events, from the event, its batch, and the connection."""
    at = today_us(12)
    full = event(
        time=at // 1000, seq=7, event_type="step", event_name="본인인증 완료", client_id="c-1", session_id="s-1",
        anonymous_id="a-1", customer_id="고객-1", page_url="https://www.example.com/%EC%A3%BC?utm_source=naver",
        referrer="https://search.naver.com/", utm_source="naver", utm_medium="cpc", utm_campaign="봄", utm_term="주식",
        utm_content="가", ad_click_id="n_ad:1", page_code="M0405", page_name="주문", click_text="매수",
        checkbox_name="동의", checkbox_checked=False, popup_name="안내", click_name="buy", tab_name="호가",
        flow_name="account_opening", step_position=999, step_name="신분증", search_text="삼성전자", exit_menu="잔고",
        error_code="E01", error_message="실패", error_page="/order", platform="android", app_name="mts",
        app_version="2.1.0", os_name="Android", os_version="16", device_model="SM-S931N", screen_width=1080,
        screen_height=2340, language="ko-KR", timezone="Asia/Seoul", network_type="5g",
        props={"나": [1, 2.5, None, {"z": True}], "a": "\\."}, flags=["masked", "truncated"],
    )  # fmt: skip
    bare = event(time=at // 1000 + 1)
    road.spool.write(
        Sent([full, bare], at_us=at + 7, sent_at=at // 1000 + 5, ip="2001:db8::7", user_agent="뷰어/1.0", is_test=True)
    )
    road.load()
    server = {
        "received_at": moment(at + 7),
        "sent_at": at // 1000 + 5,
        "source": "web",
        "is_test": True,
        "ip": ip_address("2001:db8::7"),
        "user_agent": "뷰어/1.0",
    }
    columns = [column for column in COLUMNS if column != "load_id"]
    nothing = dict.fromkeys(columns)
    assert raw(road) == [
        msgspec.structs.asdict(full) | server | {"content_hash": content_hash(full)},
        nothing | server | {"content_hash": content_hash(bare), "event_id": bare.event_id, "time": bare.time,
                            "event_type": "click"},
    ]  # fmt: skip


def test_a_load_is_one_row_of_the_ledger(road):
    """Name, digest, and every count, from the footer and from the rows."""
    events = [event(), event(event_type="search")]
    at = today_us(12)
    reject = Reject(index=2, code="missing_field", field="events[2].time", message="Missing")
    number = road.spool.write(Sent(events, at_us=at, rejects=[reject]))
    digest = hashlib.sha256(road.spool.sealed(number).read_bytes()).digest()
    [report] = road.load()
    hash_sum = sum(id_hash(e.event_id) for e in events) % HASH_MODULUS
    [row] = road.rows("select * from ops.loads")
    assert row.pop("loaded_at") is not None
    assert row.pop("load_id") > 0
    assert row == {
        "spool_id": road.spool.folder.spool_id,
        "slot": 0,
        "segment": 1,
        "content_sha256": digest,
        "frames": 1,
        "received": 3,
        "rejected": 1,
        "accepted": 2,
        "accepted_hash_sum": hash_sum,
        "loaded": 2,
        "loaded_hash_sum": hash_sum,
        "dead_lettered": 0,
        "damaged": 0,
        "until": moment(at),
        "final": True,
        "recovered": False,
        "torn_bytes": 0,
    }
    assert report == LoadReport(report.segment, 2, 0, 0, 1)
    assert road.spool.folder.segments(SEALED) == []
    assert road.spool.folder.segments(SEALED, road.spool.folder.archive) == [1]


def test_both_counts_are_written_down(road):
    """The writer's, from the footer, beside the loader's own, from the payload."""
    click, search = event(), event(event_type="search")
    at = today_us(12, 0, 59)
    road.spool.write(Sent([click], at_us=at), Sent([search], at_us=at + 2_000_000, source="app"))
    road.load()
    rows = road.rows(
        "select stage, minute, source, event_type, outcome, events, hash_sum from ops.audit order by stage, audit_id"
    )
    noon = moment(today_us(12))
    one = noon + timedelta(minutes=1)
    expected = [
        ("load", noon, "web", "click", "loaded", 1, id_hash(click.event_id)),
        ("load", one, "app", "search", "loaded", 1, id_hash(search.event_id)),
        ("spool", noon, "web", "", "received", 1, 0),
        ("spool", noon, "web", "click", "accepted", 1, id_hash(click.event_id)),
        ("spool", one, "app", "", "received", 1, 0),
        ("spool", one, "app", "search", "accepted", 1, id_hash(search.event_id)),
    ]
    assert sorted(tuple(row.values()) for row in rows) == sorted(expected)


def test_rejects_are_kept_with_their_reason(road):
    """What was refused at the door can be looked up later, as the client was told."""
    at = today_us(12)
    rejected_id = UUID(int=77)
    reject = Reject(
        index=0, code="props_too_large", field="events[0].props", message="`props` is over 8192 bytes",
        event_id=str(rejected_id), body='{"event_type":"click"}',
    )  # fmt: skip
    road.spool.write(Sent([], at_us=at, rejects=[reject], context=StoredContext(client_id="c-9"), is_test=True))
    road.load()
    assert road.rows("select * from ops.rejected") == [
        {
            "load_id": road.values("select load_id from ops.loads")[0],
            "received_at": moment(at),
            "source": "web",
            "is_test": True,
            "client_id": "c-9",
            "event_id": rejected_id,
            "code": "props_too_large",
            "field": "events[0].props",
            "message": "`props` is over 8192 bytes",
            "body": '{"event_type":"click"}',
        }
    ]
    assert road.books().balanced


def test_nasty_texts_come_back_byte_for_byte(road):
    """What ends a textual COPY, what escapes, what is invisible: all of it is only text."""
    events = [event(click_text=text, props={text: [text]}, customer_id=text) for text in NASTY]
    road.spool.write(Sent(events, user_agent=" ".join(NASTY)))
    road.load()
    found = {r["event_id"]: (r["click_text"], r["props"], r["customer_id"], r["user_agent"]) for r in raw(road)}
    assert found == {e.event_id: (e.click_text, e.props, e.customer_id, " ".join(NASTY)) for e in events}


storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
texts = storable | st.sampled_from(NASTY)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(texts, texts, st.none() | st.dictionaries(texts, values, max_size=3)), min_size=1, max_size=5)
)
def test_any_text_comes_back_byte_for_byte(road, contents):
    """Through JSON, compression, the disk and COPY, every character that PostgreSQL can hold survives."""
    events = [event(click_text=a, session_id=b, props=props) for a, b, props in contents]
    road.spool.write(Sent(events))
    road.load()
    rows = road.rows(
        "select event_id, click_text, session_id, props from raw.events where event_id = any(%s)",
        [e.event_id for e in events],
    )
    assert {r["event_id"]: r for r in rows} == {
        e.event_id: {"event_id": e.event_id, "click_text": e.click_text, "session_id": e.session_id, "props": e.props}
        for e in events
    }


def test_the_context_is_merged_under_each_event(road):
    """An event's own value wins; for other keys than relays' the claimed address is ignored."""
    context = StoredContext(
        app_version="2.0", page_code="M0001", ip="198.51.100.9", user_agent="고객/2.0", props={"a": 1, "b": 1}
    )
    own, filled = event(page_code="M0405", props={"a": 2}), event()
    road.spool.write(Sent([own, filled], context=context, ip="192.0.2.7", user_agent="서버/1"))
    road.load()
    columns = "app_version, page_code, props, ip, user_agent"
    rows = {r.pop("event_id"): tuple(r.values()) for r in road.rows(f"select event_id, {columns} from raw.events")}
    assert rows == {
        own.event_id: ("2.0", "M0405", {"a": 2, "b": 1}, ip_address("192.0.2.7"), "서버/1"),
        filled.event_id: ("2.0", "M0001", {"a": 1, "b": 1}, ip_address("192.0.2.7"), "서버/1"),
    }


def test_a_relays_customers_keep_their_address(road):
    """A key of kind `server` speaks for other people's connections."""
    context = StoredContext(ip="198.51.100.9", user_agent="고객/2.0")
    road.spool.write(Sent([event()], context=context, ip="192.0.2.7", user_agent="서버/1", relay=True))
    road.load()
    [row] = raw(road)
    assert (row["ip"], row["user_agent"]) == (ip_address("198.51.100.9"), "고객/2.0")


def test_a_segment_across_midnight_goes_into_two_days(road):
    """A partition is a Korean day of `received_at`."""
    midnight = today_us(0, days=1)
    before, after = event(), event()
    road.spool.write(Sent([before], at_us=midnight - 1), Sent([after], at_us=midnight))
    road.load()
    rows = road.rows("select tableoid::regclass::text as part, event_id from raw.events order by received_at")
    names = [f"raw.events_{(moment(midnight).astimezone(KST) + timedelta(days=d)):%Y%m%d}" for d in (-1, 0)]
    assert [tuple(r.values()) for r in rows] == [(names[0], before.event_id), (names[1], after.event_id)]


def test_a_batch_received_before_its_segment_was_opened_finds_its_day(road):
    """At midnight, while one segment is sealed and the next opened, a batch may be older than its segment."""
    midnight = today_us(0, days=1)
    stored = event()
    files = road.spool.files
    road.spool.clock.advance((midnight - 2_000_000 - road.spool.clock.wall_us()) / 1_000_000)
    with road.spool.living() as living:
        living.writer._settings = msgspec.structs.replace(living.writer._settings, heartbeat_ms=0)
        with files.held():
            living.wake.set()
            assert files.syncing.wait(PATIENCE_S)
            pending = living.submit(Sent([stored], at_us=midnight - 1))
            living.writer._settings = msgspec.structs.replace(living.writer._settings, heartbeat_ms=10**9)
            road.spool.clock.advance(1)
        assert pending.waiter.wait(PATIENCE_S)
    load_segment(road.loader, road.spool.folder, 1)
    road.forget_days()
    assert sum(report.loaded for report in road.load()) == 1
    assert road.values("select event_id from raw.events") == [stored.event_id]


def test_loading_twice_loads_once(road):
    """A loader that died between commit and release finds the segment in the ledger, and only releases it."""
    number = road.spool.write(event())
    data = road.spool.sealed(number).read_bytes()
    road.load()
    before = raw(road)
    archived = road.spool.folder.archive / road.spool.sealed(number).name
    archived.rename(road.spool.sealed(number))
    assert road.load() == [None]
    assert raw(road) == before
    assert archived.read_bytes() == data
    assert len(road.rows("select from ops.loads")) == 1


def test_the_same_name_with_other_contents_is_an_alarm(road):
    """Another file under a loaded name is neither loaded nor released: somebody must find out why."""
    road.spool.write(event())
    road.load()
    other = Spool(road.spool.path.parent / "other")
    number = other.write(event())
    road.spool.sealed(number).write_bytes(other.sealed(number).read_bytes())
    (road.spool.folder.archive / road.spool.sealed(number).name).unlink()
    with pytest.raises(SegmentChanged, match="loaded with other contents"):
        road.load()
    assert len(raw(road)) == 1
    assert road.spool.folder.segments(SEALED) == [number]


def test_the_ledger_never_knows_a_name_that_a_power_cut_may_take(road):
    """The folder is synced before anything is written: a name that came back by recovery could hold other bytes."""
    road.spool.write(event())
    road.spool.files.fail("sync_folder", name=road.spool.folder.path.name)
    with pytest.raises(OSError, match="Input/output"):
        road.load()
    assert road.values("select count(*) from ops.loads") == [0]
    assert [report.loaded for report in road.load()] == [1]


def test_a_renamed_segment_is_not_loaded(road):
    """A segment says itself who it is; a copy under a new name would count twice."""
    number = road.spool.write(event())
    road.spool.sealed(number).rename(road.spool.sealed(number + 1))
    with pytest.raises(SpoolFormatError, match="renamed or copied"):
        load_segment(road.loader, road.spool.folder, number + 1)
    assert raw(road) == []


def test_a_segment_without_footer_is_not_guessed_at(road):
    """How much it held nobody knows any more: it stays until its loss is written off."""
    number = road.spool.write(event())
    path = road.spool.sealed(number)
    flip_bit(path, pieces(path.read_bytes())[-1].start + 70)
    with pytest.raises(SpoolFormatError, match="footer is damaged"):
        load_segment(road.loader, road.spool.folder, number)
    assert raw(road) == []
    assert road.spool.folder.segments(SEALED) == [number]


# Damage


def test_a_damaged_group_is_counted_as_damaged(road):
    """The rest is loaded, the loss stands in ledger and books by type, and they balance."""
    events = [event(), event(event_type="search"), event()]
    number = road.spool.write(*events)
    path = road.spool.sealed(number)
    flip_bit(path, pieces(path.read_bytes())[1].start + 70)
    [report] = road.load()
    assert (report.loaded, report.dead_lettered, report.damaged) == (2, 0, 1)
    assert sorted(road.values("select event_id from raw.events")) == sorted(e.event_id for e in events[::2])
    [row] = road.rows("select * from ops.audit where outcome = 'damaged'")
    assert (row["source"], row["event_type"], row["events"]) == ("web", "search", 1)
    assert row["hash_sum"] == id_hash(events[1].event_id)
    road.process()
    books = road.books()
    assert books.balanced
    assert books.totals["web"]["load.damaged"] == 1


def test_a_group_whose_header_is_damaged_too_is_counted_by_the_footer(road):
    """The footer knows what was written, by type: its word stands for the header's."""
    events = [event(), event(event_type="search"), event()]
    number = road.spool.write(*events)
    path = road.spool.sealed(number)
    flip_bit(path, pieces(path.read_bytes())[1].start + 20)
    [report] = road.load()
    assert (report.loaded, report.damaged) == (2, 1)
    road.process()
    assert road.books().balanced


def leave_open(road: Road, number: int) -> None:
    """Turn a sealed segment into what a killed writer leaves: no footer."""
    data = road.spool.sealed(number).read_bytes()
    road.spool.sealed(number).unlink()
    road.spool.open(number).write_bytes(data[: pieces(data)[-1].start])


def test_what_recovery_found_damaged_stands_in_the_books(road):
    """Acknowledged events that are lost are named; the books balance with them, not without."""
    number = road.spool.write(event(), event(), event())
    leave_open(road, number)
    path = road.spool.open(number)
    flip_bit(path, pieces(path.read_bytes())[1].start + 70)
    recover_slot(road.spool.folder, road.spool.clock.wall_us())
    [report] = road.load()
    assert (report.loaded, report.damaged) == (2, 1)
    road.process()
    books = road.books()
    assert books.balanced
    assert books.totals[""] == {"spool.damaged": 1, "load.damaged": 1}


def test_a_loss_of_unknown_size_keeps_the_books_open(road):
    """Neither the group's header nor a footer survived: the books fail until the loss is written off by name."""
    number = road.spool.write(event(), event(), event())
    leave_open(road, number)
    path = road.spool.open(number)
    flip_bit(path, pieces(path.read_bytes())[1].start + 20)
    recover_slot(road.spool.folder, road.spool.clock.wall_us())
    road.load()
    road.process()
    books = road.books()
    assert [(d.identity, d.left, d.right) for d in books.differences] == [("lost groups = written off", (1, 0), (0, 0))]
    road.admin.execute(
        "insert into ops.audit (stage, minute, source, event_type, outcome, events, hash_sum)"
        " select 'operator', minute, '', '', 'lost_groups', 1, 0 from ops.audit where outcome = 'lost_groups'"
    )
    assert road.books().balanced


def write_body(road: Road, change, events) -> None:
    """Write one segment whose frame body is changed after it was counted."""
    with road.spool.living() as living:
        pending = Sent(events).pending()
        pending.body = change(pending.body)
        living.writer.submit(pending)
        assert pending.waiter.wait(PATIENCE_S)


def test_events_of_another_version_are_dead_letters(road):
    """A field this version does not know: each event is kept with its id, type and text, and the books balance."""
    events = [event(), event(event_type="search")]
    write_body(road, lambda body: body.replace(b'"event_type"', b'"mood":"\\u0000","event_type"'), events)
    road.spool.write(event())
    reports = road.load()
    assert [(r.loaded, r.dead_lettered, r.damaged) for r in reports] == [(0, 2, 0), (1, 0, 0)]
    rows = road.rows("select * from ops.dead_letters order by dead_letter_id")
    assert [(r["event_id"], r["event_type"], r["source"], r["reason"], r["stage"]) for r in rows] == [
        (e.event_id, e.event_type, "web", "frame_unreadable", "load") for e in events
    ]
    assert json.loads(rows[0]["body"])["mood"] == "\0"
    road.process()
    assert road.books().balanced


def test_a_frame_nobody_can_decode_does_not_stop_the_slot(road):
    """Intact bytes without a meaning: counted as dead letters by the header, and the next segments load."""
    write_body(road, lambda _body: b"what is this", [event(), event()])
    road.spool.write(event())
    reports = road.load()
    assert [(r.loaded, r.dead_lettered, r.damaged) for r in reports] == [(0, 2, 0), (1, 0, 0)]
    assert road.values("select reason from ops.dead_letters") == ["frame_unreadable"] * 2
    identities = road.books().identities
    assert identities["accepted = loaded + dead-lettered + damaged"]


# Rows that PostgreSQL refuses


def test_refused_rows_are_found_and_the_rest_is_loaded(road):
    """Bisection finds exactly the rows; each is a dead letter with its reason and body; the books balance."""
    road.forget_days()
    events = [event(click_text="bad" if n in {3, 4, 17} else "good") for n in range(20)]
    road.reset_later("alter table raw.events drop constraint no_bad")
    road.admin.execute("alter table raw.events add constraint no_bad check (click_text <> 'bad')")
    road.spool.write(Sent(events[:9]), Sent(events[9:]))
    [report] = road.load()
    assert (report.loaded, report.dead_lettered) == (17, 3)
    assert road.values("select count(*) from raw.events") == [17]
    rows = road.rows("select * from ops.dead_letters order by dead_letter_id")
    load_id = road.values("select load_id from ops.loads")[0]
    assert [(r["event_id"], r["reason"], r["detail"], r["event_type"], r["source"], r["load_id"]) for r in rows] == [
        (events[n].event_id, "row_refused", "23514: CheckViolation", "click", "web", load_id) for n in (3, 4, 17)
    ]
    assert json.loads(rows[0]["body"]) == {
        "event_id": str(events[3].event_id), "time": events[3].time, "event_type": "click", "click_text": "bad",
    }  # fmt: skip
    road.process()
    assert road.books().balanced


def test_a_whole_segment_of_refused_rows_is_no_obstacle(road):
    """Every row refused is still one load, with nothing in it."""
    road.reset_later("alter table raw.events drop constraint no_bad")
    road.admin.execute("alter table raw.events add constraint no_bad check (click_text <> 'bad')")
    road.spool.write(Sent([event(click_text="bad") for _ in range(3)]))
    [report] = road.load()
    assert (report.loaded, report.dead_lettered) == (0, 3)
    road.process()
    assert road.books().balanced


@pytest.mark.parametrize("fields", [{"click_text": "a\0b"}, {"props": {"a": "\0"}}], ids=["text", "props"])
def test_a_text_postgresql_cannot_hold_is_a_dead_letter(road, fields):
    """The door replaces U+0000; should one come through, it costs its own event and nothing else."""
    bad, good = event(**fields), event()
    road.spool.write(Sent([bad, good]))
    [report] = road.load()
    assert (report.loaded, report.dead_lettered) == (1, 1)
    assert road.values("select event_id from raw.events") == [good.event_id]
    assert road.values("select event_id from ops.dead_letters") == [bad.event_id]
    assert road.books().balanced


def test_a_database_in_the_way_is_not_the_rows_fault(road):
    """A lock, a missing right, a full disk: the error is raised, nothing is dead-lettered, the segment waits."""
    number = road.spool.write(event())
    road.admin.execute("revoke insert on raw.events from sillok_loader")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        road.load()
    road.admin.execute("grant insert on raw.events to sillok_loader")
    assert road.spool.folder.segments(SEALED) == [number]
    assert road.values("select count(*) from ops.loads") == [0]
    assert [report.loaded for report in road.load()] == [1]


def test_a_day_far_away_makes_no_partition(road):
    """A clock that jumped to 2099 is said, and leaves no partition behind."""
    road.forget_days()
    road.spool.clock.step(70 * 365 * 86_400)
    number = road.spool.write(event())
    with pytest.raises(psycopg.errors.RaiseException, match="check the clocks"):
        road.load()
    assert road.spool.folder.segments(SEALED) == [number]
    assert road.values("select count(*) from pg_inherits where inhparent = 'raw.events'::regclass") == [0]


def test_a_jump_within_a_segment_makes_no_days_between(road):
    """What was received before the clock jumped by years is loaded, whatever the group's own header says of later."""
    road.forget_days()
    number = road.spool.write(event())
    data = road.spool.sealed(number).read_bytes()
    segment = parse_segment(data)
    (group,), seed = segment.groups, segment.header.seed
    later = msgspec.structs.replace(group.header, until_us=group.header.until_us + 70 * 365 * DAY_US)
    payload = data[group.start + 64 : group.end]
    road.spool.sealed(number).write_bytes(data[: group.start] + later.pack(seed) + payload + data[group.end :])
    assert [report.loaded for report in road.load()] == [1]
    assert road.values("select count(*) from pg_inherits where inhparent = 'raw.events'::regclass") == [1]


def test_a_segment_of_a_newer_version_stays_and_stops_nothing_but_its_slot(road):
    """A version that was rolled back says what to install, and loads nothing of it."""
    number = road.spool.write(event())
    path = road.spool.sealed(number)
    data = bytearray(path.read_bytes())
    data[7] = 2
    path.write_bytes(data)
    with pytest.raises(SpoolFormatError, match="format 2, this version reads format 1: install the newer Sillok"):
        road.load()
    assert path.read_bytes() == bytes(data)
    assert road.values("select count(*) from ops.loads") == [0]


# Client reports


REPORTS = [
    ClientReport(id="c-1", sdk="js/1.0", platform="web", app_version="1", created=3, pending=3),
    ClientReport(id="c-1", sdk="js/1.0", platform="web", app_version="1", created=5, pending=4, dropped={"full": 1}),
    ClientReport(id="c-1", sdk="js/1.0", platform="web", app_version="1", created=9, pending=0, dropped={"full": 2}),
]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("apart", [False, True], ids=["one segment", "three segments"])
def test_reports_in_any_order_keep_the_latest(road, order, apart):
    """An instance's figures only grow: whichever arrives last, the greatest stand."""
    batches = [Sent([], clients=[REPORTS[n]], at_us=today_us(12) + at) for at, n in enumerate(order)]
    for part in [[batch] for batch in batches] if apart else [batches]:
        road.spool.write(*part)
    road.load()
    [row] = road.rows("select * from ops.clients")
    seen = (row.pop("first_seen"), row.pop("last_seen"))
    assert row == {
        "source": "web", "client_id": "c-1", "sdk": "js/1.0", "platform": "web", "app_version": "1",
        "created": 9, "pending": 0, "dropped": {"full": 2}, "dropped_total": 2, "removed": 0,
    }  # fmt: skip
    if apart:
        assert seen == (moment(today_us(12)), moment(today_us(12) + 2))


def test_the_same_instance_name_of_two_sources_is_two(road):
    """A name made by one app says nothing of another's."""
    road.spool.write(Sent([], clients=REPORTS[:1]), Sent([], clients=REPORTS[1:2], source="app"))
    road.load()
    assert road.rows("select source, created from ops.clients order by 1") == [
        {"source": "app", "created": 5}, {"source": "web", "created": 3},
    ]  # fmt: skip


# Exactly once


def test_two_loaders_at_once_load_once(road):
    """One of them loads, the other finds it done; nobody fails, nothing is twice."""
    events = [event() for _ in range(50)]
    number = road.spool.write(Sent(events))
    road.forget_days()
    start = threading.Barrier(4)
    found: list = []

    def load() -> None:
        with connect(road.dsn, role="sillok_loader") as connection:
            start.wait()
            try:
                found.append(load_segment(connection, road.spool.folder, number))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                found.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.loaded for r in found if isinstance(r, LoadReport)] == [50]
    assert [r for r in found if not isinstance(r, LoadReport)] == [None] * 3
    assert road.values("select count(*) from raw.events") == [50]


def test_a_second_loader_waits_and_then_stands_back(road):
    """The ledger row comes first: while one transaction is open, the other blocks on its key."""
    number = road.spool.write(event())
    folder = road.spool.folder
    found: list = []
    blocked = threading.Thread(target=lambda: found.append(load_segment(road.loader, folder, number)))
    with connect(road.dsn) as first:
        with first.transaction():
            first.execute("select ops.ensure_raw_partition(current_date)")
            first.execute(
                "insert into ops.loads (spool_id, slot, segment, content_sha256, frames, received, rejected, accepted,"
                " accepted_hash_sum, loaded, loaded_hash_sum, dead_lettered, damaged, until, final, recovered,"
                " torn_bytes) values (%s, 0, %s, %s, 1, 1, 0, 1, 0, 1, 0, 0, 0, now(), false, false, 0)",
                (folder.spool_id, number, hashlib.sha256(road.spool.sealed(number).read_bytes()).digest()),
            )
            blocked.start()
            blocked.join(0.3)
            assert blocked.is_alive()
        blocked.join(PATIENCE_S)
    assert found == [None]
    assert raw(road) == []


def test_a_loader_that_dies_in_the_middle_leaves_nothing(road):
    """The backend is terminated inside the transaction: no row, no ledger, no partition half made."""
    number = road.spool.write(Sent([event() for _ in range(5)]))
    road.forget_days()
    road.admin.execute(
        "create function raw.die() returns trigger language plpgsql security definer as"
        " $$ begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$"
    )
    road.reset_later("drop function raw.die() cascade")
    road.admin.execute("create trigger die before insert on raw.events for each row execute function raw.die()")
    with pytest.raises(psycopg.OperationalError):
        road.load()
    assert road.values("select count(*) from ops.loads") == [0]
    assert raw(road) == []
    assert road.spool.folder.segments(SEALED) == [number]
    road.admin.execute("drop trigger die on raw.events")
    road.loader = connect(road.dsn, role="sillok_loader")
    assert [report.loaded for report in road.load()] == [5]


@pytest.mark.parametrize("days", [-7, 7])
def test_a_week_of_clock_trouble_still_loads(road, days):
    """Segments that waited a week, or a machine a week ahead."""
    road.spool.clock = type(road.spool.clock)(today_us(12) + days * DAY_US)
    road.spool.write(event())
    assert [report.loaded for report in road.load()] == [1]


def test_postgresql_computes_the_same_hashes(road):
    """ops.id_hash is Python's id_hash modulo 2^64, golden values and all."""
    for event_id, expected in GOLDEN.items():
        [found] = road.values("select ops.id_hash(%s)", event_id)
        assert found % HASH_MODULUS == expected
    [total] = road.values("select ops.hash_sum(sum(ops.id_hash(id))) from unnest(%s::uuid[]) as id", list(GOLDEN))
    assert total == sum(GOLDEN.values()) % HASH_MODULUS
