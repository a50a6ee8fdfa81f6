"""One line a request, sampled, and a flood of bad requests costs a bounded number of lines."""

import pytest
from structlog.testing import capture_logs

from collector_server.decode import Decoded
from collector_server.refusal import Refusal
from collector_server.request_log import RequestLog


class Watch:
    """A clock of seconds that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def decoded(events: int = 3) -> Decoded:
    return Decoded(b"", events, {}, [], events)


def logged(sample: int = 1, refused: int = 2) -> tuple[RequestLog, Watch, list[int]]:
    watch, left_out = Watch(), []
    return RequestLog(sample, refused, left_out.append, watch), watch, left_out


@pytest.mark.parametrize(("sample", "lines"), [(0, 0), (1, 10), (3, 3), (10, 1), (11, 0)])
def test_of_the_accepted_batches_every_nth_is_logged(sample, lines):
    request_log, watch, _ = logged(sample)
    with capture_logs() as found:
        for _ in range(10):
            request_log.accepted("mts", decoded(), 430, watch.now)
    assert len(found) == lines


def test_a_line_says_status_source_events_bytes_and_time():
    request_log, watch, _ = logged()
    started = watch.now
    watch.now += 0.0125
    with capture_logs() as found:
        request_log.accepted("mts", decoded(), 430, started)
    assert found == [
        {
            "event": "request", "log_level": "info", "status": 200, "source": "mts", "events": 3, "rejected": 0,
            "bytes": 430, "duration_ms": 12.5,
        }
    ]  # fmt: skip


def test_a_refused_request_says_its_code_and_only_what_is_known():
    request_log, watch, _ = logged()
    with capture_logs() as found:
        request_log.refused(Refusal.BAD_REQUEST)
        request_log.refused(Refusal.TOO_LARGE, source="mts", size=9, started=watch.now)
    assert found == [
        {"event": "request", "log_level": "info", "status": 400, "code": "bad_request"},
        {
            "event": "request", "log_level": "info", "status": 413, "code": "too_large", "source": "mts", "bytes": 9,
            "duration_ms": 0.0,
        },
    ]  # fmt: skip


def test_a_second_has_so_many_lines_of_refusals_and_then_one_that_counts_the_rest():
    request_log, watch, left_out = logged(refused=2)
    with capture_logs() as found:
        for _ in range(7):
            request_log.refused(Refusal.NOT_JSON)
        assert [line["event"] for line in found] == ["request"] * 2
        request_log.say_left_out()
        assert len(found) == 2, "the second is not over"
        watch.now += 1
        request_log.refused(Refusal.NOT_JSON)
        watch.now += 1
        request_log.say_left_out()
    assert [(line["event"], line.get("lines")) for line in found[2:]] == [("requests_left_out", 5), ("request", None)]
    assert left_out == [5]


def test_a_flood_that_ends_is_counted_without_another_request():
    request_log, watch, left_out = logged(refused=0)
    with capture_logs() as found:
        request_log.refused(Refusal.NOT_JSON)
        watch.now += 1
        request_log.say_left_out()
        watch.now += 1
        request_log.say_left_out()
    assert [line["lines"] for line in found] == left_out == [1]
