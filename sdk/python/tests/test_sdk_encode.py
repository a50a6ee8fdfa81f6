"""Values to JSON: whatever comes in, what goes out is JSON that any decoder accepts."""

import collections
import datetime as dt
import decimal
import json
import uuid

import pytest

from sillok_sdk.encode import encode

CIRCLE = {"name": "원"}
CIRCLE["self"] = CIRCLE


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")


class BrokenMapping(collections.UserDict):
    def items(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (-float("inf"), None),
        ([1.5, float("nan")], [1.5, None]),
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        ({"\udc00key": "\ud800"}, {"\ufffdkey": "\ufffd"}),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (bytearray(b"ab"), "ab"),
        (memoryview(b"ab"), "ab"),
        ({1}, [1]),
        (frozenset({"가"}), ["가"]),
        ((1, (2,)), [1, [2]]),
        (dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.timezone.utc), "2026-11-22T09:30:00+00:00"),
        (dt.date(2026, 11, 22), "2026-11-22"),
        (decimal.Decimal("70500.10"), "70500.10"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ({1: "a", None: "b", 2.5: "c"}, {"1": "a", "null": "b", "2.5": "c"}),
        ({1: {2}, None: "b", 2.5: "c"}, {"1": [2], "null": "b", "2.5": "c"}),
        ({(1, 2): 3}, {"[1,2]": 3}),
        ({b"k": 3}, {"k": 3}),
        (CIRCLE, {"name": "원", "self": "<circular>"}),
        (Unprintable(), "<unprintable>"),
        (BrokenMapping(a=1), "<unprintable>"),
        (2**64, 2**64),
        ("줄\n\0\u2028", "줄\n\0\u2028"),
    ],
)
def test_a_hostile_value_becomes_plain_json(value, plain):
    text = encode({"before": "매수", "value": value, "after": [1, True, None]})
    read = json.loads(text.decode("utf-8"), parse_constant=pytest.fail)
    assert read == {"before": "매수", "value": plain, "after": [1, True, None]}


def test_a_number_too_long_to_print_is_written_in_base_16():
    assert json.loads(encode({"value": 10**5000})) == {"value": hex(10**5000)}


def test_a_value_that_occurs_twice_is_not_a_circle():
    shared = {"bad": float("nan")}
    assert json.loads(encode({"a": shared, "b": [shared, shared]})) == {
        "a": {"bad": None},
        "b": [{"bad": None}, {"bad": None}],
    }


def test_endless_depth_ends():
    deep = value = {}
    for _ in range(100_000):
        value["a"] = value = {}
    assert b"<too deep>" in encode(deep)
    while deep:  # freed level by level: the interpreter's own recursion has a limit too
        deep = deep.pop("a", None)


def test_text_is_not_escaped():
    text = encode({"page_name": "현재가 📈", "quote": '"\\/'})
    assert text == '{"page_name":"현재가 📈","quote":"\\"\\\\/"}'.encode()
