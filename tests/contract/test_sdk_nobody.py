"""Which ids stand for nothing, the Python SDK says as the contract does; it imports nothing of it."""

import json
from pathlib import Path

import pytest
from sillok_sdk import nobody as theirs

from contract import nobody

TABLE = json.loads(Path(nobody.__file__).with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "is_nobody"), [("nobody", True), ("somebody", False)])
def test_the_sdk_answers_the_table(name, is_nobody):
    assert [value for value in TABLE[name] if theirs.stands_for_nobody(value) is not is_nobody] == []


def test_the_sdk_has_the_contract_s_words():
    assert theirs.WORDS_OF_NOBODY == nobody.WORDS_OF_NOBODY
    assert theirs.LENGTH_OF_NOBODY_MAX == nobody.LENGTH_OF_NOBODY_MAX
