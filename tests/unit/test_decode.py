"""The two roads of the decoder agree, whatever comes in; and no answer repeats what somebody typed."""

import json
import string

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from collector_server.decode import BatchDecoder
from collector_server.mask import Masker
from collector_server.refusal import Refused
from collector_server.settings import CollectorSettings
from contract.event import EVENT_FIELDS, EVENT_TYPES, Context, decode_stored_batch
from contract.outcome import RejectCode
from storage.rows import rows_of
from storage.spool.frame import FrameMeta, decode_meta, encode_meta

SETTINGS = CollectorSettings()
MASKER = Masker(SETTINGS.query_values_kept)
DECODER = BatchDecoder(MASKER, SETTINGS.batch_events_max)
EVENT_ID = "019b76da-c800-7000-8000-0000000000aa"
CLICK = {"event_id": EVENT_ID, "time": 1_790_000_000_000, "event_type": "click"}
MANY = settings(max_examples=150, deadline=None, database=None)


def text_limits(struct):
    limits = {}
    for field in msgspec.inspect.type_info(struct).fields:
        for option in getattr(field.type, "types", (field.type,)):
            plain = getattr(option, "type", option)
            if isinstance(plain, msgspec.inspect.StrType) and plain.max_length:
                limits[field.encode_name] = plain.max_length
    return limits


# Without control characters, which JSON escapes: an escape alone sends a body down the repairing road.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='@"\\'), max_size=32)
PROPS = st.dictionaries(
    TEXTS,
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
        st.lists(TEXTS, max_size=3),
    ),
    max_size=4,
)
DESCRIBED = {
    **dict.fromkeys(text_limits(Context), TEXTS),
    "checkbox_checked": st.booleans(),
    "step_position": st.integers(1, 999),
    "screen_width": st.integers(0, 1_000_000),
    "screen_height": st.integers(0, 1_000_000),
    "platform": st.sampled_from(["web", "android", "ios", "server"]),
    "props": PROPS,
}
INT64 = st.integers(-(2**63), 2**63 - 1)


def some_of(strategies):
    """Return a few of the fields: drawing all of them each time takes most of the test's time."""
    names = st.lists(st.sampled_from(sorted(strategies)), max_size=5, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({n: st.none() | strategies[n] for n in chosen}))


EVENTS = st.tuples(
    st.fixed_dictionaries(
        {"event_id": st.uuids().map(str), "time": INT64, "event_type": st.sampled_from(EVENT_TYPES)},
        optional={"seq": st.integers(1, 2**63 - 1)},
    ),
    some_of({name: values for name, values in DESCRIBED.items() if name in EVENT_FIELDS}),
    st.fixed_dictionaries({"event_name": TEXTS}),
).map(lambda parts: {**parts[0], **parts[1], **parts[2]})
REPORTS = st.fixed_dictionaries(
    {"id": TEXTS},
    optional={
        "sdk": TEXTS,
        "created": st.integers(0, 2**63 - 1),
        "dropped": st.dictionaries(TEXTS, st.integers(0, 2**40), max_size=2),
    },
)
BATCHES = st.fixed_dictionaries(
    {"events": st.lists(EVENTS, max_size=4)},
    optional={
        "sent_at": INT64,
        "clients": st.lists(REPORTS, max_size=2),
        "context": some_of(DESCRIBED),
    },
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from([*EVENT_FIELDS, "events", "context", "clients", "sent_at"]), st.text()),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)


def dumped(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def rows(decoded):
    meta = FrameMeta(source="demo", received=decoded.received, accepted=decoded.accepted, rejects=decoded.rejects)
    return [
        (*row[:-1], row[-1] and msgspec.json.decode(row[-1]))
        for row in rows_of(1, 0, meta, decode_stored_batch(decoded.body))
    ]


def has_nul(value):
    if isinstance(value, dict):
        return has_nul([*value, *value.values()])
    return any(map(has_nul, value)) if isinstance(value, list | tuple) else isinstance(value, str) and "\0" in value


def rejects_of(event, **envelope):
    return DECODER.decode(dumped({**envelope, "events": [event]})).rejects


@MANY
@given(BATCHES)
def test_the_two_roads_agree(batch):
    body = dumped(batch)
    assume(not MASKER.suspicious(body))
    straight = DECODER._straight(body)
    assume(straight is not None)
    repaired = DECODER._repairing(body)
    assert not repaired.rejects
    assert rows(straight) == rows(repaired)
    assert (straight.received, straight.unknown_keys, straight.ignored_reports, straight.relayed) == (
        repaired.received,
        repaired.unknown_keys,
        repaired.ignored_reports,
        repaired.relayed,
    )
    was, now = decode_stored_batch(straight.body), decode_stored_batch(repaired.body)
    assert (was.sent_at, was.clients) == (now.sent_at, now.clients)


def test_an_ordinary_batch_takes_the_straight_road_and_keeps_its_bytes():
    body = dumped(
        {"context": {"platform": "web"}, "events": [{**CLICK, "click_text": "매수", "props": {"종목": "삼성전자"}}]}
    )
    assert DECODER.decode(body).body is body


def check(body):
    """Whatever the bytes: refused whole, or every event accounted for and stored so that it can be loaded."""
    try:
        decoded = DECODER.decode(body)
    except Refused as refused:
        error = refused
    else:
        check_decoded(decoded)
        return
    assert error.refusal.status in {400, 413}
    assert msgspec.json.decode(error.body())["error"]["code"] == error.refusal.code


def check_decoded(decoded):
    assert len(decode_stored_batch(decoded.body).events) == decoded.accepted
    assert decoded.received == decoded.accepted + len(decoded.rejects)
    assert {reject.code for reject in decoded.rejects} <= set(RejectCode)
    meta = FrameMeta(source="demo", received=decoded.received, accepted=decoded.accepted, rejects=decoded.rejects)
    assert decode_meta(encode_meta(meta)).received == decoded.received
    for row in rows(decoded):
        assert not has_nul(row)
    for report in decode_stored_batch(decoded.body).clients:
        assert "\0" not in "".join((report.id, report.sdk or "", report.app_version or "", *report.dropped))
        assert sum(report.dropped.values()) < 2**63


@MANY
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_and_nothing_worse(body):
    check(body)


@MANY
@given(JSON)
def test_arbitrary_json_is_refused_or_accounted_for(value):
    check(dumped(value))


@MANY
@given(st.lists(JSON, max_size=4), JSON, JSON, JSON)
def test_arbitrary_events_are_rejected_or_stored(events, context, clients, sent_at):
    check(dumped({"events": events, "context": context, "clients": clients, "sent_at": sent_at}))


@MANY
@given(
    EVENTS,
    st.sampled_from([*EVENT_FIELDS, "새필드"]),
    JSON,
    st.dictionaries(st.sampled_from(Context.__struct_fields__), JSON, max_size=2),
)
def test_an_event_with_one_arbitrary_value_is_rejected_or_stored(event, field, value, context):
    check(dumped({"events": [{**event, field: value}, CLICK], "context": context}))


@MANY
@given(BATCHES, st.data())
def test_a_body_damaged_anywhere_is_refused_or_accounted_for(batch, data):
    body = bytearray(dumped(batch))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from(
                [b"", b"\xff", b"\xed\xa0\x80", b"\0", b"\\u0000", b"\\ud800", b'"', b"{", b"]", b"1e400", b"NaN", b","]
            )
        )
    check(bytes(body))


@pytest.mark.parametrize("depth", [33, 100, 900, *range(940, 1000, 2), 1_100, 5_000, 100_000])
@pytest.mark.parametrize("before", [b"", b'"click_text":"\xff",', b'"\xff":1,', b'"a":"\xff",'])
def test_depth_is_never_more_than_a_refusal(depth, before):
    event = dumped(CLICK)[:-1] + b"," + before + b'"a":' + b"[" * depth + b"]" * depth + b"}"
    check(b'{"events":[%b,%b]}' % (dumped(CLICK), event))
    check(b'{"context":{%b"a":%b},"events":[]}' % (before, b"[" * depth + b"]" * depth))
    check(b'{"clients":[{"id":"a","b":%b}],"events":[]}' % (b"[" * depth + b"]" * depth))
    check(b'{"sent_at":%b,"events":[]}' % (b"[" * depth + b"]" * depth))


CANARIES = [
    "비밀카나리아",
    "it's 비밀카나리아",
    "비밀카나리아 - at `$.비밀카나리아`",
    "`비밀카나리아`",
    '"비밀카나리아"',
    "비밀카나리아\n",
]


def shapes(canary):
    return canary, [canary], {canary: canary}, canary * 1_000, [[[[canary]]]]


def says_nothing(text):
    return "비밀" not in text and "카나리아" not in text


@pytest.mark.parametrize("field", [*EVENT_FIELDS, "비밀카나리아"])
def test_no_answer_repeats_a_value(field):
    """A value may be somebody's resident number, and answers end up in other people's logs."""
    for canary, value in ((c, v) for c in CANARIES for v in shapes(c)):
        for broken in ({}, {"seq": 0}, {"event_type": canary}, {"props": canary}, {"event_id": canary}):
            for reject in rejects_of({**CLICK, field: value, **broken}):
                assert says_nothing(reject.message + reject.field + (reject.event_id or ""))


@pytest.mark.parametrize("field", [*Context.__struct_fields__, "비밀카나리아"])
def test_no_answer_repeats_a_value_of_the_context(field):
    for value in (v for c in CANARIES for v in shapes(c)):
        for reject in rejects_of(CLICK, context={field: value}):
            assert says_nothing(reject.message + reject.field)


@pytest.mark.parametrize("bad", [b"1e400", b'"\xb8\xc5"', b"1" * 5_000])
def test_no_answer_repeats_a_key_of_what_cannot_be_decoded(bad):
    body = b'{"events":[%b,"%b":%b}]}' % (dumped(CLICK)[:-1], "비밀카나리아".encode(), bad)
    (reject,) = DECODER.decode(body).rejects
    assert says_nothing(reject.message)
    assert reject.field == "events[0].props"


@pytest.mark.parametrize(
    "body",
    [
        b'{"events": "%b"}',
        b'{"events": {"%b": 1}}',
        b'["%b"]',
        b'"%b"',
        b'{"events": [], "%b"}',
        b'{"events": []} %b',
        b"%b",
        b'{"events": ["%b\\ud800"]}',
        b'{"%b": NaN, "events": []}',
    ],
)
def test_no_refusal_repeats_the_body(body):
    with pytest.raises(Refused) as caught:
        DECODER.decode(body % "비밀카나리아".encode())
    assert says_nothing(caught.value.body().decode())


def test_a_rejected_event_is_kept_masked_and_without_query_values():
    (reject,) = rejects_of(
        {
            **CLICK,
            "seq": 0,
            "click_text": "홍길동 900101-1234567",
            "page_url": "https://a.kr/?q=비밀",
            "props": {"전화": "010-1234-5678"},
        }
    )
    kept = json.loads(reject.body)
    assert kept["click_text"] == "홍길동 [rrn]"
    assert kept["page_url"] == "https://a.kr/?q="
    assert kept["props"] == {"전화": "[phone]"}


@pytest.mark.parametrize("field", ["session_id", "anonymous_id", "customer_id"])
def test_an_identifier_refused_for_a_resident_number_is_kept_without_it(field):
    (reject,) = rejects_of({**CLICK, field: f"{EVENT_ID}9001011234567"})
    assert reject.code == RejectCode.PERSONAL_IDENTIFIER
    assert "9001011234567" not in reject.body


def test_what_cannot_be_decoded_is_kept_as_size_and_hash_alone():
    body = b'{"events":[' + dumped(CLICK)[:-1] + b',"click_text":"\xff 010-1234-5678"}]}'
    (reject,) = DECODER.decode(body).rejects
    assert reject.body.startswith("not stored: ")
    assert "1234" not in reject.body.partition("sha256")[0]


@pytest.mark.parametrize(
    "report",
    [
        {"id": "가\0나"},
        {"id": "가", "sdk": "js\0"},
        {"id": "가", "dropped": {"꽉\0참": 1}},
        {"id": "가", "dropped": {"하나": 2**63 - 1, "둘": 1}},
        {"id": "가", "created": 2**63},
        {"id": "가" * 65},
        {"id": "900101-1234567"},
        {"id": "hong@example.co.kr"},
        {"sdk": "js/1.0.0"},
        None,
    ],
)
def test_a_report_that_no_table_could_hold_is_ignored_and_counted(report):
    decoded = DECODER.decode(dumped({"clients": [report, {"id": "나", "created": 1}], "events": [CLICK]}))
    assert (decoded.accepted, decoded.ignored_reports) == (1, 1)
    assert [r.id for r in decode_stored_batch(decoded.body).clients] == ["나"]


@given(st.lists(st.floats(1e14, 1e16), min_size=300, max_size=700))
@settings(max_examples=20, deadline=None, database=None)
@example([1e15] * 700)
def test_both_roads_measure_props_alike(numbers):
    """A float may be sent in 4 bytes and measured in 18."""
    keys = (a + b for a in string.ascii_letters for b in string.ascii_letters)
    pairs = ",".join(f'"{key}":{number:g}' for key, number in zip(keys, numbers, strict=False))
    body = (json.dumps(CLICK)[:-1] + ',"props":{' + pairs + "}}").join(('{"events":[', "]}")).encode()
    straight, repaired = DECODER._straight(body), DECODER._repairing(body)
    assert (straight is None) == bool(repaired.rejects)


def test_a_mask_longer_than_what_it_hides_costs_no_event():
    props = {f"k{i:04}": "a@b.kr" for i in range(470)}
    body = dumped({"events": [{**CLICK, "props": props}]})
    assert len(dumped(props)) < 8_192 < len(dumped(MASKER.value(props)))
    assert DECODER.decode(body).accepted == 1


def test_a_mask_is_flagged_even_beside_one_that_was_there_before():
    decoded = DECODER.decode(dumped({"events": [{**CLICK, "click_text": "[phone] 010-1234-5678"}]}))
    assert decode_stored_batch(decoded.body).events[0].flags == ["masked"]


def test_dropped_query_values_are_not_flagged_as_personal_data():
    decoded = DECODER.decode(dumped({"events": [{**CLICK, "page_url": "https://a.kr/?q=가"}]}))
    (event,) = decode_stored_batch(decoded.body).events
    assert (event.page_url, event.flags) == ("https://a.kr/?q=", [])


def test_the_same_event_has_the_same_content_in_any_company():
    """A retry may travel with other events: repaired or not, it must be known again as the same."""
    event = {**CLICK, "click_text": "매수 1000000000원", "props": {"금액": 1000000000, "시각": 1790000000}, "seq": None}
    alone = rows(DECODER.decode(dumped({"events": [event]})))
    together = rows(DECODER.decode(dumped({"events": [event, {**CLICK, "click_text": "010-1234-5678"}]})))
    assert alone[0] == together[0]
