"""Events for the benchmarks: about 560 bytes each, Korean text, every id its own."""

import json
import os
import random
import time
import uuid


def uuid7(now_ms: int) -> uuid.UUID:
    """Return a UUIDv7 for a time in milliseconds."""
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = (now_ms & (1 << 48) - 1) << 80 | random_bits
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def event(rng: random.Random, seq: int) -> dict[str, object]:
    """Return one click of a session of about twenty events."""
    now_ms = time.time_ns() // 1_000_000
    return {
        "event_id": str(uuid7(now_ms)),
        "time": now_ms - rng.randrange(5_000),
        "seq": seq,
        "event_type": "click" if seq % 4 else "page_view",
        "session_id": f"s-{seq // 20:08}-{seq // 20 * 40_503 % 65_536:04x}",
        "anonymous_id": f"a-{seq // 20:010x}",
        "page_code": rng.choice(("M0301", "M0405", "M0501")),
        "page_name": "국내주식 현재가 · 호가 주문 화면",
        "page_url": f"https://m.example-securities.co.kr/trade/stock/{rng.randrange(2_500):06}",
        "referrer": "https://m.example-securities.co.kr/home",
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
