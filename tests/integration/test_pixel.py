"""One event without a script, and a beacon without a header: both as durable as any other."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import msgspec
import pytest

from contract.event import StoredBatch, StoredEvent
from storage.spool.frame import FrameMeta, Reject, decode_meta
from storage.spool.reader import read_segment
from tests.integration.conftest import CANARY, PATIENCE_S, Collector, batch, eventually, running

ORIGIN = "https://m.example.com"
PAGE = "https://m.example.com/open"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("pixel")) as started:
        started.wait_until_ready()
        yield started


class Image(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def fetch(collector: Collector, query: str, headers: dict[str, str] | None = None) -> Image:
    """Fetch the pixel as a browser does for an <img>."""
    connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/v1/pixel.gif?{query}", headers=headers or {})
        response = connection.getresponse()
        return Image(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def frames(collector: Collector) -> Iterator[tuple[FrameMeta, StoredBatch]]:
    for path in sorted(collector.spool.glob("slot-*/*.*")):
        try:
            segment = read_segment(path)
        except FileNotFoundError:  # sealed meanwhile: it is seen under its other name
            continue
        for group in segment.groups:
            for frame in segment.frames(group):
                yield decode_meta(frame.meta), msgspec.json.decode(frame.body, type=StoredBatch)


def stored(collector: Collector, mark: str) -> tuple[FrameMeta, StoredEvent]:
    """Return the one event with this page code."""

    def find() -> list[tuple[FrameMeta, StoredEvent]]:
        return [(meta, event) for meta, held in frames(collector) for event in held.events if event.page_code == mark]

    found = eventually(find)
    assert len(found) == 1
    return found[0]


def test_a_pixel_is_one_event_on_disk_with_the_servers_id_and_time(collector: Collector):
    before_ms = time.time_ns() // 1_000_000
    fields = {
        "event_type": "step", "page_code": "P1", "click_text": "매수 +1&2", "step_position": "3", "seq": "7",
        "checkbox_checked": "true", "app_version": "5.1", "screen_width": "390", "props.shop": "강남 1", "unheard_of": "kept",
    }  # fmt: skip
    image = fetch(collector, f"key=browser&{urlencode(fields)}", {"Referer": PAGE, "User-Agent": "Old/1.0"})

    assert (image.status, len(image.body), image.body[:6]) == (200, 43, b"GIF89a")
    assert image.headers["Content-Type"] == "image/gif"
    assert image.headers["Cache-Control"] == "no-store"
    assert "Sillok-Rejected" not in image.headers
    meta, event = stored(collector, "P1")
    assert (meta.source, meta.ip, meta.user_agent) == ("web", "127.0.0.1", "Old/1.0")
    assert (event.event_type, event.click_text, event.step_position, event.seq) == ("step", "매수 +1&2", 3, 7)
    assert (event.checkbox_checked, event.app_version, event.screen_width) == (True, "5.1", 390)
    assert (event.page_url, event.referrer) == (PAGE, None)
    assert event.props == {"shop": "강남 1", "unheard_of": "kept"}
    assert before_ms <= event.time <= time.time_ns() // 1_000_000
    assert event.event_id.version == 7
    assert event.event_id.int >> 80 == event.time


def test_an_id_and_a_time_of_the_query_are_properties_only(collector: Collector):
    fetch(collector, f"key=browser&event_type=click&page_code=P2&event_id={'1' * 32}&time=5")

    _, event = stored(collector, "P2")
    assert event.time > 5
    assert event.props == {"event_id": "1" * 32, "time": "5"}


def test_a_query_is_masked_like_any_body(collector: Collector):
    text = quote("주민 900101-1234567")
    fetch(collector, f"key=browser&event_type=error&page_code=P3&error_message={text}&page_url={PAGE}?account=1234")

    _, event = stored(collector, "P3")
    assert event.error_message == "주민 [rrn]"
    assert event.page_url is not None
    assert "1234" not in event.page_url
    assert event.flags == ["masked"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "missing_field events[0].event_type"),
        ("event_type=clic", "invalid_field events[0].event_type"),
        ("event_type=step&step_position=third", "invalid_field events[0].step_position"),
        ("event_type=step&step_position=1000", "invalid_field events[0].step_position"),
        ("event_type=checkbox&checkbox_checked=perhaps", "invalid_field events[0].checkbox_checked"),
        ("event_type=custom", "missing_field events[0].event_name"),
        (f"event_type=click&customer_id={'x' * 200}", "identifier_too_long events[0].customer_id"),
    ],
)
def test_an_event_that_breaks_a_rule_is_kept_as_a_reject_and_named_in_a_header(
    collector: Collector, query: str, said: str
):
    """As in a batch of bad events only: 200, for the reject is on disk."""
    mark = f"R{len(query)}"
    image = fetch(collector, f"key=browser&page_code={mark}&{query}")

    assert (image.status, len(image.body)) == (200, 43)
    assert image.headers["Sillok-Rejected"] == said

    def kept() -> list[Reject]:
        return [reject for meta, _ in frames(collector) for reject in meta.rejects if mark in (reject.body or "")]

    assert len(eventually(kept)) == 1


@pytest.mark.parametrize("query", ["key=nobody&event_type=click", "event_type=click", ""])
def test_a_pixel_without_a_good_key_is_401(collector: Collector, query: str):
    answer = collector.request("GET", f"/v1/pixel.gif?{query}")

    assert (answer.status, answer.code) == (401, "unknown_key")


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "PUT"])
def test_any_other_method_is_405_and_makes_no_event(collector: Collector, method: str):
    answer = collector.request(method, "/v1/pixel.gif?key=browser&event_type=click&page_code=never")

    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert not [event for _, held in frames(collector) for event in held.events if event.page_code == "never"]


def test_a_pixel_is_held_to_its_keys_origins_and_rate(collector: Collector):
    """An image with `crossorigin` says its origin."""
    assert fetch(collector, "key=browser&event_type=click", {"Origin": "https://evil.example.com"}).status == 403
    allowed = fetch(collector, "key=browser&event_type=click", {"Origin": ORIGIN})
    assert allowed.status == 200

    assert collector.post(batch(400), "slow").status == 200, "a full bucket lets it pass; it is paid for afterwards"
    over = fetch(collector, "key=slow&event_type=click")
    assert over.status == 429
    assert int(over.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("event_type=click&page_name=%B8%C5%BC%F6", {}),
        ("event_type=click&page_name=%00%ed%a0%80", {"Referer": "https://m.example.com/\x80\xff"}),
        ("&&=&=x&event_type=click&%ff=1&props.=", {}),
        ("event_type=click&event_type=tab", {}),
        ("event_type=click&props=%7B%7D&props.a=1", {}),
        ("event_type=step&step_position=" + "9" * 5000, {}),
        ("event_type=step&step_position=%D9%A3", {}),
    ],
    ids=["cp949", "NUL and surrogate", "odd names", "twice", "props", "a long number", "digits of another script"],
)
def test_no_query_breaks_the_collector(collector: Collector, query: str, headers: dict[str, str]):
    assert fetch(collector, f"key=browser&{query}", headers).status == 200
    assert not collector.logged("request_failed")


def test_a_full_disk_is_503_for_a_pixel_too(tmp_path: Path):
    with running(tmp_path, spool=f"free_bytes_min = {2**62}") as short:
        eventually(lambda: "disk" in short.admin("/readyz")[1])
        image = fetch(short, "key=browser&event_type=click")

    assert (image.status, image.headers["Retry-After"]) == (503, "2")
    assert json.loads(image.body)["error"]["code"] == "unavailable"


# sendBeacon: a key in the query, no header of its own, a body of text/plain


def test_a_beacon_is_taken_without_a_preflight_and_its_page_may_read_the_answer(collector: Collector):
    plain = batch(3)
    headers = {"Content-Type": "text/plain;charset=UTF-8", "Origin": ORIGIN}
    answer = collector.request("POST", "/v1/events?key=browser", plain, headers)

    assert (answer.status, answer.json["accepted"]) == (200, 3)


@pytest.mark.parametrize("origin", ["null", "https://evil.example.com"])
def test_a_beacon_of_a_page_that_is_not_on_the_list_is_403(collector: Collector, origin: str):
    headers = {"Content-Type": "text/plain", "Origin": origin}
    answer = collector.request("POST", "/v1/events?key=browser", json.dumps({"events": [CANARY]}).encode(), headers)

    assert (answer.status, answer.code) == (403, "origin_not_allowed")


def test_a_masked_header_flags_the_event(collector: Collector):
    headers = {"User-Agent": "Mozilla/5.0 (compatible; Claude-User/1.0; +Claude-User@anthropic.com)"}
    fetch(collector, "key=browser&event_type=click&page_code=P9", headers)

    meta, _ = stored(collector, "P9")
    [flags] = [held.context.flags for _, held in frames(collector) for event in held.events if event.page_code == "P9"]
    assert (meta.user_agent, flags) == ("Mozilla/5.0 (compatible; Claude-User/1.0; [email])", ["masked"])
