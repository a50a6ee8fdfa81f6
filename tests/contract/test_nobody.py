"""The table of ids that stand for nothing, held against the rule."""

import json
from pathlib import Path

import pytest

import contract.nobody
from contract.nobody import stands_for_nobody

TABLE = json.loads(Path(contract.nobody.__file__).with_suffix(".json").read_text())


@pytest.mark.parametrize("value", TABLE["nobody"])
def test_this_stands_for_nobody(value: str) -> None:
    assert stands_for_nobody(value)


@pytest.mark.parametrize("value", TABLE["somebody"])
def test_this_is_somebody(value: str) -> None:
    assert not stands_for_nobody(value)
