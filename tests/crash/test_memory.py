"""The workers' memory over half an hour of full load."""

import os
import shutil

import pytest

from tests.benchmarks.memory import print_watched, watch

MINUTES = float(os.environ.get("TEST_MEMORY_MINUTES", "30"))
_GROWTH_KIB_MAX = 4096


@pytest.mark.soak
def test_memory_stays_flat_at_full_load() -> None:
    """Whatever a request left behind would show: at 10,000 requests a second, 4 MiB are a byte for two thousand events."""
    if shutil.which("wrk") is None:
        pytest.skip("full load needs wrk")
    watched = watch(MINUTES)
    print_watched(watched)
    assert watched.requests_per_second > 0
    for memory in watched.workers:
        assert memory.growth < _GROWTH_KIB_MAX, "in the second half it has grown"
