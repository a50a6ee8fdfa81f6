"""What the log says of a body that cannot be read, and how often."""

from structlog.testing import capture_logs

from collector_server.refusal import Refusal, Refused
from collector_server.unreadable import UnreadableBodies

REFUSED = Refused(Refusal.NOT_JSON, "the body is not JSON")


def test_a_flood_is_a_few_lines_and_the_next_line_counts_what_was_left_out():
    now = [0.0]
    bodies = UnreadableBodies(lambda: now[0])
    with capture_logs() as logged:
        for _ in range(1_000):
            bodies.note("web", b"{", REFUSED)
        now[0] += 1
        for _ in range(1_000):
            bodies.note("web", b"{", REFUSED)
        now[0] += 3600
        bodies.note("web", b"{", REFUSED)
    assert [line["left_out"] for line in logged] == [*[0] * 10, 990, *[0] * 4, 995]
    assert {line["reason"] for line in logged} == {"not_json"}
