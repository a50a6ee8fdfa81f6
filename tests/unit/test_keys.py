"""Write keys: who may send from where, and how fast."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector_server.key_file import KeyRecord, make_key
from collector_server.keys import Bucket, KeyRing
from collector_server.settings import DEMO_KEY, CollectorSettings, KeyKind, KeyRights, WriteKeySettings
from collector_server.supervisor import Supervisor
from contract.errors import SettingsError
from storage.spool.settings import SpoolSettings

ORIGIN = "https://m.example.com"


class Clock:
    """A monotonic clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def key(**settings: object) -> WriteKeySettings:
    return WriteKeySettings(**{"key": "k", "source": "app", **settings})  # type: ignore[arg-type]


# The bucket


def test_a_burst_of_two_seconds_passes_and_the_next_event_waits():
    bucket = Bucket(10, Clock())

    assert [bucket.take(5) for _ in range(4)] == [0, 0, 0, 0]
    assert bucket.take(1) == pytest.approx(0.1)


def test_whoever_waits_as_long_as_told_passes():
    clock = Clock()
    bucket = Bucket(10, clock)
    bucket.take(20)
    wait_s = bucket.take(7)

    clock.now += wait_s - 0.01
    assert bucket.take(7) > 0
    clock.now += 0.011
    assert bucket.take(7) == 0


def test_a_refusal_takes_nothing():
    clock = Clock()
    bucket = Bucket(10, clock)
    bucket.take(20)

    assert [bucket.take(5) for _ in range(100)] == [0.5] * 100
    clock.now += 0.5
    assert bucket.take(5) == 0


def test_an_idle_bucket_does_not_grow_beyond_its_burst():
    clock = Clock()
    bucket = Bucket(10, clock)
    clock.now += 1_000_000

    assert bucket.take(20) == 0
    assert bucket.take(1) > 0


def test_a_batch_larger_than_the_burst_passes_a_full_bucket_and_is_paid_for_afterwards():
    clock = Clock()
    bucket = Bucket(10, clock)

    assert bucket.take(100) == 0
    assert bucket.take(1) == pytest.approx(8.1)
    clock.now += 8.1
    assert bucket.take(1) == 0


def test_no_events_cost_nothing():
    bucket = Bucket(10, Clock())
    bucket.take(20)

    assert bucket.take(0) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 60)), max_size=100), st.floats(0.5, 50))
def test_over_any_stretch_no_more_passes_than_rate_and_burst_allow(steps: list[tuple[float, int]], rate: float):
    """One batch, at most, may overdraw: it is paid for before the next."""
    clock = Clock()
    bucket = Bucket(rate, clock)
    passed = largest = 0
    for pause_s, events in steps:
        clock.now += pause_s
        if bucket.take(events) == 0:
            passed += events
            largest = max(largest, events)
        assert passed <= rate * (clock.now - 1000.0) + max(rate * 2, largest) + 1e-6


# The keys


@pytest.mark.parametrize(
    ("kind", "is_test", "relay"), [("browser", False, False), ("server", False, True), ("test", True, False)]
)
def test_a_keys_kind_says_what_its_rows_are(kind: KeyKind, is_test: bool, relay: bool):
    found = KeyRing([key(kind=kind)]).find("k")

    assert found is not None
    assert (found.source, found.is_test, found.relay) == ("app", is_test, relay)


@pytest.mark.parametrize("text", ["", "K", "k ", "\udcff", "kk"])
def test_a_key_is_found_by_its_exact_text_only(text: str):
    ring = KeyRing([key()])

    assert ring.find("k") is not None
    assert ring.find(text) is None


@pytest.mark.parametrize(
    "origin", ["http://m.example.com", f"{ORIGIN}/", f"{ORIGIN}:443", "https://M.example.com", "null", "", "*"]
)
def test_an_origin_is_allowed_by_its_exact_text_only(origin: str):
    ring = KeyRing([key(origins=(ORIGIN,))])
    found = ring.find("k")

    assert found is not None
    assert found.allows_origin(ORIGIN)
    assert not found.allows_origin(origin)


def test_a_star_allows_every_origin():
    found = KeyRing([key(origins=("*",))]).find("k")

    assert found is not None
    assert found.allows_origin("https://anything.example")


def test_a_key_without_origins_serves_no_page():
    found = KeyRing([key()]).find("k")

    assert found is not None
    assert not found.allows_origin(ORIGIN)


def test_the_workers_share_a_keys_rate():
    found = KeyRing([key(events_per_second_max=8)], workers=4).find("k")

    assert found is not None
    assert found.bucket is not None
    assert found.bucket.take(4) == 0
    assert found.bucket.take(1) == pytest.approx(0.5, abs=0.1)


def test_a_key_without_a_rate_has_no_bucket():
    found = KeyRing([key()]).find("k")

    assert found is not None
    assert found.bucket is None


def test_the_demo_key_works_on_loopback_only():
    found = KeyRing([DEMO_KEY]).find("demo")

    assert found is not None
    assert found.loopback_only


# The keys of the key file


def made(**rights: object) -> tuple[str, KeyRecord]:
    return make_key(KeyRights(**{"source": "app", **rights}))  # type: ignore[arg-type]


def in_state(record: KeyRecord, state: str) -> KeyRecord:
    return msgspec.structs.replace(record, state=state)


def test_a_key_of_the_file_is_found_by_its_text_and_a_revoked_one_is_unknown():
    text, record = made(kind="test", origins=(ORIGIN,))
    ring = KeyRing([key()], records=[record])

    found = ring.find(text)
    assert found is not None
    assert (found.source, found.is_test) == ("app", True)
    assert ring.find(text) is found
    assert found.allows_origin(ORIGIN)
    assert ring.find(record.sha256) is None, "what stands in the file opens nothing"
    assert ring.find(record.id) is None

    ring.replace([in_state(record, "revoked")])
    assert ring.find(text) is None
    assert ring.find("k") is not None, "the keys of the settings stay"


def test_no_unknown_text_is_remembered():
    """An attacker who guesses would else fill the memory."""
    text, record = made()
    ring = KeyRing([key()], records=[record])
    for n in range(1000):
        assert ring.find(f"{text}{n}") is None
        assert ring.find(text) is not None
    assert set(ring._by_text) == {"k", text}


def test_each_use_of_a_retiring_key_is_counted_and_it_works():
    text, record = made()
    uses: list[str] = []
    ring = KeyRing([], records=[in_state(record, "retiring")], count_retiring=uses.append)

    assert all(ring.find(text) for _ in range(3))
    assert uses == [record.id] * 3


def test_a_bucket_keeps_its_fill_over_a_reload_unless_the_rate_has_changed():
    text, record = made(events_per_second_max=0.01)
    ring = KeyRing([], records=[record])

    def refused() -> bool:
        found = ring.find(text)
        assert found is not None
        assert found.bucket is not None
        return found.bucket.take(1) > 0

    assert not refused()
    assert refused()
    ring.replace([made()[1], msgspec.structs.replace(record, origins=(ORIGIN,))])
    assert refused()
    ring.replace([msgspec.structs.replace(record, events_per_second_max=0.02)])
    assert not refused()


def test_a_key_that_stands_twice_in_the_settings_is_refused(tmp_path):
    """The later entry would silently be the only one, with the wrong source on every event."""
    serve = CollectorSettings(keys=(key(source="app"), key(source="web")))
    with pytest.raises(SettingsError, match="the same key twice"):
        Supervisor(serve, SpoolSettings(folder=str(tmp_path / "spool")), "info")
