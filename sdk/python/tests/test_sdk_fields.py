"""The arguments of the event methods: the only place where a call may raise."""

import datetime as dt
import enum
import inspect
import types

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


class Nowhere:
    def send(self, *_):
        return Answer(200, None, b'{"receipt":"r"}')

    def close(self):
        pass


@pytest.fixture
def client():
    with Client("nowhere", "k", transport=Nowhere()) as client:
        yield client


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
    ("fields", "message"),
    [
        ({"customer_id": 880101}, "customer_id must be str, not int"),
        ({"time": 1.5}, "time must be int, not float"),
        ({"time": True}, "time must be int, not bool"),
        ({"checkbox_checked": 1}, "checkbox_checked must be bool, not int"),
        ({"step_position": "3"}, "step_position must be int, not str"),
        ({"props": [1]}, "props must be a mapping, not list"),
        ({"context": "web"}, "context must be a mapping, not str"),
    ],
)
def test_a_wrong_type_is_a_type_error_that_does_not_show_the_value(client, fields, message):
    with pytest.raises(FieldError) as caught:
        client.click(**fields)
    assert str(caught.value) == f"click: {message}"


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
    with pytest.raises(FieldError, match="event_name must be str, not NoneType"):
        client.track(None)


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
