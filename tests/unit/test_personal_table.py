"""The table of personal and of innocent forms, which the door and the browser SDK are both held to."""

import json
import re
import time
from pathlib import Path

import pytest

import contract
from collector_server.mask import Masker
from collector_server.personal import has_resident_number
from tests.unit.test_mask import bodies

TABLE = json.loads((Path(contract.__file__).parent / "personal.json").read_text(encoding="utf-8"))
MASKS = {"resident": "[rrn]", "card": "[card]", "phone": "[phone]", "email": "[email]", "account": "[account]"}
MASKER = Masker()


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind in MASKS for text in TABLE[kind]])
def test_a_personal_form_is_masked_whole(kind, text):
    masked = MASKER.text(text)
    assert MASKS[kind] in masked
    rest = re.sub(r"%[0-9A-F]{2}", "", masked.replace(MASKS[kind], ""))
    assert not re.search(r"[\d@]", rest), masked
    assert MASKER.text(masked) == masked
    for value in (text, f"님 {text} 님", {"가": [text]}):
        assert MASKER.value(value) != value
        assert all(map(MASKER.suspicious, bodies(value)))


@pytest.mark.parametrize("text", TABLE["innocent"])
def test_an_innocent_form_is_left_alone(text):
    assert MASKER.text(text) == text


@pytest.mark.parametrize("text", TABLE["identifiers"]["resident"])
def test_an_identifier_of_this_form_is_a_resident_number(text):
    assert has_resident_number(text)
    assert all(map(MASKER.suspicious, bodies(text)))
    assert not has_resident_number(MASKER.text(text))


@pytest.mark.parametrize("text", TABLE["identifiers"]["other"])
def test_an_identifier_of_this_form_is_none(text):
    assert not has_resident_number(text)


def test_an_identifier_of_today_s_date_and_a_sequence_is_rarely_refused():
    """Only who was born today, or this year, can be told from it no more."""
    today = time.strftime("%y%m%d")
    refused = [n for n in range(0, 10_000_000, 9_973) if has_resident_number(f"{today}{n:07}")]
    assert len(refused) / (10_000_000 / 9_973) < 0.45
    assert not [n for n in range(3_000_000) if n % 4_999 == 0 and has_resident_number(f"{today}{n:07}")]
