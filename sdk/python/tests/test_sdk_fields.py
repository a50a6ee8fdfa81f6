"""The arguments of the event methods: the only place where a call may raise."""

import datetime as dt
import decimal
import enum
import fractions
import inspect
import json
import types
import uuid
import zlib

import pytest

from sillok_sdk import Client, FieldError, SettingError, SillokError
from sillok_sdk.fields import CONTEXT_KINDS, EVENT_KINDS
from sillok_sdk.transport import Answer

METHODS = [
    "page_view",
    "click",
    "checkbox",
    "popup",
    "tab",
    "step",
    "search",
    "login",
    "logout",
    "error",
    "exit",
]
FIELDS = [
    "session_id",
    "anonymous_id",
    "customer_id",
    "page_url",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "ad_click_id",
    "page_code",
    "page_name",
    "click_text",
    "checkbox_name",
    "checkbox_checked",
    "popup_name",
    "click_name",
    "tab_name",
    "flow_name",
    "step_position",
    "step_name",
    "search_text",
    "exit_menu",
    "error_code",
    "error_message",
    "error_page",
    "props",
]
CONTEXT = [
    "platform",
    "app_name",
    "app_version",
    "os_name",
    "os_version",
    "device_model",
    "screen_width",
    "screen_height",
    "language",
    "timezone",
    "network_type",
    "ip",
    "user_agent",
]


class Colour(enum.Enum):
    RED = "red"


class Hostile:
    """Whatever is asked of it raises."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        raise RuntimeError

    __hash__ = None


class Nowhere:
    def __init__(self):
        self.bodies = []

    def send(self, body, headers, _timeout_s):
        self.bodies.append(json.loads(zlib.decompress(body, 31) if "Content-Encoding" in headers else body))
        return Answer(200, None, b'{"receipt":"r"}')

    def close(self):
        pass


@pytest.fixture
def client():
    with Client("nowhere", "k", transport=Nowhere()) as client:
        yield client


def events_of(doing, **settings):
    """Return the events that arrive when a client did this, each within its context."""
    transport = Nowhere()
    with Client("nowhere", "k", transport=transport, **settings) as client:
        doing(client)
    return [{**body["context"], **event} for body in transport.bodies for event in body["events"]]


def test_the_table_has_the_contract_s_fields_and_no_others():
    assert set(EVENT_KINDS) == {*FIELDS, "event_id", "time", "event_name", "context"}
    assert set(CONTEXT_KINDS) == {*FIELDS, *CONTEXT}


def test_every_method_takes_every_field(client):
    values = {str: "값", int: 3, bool: True, dict: {"platform": "web"}}
    for method in METHODS:
        for name, kind in EVENT_KINDS.items():
            value = {} if name == "props" else values[kind]
            assert isinstance(getattr(client, method)(**{name: value}), str)


@pytest.mark.parametrize("method", METHODS)
def test_a_misspelt_field_is_a_type_error_that_suggests_the_right_one(client, method):
    with pytest.raises(TypeError, match=rf"^{method} has no field 'pagecode': did you mean 'page_code'\?$"):
        getattr(client, method)(pagecode="M0301")


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        *(("page_code", 405, "405"), ("page_code", -7, "-7"), ("page_code", 10**30, "1" + "0" * 30)),
        *(("search_text", 5930, "5930"), ("search_text", True, "true"), ("search_text", False, "false")),
        *(("page_name", 405.0, "405"), ("page_name", 4.1, "4.1"), ("page_name", 1e300, "1e+300")),
        *(("click_text", decimal.Decimal("1.50"), "1.50"), ("tab_name", Colour.RED, "red")),
        *(("session_id", uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"), ("customer_id", 880101, "880101")),
        *(
            ("step_position", "3", 3),
            ("step_position", " 3 ", 3),
            ("step_position", "3.0", 3),
            ("step_position", 3.9, 3),
        ),
        *(
            ("step_position", decimal.Decimal(3), 3),
            ("step_position", "+3", 3),
            ("step_position", fractions.Fraction(7, 2), 3),
        ),
        *(("time", 1_790_000_000_000.7, 1_790_000_000_000), ("time", "1790000000000", 1_790_000_000_000)),
        ("time", dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc), 1_767_312_000_000),
        *(("checkbox_checked", 1, True), ("checkbox_checked", 0, False), ("checkbox_checked", "true", True)),
        *(("checkbox_checked", " FALSE", False), ("checkbox_checked", "on", True), ("checkbox_checked", 0.0, False)),
        ("event_id", "{0199F3A0-0000-7000-8000-000000000001}", "0199f3a0-0000-7000-8000-000000000001"),
        ("event_id", uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ("event_name", 7, "7"),
    ],
)
def test_what_untyped_callers_give_is_made_into_what_the_field_is(name, given, sent):
    (event,) = events_of(lambda client: client.click(**{name: given}))
    assert event[name] == sent
    assert type(event[name]) is type(sent)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "page_code",
            [
                [1],
                {"a": 1},
                b"M1",
                object(),
                float("nan"),
                float("inf"),
                dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc),
                Hostile(),
            ],
        ),
        ("step_position", ["", "three", "3px", [3], True, float("nan"), float("inf"), "1e999", "0x3", "9" * 99, {}]),
        ("step_position", [0, 1000, -1, "0", 10**30, "1_0", "٣"]),
        ("time", [2**63, "yesterday", -(2**63) - 1, [1], True, b"1", float("-inf"), "nan", Hostile()]),
        ("checkbox_checked", ["", "maybe", 2, -1, [], {}, float("nan"), "2", Hostile()]),
        ("props", [[1], "text", 7, True, {1}, ["a", "b"], Hostile()]),
        ("context", ["web", 7, [("platform", "web")], True]),
        ("event_id", ["", "7", 7, "no-uuid", [], True, "0199"]),
    ],
)
def test_what_cannot_be_is_left_out_and_told_once_without_its_value(name, values, caplog):
    for value in values:
        (event,) = events_of(lambda client, value=value: client.click(page_name="here", **{name: value}))
        assert event["page_name"] == "here"
        assert (name in event) == (name in ("event_id", "time"))  # which every event has
    caplog.clear()

    def often(client):
        for _ in range(3):
            client.click(**{name: values[0]})
        assert client.left_out() == {name: 3}

    assert len(events_of(often)) == 3
    (told,) = caplog.records
    assert told.getMessage().startswith(f"left_out: click: {name} ")
    assert told.getMessage().endswith("; the event goes without it")


def test_every_kind_of_value_in_every_field_leaves_its_event(client):
    values = [
        0,
        3,
        -1,
        2**70,
        1.5,
        float("nan"),
        True,
        "",
        "3",
        "text",
        b"x",
        [],
        {},
        {1},
        object(),
        Hostile(),
        uuid.uuid4(),
    ]
    values += [
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc),
        dt.date(2026, 1, 2),
        decimal.Decimal("NaN"),
        Colour.RED,
        lambda: 0,
        int,
        "\ud800",
        [None],
        "9" * 5000,
    ]
    for name in EVENT_KINDS:
        for value in values:
            assert isinstance(client.click(**{name: value}), str)
    for name in CONTEXT_KINDS:
        for value in values:
            assert isinstance(client.click(context={name: value}), str)
            with client.context(**{name: value}):
                client.click()
            Client("nowhere", "k", context={name: value}, transport=Nowhere()).close()


def test_a_context_of_wrong_types_costs_no_event():
    """One number in what all events have in common had each of them rejected."""
    given = {
        "app_version": 412,
        "screen_width": "390",
        "screen_height": "tall",
        "platform": "Android",
        "language": None,
    }
    (event,) = events_of(lambda client: client.click(), context=given)
    names = ("app_version", "screen_width", "platform")
    assert [event[name] for name in names] == ["412", 390, "android"]
    assert "screen_height" not in event
    (event,) = events_of(lambda client: client.click(context={"platform": "windows", "os_version": 17.0}))
    assert (event["platform"], event["os_version"]) == ("server", "17")


def test_the_name_of_an_event_may_be_a_number():
    assert [event["event_name"] for event in events_of(lambda client: [client.track(7), client.track(True)])] == [
        "7",
        "true",
    ]


def test_whoever_is_nobody_is_absent(caplog):
    """In an event, in a context, in a block, and as the one who logs in."""

    def doing(client):
        client.click(session_id="undefined", customer_id="c-1", anonymous_id="0")
        with client.context(session_id="[object Object]", customer_id="null"):
            client.click()
            assert client.identify("None") == client.identify("") == client.identify(None) == client.identify([]) == ""
            assert client.identify(7)
        client.click(context={"customer_id": " guest "})
        assert client.left_out() == {"session_id": 3, "anonymous_id": 2, "customer_id": 5}

    events = events_of(doing, context={"session_id": "", "anonymous_id": "00000000-0000-0000-0000-000000000000"})
    ids = [[event.get(name) for name in ("session_id", "anonymous_id", "customer_id")] for event in events]
    assert ids == [[None, None, "c-1"], [None] * 3, [None, None, "7"], [None] * 3]
    assert len(caplog.records) == 3


def test_a_refused_call_makes_no_event(client):
    with pytest.raises(FieldError):
        client.click(nonsense="x")
    assert client._queue.figures().created == 0


def test_a_context_has_its_own_fields(client):
    with pytest.raises(FieldError, match="context has no field 'event_id'"):
        client.click(context={"event_id": "x"})
    with pytest.raises(FieldError, match="did you mean 'app_version'"):
        Client("nowhere", "k", context={"appversion": "1"}, transport=Nowhere())
    with pytest.raises(FieldError, match="context must be a mapping"):
        Client("nowhere", "k", context="web", transport=Nowhere())


def test_subclasses_of_the_right_type_are_welcome(client):
    class Text(str):
        __slots__ = ()

    class Position(enum.IntEnum):
        THIRD = 3

    assert client.step(step_name=Text("본인인증"), step_position=Position.THIRD, props=types.MappingProxyType({"a": 1}))


def test_a_custom_event_needs_its_name(client):
    assert client.track("chart_zoomed", props={"factor": 2})
    assert client.track(event_name="chart_zoomed")
    with pytest.raises(TypeError):
        client.track()
    for value in (None, [], {}, b"x", object()):
        with pytest.raises(FieldError, match=f"event_name must be str, not {type(value).__name__}"):
            client.track(value)


class Raising(dict):
    """What a framework's proxy is outside of its request."""

    def items(self):
        raise RuntimeError

    keys = __iter__ = __str__ = __len__ = items


def test_a_value_that_raises_costs_no_event():
    value = Raising(a=1)

    def doing(client):
        for name in EVENT_KINDS:
            assert client.click(**{name: value})
        with pytest.raises(FieldError, match="event_name"):
            client.track(value)
        with client.context(props=value, page_code=value):
            assert client.click()

    assert len(events_of(doing)) == len(EVENT_KINDS) + 1


@pytest.mark.parametrize("folder", [7, True, [], {}, b"x", "", "a\0b", "\ud83d", object()])
def test_what_is_no_folder_is_a_wrong_setting(folder):
    with pytest.raises(SettingError, match="folder"):
        Client("nowhere", "k", transport=Nowhere(), folder=folder)


def test_numbers_without_seconds_are_wrong_settings():
    for name in ("flush_interval_ms", "close_timeout_ms", "batch_bytes"):
        with pytest.raises(SettingError, match=name):
            Client("nowhere", "k", transport=Nowhere(), **{name: 10**400})


def test_fields_are_keywords_only():
    for method in METHODS:
        assert [p.kind.name for p in inspect.signature(getattr(Client, method)).parameters.values()][1:] == [
            "VAR_KEYWORD"
        ]


def test_the_callers_own_mappings_are_left_as_they_are(client):
    fields = {"page_code": "M1", "props": {"a": {1, 2}}, "context": {"ip": "192.0.2.1"}}
    client.click(**fields)
    assert fields == {"page_code": "M1", "props": {"a": {1, 2}}, "context": {"ip": "192.0.2.1"}}


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_events": 1001},
        {"batch_events": 0},
        {"batch_bytes": 9 * 1024 * 1024},
        {"flush_interval_ms": 0.5},
        {"queue_events_max": -1},
        {"gzip_bytes_min": -1},
        {"write_key": ""},
        {"write_key": "wk\r\nX-Evil: 1"},
        {"write_key": "열쇠"},
        {"url": "collect.example.com"},
        {"url": "ftp://collect.example.com"},
        {"url": "https://user:secret@collect.example.com"},
        {"url": "https://collect.example.com:port"},
        {"url": None},
    ],
)
def test_a_setting_that_cannot_work_is_refused_where_the_client_is_built(settings):
    with pytest.raises(SettingError) as caught:
        Client(**{"url": "https://collect.example.com", "write_key": "wk", **settings})
    assert isinstance(caught.value, (ValueError, SillokError))
    assert "secret" not in str(caught.value)


def test_the_write_key_is_never_shown():
    client = Client("https://collect.example.com", "wk_secret")
    assert repr(client) == "Client('https://collect.example.com')"
    client.close()


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        "\ud800",
        {1, 2},
        dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc),
        b"\xff",
        object(),
        [10**5000],
        {(1, 2): 3},
    ],
)
def test_no_value_inside_props_makes_a_call_raise(client, value):
    assert client.track("hostile", props={"value": value})


def test_a_text_of_a_class_of_its_own_is_its_text():
    class Code(str, enum.Enum):
        ORDER = "order"

    class Odd(str):
        __slots__ = ()
        __hash__ = None

        def __str__(self):
            raise RuntimeError

    (event,) = events_of(
        lambda client: client.click(page_code=Code.ORDER, session_id=Odd("s-1"), customer_id=Odd("null"))
    )
    assert (event["page_code"], event["session_id"], event.get("customer_id")) == ("order", "s-1", None)
