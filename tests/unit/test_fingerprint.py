"""The two fingerprints of an event: of its id, for the books, and of its content, for conflicts."""

from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.event import Fields, StoredEvent
from contract.fingerprint import HASH_MODULUS, content_hash, id_hash

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
GOLDEN = {
    UUID(int=0): 0,
    UUID(int=2**128 - 1): 18_446_744_073_709_551_615,
    UUID("00000000-0000-0000-8000-000000000000"): 9_223_372_036_854_775_808,
    UUID("00000000-0000-0000-7fff-ffffffffffff"): 9_223_372_036_854_775_807,
    UUID("ffffffff-ffff-ffff-0000-000000000001"): 1,
    ID: 0xBCCE_B302_099A_8057,
}
GOLDEN_CONTENT = 7_512_310_393_167_753_817
# Values that differ from an absent one, of the right type where that is not text.
OTHER = {
    "client_id": "another",
    "checkbox_checked": True,
    "step_position": 7,
    "screen_width": 1080,
    "screen_height": 1920,
    "platform": "ios",
    "props": {"b": 1},
    "event_id": UUID(int=5),
    "time": 12,
    "event_type": "exit",
    "seq": 9,
    "flags": ["masked"],
}


@pytest.mark.parametrize(("event_id", "expected"), GOLDEN.items(), ids=str)
def test_id_hash_is_the_low_half_of_the_id(event_id, expected):
    """Golden values: the books of two versions, and of Python and PostgreSQL, add up the same numbers."""
    assert id_hash(event_id) == expected


@settings(deadline=None)
@given(st.uuids())
def test_id_hash_fits_the_modulus(event_id):
    """Whatever the id, its hash is 0 … 2^64 - 1."""
    assert 0 <= id_hash(event_id) < HASH_MODULUS


def _event(**fields):
    return StoredEvent(**{"event_id": ID, "time": 11, "event_type": "click", **fields})


def test_content_hash_has_not_changed():
    """A golden value: arrivals remembered by an older version are still recognised."""
    event = _event(click_text="매수", props={"b": [1, {"z": 1, "a": None}], "a": "가"}, seq=3, flags=["truncated"])
    assert content_hash(event) == GOLDEN_CONTENT


def test_content_hash_ignores_who_delivers_the_event():
    """A tab that adopts a dead tab's event has to write the old client_id into it."""
    assert content_hash(_event(client_id="a")) == content_hash(_event(client_id="b")) == content_hash(_event())


def test_content_hash_leaves_the_event_as_it_was():
    """Hashing is no edit."""
    event = _event(client_id="a", props={"b": 1, "a": 2})
    content_hash(event)
    assert event == _event(client_id="a", props={"b": 1, "a": 2})


def test_content_hash_ignores_the_order_of_keys():
    """An object is the same in every order, at every depth."""
    one = _event(props={"a": 1, "b": {"c": 1, "d": 2}})
    other = _event(props={"b": {"d": 2, "c": 1}, "a": 1})
    assert content_hash(one) == content_hash(other)


@pytest.mark.parametrize("whole", [0, 1, -7, 100_000, 2**53])
def test_content_hash_ignores_how_a_whole_number_was_written(whole):
    """1, 1.0 and 1e0 are one number, wherever they stand; a fraction and a number in quotes are others."""
    one = content_hash(_event(props={"a": whole, "b": [{"c": whole}]}))
    assert content_hash(_event(props={"a": float(whole), "b": [{"c": float(whole)}]})) == one
    for other in (whole + 0.5 if abs(whole) < 2**52 else whole - 1.0, str(whole), bool(whole)):
        assert content_hash(_event(props={"a": other, "b": [{"c": whole}]})) != one


@pytest.mark.parametrize("huge", [1e300, -1e300, 2.0**60, float(2**64)])
def test_content_hash_takes_any_number(huge):
    """What no integer of 64 bits holds is hashed as it is."""
    assert content_hash(_event(props={"a": huge})) == content_hash(_event(props={"a": huge}))


def test_content_hash_minds_the_order_of_lists():
    """A list in another order is another list."""
    assert content_hash(_event(props={"a": [1, 2]})) != content_hash(_event(props={"a": [2, 1]}))


@pytest.mark.parametrize("name", [name for name in StoredEvent.__struct_fields__ if name != "client_id"])
def test_content_hash_depends_on_every_other_field(name):
    """No field can differ unnoticed."""
    other = OTHER.get(name, "other")
    assert content_hash(_event(**{name: other})) != content_hash(_event())


def test_every_field_has_a_value_to_differ_by():
    """The test above tries values of the right type for every field there is."""
    for name in Fields.__struct_fields__:
        msgspec.convert({"event_id": ID, "time": 1, "event_type": "click", name: OTHER.get(name, "other")}, StoredEvent)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8)))
def test_content_hash_fits_a_bigint(props):
    """Whatever the content, PostgreSQL's bigint holds its hash."""
    assert -(2**63) <= content_hash(_event(props=props)) < 2**63
