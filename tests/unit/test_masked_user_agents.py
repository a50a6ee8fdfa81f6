"""A header is parsed as it is stored: masked. Neither who it was nor whether it was a robot may depend on that."""

import json

import pytest

from collector_server.app import _flagged_user_agent
from collector_server.decode import BatchDecoder, with_header_masked
from collector_server.mask import Masker
from contract.event import decode_stored_batch
from processor.enrich import parse_user_agent

MASKER = Masker()
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
ROBOTS = [
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Claude-User/1.0; +Claude-User@anthropic.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
    f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME} Safari/537.36 (contact: crawl@example.com)",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36; hong@example.co.kr",
    "Seekport (info@seekport.com)",
    "libwhatever 1.0 admin\uff20example.com",
    "Mozilla/5.0 (compatible; Thing/2.1; mailto:ops%40example.com)",
]
PEOPLE = [
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 13; SM-S918N Build/TP1A.220624.014) {_CHROME} Mobile Safari/537.36",
    f"Mozilla/5.0 (Linux; Android 14; SM-S928N Build/UP1A.231005.007; wv) {_CHROME} Mobile Safari/537.36 NAVER(inapp; search; 2000; 12.8.5)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 KAKAOTALK 10.2.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 [FBAN/FBIOS;FBAV/416.0.0.35.85;FBBV/479149212;FBDV/iPhone15,2]",
    "FirmMTS/3.2.1 (kr.firm.mts; build:2026113001; iOS 16.5.0) Alamofire/5.6.4",
    "FirmMTS/3.2.1 id=9001011234567abc (0a9001011234567c)",
]  # fmt: skip


@pytest.mark.parametrize("header", ROBOTS)
def test_a_robot_whose_address_is_masked_is_a_robot_still(header):
    stored, is_masked = _flagged_user_agent(MASKER, header)
    assert is_masked
    assert "@" not in stored
    assert parse_user_agent(stored).is_bot


def test_a_robot_whose_address_is_masked_keeps_its_name():
    for header in ROBOTS[:2]:
        assert parse_user_agent(_flagged_user_agent(MASKER, header)[0]) == parse_user_agent(header)


@pytest.mark.parametrize("header", PEOPLE)
def test_a_person_s_header_is_stored_as_it_came(header):
    assert _flagged_user_agent(MASKER, header) == (header, False)
    assert not parse_user_agent(header).is_bot


def test_a_long_header_is_cut_and_not_flagged_for_it():
    assert _flagged_user_agent(MASKER, "x" * 5_000) == ("x" * 1_024, False)


@pytest.mark.parametrize(
    ("context", "relay", "flags"),
    [
        (None, False, ["masked"]),
        ({"app_name": "mts"}, True, ["masked"]),
        ({"user_agent": "App/1"}, False, ["masked"]),
        ({"user_agent": "App/1"}, True, []),
        ({"user_agent": "App/1 hong@example.com"}, True, ["masked"]),
    ],
)
def test_a_masked_header_is_flagged_like_any_other_text_unless_another_is_told(context, relay, flags):
    event = {"event_id": "019b76da-c800-7000-8000-0000000000aa", "time": 1_790_000_000_000, "event_type": "click"}
    body = (
        BatchDecoder(MASKER, 10)
        .decode(json.dumps({"events": [event]} | ({"context": context} if context else {})).encode())
        .body
    )
    before, after = (decode_stored_batch(data) for data in (body, with_header_masked(body, relay=relay)))
    assert after.context.flags == flags if flags else after == before
    assert after.events == before.events
