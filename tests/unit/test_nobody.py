"""Ids that stand for nothing are absent behind the door, on whichever road their body goes."""

import json
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import contract.nobody
from collector_server.decode import BatchDecoder
from collector_server.mask import Masker
from contract.event import IDENTIFIER_FIELDS, decode_stored_batch
from contract.nobody import WORDS_OF_NOBODY, stands_for_nobody

TABLE = json.loads(Path(contract.nobody.__file__).with_suffix(".json").read_text(encoding="utf-8"))
MASKER = Masker()
DECODER = BatchDecoder(MASKER, 1_000)
CLICK = {"event_id": "019b76da-c800-7000-8000-0000000000aa", "time": 1_790_000_000_000, "event_type": "click"}
# Such a word in other letters and other cases, and with what counts for nothing between them.
DISGUISES = st.sampled_from(["", " ", "-", "\n", '"', "\\", "/", "\u200b", "\u3164", "\x7f", "é", "가", "1", "０"])  # noqa: RUF001
LETTERS = {
    c: [c, c.upper(), chr(ord(c) + 0xFEE0), chr(0x1D400 + ord(c) - ord("a") + 26)] for c in map(chr, range(97, 123))
}
WORDS = st.sampled_from([*sorted(WORDS_OF_NOBODY), "", "0", "00", "0" * 32])
NEARLY_NOBODY = WORDS.flatmap(
    lambda word: st.tuples(*(st.tuples(DISGUISES, st.sampled_from(LETTERS.get(c, [c]))) for c in word), DISGUISES)
).map(lambda parts: "".join("".join(part) for part in parts))


def bodies(key: str, value: str) -> list[bytes]:
    """Return an event with an id, and a context with it, in the spellings of JSON."""
    event = {"events": [{**CLICK, key: value}]}
    context = {"context": {key: value}, "events": [CLICK]}
    return [
        text.encode()
        for batch in (event, context)
        for text in (
            json.dumps(batch, ensure_ascii=False, separators=(",", ":")),
            json.dumps(batch, ensure_ascii=False, indent=1),
            json.dumps(batch).replace("/", "\\/"),
        )
    ]


@pytest.mark.parametrize("key", sorted(IDENTIFIER_FIELDS))
@pytest.mark.parametrize("value", TABLE["nobody"])
def test_what_stands_for_nothing_is_absent_flagged_and_counted(key: str, value: str) -> None:
    for body in bodies(key, value):
        decoded = DECODER.decode(body)
        stored = decode_stored_batch(decoded.body)
        assert (decoded.accepted, decoded.ids_of_nobody) == (1, 1)
        assert getattr(stored.events[0], key) is None
        assert getattr(stored.context, key) is None
        assert [*stored.events[0].flags, *stored.context.flags] == ["sanitised"]


@pytest.mark.parametrize("value", TABLE["somebody"])
def test_somebodys_id_is_kept_byte_for_byte(value: str) -> None:
    for body in bodies("customer_id", value)[::3]:
        assert DECODER.decode(body).body == body


@settings(max_examples=600, deadline=None, database=None)
@given(st.sampled_from(sorted(IDENTIFIER_FIELDS)), NEARLY_NOBODY | st.text("nulaoeNUL -\u200b\u0301ⅷ０", max_size=45))  # noqa: RUF001
@example("session_id", "\u3164" * 3)
@example("customer_id", "①")
@example("customer_id", " " * 90)
def test_no_id_that_stands_for_nothing_gets_by(key: str, value: str) -> None:
    """The pass over a body is wider than the rule, in every spelling."""
    assume(stands_for_nobody(value))
    for body in bodies(key, value):
        assert MASKER.suspicious(body), body
        assert DECODER.decode(body).ids_of_nobody == 1


@pytest.mark.parametrize(
    "value",
    [
        "019b76da-c800-7000-8000-0000000000aa",
        "bosch",
        "nully",
        "인스턴스-가",
        "홍길동",
        "none of it",
        "k1",
        "객 null",
        "漢字",
    ],
)
def test_an_ordinary_id_does_not_cost_its_body_the_closer_look(value: str) -> None:
    for body in bodies("customer_id", value)[:1]:
        assert not MASKER.suspicious(body)
