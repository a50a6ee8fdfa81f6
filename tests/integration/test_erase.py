"""Erasure: nothing of the customer is left anywhere, nothing comes back, nobody else loses anything, the books balance."""

import subprocess
import sys

import msgspec
import pytest

from contract.errors import UsageError
from contract.event import ClientReport, StoredContext
from processor.operate.erase import erase_customer
from storage.load import load_segment
from storage.postgres import connect
from storage.spool.folder import SEALED
from storage.spool.frame import Reject
from storage.spool.reader import read_segment
from tests.builders import Road, Sent, event, eventually, today_us
from tests.checks import assert_checks_are_clean
from tests.fakes import FakeClock
from tests.operating import sillok, write_settings
from tests.patience import PATIENCE_S

# Yesterday's: what is received later than now would look finished.
NOON = today_us(12, days=-1)
MINUTE_US = 60_000_000
HIM = "cust-은하-4711"
REJECT = Reject(
    index=1, code="missing_field", field="events[1].time", message="Missing",
    event_id="00000000-0000-0000-0000-00000000004d", body=msgspec.json.encode({"customer_id": HIM}).decode(),
)  # fmt: skip


def erase(road: Road, customer: str = HIM, **more):
    return erase_customer(road.operator, road.spool_folder, customer, "request 12", patience_s=0, **more)


@pytest.fixture
def known(road) -> Road:
    """Return a road with him, his sessions before and after login, a shared device, a repeat, a conflict, a reject."""
    road.spool.clock = FakeClock(NOON - 1)
    before, after = event(session_id="own", page_code="M0001"), event(session_id="own", customer_id=HIM)
    shared_his, shared_hers = event(session_id="shared", customer_id=HIM), event(session_id="shared", customer_id="her")
    nobody = event(session_id="shared", click_text="nobody's")
    other = event(session_id="other", customer_id="her")
    conflict = msgspec.structs.replace(after, click_text="다른 것")
    road.sent = [before, after, shared_his, shared_hers, nobody, other, conflict]
    road.send(
        Sent([before], at_us=NOON, ip="10.0.0.7", user_agent="his/1"),
        Sent([after], at_us=NOON + 1, ip="10.0.0.7", rejects=[REJECT]),
        Sent([shared_his, shared_hers, nobody], at_us=NOON + 2, context=StoredContext(app_version="5")),
        Sent([other], at_us=NOON + 3),
    )
    road.send(Sent([after], at_us=NOON + MINUTE_US), Sent([conflict], at_us=NOON + MINUTE_US + 1))
    assert road.values("select count(*) from ops.duplicates") == [1]
    assert road.values("select count(*) from ops.dead_letters") == [1]
    assert road.books().balanced
    return road


HIS, OTHERS = (0, 1, 2), (3, 4, 5)


def everything(road: Road) -> str:
    """Return every table and every archived segment as text."""
    tables = road.values(
        "select c.oid::regclass::text from pg_class c where relkind = 'r'"
        " and relnamespace::regnamespace::text in ('raw', 'clean', 'ops')"
    )
    texts = [str(road.values(f"select t::text from {table} t")) for table in tables]
    folder = road.spool.folder
    for path in [*folder.archive.iterdir(), *folder.path.glob("*.sealed")]:
        segment = read_segment(path)
        texts += [segment.payload(group).decode(errors="replace") for group in segment.groups]
    return "".join(texts)


def assert_gone(road: Road) -> None:
    text = everything(road)
    for trace in (HIM, "M0001", "10.0.0.7", "his/1", "다른 것", str(REJECT.event_id)):
        assert trace not in text, trace
    his = [road.sent[n].event_id for n in HIS]
    for table in ("clean.events", "raw.events", "ops.duplicates", "ops.dead_letters", "ops.dedup"):
        assert road.values(f"select count(*) from {table} where event_id = any(%s)", his) == [0], table
    assert len(road.clean(*(road.sent[n] for n in OTHERS))) == 3
    assert road.books().balanced


def test_nothing_of_him_is_left_and_nothing_else_is_lost(known):
    """Not before he logged in, not on a shared device; hers and nobody's stay, and her session is rewritten."""
    report = erase(known)
    assert (report.events, report.rejected, report.segments_rewritten) == (3, 1, 2)
    assert_gone(known)
    assert known.rows("select session_id, events, customer_id from clean.sessions order by 1") == [
        {"session_id": "other", "events": 1, "customer_id": "her"},
        {"session_id": "shared", "events": 2, "customer_id": "her"},
    ]
    assert known.values("select code from ops.rejected") == ["missing_field"]
    moved = dict(
        known.admin.execute(
            "select outcome, sum(events)::int from ops.audit where stage = 'operator' group by 1"
        ).fetchall()
    )
    assert moved == {"clean": -3, "duplicate": -1, "dead_lettered": -1, "erased": 5, "raw_removed": 5}


def test_what_he_had_in_no_session_goes_too(road):
    """An error that names him and belongs to no visit, and what belonged to his; hers stays."""
    road.spool.clock = FakeClock(NOON - 1)
    lonely = event(event_type="error", anonymous_id="a", customer_id=HIM, time=NOON // 1000)
    visit = event(anonymous_id="b", customer_id=HIM, time=NOON // 1000)
    next_visit = event(anonymous_id="b", customer_id="her", time=NOON // 1000 + 600_000)
    error = event(event_type="error", anonymous_id="b", time=NOON // 1000 + 60_000)
    road.send(Sent([lonely, visit, next_visit, error], at_us=NOON))
    assert road.values("select count(*) from clean.events where session_id is null") == [1]
    erase(road)
    assert HIM not in everything(road)
    assert road.values("select event_id from clean.events") == [next_visit.event_id]
    assert road.values("select events from clean.sessions") == [1]
    assert road.books().balanced


def test_what_his_session_had_goes_to_another_or_to_none(road):
    """What only belonged to a visit that is gone is decided anew."""
    road.spool.clock = FakeClock(NOON - 1)
    at_ms = NOON // 1000
    his = event(session_id="s", anonymous_id="b", customer_id=HIM, time=at_ms)
    hers = event(session_id="s", anonymous_id="b", customer_id="her", event_type="error", time=at_ms + 1)
    error = event(event_type="popup", anonymous_id="b", time=at_ms + 60_000)
    road.send(Sent([his, hers, error], at_us=NOON))
    assert road.values("select is_visit from clean.sessions") == [True]
    erase(road)
    assert {row["event_id"]: row["session_id"] for row in road.clean(hers, error)} == {
        hers.event_id: "s", error.event_id: None
    }  # fmt: skip
    assert road.rows("select is_visit, events from clean.sessions") == [{"is_visit": False, "events": 1}]


def test_the_audit_says_who_was_erased_to_those_who_ask_with_his_id(known):
    erase(known)
    hashed = known.values("select encode(ops.keyed_hash(%s), 'hex')", HIM)[0]
    rows = known.rows("select command, arguments, reason from ops.actions order by action_id")
    assert rows == [
        {"command": command, "arguments": {"customer": hashed, "source": None}, "reason": "request 12"}
        for command in ("erase", "erase archive")
    ]
    with pytest.raises(UsageError, match="leave him out of it"):
        erase_customer(known.operator, known.spool_folder, HIM, f"{HIM} asked", patience_s=0)


def test_a_second_run_finds_nothing_to_do(known):
    erase(known)
    names = sorted(path.name for path in known.spool.folder.archive.iterdir())
    report = erase(known)
    assert (report.events, report.rejected, report.segments_rewritten) == (0, 0, 0)
    assert sorted(path.name for path in known.spool.folder.archive.iterdir()) == names
    assert all("-r1" in name for name in names), "the segments have new names"


def test_what_the_phone_sends_again_stays_away(known):
    """Loaded as an id without contents, counted as erased; the new segment's archive does not keep it either."""
    erase(known)
    again = [known.sent[n] for n in (1, 2)]
    known.send(Sent([*again, event(session_id="new")], at_us=NOON + 2 * MINUTE_US, ip="10.0.0.7",
                    context=StoredContext(customer_id=HIM)))  # fmt: skip
    text = everything(known)
    assert text.count(HIM) == 4, "the third event is new and names him: in raw, in clean, its session and its context"
    assert known.values("select sum(events)::int from ops.audit where stage = 'process' and outcome = 'erased'") == [2]
    assert known.values("select count(*) from clean.events where event_id = any(%s)", [e.event_id for e in again]) == [
        0
    ]
    assert known.books().balanced


def test_what_waits_for_the_processor_is_erased_too(known):
    """A resend, and an event of his, that were loaded after the erasure had waited: the processor counts them erased."""
    known.spool.write(Sent([known.sent[1], event(customer_id=HIM)], at_us=NOON + 2 * MINUTE_US, ip="10.0.0.7"))
    known.load()
    known.admin.execute("update ops.slots set retired_at = now()")  # so that nobody waits for it
    erase(known)
    known.process()
    assert known.values("select sum(events)::int from ops.audit where stage = 'process' and outcome = 'erased'") == [2]
    assert HIM not in everything(known)
    assert known.books().balanced


def test_what_is_loaded_and_not_processed_is_waited_for(known):
    known.spool.write(Sent([known.sent[1]], at_us=NOON + 2 * MINUTE_US))
    known.load()
    with pytest.raises(UsageError, match="not yet loaded and processed"):
        erase(known)
    known.process()
    erase(known)
    assert_gone(known)


def test_what_is_not_loaded_yet_is_waited_for(known):
    known.spool.write(Sent([event(customer_id=HIM)], at_us=NOON + 2 * MINUTE_US))
    with pytest.raises(UsageError, match="not yet loaded and processed"):
        erase(known)
    assert known.values("select count(*) from ops.actions") == [0]


def test_a_rewritten_segment_can_be_loaded_by_a_database_that_forgot_it(known):
    """A restore to the past gets it from the archive, with every count and without him."""
    erase(known)
    with known.admin.transaction():
        for table in ("ops.dead_letters", "ops.duplicates", "ops.rejected", "clean.events", "clean.sessions", "raw.events",
                      "ops.processed", "ops.loads", "ops.audit", "ops.dedup", "ops.tombstones"):  # fmt: skip
            known.admin.execute(f"delete from {table}")
    folder = known.spool.folder
    for number in folder.segments(SEALED, folder.archive):
        folder.recall(number)
        load_segment(known.loader, folder, number)
    known.process()
    assert known.values("select sum(accepted)::int from ops.loads") == [8]
    assert known.values("select count(*) from clean.events") == [3]
    assert HIM not in everything(known)
    assert known.books().balanced


def test_only_one_source_when_one_is_named(known):
    elsewhere = event(customer_id=HIM, anonymous_id="d")
    known.send(Sent([elsewhere], at_us=NOON + 2 * MINUTE_US, source="app"))
    erase(known, source="web")
    assert known.values("select event_id from clean.events where customer_id = %s", HIM) == [elsewhere.event_id]
    assert known.values("select source from clean.identities where customer_id = %s", HIM) == ["app"]
    assert known.books().balanced


POINTS = [
    ("create", ".rewriting", "after"),
    ("write", "group", "half"),
    ("sync", "footer", "before"),
    ("rename", ".rewriting", "before"),
    ("rename", ".rewriting", "after"),
    ("remove", ".sealed", "before"),
    ("remove", ".sealed", "after"),
]


@pytest.mark.parametrize("point", POINTS, ids="-".join)
def test_killed_anywhere_and_run_again_it_ends_right(known, point):
    """Between the database's commit and the last old file's removal."""
    if known.admin.info.server_version < 160_000:
        pytest.skip("the disk is the same under every PostgreSQL")
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.dying", "eraser", *point, "1"],
        input=msgspec.json.encode({"dsn": known.dsn, "spool": str(known.spool.path), "customer": HIM}) + b"\n",
        capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr
    report = erase(known)
    assert report.events == 0, "the database's part was committed"
    assert_gone(known)
    assert not [path for path in known.spool.folder.archive.iterdir() if path.suffix != ".sealed"]


def test_killed_in_the_databases_part_nothing_is_erased_by_half(known):
    """The transaction is all or nothing: the session is ended while it waits to move the books."""
    with known.admin.transaction():
        known.admin.execute("lock table ops.audit in access exclusive mode")
        eraser = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.dying", "eraser", "none", "none", "none", "1"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert eraser.stdin is not None
        eraser.stdin.write(
            msgspec.json.encode({"dsn": known.dsn, "spool": str(known.spool.path), "customer": HIM}) + b"\n"
        )
        eraser.stdin.close()
        waiting = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
        with connect(known.dsn) as watcher:
            eventually(lambda: watcher.execute(waiting).fetchone() == (True,))
        eraser.kill()
        eraser.wait()
    assert known.values("select count(*) from ops.tombstones") == [0]
    assert len(known.clean(*known.sent[:6])) == 6
    assert known.books().balanced
    erase(known)
    assert_gone(known)


def test_the_command_erases_him(known, tmp_path):
    done = sillok(write_settings(known, tmp_path), "erase", "--customer", HIM, "--reason", "request 12", "--wait", "1")
    assert done.returncode == 0, done.stderr
    assert "3 events and 1 rejected ones erased; 2 of 2 archived segments rewritten." in done.stdout
    assert_gone(known)


def device(road: Road, *sent, at_us: int = NOON) -> None:
    """Send events of one device, a second apart, each in a session of its customer."""
    events = [
        event(event_type=kind, anonymous_id="d", session_id=f"s-{who}", customer_id=who, page_url=f"https://a.kr/{path}",
              time=(at_us + n * 1_000_000) // 1000)
        for n, (kind, who, path) in enumerate(sent)
    ]  # fmt: skip
    road.spool.clock = FakeClock(at_us + MINUTE_US - 1)
    road.send(Sent(events, at_us=at_us + MINUTE_US))


def test_his_pages_and_his_devices_are_forgotten_and_hers_stay(road):
    """Page views and identities go too; a device that he shared stays shared, and his time is not given to her."""
    device(road, ("page_view", HIM, "his"), ("page_view", "her", "both"), ("page_view", HIM, "both"))
    before = road.rows("select valid, is_shared, is_backfilled from clean.identities where customer_id = 'her'")
    assert len(before) == 1
    erase(road)
    assert HIM not in everything(road)
    assert road.rows("select customer_id, page_path from clean.page_views") == [
        {"customer_id": "her", "page_path": "/both"}
    ]
    assert road.rows("select valid, is_shared, is_backfilled from clean.identities") == before
    assert road.values("select page_path from clean.channels") == ["/both"]
    assert_checks_are_clean(road.admin)
    assert road.books().balanced


def test_a_device_that_was_his_alone_leaves_nothing(road):
    device(road, ("login", HIM, "his"), ("page_view", HIM, "his"))
    erase(road)
    for table in ("clean.identities", "ops.identity_events", "clean.page_views", "clean.sessions", "clean.channels"):
        assert road.values(f"select count(*) from {table}") == [0], table


def test_what_was_erased_has_not_vanished_on_its_way(road):
    """The instance's account still says that all it made arrived, his events and hers."""
    report = ClientReport(id="i", created=4, pending=0)
    his, hers = ({"customer_id": HIM, "session_id": "his"}, {"customer_id": "her", "session_id": "hers"})
    sent = [
        event(client_id="i", seq=seq, time=NOON // 1000, **who) for seq, who in enumerate((his, hers, his, hers), 1)
    ]
    road.spool.clock = FakeClock(NOON - 1)
    road.send(Sent(sent, at_us=NOON, clients=[report]))
    erase(road)
    [account] = road.books().clients
    assert (account.created, account.arrived, account.vanished) == (4, 4, 0)
