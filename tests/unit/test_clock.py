"""The clock that stamps `received_at`."""

import pytest

from storage.spool.clock import OsClock, ReceivedClock
from tests.fakes import NOON_US, FakeClock


def test_received_time_is_the_wall_clock():
    """Time that passes is seen as it passes."""
    clock = FakeClock()
    received = ReceivedClock(clock)
    clock.advance(1.5)
    assert received.now_us() == NOON_US + 1_500_000


def test_received_time_never_runs_backwards():
    """A wall clock that is turned back a little makes time stand still, not fall."""
    clock = FakeClock()
    received = ReceivedClock(clock)
    clock.advance(4)
    before = received.now_us()
    clock.step(-3)
    assert received.now_us() == before
    clock.advance(3.5)
    assert received.now_us() == before + 500_000


@pytest.mark.parametrize("seconds", [5, -5, 0.1, -0.1])
def test_a_small_step_is_no_step(seconds):
    """Up to 5 s is what NTP may do without a word."""
    clock = FakeClock()
    received = ReceivedClock(clock)
    clock.step(seconds)
    assert received.take_step_us() == 0


@pytest.mark.parametrize("seconds", [5.1, -5.1, 3600, -86_400])
def test_a_large_step_is_reported_once_and_then_accepted(seconds):
    """After a jump the clock goes on from the new time, be it earlier."""
    clock = FakeClock()
    received = ReceivedClock(clock)
    clock.advance(60)
    received.now_us()
    clock.step(seconds)
    assert received.take_step_us() == round(seconds * 1_000_000)
    assert received.take_step_us() == 0
    assert received.now_us() == clock.wall_us()


def test_a_slow_drift_is_no_step():
    """Many small corrections are never added up to a step."""
    clock = FakeClock()
    received = ReceivedClock(clock)
    for _ in range(10):
        clock.advance(60)
        clock.step(-2)
        assert received.take_step_us() == 0


def test_the_machine_has_both_clocks():
    """The real clocks count microseconds, from the epoch and from anywhere."""
    clock = OsClock()
    assert clock.wall_us() > 1_700_000_000_000_000
    assert clock.monotonic_us() <= clock.monotonic_us()
