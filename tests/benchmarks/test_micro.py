"""The hot pieces without network and database, each beside a yardstick: CPU time, by turns, on the same bytes.

Piece and yardstick take turns in every round, so that whatever slows the machine slows both. The ratio is that of
their least times: others on the machine only ever add.
"""

import gc
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import zstandard
from pytest_benchmark.fixture import BenchmarkFixture
from sillok_sdk import Client

from collector_server.decode import BatchDecoder
from collector_server.mask import Masker
from loadtest.plan import Plan
from processor.dictionaries import _read_visit
from processor.enrich import ChannelRules, parse_user_agent
from processor.enrich.user_agent import _engine
from storage.contents import Contents
from storage.spool.active import ActiveSegment, Pending
from storage.spool.clock import OsClock
from storage.spool.files import OsFiles
from storage.spool.folder import SpoolFolder
from storage.spool.frame import FrameMeta
from storage.spool.reader import Segment, parse_segment
from storage.spool.segment import ZSTD_LEVEL, SegmentHeader
from tests.benchmarks.results import record
from tests.benchmarks.traffic import BATCH, body

ROUNDS, WARM_UP = 150, 5
EVENTS = 20 * BATCH
"""In one round, where a piece is about events."""
_LARGE_BLOCK = 16 << 20
_TEXTS = (
    "매수 주문 확인",
    "삼성전자 70,500원",
    "계좌 이체 3건",
    "문의 010-1234-5678",
    "hong@example.com 님",
    "주민 900101-1234567",
)
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/1{n:02}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 13; SM-S9{n:02}N) {webkit} Chrome/126.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_{n} like Mac OS X) {webkit} Mobile/15E148 KAKAOTALK 10.2.0",
    "Mozilla/5.0 (compatible; Yeti/1.{n}; +https://naver.me/spd)",
)
_FIELDS = {
    "page_code": "M0301", "page_name": "국내주식 현재가", "click_text": "매수", "click_name": "btn_buy",
    "session_id": "s" * 36, "customer_id": "c" * 20, "anonymous_id": "a" * 36, "flow_name": "order",
}  # fmt: skip

pytestmark = pytest.mark.benchmark(group="micro", timer=time.process_time)
Call = Callable[[], object]


@pytest.fixture
def beside(benchmark: BenchmarkFixture) -> Iterator[Callable[..., None]]:
    """Measure a piece and, before each of its rounds, the yardstick; what they leave is collected outside of both."""

    def measure(what: str, piece: Call, against: str, yardstick: Call, of: int, unit: str = "µs an event") -> None:
        taken: list[float] = []

        def turn() -> None:
            began = time.process_time()
            yardstick()
            taken.append(time.process_time() - began)

        benchmark.pedantic(piece, setup=turn, rounds=ROUNDS, warmup_rounds=WARM_UP)
        least, yardstick_least = min(benchmark.stats.stats.data), min(taken)
        benchmark.extra_info.update(against=against, ratio=round(least / yardstick_least, 3))
        record("micro", what, least / of * 1e6, unit, against, yardstick_least / of * 1e6)

    gc.collect()
    gc.disable()
    # glibc asks the kernel for every large block until it has freed a larger one: with it, what ran before decides whether
    # a block's pages are made anew each time, which for zstd is half of the work.
    bytes(_LARGE_BLOCK)
    yield measure
    gc.enable()


def _each(call: Callable[[Any], object], values: Iterable[Any]) -> Call:
    def run() -> None:
        for value in values:
            call(value)

    return run


def _bodies(events: int) -> list[bytes]:
    rng = random.Random(7)
    return [body(rng, events, start) for start in range(0, EVENTS, events)]


def _decoder() -> BatchDecoder:
    return BatchDecoder(Masker(), 1_000)


@pytest.mark.parametrize("events", [1, BATCH])
def test_decode(beside, events: int) -> None:
    """The road of most bodies: nothing suspicious, decoded by the contract, counted."""
    bodies = _bodies(events)
    yardstick = _each(msgspec.json.decode, bodies)
    beside(f"decode batches of {events}", _each(_decoder().decode, bodies), "msgspec.json.decode", yardstick, EVENTS)


def test_suspicion(beside) -> None:
    """The pass over a whole body that says whether it must be looked at closely."""
    bodies = _bodies(BATCH)
    yardstick = _each(msgspec.json.decode, bodies)
    beside("look for personal data", _each(Masker().suspicious, bodies), "msgspec.json.decode", yardstick, EVENTS)


def test_repair(beside) -> None:
    """A number that may not be stored in one event of fifty: all are looked at, masked, encoded anew."""
    bodies = [data.replace("호가".encode(), b"900101-1234567", 1) for data in _bodies(BATCH)[:4]]
    yardstick = _each(msgspec.json.decode, bodies)
    beside("repair and mask batches", _each(_decoder().decode, bodies), "msgspec.json.decode", yardstick, 4 * BATCH)


def test_mask(beside) -> None:
    """Texts, half of which hold what may not be stored."""
    texts, digit = _TEXTS * 100, re.compile(r"\d")
    yardstick = _each(lambda text: digit.sub("#", text), texts)
    beside("mask texts", _each(Masker().text, texts), "re.sub of digits", yardstick, len(texts), "µs a text")


def _pending(bodies: list[bytes]) -> list[Pending]:
    decode, pending = _decoder().decode, []
    for data in bodies:
        decoded = decode(data)
        meta = FrameMeta(source="bench", received=decoded.received, accepted=decoded.accepted, user_agent=_BROWSERS[0])
        pending.append(Pending(meta, data, decoded.counts))
    return pending


class _Nowhere(OsFiles):
    """A disk that takes no time: what is appended is measured without it."""

    def write(self, fd: int, data: bytes) -> None:
        pass

    def sync(self, fd: int) -> None:
        pass


def test_append(beside, spool_path: Path) -> None:
    """Groups of fifty batches of one event: framed, counted, compressed, under their headers."""
    folder = SpoolFolder(spool_path, _Nowhere()).slot(0)
    folder.prepare()
    segment = ActiveSegment.create(folder, SegmentHeader(folder.spool_id, 0, 1, 0), OsClock())
    groups = [_bodies(1)[first : first + 50] for first in range(0, EVENTS, 50)]
    compress = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress
    piece = _each(lambda group: segment.append(group, 0), [_pending(group) for group in groups])
    beside("append single events", piece, "zstandard", _each(lambda group: compress(b"".join(group)), groups), EVENTS)
    segment.abandon()


def _segment(path: Path) -> bytes:
    """Return 20 batches in four groups; what the real writer puts into a group depends on the moment."""
    folder = SpoolFolder(path).slot(0)
    folder.prepare()
    segment = ActiveSegment.create(folder, SegmentHeader(folder.spool_id, 0, 1, 0), OsClock())
    batches = _pending(_bodies(BATCH))
    for first in range(0, len(batches), 5):
        segment.append(batches[first : first + 5], 0)
    segment.seal(0, final=True)
    return folder.files.read(folder.segment_path(1))


def test_read(beside, spool_path: Path) -> None:
    """A segment, every byte of it checked, split into its frames."""
    data = _segment(spool_path)

    def frames() -> list[int]:
        segment = parse_segment(data)
        return [len(list(segment.frames(group))) for group in segment.groups]

    segment = parse_segment(data)
    beside("read a segment", frames, "zstandard", _each(segment.payload, segment.groups), EVENTS)


def test_rows(beside, spool_path: Path) -> None:
    """What the loader makes of a segment: rows for COPY, fingerprints, counts."""
    segment: Segment = parse_segment(_segment(spool_path))
    bodies = [frame.body for group in segment.groups for frame in segment.frames(group)]
    yardstick = _each(msgspec.json.decode, bodies)
    beside(
        "rows of a segment", lambda: list(Contents(segment).rows_to_copy(1)), "msgspec.json.decode", yardstick, EVENTS
    )


def test_visits(beside) -> None:
    """Distinct pages and ways in: addresses taken apart, the channel named."""
    pages = [
        f"https://m.example-securities.co.kr/trade/stock/{n:06}?utm_source=naver&utm_medium=cpc" for n in range(300)
    ]
    referrers = ("https://search.naver.com/search.naver?query=%EC%A6%9D", "https://m.blog.naver.com/stock_study", "")
    rows = [(page, referrers[n % 3], "", "", "", "", "web") for n, page in enumerate(pages)]
    rules = ChannelRules.load()
    # More addresses than urlsplit remembers.
    yardstick = _each(lambda row: (urlsplit(row[0]), urlsplit(row[1])), rows)
    beside(
        "pages and channels",
        _each(lambda row: _read_visit(rules, row), rows),
        "urlsplit",
        yardstick,
        300,
        "µs an address",
    )


def test_user_agents(beside) -> None:
    """Distinct User-Agent headers: our words around the engine's."""
    headers = [text.format(webkit=_WEBKIT, n=n) for n in range(10) for text in _BROWSERS]
    yardstick = _each(_engine().parse, headers)
    beside(
        "user agents", _each(parse_user_agent, headers), "ua-parser's engine", yardstick, len(headers), "µs a header"
    )


def test_plan(beside) -> None:
    """What the load test makes of its seed; compressed batches are left out, they measure zlib."""
    plan = Plan(7, "bench", 1_780_000_000_000, BATCH)
    plain = [n for n in range(100) if plan.batch(n, n).body.startswith(b"{")][:20]
    values = [json.loads(plan.batch(n, n).body) for n in plain]
    piece = _each(lambda n: plan.batch(n, n), plain)
    beside("load test's batches", piece, "msgspec.json.encode", _each(msgspec.json.encode, values), len(plain) * BATCH)


def test_track(beside, tmp_path: Path) -> None:
    """The Python SDK's durable queue, on the thread that makes the event; the sender has failed once, and sleeps."""
    asleep_ms = 3_600_000
    client = Client("http://127.0.0.1:1", "k", folder=tmp_path, retry_first_ms=asleep_ms, retry_max_ms=asleep_ms)
    props = [{"n": n, "price": 71_500.5} for n in range(100)]
    yardstick = _each(lambda each: json.dumps({**_FIELDS, "props": each}), props)
    beside(
        "durable track",
        _each(lambda each: client.click(props=each, **_FIELDS), props),
        "json.dumps",
        yardstick,
        len(props),
    )
    assert client.figures().dropped == {}
    client.close(timeout_ms=0)
