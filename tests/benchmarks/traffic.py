"""Events for the benchmarks: about 560 bytes each, Korean text, every id its own; as batches, and as segments."""

import json
import os
import random
import time
import uuid

from contract.event import decode_batch
from storage.spool.active import Pending
from storage.spool.folder import SlotFolder
from storage.spool.frame import FrameMeta
from storage.spool.settings import SpoolSettings
from storage.spool.tally import count_events
from storage.spool.writer import SpoolWriter

BATCH = 50
_QUEUED_BYTES_MAX = 16 * 1024 * 1024
_ONE_SEGMENT = SpoolSettings(segment_age_ms=600_000, heartbeat_ms=600_000)


def uuid7(now_ms: int) -> uuid.UUID:
    """Return a UUIDv7 for a time in milliseconds."""
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & (1 << 48) - 1) << 80 | random_bits
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def _name(text: str) -> str:
    """Return an id as an SDK makes it, the same for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def event(rng: random.Random, seq: int) -> dict[str, object]:
    """Return one click of a session of about twenty events."""
    now_ms = time.time_ns() // 1_000_000
    page = rng.randrange(2_500)
    return {
        "event_id": str(uuid7(now_ms)),
        "time": now_ms - rng.randrange(5_000),
        "seq": seq,
        "event_type": "click" if seq % 4 else "page_view",
        "session_id": _name(f"session {seq // 20}"),
        "anonymous_id": _name(f"visitor {seq // 20}"),
        "page_code": rng.choice(("M0301", "M0405", "M0501")),
        "page_name": "국내주식 현재가 · 호가 주문 화면",
        "page_url": f"https://m.example-securities.co.kr/trade/stock/{page:06}",
        "referrer": f"https://m.example-securities.co.kr/home/watchlist/group/{page % 90}/detail",
        "click_text": rng.choice(("매수 주문 확인", "관심종목 추가", "차트 크게 보기")),
        "click_name": rng.choice(("btn_order_submit", "btn_favourite", "btn_chart_zoom")),
        "tab_name": "호가",
    }


def body(rng: random.Random, events: int, start: int) -> bytes:
    """Return a batch as an SDK sends it."""
    batch = {
        "sent_at": time.time_ns() // 1_000_000,
        "clients": [{"id": "bench", "sdk": "bench/1", "created": start + events, "pending": events}],
        "context": {"client_id": "bench", "platform": "android", "app_version": "5.12.0", "os_name": "Android"},
        "events": [event(rng, start + n) for n in range(1, events + 1)],
    }
    return json.dumps(batch, ensure_ascii=False, separators=(",", ":")).encode()


def write_segments(folder: SlotFolder, start: int, end: int, segment: int) -> None:
    """Write events start … end into a slot, `segment` of them in each segment, through the real writer."""
    folder.prepare()
    rng = random.Random(start)
    for first in range(start, end, segment):
        writer = SpoolWriter(folder, _ONE_SEGMENT, lambda *_: None)
        writer.start()
        for at in range(first, min(first + segment, end), BATCH):
            data = body(rng, BATCH, at)
            counts = count_events(decode_batch(data).events)
            while writer.queued_bytes > _QUEUED_BYTES_MAX:
                time.sleep(0.01)
            writer.submit(Pending(FrameMeta(source="bench", received=BATCH, accepted=BATCH), data, counts))
        writer.close()
