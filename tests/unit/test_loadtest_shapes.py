"""A schedule is made to its end, whatever the rate, and has as many events as its rate says."""

import itertools

import pytest

from loadtest.shapes import SHAPES, Shape

PLENTY = 200_000


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("batch", [1, 20, 1000])
@pytest.mark.parametrize("peak", [0.3, 7, 6_000, 33_333.3])
@pytest.mark.parametrize("seconds", [5, 17, 60])
def test_a_schedule_ends_and_keeps_its_rate(name: str, batch: int, peak: float, seconds: float) -> None:
    shape = Shape(name, peak, seconds)
    due = list(itertools.islice(shape.due(batch), PLENTY))
    assert due == sorted(due)
    assert due[-1] < seconds
    if len(due) < PLENTY:
        steps = 20_000
        wanted = sum(shape.rate(seconds * (n + 0.5) / steps) for n in range(steps)) * seconds / steps
        assert len(due) * batch == pytest.approx(wanted, rel=0.03, abs=batch * 1.01)
