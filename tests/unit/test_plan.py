"""The load's visitors are as many as there would be: however long it lasts, a session stays a visit."""

import gzip
import json
from collections import Counter

from loadtest.plan import Plan


def test_a_session_is_one_visitors_and_no_longer_than_his_batches() -> None:
    """A session is written anew with its late events: a few that never end would be all the work there is."""
    plan = Plan(1, "a run", 1_790_000_000_000, 10)
    sessions: Counter[str] = Counter()
    owners: dict[str, set[str]] = {}
    for number in range(4_000):
        batch = plan.batch(number, number)
        context = json.loads(gzip.decompress(batch.body) if batch.is_gzip else batch.body)["context"]
        sessions[context["session_id"]] += 1
        owners.setdefault(context["session_id"], set()).add(context["client_id"])
        owners.setdefault(context["anonymous_id"], set()).add(context["client_id"])
    assert set(sessions.values()) == {4}
    assert all(len(clients) == 1 for clients in owners.values())
