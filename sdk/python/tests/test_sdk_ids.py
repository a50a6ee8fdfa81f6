"""Event ids: UUIDv7, rising, never twice."""

import threading
import time
import uuid
from itertools import count

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


def test_a_clock_that_stands_or_runs_back_repeats_nothing_also_when_the_count_begins_again():
    ids = Ids()
    ids._numbers = count(0x3FFFFFF - 5_000)
    moments = [1_790_000_000_000 - (n % 7) * 86_400_000 for n in range(20_000)]
    made = [ids.new(ms) for ms in moments]
    assert made == sorted(set(made))
    assert all(uuid.UUID(text).version == 7 for text in made)
