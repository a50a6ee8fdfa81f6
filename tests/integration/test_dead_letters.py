"""Dead letters looked at, tried again and given up: never twice, always in the books, under the operator's role."""

import json

import msgspec
import pytest

from contract.errors import UsageError
from contract.event import StoredContext
from contract.fingerprint import id_hash
from processor.operate.dead_letters import Left, discard_letters, list_letters, retry_letters, show_letter
from storage.spool.folder import SEALED
from tests.builders import Road, Sent, event, today_us
from tests.operating import sillok, write_settings

NOON = today_us(12, days=-1)
HASHED = 2**64


def retry(road: Road, *ids: int):
    return retry_letters(road.operator, road._dictionaries, road.spool_folder, ids)


def letters(road: Road) -> list[int]:
    return [letter.dead_letter_id for letter in list_letters(road.operator)]


def moves(road: Road) -> dict[str, int]:
    """Return what operators moved, by outcome; what they moved among an event's outcomes sums to what was loaded."""
    found = dict(
        road.admin.execute(
            "select outcome, sum(events)::int from ops.audit where stage = 'operator' group by outcome"
        ).fetchall()
    )
    ends = ("clean", "duplicate", "dead_lettered", "discarded", "erased", "purged")
    assert sum(found.get(outcome, 0) for outcome in ends) == found.get("loaded", 0)
    return found


@pytest.fixture
def refused(road) -> Road:
    """Return a road on which PostgreSQL refused one event of three, for a reason that is gone now."""
    road.forget_days()
    road.admin.execute("alter table raw.events add constraint no_bad check (click_text <> 'bad')")
    context = StoredContext(customer_id="c-1", app_version="5.0")
    events = [event(click_text=text, session_id="s-1") for text in ("good", "bad", "fine")]
    road.sent = events
    road.send(Sent(events, at_us=NOON, context=context, ip="10.0.0.7", user_agent="x/1"))
    road.admin.execute("alter table raw.events drop constraint no_bad")
    assert road.values("select count(*) from ops.dead_letters") == [1]
    assert road.books().balanced
    return road


@pytest.fixture
def conflicting(road) -> Road:
    """Return a road on which one id arrived twice, with different contents."""
    first = event(click_text="하나")
    other = msgspec.structs.replace(first, click_text="다른 것")
    road.sent = [first, other]
    road.send(Sent([first], at_us=NOON), Sent([other], at_us=NOON + 120_000_000))
    assert road.values("select reason from ops.dead_letters") == ["id_conflict"]
    assert road.books().balanced
    return road


def test_a_row_the_loader_could_not_load_is_loaded_and_cleaned(refused):
    """With its batch's context, from the archive; its session has it; the books balance and say how."""
    before = refused.rows("select * from ops.loads")
    [number] = letters(refused)
    report = retry(refused, number)
    assert (report.retried, report.outcomes, report.left) == (1, {"clean": 1}, [])
    [row] = refused.clean(refused.sent[1])
    assert (row["click_text"], row["customer_id"], str(row["ip"]), row["app_version"]) == (
        "bad",
        "c-1",
        "10.0.0.7",
        "5.0",
    )
    assert refused.values("select events from clean.sessions") == [3]
    assert refused.values("select count(*) from raw.events") == [3]
    assert refused.values("select count(*) from ops.dead_letters") == [0]
    assert moves(refused) == {"load_dead_lettered": -1, "loaded": 1, "clean": 1}
    h = id_hash(refused.sent[1].event_id)
    assert refused.rows("select outcome, hash_sum::text from ops.audit where stage = 'operator' order by 1") == [
        {"outcome": "clean", "hash_sum": str(h)},
        {"outcome": "load_dead_lettered", "hash_sum": str((HASHED - h) % HASHED)},
        {"outcome": "loaded", "hash_sum": str(h)},
    ]
    assert refused.books().balanced
    assert refused.rows("select * from ops.loads") == before, "the ledger is never edited"


def test_a_retry_is_never_done_twice(refused):
    """The letter is gone with its row's commit; a second retry finds nothing and moves nothing."""
    [number] = letters(refused)
    retry(refused, number)
    report = retry(refused, number)
    assert (report.retried, report.left) == (0, [Left(number, "there is no such dead letter")])
    assert moves(refused) == {"load_dead_lettered": -1, "loaded": 1, "clean": 1}
    assert refused.values("select count(*) from clean.events") == [3]
    assert refused.books().balanced


def test_what_postgresql_still_refuses_stays_a_dead_letter(refused):
    refused.reset_later("alter table raw.events drop constraint still_bad")
    refused.admin.execute("alter table raw.events add constraint still_bad check (click_text <> 'bad')")
    [number] = letters(refused)
    report = retry(refused, number)
    assert report.left == [Left(number, "PostgreSQL still refuses it (23514)")]
    assert letters(refused) == [number]
    assert moves(refused) == {}
    assert refused.books().balanced


def test_a_letter_whose_segment_is_gone_stays(refused):
    """What cannot be read again is not made up from half of it."""
    for number in refused.spool.folder.segments(SEALED, refused.spool.folder.archive):
        refused.spool.folder.archived(number).unlink()
    report = retry(refused, *letters(refused))
    assert "no longer in the archive" in report.left[0].why
    assert refused.books().balanced


def test_a_retried_row_that_arrived_meanwhile_is_a_duplicate(refused):
    """The phone sent it again after it was refused; it is clean once."""
    refused.send(Sent([refused.sent[1]], at_us=NOON + 60_000_000, context=StoredContext(customer_id="c-1")))
    report = retry(refused, *letters(refused))
    assert report.outcomes == {"duplicate": 1}
    assert refused.values("select count(*) from clean.events where event_id = %s", refused.sent[1].event_id) == [1]
    assert refused.books().balanced


def test_a_conflict_stays_one_while_its_original_is_there(conflicting):
    [number] = letters(conflicting)
    report = retry(conflicting, number)
    assert report.left == [Left(number, "its original, with other content, is still there")]
    assert moves(conflicting) == {}
    assert conflicting.books().balanced


def test_a_conflict_is_cleaned_once_its_original_is_gone(conflicting):
    """Its own minute's account moves; that the original's row is missing is still a difference, and no other is."""
    conflicting.admin.execute("delete from clean.events")
    conflicting.admin.execute("delete from ops.dedup")
    report = retry(conflicting, *letters(conflicting))
    assert report.outcomes == {"clean": 1}
    assert conflicting.values("select click_text from clean.events") == ["다른 것"]
    assert moves(conflicting) == {"dead_lettered": -1, "clean": 1}
    assert [d.identity for d in conflicting.books().differences] == ["clean = rows of clean.events"]


def test_a_letter_outlives_its_raw_row(conflicting):
    """After raw's retention the letter holds the row: it is borrowed for the retry and leaves no trace in raw."""
    conflicting.admin.execute("delete from clean.events")
    conflicting.admin.execute("delete from ops.dedup")
    conflicting.forget_days()
    assert retry(conflicting, *letters(conflicting)).outcomes == {"clean": 1}
    assert conflicting.values("select count(*) from raw.events") == [0]
    assert conflicting.values("select click_text from clean.events") == ["다른 것"]


def test_a_discarded_letter_keeps_its_name_and_its_count(conflicting):
    [number] = letters(conflicting)
    assert discard_letters(conflicting.operator, [number], "the app reused ids in 5.1") == 1
    assert discard_letters(conflicting.operator, [number], "again") == 0
    assert letters(conflicting) == []
    assert moves(conflicting) == {"dead_lettered": -1, "discarded": 1}
    [kept] = conflicting.rows("select dead_letter_id, event_id, reason from ops.discarded")
    assert kept == {"dead_letter_id": number, "event_id": conflicting.sent[1].event_id, "reason": "id_conflict"}
    assert conflicting.books().balanced


def test_a_discarded_row_of_the_loaders_balances_too(refused):
    """It was never a row of raw: it counts as loaded, and as removed from there."""
    discard_letters(refused.operator, letters(refused), "garbage")
    assert moves(refused) == {"load_dead_lettered": -1, "loaded": 1, "discarded": 1, "raw_removed": 1}
    assert refused.books().balanced


def test_every_action_says_who_and_why(conflicting):
    [number] = letters(conflicting)
    retry(conflicting, number)
    discard_letters(conflicting.operator, [number], "the app reused ids in 5.1")
    rows = conflicting.rows(
        "select command, operator <> '' as named, arguments, reason, result from ops.actions order by 1"
    )
    assert rows == [
        {"command": "dead-letters discard", "named": True, "arguments": {"dead_letter_ids": [number]},
         "reason": "the app reused ids in 5.1", "result": {"discarded": 1}},
        {"command": "dead-letters retry", "named": True, "arguments": {"dead_letter_ids": [number]}, "reason": "",
         "result": {"retried": 0, "outcomes": {}, "left": 1}},
    ]  # fmt: skip


def test_a_letter_can_be_looked_at(conflicting):
    [number] = letters(conflicting)
    assert show_letter(conflicting.operator, number)["event_id"] == conflicting.sent[1].event_id
    with pytest.raises(UsageError, match="there is no dead letter"):
        show_letter(conflicting.operator, number + 1)
    assert [x.dead_letter_id for x in list_letters(conflicting.operator, source="web", reason="id_conflict")] == [
        number
    ]
    assert list_letters(conflicting.operator, source="app") == []


def test_the_command_retries_them_all(refused, tmp_path):
    """As an operator types it: the status says whether one stays, and JSON says why."""
    settings = write_settings(refused, tmp_path)
    listed = json.loads(sillok(settings, "dead-letters", "list", "--json").stdout)
    assert [x["reason"] for x in listed] == ["row_refused"]
    done = sillok(settings, "dead-letters", "retry", "--all", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"retried": 1, "outcomes": {"clean": 1}, "left": []})
    done = sillok(settings, "dead-letters", "retry", "1")
    assert done.returncode == 1
    assert "stays a dead letter: there is no such" in done.stdout
    assert sillok(settings, "dead-letters", "retry").returncode == 2
