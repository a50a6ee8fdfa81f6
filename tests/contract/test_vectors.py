"""The vectors, held against the decoder and the loader: what they say is what a client and an analyst see."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from collector_server.decode import BatchDecoder, Decoded
from collector_server.mask import Masker
from collector_server.refusal import Refusal, Refused
from collector_server.settings import CollectorSettings
from contract.event import EVENT_FIELDS, EVENT_TYPES, Context, decode_stored_batch
from contract.outcome import RejectCode
from storage.rows import COLUMNS, rows_of
from storage.spool.frame import FrameMeta
from tests.contract.vectors import VECTORS, body_of, stored_of

SETTINGS = CollectorSettings()
RECEIVED_AT_US = 1_790_000_002_000_000
REFUSALS = {refusal.code: refusal.status for refusal in Refusal}
KEYS = {
    "name", "claim", "body", "body_text", "body_base64", "key_kind", "generated", "status", "error_code", "accepted",
    "rejected", "stored",
}  # fmt: skip


def decode(vector: dict[str, Any]) -> Decoded:
    masker = Masker(SETTINGS.query_values_kept, SETTINGS.account_patterns)
    return BatchDecoder(masker, SETTINGS.batch_events_max).decode(body_of(vector))


def rows(vector: dict[str, Any], decoded: Decoded) -> list[dict[str, Any]]:
    """Return the rows of `raw.events` as JSON values."""
    meta = FrameMeta(
        source="demo",
        received=decoded.received,
        accepted=decoded.accepted,
        relay=vector.get("key_kind") == "server",
        ip="127.0.0.1",
        user_agent="vector/1",
        rejects=decoded.rejects,
    )
    found = [
        dict(zip(COLUMNS, row, strict=True))
        for row in rows_of(1, RECEIVED_AT_US, meta, decode_stored_batch(decoded.body))
    ]
    for row in found:
        row["event_id"] = str(row["event_id"])
        row["ip"] = row["ip"] and str(row["ip"])
        row["props"] = row["props"] and msgspec.json.decode(row["props"])
    return found


def accepted_keys() -> set[str]:
    """Return every key that stands in an accepted event, or in the context of one."""
    keys: set[str] = set()
    for vector in VECTORS:
        if "body" in vector and vector["status"] == 200 and vector["accepted"]:
            refused = {reject["index"] for reject in vector["rejected"]}
            keys.update(vector["body"].get("context") or {})
            keys.update(*(e for i, e in enumerate(vector["body"]["events"]) if i not in refused))
    return keys


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_verdict_is_the_vectors(vector: dict[str, Any]) -> None:
    if vector["status"] != 200:
        with pytest.raises(Refused) as caught:
            decode(vector)
        assert (caught.value.refusal.status, caught.value.refusal.code) == (vector["status"], vector["error_code"])
        return
    decoded = decode(vector)
    verdict = [{"index": r.index, "code": r.code, "field": r.field} for r in decoded.rejects]
    assert verdict == vector["rejected"]
    assert decoded.accepted == vector["accepted"]
    assert decoded.received == vector["accepted"] + len(verdict)


@pytest.mark.parametrize("vector", [v for v in VECTORS if "stored" in v], ids=lambda vector: vector["name"])
def test_the_rows_are_the_vectors(vector: dict[str, Any]) -> None:
    found = rows(vector, decode(vector))
    expected = stored_of(vector)
    assert expected is not None
    assert len(found) == len(expected)
    assert [{key: row[key] for key in part} for row, part in zip(found, expected, strict=True)] == expected


def test_every_row_carries_the_moment_its_batch_was_received() -> None:
    vector = next(v for v in VECTORS if v["name"] == "delivery_every_field")
    (row,) = rows(vector, decode(vector))
    assert row["received_at"] == datetime.fromtimestamp(RECEIVED_AT_US // 1_000_000, UTC)


def test_there_are_enough_vectors_and_each_has_its_own_name_and_claim() -> None:
    assert len(VECTORS) >= 45
    for key in ("name", "claim"):
        assert not [text for text, count in Counter(v[key] for v in VECTORS).items() if count > 1]
    for vector in VECTORS:
        assert vector.keys() <= KEYS
        assert vector["name"].isidentifier()
        assert vector["name"].islower()
        assert vector["claim"].endswith(".")
        assert len({"body", "body_text", "body_base64"} & vector.keys()) == 1


def test_every_verdict_is_well_formed() -> None:
    for vector in VECTORS:
        if vector["status"] == 200:
            assert {"accepted", "rejected"} <= vector.keys()
            assert len(vector.get("stored", [None] * vector["accepted"])) == vector["accepted"]
        else:
            assert REFUSALS[vector["error_code"]] == vector["status"]


def test_every_field_occurs_in_an_accepted_event() -> None:
    assert not {*EVENT_FIELDS, *Context.__struct_fields__} - accepted_keys()


def test_every_text_field_that_is_free_occurs_in_korean() -> None:
    """What the field's own form fixes, an address or the name of a language, is left out."""
    korean: set[str] = set()
    for vector in VECTORS:
        for row in stored_of(vector) or []:
            korean.update(k for k, v in row.items() if isinstance(v, str) and any("가" <= c <= "힣" for c in v))
    fixed = {"event_id", "event_type", "platform", "language", "timezone", "os_version", "ip", "page_code", "props"}
    numbers = {"time", "seq", "checkbox_checked", "step_position", "screen_width", "screen_height"}
    assert not {*EVENT_FIELDS, *Context.__struct_fields__} - fixed - numbers - korean


def test_every_reject_code_occurs() -> None:
    assert {r["code"] for v in VECTORS for r in v.get("rejected", [])} == set(RejectCode)


def test_every_event_type_occurs_in_an_accepted_event() -> None:
    assert {row.get("event_type") for v in VECTORS for row in v.get("stored", [])} >= set(EVENT_TYPES)
