"""Counting events by minute, source, type and outcome."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.fingerprint import HASH_MODULUS, id_hash
from storage.spool.frame import FrameMeta, Reject
from storage.spool.segment import TallyRow
from storage.spool.tally import Tally, count_events, minute_of
from tests.builders import event


def test_a_minute_is_its_first_second():
    """59.999999 s belong to the minute that began, also before the epoch."""
    assert [minute_of(us) for us in (0, 59_999_999, 60_000_000, -1)] == [0, 0, 60, -60]


def test_a_batch_counts_as_the_door_saw_it():
    """Received and rejected without a type, accepted by type, each type with its own hash sum."""
    events = [event(event_type="click"), event(event_type="click"), event(event_type="search")]
    meta = FrameMeta(source="web", received=4, accepted=3, rejects=[Reject(index=1, code="x", field="", message="")])
    tally = Tally()
    assert tally.add_batch(61_000_000, meta, count_events(events)) == (
        3,
        sum(id_hash(e.event_id) for e in events) % HASH_MODULUS,
    )
    clicks = sum(id_hash(e.event_id) for e in events[:2]) % HASH_MODULUS
    assert tally.rows() == [
        TallyRow(60, "web", "", "received", 4, 0),
        TallyRow(60, "web", "", "rejected", 1, 0),
        TallyRow(60, "web", "click", "accepted", 2, clicks),
        TallyRow(60, "web", "search", "accepted", 1, id_hash(events[2].event_id)),
    ]


def test_a_batch_of_reports_alone_counts_nothing():
    """No events, no row."""
    tally = Tally()
    tally.add_batch(0, FrameMeta(source="web", received=0, accepted=0), {})
    assert tally.rows() == []


def test_sums_are_modulo_2_64():
    """A sum wraps as PostgreSQL's does, and never cancels a pair."""
    tally = Tally()
    for _ in range(2):
        tally.add_events(0, "web", "accepted", [event(event_id=UUID(int=2**64 - 1))])
    assert tally.total("accepted") == (2, 2**64 - 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("ab"), st.integers(0, 2**64 - 1)), max_size=12), st.data())
def test_merging_counts_what_was_counted(cells, data):
    """Cut anywhere, in any order: two tallies merged are one tally of it all."""
    one, parts = Tally(), (Tally(), Tally())
    for minute, source, hash_sum in cells:
        one.add(minute, source, "click", "accepted", 1, hash_sum)
        data.draw(st.sampled_from(parts)).add(minute, source, "click", "accepted", 1, hash_sum)
    merged = Tally()
    for part in parts:
        merged.merge(part)
    assert merged.rows() == one.rows()
    assert merged.total("accepted") == one.total("accepted")
