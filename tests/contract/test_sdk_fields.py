"""The Python SDK's own table of fields is the contract's, and what it sends is what the collector takes."""

import gzip

import msgspec
from sillok_sdk import Client
from sillok_sdk.fields import CONTEXT_KINDS, EVENT_KINDS
from sillok_sdk.settings import BATCH_EVENTS_MAX
from sillok_sdk.transport import Answer

from collector_server.decode import BatchDecoder
from collector_server.mask import Masker
from collector_server.settings import CollectorSettings
from contract.event import EVENT_FIELDS, EVENT_TYPES, Context, Event, decode_batch

# The SDK fills these in by itself; `context` is its argument for the context of one event.
ITS_OWN = {"client_id", "seq", "event_type"}
ARGUMENT = {"context"}
KINDS = {
    msgspec.inspect.StrType: str,
    msgspec.inspect.UUIDType: str,
    msgspec.inspect.IntType: int,
    msgspec.inspect.BoolType: bool,
    msgspec.inspect.DictType: dict,
    msgspec.inspect.LiteralType: str,
}


class Recorder:
    """A transport that keeps the bodies and answers 200."""

    def __init__(self):
        self.bodies = []

    def send(self, body, headers, _timeout_s):
        self.bodies.append(gzip.decompress(body) if "Content-Encoding" in headers else body)
        return Answer(200, None, b'{"accepted":0,"rejected":[],"receipt":"r"}')

    def close(self):
        pass


def kinds_of(struct):
    """Return the Python class of each field of a struct."""
    kinds = {}
    for field in msgspec.inspect.type_info(struct).fields:
        options = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
        plain = [o.type if isinstance(o, msgspec.inspect.Metadata) else o for o in options]
        (kind,) = [p for p in plain if not isinstance(p, msgspec.inspect.NoneType)]
        kinds[field.encode_name] = KINDS[type(kind)]
    return kinds


def test_the_sdk_knows_every_field_and_no_other():
    assert {*EVENT_KINDS, *CONTEXT_KINDS, *ITS_OWN} - ARGUMENT == {*EVENT_FIELDS, *Context.__struct_fields__}


def test_an_event_s_arguments_are_fields_of_an_event():
    assert EVENT_KINDS.keys() - ARGUMENT <= set(EVENT_FIELDS) - ITS_OWN


def test_a_context_s_keys_are_fields_of_a_context():
    assert CONTEXT_KINDS.keys() <= set(Context.__struct_fields__)


def test_every_field_has_the_contract_s_type():
    contract = {**kinds_of(Context), **kinds_of(Event)}
    for kinds in (EVENT_KINDS, CONTEXT_KINDS):
        assert {n: k for n, k in kinds.items() if n not in ARGUMENT} == {
            n: contract[n] for n in kinds.keys() - ARGUMENT
        }


def test_the_sdk_sends_no_more_events_at_once_than_the_collector_takes():
    assert CollectorSettings().batch_events_max == BATCH_EVENTS_MAX


def test_every_event_type_has_its_method_and_the_collector_takes_what_it_sends():
    transport = Recorder()
    values = {str: "한글 값", int: 3, bool: True, dict: {"종목명": "삼성전자"}}
    fields = {n: values[k] for n, k in EVENT_KINDS.items() if n not in {"event_id", "event_name", "context"}}
    context = {n: values[k] for n, k in CONTEXT_KINDS.items()} | {"platform": "server", "ip": "203.0.113.9"}
    with Client("nowhere", "k", context=context, transport=transport) as client:
        for event_type in EVENT_TYPES:
            if event_type == "custom":
                client.track("관심종목추가", **fields)
            else:
                getattr(client, event_type)(**fields)
    sent = [event for body in transport.bodies for event in decode_batch(body).events]
    assert [event.event_type for event in sent] == list(EVENT_TYPES)
    decoder = BatchDecoder(Masker(), 1_000)
    for body in transport.bodies:
        decoded = decoder.decode(body)
        assert not decoded.rejects
        assert (decoded.unknown_keys, decoded.ignored_reports) == (0, 0)
        assert decoded.body == body
