"""A row that cannot be cleaned is a dead letter with its reason, and never stops the rest."""

import json
import threading

import pytest

from contract.fingerprint import id_hash
from processor.batch import process_batch
from processor.dictionaries import Dictionaries
from processor.enrich import ChannelRules
from processor.refusal import CannotClean
from processor.run import Processor
from processor.settings import ProcessSettings
from tests.builders import Road, Sent, event, today_us
from tests.checks import assert_checks_are_clean
from tests.patience import PATIENCE_S

NOON = today_us(12)
CANARY = "canary-7d1f"


@pytest.fixture(autouse=True)
def _all_is_well(road: Road):
    """Hold the tables to every check and the books to balance, after each test."""
    yield
    assert_checks_are_clean(road.admin)
    assert road.books().balanced


def refuse_guilty(road: Road, table: str = "clean.events", condition: str = "new.click_text = 'guilty'") -> None:
    """Let PostgreSQL refuse some rows of a table, in words that quote a value."""
    road.reset_later("drop function if exists ops.refuse() cascade")
    road.admin.execute(
        "create function ops.refuse() returns trigger language plpgsql as $$ begin"
        f" if {condition} then raise exception 'no %', '{CANARY}'; end if; return new; end $$"
    )
    road.admin.execute(f"create trigger refuse before insert on {table} for each row execute function ops.refuse()")


def outcomes(road: Road) -> dict[str, int]:
    """Return what became of all events, as the runs counted it."""
    return dict(
        road.admin.execute(
            "select outcome, sum(events)::int from ops.audit where stage = 'process' group by 1"
        ).fetchall()
    )


def test_the_guilty_row_of_a_load_is_a_dead_letter_with_its_reason(road):
    """One of hundreds: the rest is clean, the letter holds the whole row and the detail no value of it."""
    innocent = [event(click_text=str(n), session_id=f"s{n % 7}") for n in range(300)]
    guilty = event(click_text="guilty", error_message=CANARY, props={"수량": 3})
    refuse_guilty(road)
    road.send(Sent([*innocent[:123], guilty, *innocent[123:]], at_us=NOON))
    assert outcomes(road) == {"clean": 300, "dead_lettered": 1}
    assert set(road.values("select event_id from clean.events")) == {e.event_id for e in innocent}
    [row] = road.rows("select * from ops.dead_letters")
    assert (row["stage"], row["reason"], row["event_id"]) == ("process", "cannot_clean", guilty.event_id)
    assert row["detail"] == "P0001: RaiseException"
    body = json.loads(row["body"])
    assert (body["click_text"], body["props"], body["error_message"]) == ("guilty", {"수량": 3}, CANARY)
    [counted] = road.rows("select hash_sum from ops.audit where outcome = 'dead_lettered'")
    assert counted["hash_sum"] == id_hash(guilty.event_id)


def test_a_constraint_is_named(road):
    """The detail says which constraint of which table; that helps more than the class."""
    road.reset_later("alter table clean.events drop constraint if exists no_guilt")
    road.admin.execute("alter table clean.events add constraint no_guilt check (click_text <> 'guilty')")
    road.send(event(click_text="guilty"), event(click_text="innocent"))
    assert outcomes(road) == {"clean": 1, "dead_lettered": 1}
    [detail] = road.values("select detail from ops.dead_letters")
    assert detail.startswith("23514: CheckViolation, constraint no_guilt, table events_")


def test_guilty_rows_in_several_loads_cost_only_themselves(road):
    """The batch is halved until a load stands alone; heartbeats between them are claimed along."""
    refuse_guilty(road)
    sent = []
    for load in range(7):
        events = [event(click_text="guilty" if load in (2, 5) and n % 4 == 1 else "ok") for n in range(9)]
        sent += events
        road.spool.write(Sent(events, at_us=NOON + load))
        road.spool.write()
    road.load()
    road.process()
    assert set(road.values("select event_id from ops.dead_letters")) == {
        e.event_id for e in sent if e.click_text == "guilty"
    }
    assert set(road.values("select event_id from clean.events")) == {e.event_id for e in sent if e.click_text == "ok"}
    assert road.values("select count(*) from ops.waiting") == [0]


def test_a_load_of_guilty_rows_only(road):
    """Nothing of it can be cleaned, and the next load is."""
    refuse_guilty(road)
    road.spool.write(Sent([event(click_text="guilty") for _ in range(9)], at_us=NOON))
    last = event()
    road.spool.write(Sent([last], at_us=NOON + 1))
    road.load()
    road.process()
    assert outcomes(road) == {"clean": 1, "dead_lettered": 9}
    assert len(road.clean(last)) == 1


def test_a_row_that_is_too_much_beside_others(road):
    """Each event passes alone; the session's row takes three. The first three stay, in their order."""
    road.reset_later("alter table clean.sessions drop constraint if exists small")
    road.admin.execute("alter table clean.sessions add constraint small check (events <= 3)")
    events = [event(session_id="s", click_text=str(n)) for n in range(5)]
    road.send(Sent(events, at_us=NOON))
    assert outcomes(road) == {"clean": 3, "dead_lettered": 2}
    assert set(road.values("select event_id from clean.events")) == {e.event_id for e in events[:3]}


def test_duplicates_and_conflicts_beside_a_guilty_row_keep_their_outcomes(road):
    """A second arrival of the guilty row is a duplicate: its original is among the dead letters."""
    refuse_guilty(road)
    guilty, innocent = event(click_text="guilty"), event(click_text="ok")
    other = event(event_id=innocent.event_id, click_text="other")
    road.send(Sent([guilty, innocent, guilty], at_us=NOON), Sent([innocent, other], at_us=NOON + 1))
    road.send(Sent([guilty], at_us=NOON + 2))
    assert outcomes(road) == {"clean": 1, "duplicate": 3, "dead_lettered": 2}
    assert sorted(road.values("select reason from ops.dead_letters")) == ["cannot_clean", "id_conflict"]


def test_a_value_that_cannot_be_parsed_costs_its_row(road):
    """Not only PostgreSQL may refuse: an enrichment that fails on one value does not stop the processor."""

    class Picky:
        """Channel rules with a fault."""

        sha256 = "picky"

        def assign(self, visit):
            if visit.page_host == "guilty.example.com":
                raise ValueError(CANARY)
            return ChannelRules.load().assign(visit)

    guilty = event(page_url="https://guilty.example.com/")
    road.spool.write(Sent([event(), guilty, event()], at_us=NOON))
    road.load()
    assert process_batch(road.processor, Dictionaries(Picky()), 50_000).clean == 2
    assert road.rows("select event_id, detail from ops.dead_letters") == [
        {"event_id": guilty.event_id, "detail": "ValueError"}
    ]
    # What the runs before put into the dictionary went with them.
    assert road.values("select count(*) from clean.channels") == [1]


def test_what_is_no_rows_fault_dead_letters_nothing(road):
    """A statement that fails whatever the rows: the batch waits and is cleaned once the fault is gone."""
    road.spool.write(event(), event())
    road.load()
    refuse_guilty(road)
    road.admin.execute("drop trigger refuse on clean.events")
    road.admin.execute(
        "create trigger refuse before insert on clean.events for each statement execute function ops.refuse()"
    )
    road.admin.execute(
        "create or replace function ops.refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'broken'; end $$"
    )
    with pytest.raises(CannotClean, match="P0001"):
        road.process()
    assert road.values("select count(*) from ops.dead_letters") == [0]
    road.admin.execute("drop function ops.refuse() cascade")
    road.process()
    assert outcomes(road) == {"clean": 2}


def test_a_missing_right_dead_letters_nothing(road):
    """An operator's slip with `revoke` is said, and waits."""
    road.spool.write(event())
    road.load()
    road.reset_later("grant insert on clean.events to sillok_processor")
    road.admin.execute("revoke insert on clean.events from sillok_processor")
    stop = threading.Event()
    road.processor.close()
    thread = threading.Thread(target=Processor(ProcessSettings(poll_ms=10), road.dsn).run, args=(stop,))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive(), "it goes on trying"
    assert road.values("select count(*) from ops.dead_letters") == [0]
    road.admin.execute("grant insert on clean.events to sillok_processor")
    for _ in range(600):
        if outcomes(road):
            break
        thread.join(0.1)
    stop.set()
    thread.join(PATIENCE_S)
    assert outcomes(road) == {"clean": 1}
