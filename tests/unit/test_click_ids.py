"""A click id comes through the door, is read out of the address, and says that the visit was paid for."""

import pytest

from collector_server.urls import without_query_values
from contract.click_ids import CLICK_ID_NAMES
from processor.enrich import ChannelInput, ChannelRules, parse_page_url


@pytest.mark.parametrize("name", CLICK_ID_NAMES)
def test_every_click_id_reaches_the_channel(name):
    kept = without_query_values(f"https://m.firm.co.kr/open?{name}=Ab1&q=%EC%98%88%EA%B8%88", frozenset())
    assert kept == f"https://m.firm.co.kr/open?{name}=Ab1&q="
    click_id = parse_page_url(kept).ad_click_id
    assert click_id == f"{name}:Ab1"
    channel = ChannelRules.load().assign(ChannelInput(ad_click_id=click_id, page_host="m.firm.co.kr"))
    assert channel == "social" if name == "fbclid" else channel in ("paid_search", "paid_other")


@pytest.mark.parametrize("name", ["n_query", "DMSKW", "igshid"])
def test_what_a_person_typed_is_no_click_id(name):
    assert without_query_values(f"https://m.firm.co.kr/open?{name}=Ab1", frozenset()).endswith(f"?{name}=")
