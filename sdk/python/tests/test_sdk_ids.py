"""Event ids: UUIDv7, rising, never twice."""

import threading
import time
import uuid

from sillok_sdk.ids import Ids


def test_an_id_is_a_version_7_uuid_of_this_millisecond():
    before = time.time_ns() // 1_000_000
    text = Ids().new()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= after


def test_ids_rise_also_within_a_millisecond():
    ids = Ids()
    made = [ids.new() for _ in range(50_000)]
    assert made == sorted(set(made))


def test_threads_and_instances_do_not_meet():
    shared, made = Ids(), []

    def work(ids):
        made.extend([ids.new() for _ in range(5_000)])

    threads = [threading.Thread(target=work, args=(ids,)) for ids in (shared, shared, Ids(), Ids())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000
