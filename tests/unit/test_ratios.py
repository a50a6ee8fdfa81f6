"""The benchmarks' verdict: a ratio beyond its limit is named, and nothing else is."""

from tests.benchmarks.results import Figure, Limit, read_limits, regressions
from tests.benchmarks.table import renewed

LIMITS = {("micro", "decode"): Limit(2.0, 0.25), ("door", "decode"): Limit(1.0, 0.25)}


def _run(*ratios: float | None, part: str = "micro", what: str = "decode") -> list[dict[tuple[str, str], Figure]]:
    return [{(part, what): Figure(part, what, 9.0, "µs", "json", ratio)} for ratio in ratios]


def test_a_ratio_beyond_its_limit_is_named_with_what_was_wanted_and_found() -> None:
    assert regressions(_run(2.5)[0], LIMITS) == []
    assert regressions(_run(2.51)[0], LIMITS) == [
        "micro: decode: wanted at most 2.50 times the cost of json (2.00 seen, 25% more allowed), found 2.51"
    ]


def test_a_part_that_ran_must_tell_what_has_a_limit() -> None:
    """A part that did not run, as without Chromium, has no verdict."""
    told = ["micro: decode: has a limit, and was not measured"]
    assert regressions(_run(1.0, what="other")[0], LIMITS) == told
    assert regressions(_run(None)[0], LIMITS) == told
    assert regressions(_run(1.0, part="browser")[0], LIMITS) == []


def test_limits_are_renewed_from_the_last_five_runs() -> None:
    """The median, and three times the spread above it; what was not measured stays."""
    lines = renewed(LIMITS, _run(99.0, 2.0, 2.0, 2.1, 2.2, 2.6)).splitlines()
    assert '"decode" = { seen = 2.10, tolerance = 0.75 }' in lines
    assert '"decode" = { seen = 1.00, tolerance = 0.25 }' in lines
    assert '"decode" = { seen = 2.00, tolerance = 0.25 }' in renewed(LIMITS, _run(2.0, 2.0)).splitlines()


def test_the_committed_limits_can_be_read() -> None:
    assert all(limit.seen > 0 and limit.tolerance > 0 for limit in read_limits().values())
