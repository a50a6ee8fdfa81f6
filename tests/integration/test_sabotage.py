"""Whoever takes, adds, exchanges or changes an event or a count is found: by minute, source and stage."""

import shutil
from datetime import timedelta

import psycopg
import pytest

import sillok
from commands.settings import load_settings
from contract.event import ClientReport
from contract.fingerprint import HASH_MODULUS, id_hash
from processor.books import Books
from processor.closes import day_range
from processor.equations import CLOSED, KNOWN_ACCOUNTS, LEDGERS
from processor.operate.trace import trace
from storage.spool.frame import Reject
from storage.spool.settings import SpoolSettings
from tests.builders import KST, MINUTE_US, Sent, Spool, event, moment, new_id, today_us
from tests.fakes import FakeClock

NOON = today_us(12, days=-1)
FIRST, SECOND = moment(NOON), moment(NOON + MINUTE_US)
YESTERDAY = FIRST.astimezone(KST).date()
RAW = "loaded = rows of raw.events"
CLEAN = "clean = rows of clean.events"
LOADED = "loaded = clean + duplicate + dead-lettered + discarded + erased + purged + pending"
ACCEPTED = "accepted = loaded + dead-lettered + damaged"
ROWS = "raw.events = clean + duplicates + dead letters, row by row"
CHANGED = "each row of clean.events = its row of raw.events"
REJECT = Reject(index=9, code="missing_field", field="events[9].time", message="Missing")
TIME = NOON // 1000
A, B, C, D = (
    event(event_type="search", search_text=text, time=TIME) for text in ("삼성전자", "환율", "공모주", "배당")
)


@pytest.fixture
def road(road):
    """Return a road whose spool lives yesterday: only a day that is over can be closed."""
    road.spool.clock = FakeClock(today_us(11, days=-1))
    return road


@pytest.fixture
def day(road):
    """Return a road on which a bit of everything went, in two minutes, from two sources."""
    # The day after has a partition too.
    road.admin.execute("select ops.ensure_clean_partition(%s)", (YESTERDAY + timedelta(days=1),))
    again = event(click_text="하나", time=TIME)
    road.send(
        Sent([A, B, C, D, again], at_us=NOON, rejects=[REJECT]),
        Sent([event(time=TIME)], at_us=NOON + MINUTE_US, source="app"),
        Sent([again, event(time=TIME)], at_us=NOON + MINUTE_US + 1),
    )
    assert road.books().balanced
    return road


@pytest.fixture
def reconcile(road, capsys):
    """Return a function that runs the command; it returns the exit status and what was printed."""
    settings = load_settings(None, {"SILLOK_PROCESS_DSN": road.dsn})

    def run(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        options = sillok._parser().parse_args(["reconcile", *arguments])
        return options.command.run(settings, options), " ".join(capsys.readouterr().out.split())

    return run


def places(books: Books) -> set[tuple]:
    return {(d.identity, d.minute, d.source, d.event_type) for d in books.differences}


SWAP = """
with pair as (
    select a.event_id as one, a.received_at as one_at, b.event_id as two, b.received_at as two_at
    from clean.events a, clean.events b where a.event_id = %(a)s and b.source = 'web' and b.received_at > a.received_at
    limit 1
)
update clean.events set received_at = case when event_id = one then two_at else one_at end
from pair where event_id in (one, two)
"""


@pytest.mark.parametrize(
    ("sabotage", "expected"),
    [
        ("delete from raw.events where event_id = %(a)s", {(RAW, FIRST, "web", "search")}),
        ("delete from clean.events where event_id = %(a)s", {(CLEAN, FIRST, "web", "search")}),
        ("insert into clean.events select * from clean.events where event_id = %(a)s", {(CLEAN, FIRST, "web", "search")}),
        ("update clean.events set event_id = %(new)s where event_id = %(a)s", {(CLEAN, FIRST, "web", "search")}),
        # One twice, another away: the same number, another sum.
        ("update clean.events set event_id = %(b)s where event_id = %(a)s", {(CLEAN, FIRST, "web", "search")}),
        # Two exchange their minutes: the same sum over the day.
        (SWAP, {(CLEAN, FIRST, "web", "search"), (CLEAN, SECOND, "web", "search"), (CLEAN, FIRST, "web", "click"),
                (CLEAN, SECOND, "web", "click")}),
        # Numbers and sums agree: two ids moved apart by one each.
        (("update clean.events set event_id = case event_id when %(a)s then %(a_up)s else %(b_down)s end"
         " where event_id in (%(a)s, %(b)s)"), {(ROWS, FIRST, "web", "search"), (CHANGED, FIRST, "web", "search")}),
        (("update raw.events set event_id = case event_id when %(a)s then %(a_up)s else %(b_down)s end"
         " where event_id in (%(a)s, %(b)s)"), {(ROWS, FIRST, "web", "search"), (CHANGED, FIRST, "web", "search")}),
        # The event stays and says another thing.
        ("update clean.events set search_text = '현대차' where event_id = %(a)s", {(CHANGED, FIRST, "web", "search")}),
        ("update clean.events set is_test = true where event_id = %(a)s", {(CHANGED, FIRST, "web", "search")}),
        ("update clean.events set customer_id = 'c-2' where event_id = %(a)s", {(CHANGED, FIRST, "web", "search")}),
        ("update clean.events set event_date = event_date + 1 where event_id = %(a)s", {(CHANGED, FIRST, "web", "search")}),
        (("update clean.events set event_time = event_time - interval '1 h', client_time = client_time - interval '1 h'"
         " where event_id = %(a)s"), {(CHANGED, FIRST, "web", "search")}),
        ("update clean.events set event_time = event_time - interval '1 s' where event_id = %(a)s",
         {(CHANGED, FIRST, "web", "search")}),
        # A row and its count together.
        (("with gone as (delete from clean.events where event_id = %(a)s)"
         " update ops.audit set events = events - 1, hash_sum = ops.hash_sum(hash_sum - %(a_hash)s)"
         " where outcome = 'clean' and event_type = 'search'"),
         {(LOADED, FIRST, "web", "search"), (LEDGERS, FIRST, "", "")}),
        (("with gone as (delete from raw.events where event_id = %(a)s)"
         " update ops.audit set events = events - 1, hash_sum = ops.hash_sum(hash_sum - %(a_hash)s)"
         " where outcome = 'loaded' and event_type = 'search'"),
         {(LOADED, FIRST, "web", "search"), (ACCEPTED, FIRST, "web", "search"), (LEDGERS, FIRST, "", "")}),
        # Every stage's count of it and every row of it, but not the ledger's.
        (("with g as (delete from raw.events where event_id = %(a)s), h as (delete from clean.events where event_id = %(a)s)"
         " update ops.audit set events = events - 1,"
         " hash_sum = case when outcome = 'received' then 0 else ops.hash_sum(hash_sum - %(a_hash)s) end"
         " where event_type = 'search' and outcome in ('accepted', 'loaded', 'clean')"
         " or minute = %(first)s and source = 'web' and outcome = 'received'"),
         {(LEDGERS, FIRST, "", "")}),
        ("delete from ops.audit where stage = 'load' and event_type = 'search'",
         {(ACCEPTED, FIRST, "web", "search"), (LOADED, FIRST, "web", "search"), (RAW, FIRST, "web", "search"),
          (LEDGERS, FIRST, "", "")}),
        # The ledger alone.
        ("update ops.loads set accepted = accepted + 1, loaded = loaded + 1", {(LEDGERS, FIRST, "", "")}),
        ("update ops.loads set loaded_hash_sum = loaded_hash_sum + 1", {(LEDGERS, FIRST, "", "")}),
        ("update ops.runs set loaded = loaded - 1", {(LEDGERS, FIRST, "", "")}),
        # A ledger entry twice, under another number.
        (("insert into ops.loads select (jsonb_populate_record(l, jsonb_build_object("
         "'segment', segment + 1, 'load_id', load_id + 1))).* from ops.loads l"), {(LEDGERS, SECOND, "", "")}),
        # A count of an account that nobody knows.
        ("update ops.audit set outcome = 'lost' where outcome = 'clean' and event_type = 'search'",
         {(LOADED, FIRST, "web", "search"), (CLEAN, FIRST, "web", "search"), (KNOWN_ACCOUNTS, FIRST, "web", "search")}),
    ],
)  # fmt: skip
def test_sabotage_is_found_where_it_was_done(day, reconcile, sabotage, expected):
    """The identity, the minute, the source and the type; the command fails and prints the place."""
    up, down = (type(A.event_id)(int=e.event_id.int + step) for e, step in ((A, 1), (B, -1)))
    day.admin.execute(sabotage, {
        "a": A.event_id, "b": B.event_id, "new": new_id(), "a_up": up, "b_down": down, "a_hash": id_hash(A.event_id),
        "first": FIRST,
    })  # fmt: skip
    books = day.books()
    assert not books.balanced
    assert places(books) == expected
    status, printed = reconcile("--day", YESTERDAY.isoformat())
    assert status == 1
    for identity, minute, source, event_type in expected:
        cell = f"{source} {event_type}".strip()
        assert f"difference {minute.astimezone(KST):%Y-%m-%d %H:%M} KST {cell or '(no source)'}: {identity}" in printed
    # The trace still finds the event in its segment, and says which of its rows is gone.
    arrivals = trace(day.operator, day.spool_folder, A.event_id)
    assert any(arrival.place is not None and arrival.source == "web" for arrival in arrivals)
    for table, is_said in (
        ("clean.events", any(a.outcome == "clean" for a in arrivals)),
        ("raw.events", any(a.raw == "here" for a in arrivals)),
    ):
        [there] = day.values(f"select count(*) > 0 from {table} where event_id = %s", A.event_id)
        assert is_said == there, table
    if not day.values("select 1 from clean.events where event_id = %s", A.event_id):
        assert [arrival.outcome for arrival in arrivals] == ["lost"]


def test_the_same_segment_cannot_stand_twice_in_the_ledger(day):
    """A copy of the entry itself is refused by its key."""
    with pytest.raises(psycopg.errors.UniqueViolation):
        day.admin.execute("insert into ops.loads select * from ops.loads")


def test_three_rows_with_the_sum_of_one_are_found(day):
    """Rows A, B, C become B three times where B's id lies between the two others': number and sum agree."""
    base = new_id().int & ~0xFF
    ids = [type(A.event_id)(int=base + n) for n in (0x10, 0x20, 0x30)]
    day.send(Sent([event(event_id=i, event_type="exit", time=TIME) for i in ids], at_us=NOON + 2 * MINUTE_US))
    day.admin.execute("update clean.events set event_id = %s where event_type = 'exit'", (ids[1],))
    assert places(day.books()) == {(ROWS, SECOND + timedelta(minutes=1), "web", "exit")}


# The spool


def test_a_dropped_segment_holds_the_watermark_and_is_named(road, reconcile):
    """A sealed file that is gone before it was loaded may have held anything: nothing after it is ever final."""
    events = [event(time=TIME) for _ in range(3)]
    for number, sent in enumerate(events, 1):
        road.spool.write(Sent([sent], at_us=NOON + number * MINUTE_US))
    road.spool.sealed(2).unlink()
    road.load()
    road.process()
    books = road.books()
    assert (books.final, books.stalled, books.holds) == (False, True, False)
    assert books.finished_until == moment(NOON + MINUTE_US)
    [slot] = books.slots
    assert (slot.waits_for, slot.finished_segment) == ("gap", 1)
    status, printed = reconcile("--day", YESTERDAY.isoformat())
    assert status == 1
    assert f"segment {slot} was never loaded, later ones were" in printed
    assert str(slot).endswith(".0.2")
    # What was in it nobody can name any more; its neighbours are where they are.
    found = [trace(road.operator, road.spool_folder, sent.event_id) for sent in events]
    assert [[arrival.outcome for arrival in arrivals] for arrivals in found] == [["clean"], [], ["clean"]]


def test_a_stopped_processor_is_no_balance(road, reconcile):
    """The loader's counts agree, but nothing is clean: the watermark stands still, and the command fails."""
    sent = event(time=TIME)
    road.spool.write(Sent([sent], at_us=NOON))
    road.load()
    books = road.books()
    assert (books.balanced, books.final, books.stalled, books.holds) == (True, False, True, False)
    status, printed = reconcile("--day", YESTERDAY.isoformat())
    assert status == 1
    assert "is `sillok process` running?" in printed
    [arrival] = trace(road.operator, road.spool_folder, sent.event_id)
    assert (arrival.outcome, arrival.raw) == ("pending", "here")


def test_an_emptied_spool_is_never_final(road):
    """A slot that did not say goodbye is waited for, whatever a new folder's slots say."""
    loaded, waiting = event(time=TIME), event(time=TIME)
    with road.spool.living(SpoolSettings(segment_age_ms=60_000, heartbeat_ms=10**9)) as living:
        living.send(Sent([loaded], at_us=NOON))
        living.seal()
        road.load()
        road.process()
        living.send(Sent([waiting]))
    shutil.rmtree(road.spool.path)
    over = Spool(road.spool.path)
    over.clock = FakeClock(NOON)
    assert over.folder.spool_id != road.spool.folder.spool_id
    over.write(Sent([event(time=TIME)], at_us=NOON + MINUTE_US))
    road.load(over)
    road.process()
    books = road.books()
    assert (books.final, books.stalled, books.holds) == (False, True, False)
    assert [slot.waits_for for slot in books.slots if slot.spool_id == road.spool.folder.spool_id] == ["loader"]
    # What was loaded is told without its segment; what waited in the folder went with it.
    [arrival] = trace(road.operator, road.spool_folder, loaded.event_id)
    assert (arrival.outcome, arrival.raw, arrival.place) == ("clean", "here", None)
    assert trace(road.operator, road.spool_folder, waiting.event_id) == []


# The client's sequence


def test_the_lost_middle_of_a_clients_sequence_is_said(day):
    """The books of what was accepted balance; the client's account says what never came, and on which day."""
    report = ClientReport(id="c-9", platform="web", app_version="2.0", created=9)
    day.send(Sent([event(client_id="c-9", seq=n, time=TIME) for n in (1, 2, 3, 7, 8, 9)], at_us=NOON + 5 * MINUTE_US,
                  clients=[report]))  # fmt: skip
    books = day.books()
    assert books.balanced
    [account] = books.clients
    assert (account.day, account.created, account.arrived, account.vanished) == (YESTERDAY, 9, 6, 3)
    assert trace(day.operator, day.spool_folder, new_id()) == [], "what never came is nowhere"


# The operator's movements


MOVE = "insert into ops.audit (stage, minute, source, event_type, outcome, events, hash_sum) values ('operator', %s, 'web', 'search', %s, %s, %s)"


def move(road, event, **events: int) -> None:
    """Write the movements of one event, as an operator's command does."""
    for outcome, number in events.items():
        road.admin.execute(MOVE, (FIRST, outcome, number, number * id_hash(event.event_id) % HASH_MODULUS))


@pytest.mark.parametrize(
    ("sabotage", "movements"),
    [
        # An erased customer: the row leaves clean and raw.
        (["delete from clean.events where event_id = %s", "delete from raw.events where event_id = %s"],
         {"clean": -1, "erased": 1, "raw_removed": 1}),
        # Purged from clean alone.
        (["delete from clean.events where event_id = %s"], {"clean": -1, "purged": 1}),
    ],
)  # fmt: skip
def test_a_movement_accounts_for_what_an_operator_did(day, sabotage, movements):
    """The rows go and the books say why: they balance, and the totals show it."""
    for statement in sabotage:
        day.admin.execute(statement, (A.event_id,))
    move(day, A, **movements)
    books = day.books()
    assert books.differences == []
    assert books.totals["web"]["operator.clean"] == -1


def test_a_retried_dead_letter_of_the_loader_balances(day):
    """It becomes loaded and clean after all: a row in raw, one in clean, none among the dead letters."""
    late = event(event_type="search")
    copy = "insert into {0} select (jsonb_populate_record(t, jsonb_build_object('event_id', %s::text))).* from {0} t where event_id = %s"
    for table in ("raw.events", "clean.events"):
        day.admin.execute(copy.format(table), (late.event_id, A.event_id))
    before = places(day.books())
    assert (RAW, FIRST, "web", "search") in before
    # The loader had accepted and dead-lettered it.
    day.admin.execute(
        "insert into ops.audit (stage, load_id, minute, source, event_type, outcome, events, hash_sum)"
        " select s, load_id, minute, source, event_type, o, 1, %s from ops.audit,"
        " (values ('spool', 'accepted'), ('load', 'dead_lettered')) v (s, o)"
        " where stage = 'load' and outcome = 'loaded' and event_type = 'search'",
        (id_hash(late.event_id),),
    )
    day.admin.execute(
        "insert into ops.audit (stage, load_id, minute, source, event_type, outcome, events, hash_sum)"
        " select 'spool', load_id, minute, source, '', 'received', 1, 0 from ops.audit where stage = 'load'"
        " and outcome = 'loaded' and event_type = 'search'"
    )
    day.admin.execute(
        "update ops.loads set received = received + 1, accepted = accepted + 1, dead_lettered = 1,"
        " accepted_hash_sum = ops.hash_sum(accepted_hash_sum + %s)", (id_hash(late.event_id),)
    )  # fmt: skip
    move(day, late, load_dead_lettered=-1, loaded=1, clean=1)
    assert day.books().differences == []


@pytest.mark.parametrize(
    ("movements", "expected"),
    [
        # Half a movement.
        ({"clean": -1}, {LOADED, CLEAN}),
        ({"erased": 1}, {LOADED}),
        # One that nobody carried out: the row is still there.
        ({"clean": -1, "erased": 1}, {CLEAN}),
        ({"raw_removed": 1}, {RAW}),
        ({"clean": -1, "mislaid": 1}, {LOADED, CLEAN, KNOWN_ACCOUNTS}),
    ],
)
def test_a_movement_that_does_not_add_up_is_found(day, movements, expected):
    """A movement is no excuse: it has two sides, and the tables follow it."""
    move(day, A, **movements)
    assert places(day.books()) == {(identity, FIRST, "web", "search") for identity in expected}


def test_a_movement_of_another_event_is_found(day):
    """The count is right, the hash sum is not."""
    day.admin.execute("delete from clean.events where event_id = %s", (A.event_id,))
    move(day, B, clean=-1, erased=1)
    assert places(day.books()) == {(CLEAN, FIRST, "web", "search")}


# After the close


@pytest.fixture
def closed(day, reconcile):
    """Return a road whose yesterday is closed."""
    status, printed = reconcile("--close", YESTERDAY.isoformat())
    assert status == 0, printed
    return day


EVERYTHING = (
    "delete from raw.events where event_id = %(a)s", "delete from clean.events where event_id = %(a)s",
    ("update ops.audit set events = events - 1,"
    " hash_sum = case when outcome = 'received' then 0 else ops.hash_sum(hash_sum - %(h)s) end"
    " where event_type = 'search' and outcome in ('accepted', 'loaded', 'clean')"
    " or minute = %(first)s and source = 'web' and outcome = 'received'"),
    ("update ops.loads set received = received - 1, accepted = accepted - 1, loaded = loaded - 1,"
    " accepted_hash_sum = ops.hash_sum(accepted_hash_sum - %(h)s), loaded_hash_sum = ops.hash_sum(loaded_hash_sum - %(h)s)"),
    "update ops.runs set loaded = loaded - 1",
)  # fmt: skip


def test_a_closed_day_cannot_lose_an_event_with_all_its_traces(closed):
    """Row, counts, ledger and run changed together would pass on an open day; the close remembers."""
    for statement in EVERYTHING:
        closed.admin.execute(statement, {"a": A.event_id, "h": id_hash(A.event_id), "first": FIRST})
    books = closed.books()
    assert {d.identity for d in books.differences} == {CLOSED}
    start = day_range(YESTERDAY)[0]
    accounts = {(d.detail.split(",")[0], d.source, d.event_type, d.minute) for d in books.differences}
    assert ("table.clean", "web", "search", start) in accounts
    assert ("spool.accepted", "web", "search", start) in accounts
    assert ("clean by event_date", "web", "search", start) in {
        (d.detail.split(",")[0], d.source, d.event_type, day_range(YESTERDAY)[0]) for d in books.differences
    }


@pytest.mark.parametrize(
    ("sabotage", "what"),
    [
        ("update clean.events set channel = 'email' where event_id = %(a)s", "the content of table.clean"),
        ("update ops.rejected set code = 'too_deep'", "the content of table.rejected"),
        ("update ops.duplicates set first_received_at = first_received_at - interval '1 s'",
         "the content of table.duplicates"),
    ],
)  # fmt: skip
def test_a_closed_days_rows_keep_their_content(closed, sabotage, what):
    """Also what no other table could tell."""
    closed.admin.execute(sabotage, {"a": A.event_id})
    assert {(d.identity, d.detail.split(",")[0]) for d in closed.books().differences} >= {(CLOSED, what)}


def test_a_close_itself_cannot_be_edited(closed):
    """Refused to everybody; and should somebody switch that off, its digest tells."""
    for statement in ("delete from ops.closes", "update ops.close_counts set events = 0", "truncate ops.close_counts"):
        with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
            closed.admin.execute(statement)
    with closed.admin.transaction():
        closed.admin.execute("set local session_replication_role = replica")
        closed.admin.execute("update ops.close_counts set events = events + 1 where account = 'table.clean'")
    assert any("was edited" in d.detail for d in closed.books().differences)
