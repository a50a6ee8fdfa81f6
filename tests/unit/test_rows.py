"""A stored batch becomes rows: each event merged with its context."""

from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import UUID

import msgspec
import pytest

from contract.event import FIELDS, StoredBatch, StoredContext
from contract.fingerprint import content_hash
from storage.rows import COLUMN_TYPES, COLUMNS, received_at, rows_of
from storage.spool.frame import FrameMeta
from tests.builders import event

RECEIVED_US = 1_795_316_400_123_457
META = FrameMeta(source="web", received=1, accepted=1, ip="192.0.2.7", user_agent="뷰어/1.0")


def row(stored, context=msgspec.UNSET, meta=META, sent_at=None):
    """Return the one row of a batch of one event, by column."""
    [values] = rows_of(7, RECEIVED_US, meta, StoredBatch(events=[stored], context=context, sent_at=sent_at))
    return dict(zip(COLUMNS, values, strict=True))


def test_a_row_is_the_event_and_what_the_server_knows():
    """Every column: the event's own fields under their own names, the rest from meta and batch."""
    stored = event(
        event_id=UUID(int=5), time=11, seq=3, event_type="step", flow_name="account_opening", step_position=3,
        step_name="본인인증", props={"a": [1, None]}, flags=["truncated"],
    )  # fmt: skip
    expected = dict.fromkeys(COLUMNS) | {
        "load_id": 7,
        "received_at": datetime(2026, 11, 22, 3, 0, 0, 123_457, UTC),
        "event_id": UUID(int=5),
        "content_hash": content_hash(stored),
        "time": 11,
        "sent_at": 12,
        "seq": 3,
        "source": "web",
        "is_test": False,
        "event_type": "step",
        "flow_name": "account_opening",
        "step_position": 3,
        "step_name": "본인인증",
        "ip": ip_address("192.0.2.7"),
        "user_agent": "뷰어/1.0",
        "props": b'{"a":[1,null]}',
        "flags": ["truncated"],
    }
    assert row(stored, sent_at=12) == expected


def test_an_events_own_value_wins():
    """The context fills what the event leaves out, and nothing else."""
    context = StoredContext(app_version="2.0", page_code="M0001", session_id="s", client_id="c", language="ko-KR")
    found = row(event(page_code="M0405", client_id="own"), context)
    assert (found["page_code"], found["client_id"]) == ("M0405", "own")
    assert (found["app_version"], found["session_id"], found["language"]) == ("2.0", "s", "ko-KR")


def test_false_is_a_value():
    """An unchecked checkbox is not filled in from the context."""
    assert row(event(checkbox_checked=False), StoredContext(checkbox_checked=True))["checkbox_checked"] is False


def test_props_are_merged_key_by_key():
    """What the context's unknown keys became does not hide behind the event's own props."""
    found = row(event(props={"a": 1}), StoredContext(props={"a": 2, "b": 3}))
    assert msgspec.json.decode(found["props"]) == {"a": 1, "b": 3}


def test_flags_of_event_and_context_come_together():
    """What was done to the context was done to each of its events; each word once, in order."""
    context = StoredContext(flags=["truncated", "sanitised"])
    assert row(event(flags=["truncated", "masked"]), context)["flags"] == ["masked", "sanitised", "truncated"]
    assert row(event())["flags"] is None


def test_the_content_hash_covers_the_event_alone():
    """The context may differ between two tries of the same event."""
    stored = event()
    assert row(stored, StoredContext(app_version="2"))["content_hash"] == row(stored)["content_hash"]


RELAYED = StoredContext(ip="198.51.100.9", user_agent="고객/2.0")


def test_a_relay_key_speaks_for_its_customer():
    """Address and user agent of the relayed request, not of the relaying server."""
    meta = msgspec.structs.replace(META, relay=True)
    found = row(event(), RELAYED, meta)
    assert (found["ip"], found["user_agent"]) == (ip_address("198.51.100.9"), "고객/2.0")


def test_any_other_key_speaks_for_itself():
    """What a browser claims in its context is ignored."""
    found = row(event(), RELAYED)
    assert (found["ip"], found["user_agent"]) == (ip_address("192.0.2.7"), "뷰어/1.0")


def test_a_relay_without_a_customer_is_the_relay():
    """Nothing relayed: the connection's own address and agent."""
    found = row(event(), StoredContext(), msgspec.structs.replace(META, relay=True))
    assert (found["ip"], found["user_agent"]) == (ip_address("192.0.2.7"), "뷰어/1.0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("not an address", None),
        ("192.0.2.7, 10.0.0.1", "192.0.2.7"),
        ("%", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_is_an_address_or_nothing(text, expected):
    """A relay may send anything: what is no address costs no event."""
    found = row(event(), meta=msgspec.structs.replace(META, ip=text))["ip"]
    assert found == (ip_address(expected) if expected else None)


def test_times_keep_their_microseconds():
    """No float is involved, however far from the epoch."""
    assert received_at(RECEIVED_US) == datetime(2026, 11, 22, 3, 0, 0, 123_457, UTC)
    assert received_at(253_402_300_799_999_999) == datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)


def test_every_column_has_a_type_and_every_field_a_column():
    """COPY's binary format needs one type per column, in order."""
    assert len(COLUMNS) == len(COLUMN_TYPES) == len(set(COLUMNS))
    assert set(FIELDS) <= set(COLUMNS)
