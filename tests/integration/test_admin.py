"""The admin plane: alive, ready, and figures that agree with what was sent."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.conftest import CANARY, Collector, batch, event, eventually, running

WORKERS = 2
INGEST_ONLY = "/v1/events"
ADMIN_ONLY = ("/healthz", "/readyz", "/metrics")
METRICS = {
    ("sillok_requests", "counter"),
    ("sillok_events", "counter"),
    ("sillok_unknown_keys", "counter"),
    ("sillok_ignored_reports", "counter"),
    ("sillok_ids_of_nobody", "counter"),
    ("sillok_unreadable_addresses", "counter"),
    ("sillok_log_lines_left_out", "counter"),
    ("sillok_group_batches", "histogram"),
    ("sillok_group_bytes", "histogram"),
    ("sillok_sync_seconds", "histogram"),
    ("sillok_recovered", "counter"),
    ("sillok_worker_restarts", "counter"),
    ("sillok_workers_ready", "gauge"),
    ("sillok_keys_file_ok", "gauge"),
    ("sillok_certificate_left_seconds", "gauge"),
    ("sillok_retiring_key_requests", "counter"),
    ("sillok_queued_bytes", "gauge"),
    ("sillok_in_flight_bytes", "gauge"),
    ("sillok_spool_waiting_bytes", "gauge"),
    ("sillok_spool_waiting_segments", "gauge"),
    ("sillok_spool_oldest_waiting_seconds", "gauge"),
    ("sillok_spool_archived_bytes", "gauge"),
    ("sillok_spool_damaged_bytes", "gauge"),
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("admin"), f"workers = {WORKERS}") as started:
        started.wait_until_ready()
        yield started


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Yield a collector whose workers the tests kill."""
    with running(tmp_path_factory.mktemp("mortal"), f"workers = {WORKERS}") as started:
        started.wait_until_ready()
        yield started


def metrics(collector: Collector) -> dict[tuple[str, ...], float]:
    """Return every sample under its name and label values."""
    status, text = collector.admin("/metrics")
    assert status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_agree_with_what_was_sent(collector: Collector):
    before = metrics(collector)
    plain = [*(batch(3) for _ in range(10)), batch(5)]
    for body in plain:
        collector.post(body, "server" if body is plain[-1] else "browser")
    eventually(lambda: metrics(collector)["sillok_group_batches_sum",] == collector.statuses[200])
    assert metrics(collector)["sillok_group_bytes_sum",] == before["sillok_group_bytes_sum",] + sum(map(len, plain))
    collector.post(json.dumps({"events": [event(), CANARY, event(unheard_of=CANARY)]}).encode())
    collector.post(batch(1, clients=[CANARY]))
    collector.post(
        json.dumps({"context": {"ip": CANARY, "session_id": ""}, "events": [event(customer_id="NaN")]}).encode()
    )
    collector.post(b"{}")
    collector.request("POST", "/v1/events", batch())
    collector.request("GET", "/v1/events")
    collector.request("OPTIONS", "/v1/events", headers={"Origin": "https://m.example.com"})

    expected = {
        **{("sillok_requests_total", str(status)): n for status, n in collector.statuses.items()},
        **{("sillok_events_total", "accepted", source): n for source, n in collector.accepted.items()},
        **{("sillok_events_total", "rejected", source): n for source, n in (+collector.rejected).items()},
        ("sillok_group_batches_sum",): collector.statuses[200],
        ("sillok_unknown_keys_total",): before["sillok_unknown_keys_total",] + 1,
        ("sillok_ignored_reports_total",): before["sillok_ignored_reports_total",] + 1,
        ("sillok_ids_of_nobody_total", "web"): 2,
        ("sillok_unreadable_addresses_total", "web"): 1,
        ("sillok_worker_restarts_total",): 0,
        ("sillok_workers_ready",): WORKERS,
        ("sillok_queued_bytes",): 0,
        ("sillok_keys_file_ok",): 1,
        ("sillok_in_flight_bytes",): 0,
    }
    assert set(collector.statuses) >= {200, 204, 400, 401, 405}, "of each kind something was sent"
    eventually(lambda: metrics(collector).items() >= expected.items())
    found = metrics(collector)
    groups = found["sillok_group_batches_count",]
    assert found["sillok_group_bytes_count",] == groups
    assert 1 <= groups <= collector.statuses[200]
    assert found["sillok_sync_seconds_count",] >= groups, "no group without its sync"
    assert found["sillok_sync_seconds_sum",] > 0
    assert found["sillok_group_batches_bucket", "+Inf"] == groups


def test_every_metric_the_operator_may_count_on_is_there(collector: Collector):
    """The names that dashboards and alarms are built on."""
    _, text = collector.admin("/metrics")

    assert {(family.name, family.type) for family in text_string_to_metric_families(text)} == METRICS


def test_every_metric_is_explained_and_no_figure_carries_what_a_client_sent(collector: Collector):
    collector.post(json.dumps({"events": [event(), {CANARY: CANARY}], "clients": [CANARY]}).encode())
    eventually(lambda: metrics(collector).get(("sillok_events_total", "accepted", "web")))

    _, text = collector.admin("/metrics")

    assert CANARY not in text
    assert all(family.documentation.endswith(".") for family in text_string_to_metric_families(text))


def test_a_live_collector_says_so(collector: Collector):
    assert collector.admin("/healthz") == (200, "ok\n")
    status, text = collector.admin("/readyz")
    assert (status, json.loads(text)) == (200, {"ready": True, "waiting": {}})


def test_the_ingest_plane_answers_no_admin_path_and_the_admin_plane_takes_no_events(collector: Collector):
    for path in ADMIN_ONLY:
        assert collector.request("POST", path, batch(), {"Authorization": "Bearer browser"}).status == 404
        assert b"sillok_" not in collector.request("GET", path).body

    assert collector.admin(INGEST_ONLY)[0] == 404


def test_it_is_not_ready_before_a_worker_has_recovered_its_slot(tmp_path: Path):
    """A predecessor that still holds the slot's lock keeps the worker waiting."""
    slot = tmp_path / "spool" / "slot-0000"
    slot.mkdir(parents=True)
    with (slot / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with running(tmp_path) as collector:
            status, text = eventually(lambda: answer if (answer := collector.admin("/readyz"))[0] else None)
            assert (status, json.loads(text)) == (503, {"ready": False, "waiting": {"slot 0": "starting"}})
            assert collector.admin("/healthz")[0] == 200
            fcntl.flock(lock, fcntl.LOCK_UN)

            collector.wait_until_ready()
            assert collector.post(batch()).status == 200


def test_it_is_not_ready_while_the_disk_is_almost_full_and_says_why(tmp_path: Path):
    with running(tmp_path, spool=f"free_bytes_min = {2**62}") as collector:
        eventually(lambda: "disk" in collector.admin("/readyz")[1])

        status, text = collector.admin("/readyz")

        assert (status, json.loads(text)) == (
            503,
            {"ready": False, "waiting": {"slot 0": "the spool's disk is almost full"}},
        )
        assert collector.admin("/healthz")[0] == 200
        assert metrics(collector)["sillok_workers_ready",] == 0


def test_it_is_not_ready_while_the_spools_quota_is_used_up(tmp_path: Path):
    """Each of two workers has half of it, and nothing to let go."""
    with running(tmp_path, "workers = 2", "bytes_max = 2_000\nheartbeat_ms = 200") as collector:
        text = eventually(lambda: found if "quota" in (found := collector.admin("/readyz")[1]) else None, 60)

        assert "the spool's quota is used up" in text
        refused = eventually(lambda: found if (found := collector.post(batch())).status == 503 else None, 60)
        assert refused.code == "unavailable"
        assert sum(path.stat().st_size for path in collector.spool.rglob("*.*")) < 20_000, "and it grows no further"


def test_while_one_worker_is_away_the_other_serves_and_readyz_says_which_is_missing(mortal: Collector):
    os.kill(mortal.workers()[0], signal.SIGKILL)

    waiting = eventually(lambda: json.loads(mortal.admin("/readyz")[1])["waiting"])

    assert list(waiting) in (["slot 0"], ["slot 1"])
    assert mortal.post(batch()).status == 200
    mortal.wait_until_ready()


def test_a_body_under_way_shows_as_bytes_in_flight(collector: Collector):
    with collector.connect() as connection:
        connection.sendall(
            b"POST /v1/events HTTP/1.1\r\nHost: a\r\nX-Sillok-Key: browser\r\nContent-Length: 7777\r\n\r\n"
        )
        eventually(lambda: metrics(collector)["sillok_in_flight_bytes",] == 7777)

    eventually(lambda: metrics(collector)["sillok_in_flight_bytes",] == 0)


def test_the_spools_figures_are_those_of_its_files(mortal: Collector):
    """What waits for the loader, since when, and what is archived or was moved aside."""
    mortal.post(batch(), "server")
    waiting = eventually(lambda: sorted((mortal.spool / "slot-0000").glob("*.sealed")))
    (mortal.spool / "slot-0000" / "archive" / f"{0:020}.sealed").write_bytes(bytes(4321))
    (mortal.spool / "slot-0000" / "damaged" / f"{0:020}.open").write_bytes(bytes(1234))
    os.utime(waiting[0], (time.time() - 5000, time.time() - 5000))

    found = metrics(mortal)

    assert found["sillok_spool_archived_bytes", "0"] == 4321
    assert found["sillok_spool_damaged_bytes", "0"] == 1234
    assert found["sillok_spool_archived_bytes", "1"] == found["sillok_spool_damaged_bytes", "1"] == 0
    assert 5000 <= found["sillok_spool_oldest_waiting_seconds", "0"] < 15_000
    assert found["sillok_spool_waiting_segments", "0"] >= len(waiting)
    assert found["sillok_spool_waiting_bytes", "0"] >= sum(path.stat().st_size for path in waiting)


def test_what_recovery_found_is_counted_and_a_restart_takes_nothing_out_of_the_sums(mortal: Collector):
    """A sum that falls when one worker of two restarts would look like a whole new count to Prometheus."""
    for _ in range(20):
        mortal.post(batch())
    eventually(lambda: metrics(mortal)["sillok_requests_total", "200"] == mortal.statuses[200])
    before = metrics(mortal).get(("sillok_recovered_total", "segments"), 0)

    os.kill(mortal.workers()[0], signal.SIGKILL)

    eventually(lambda: metrics(mortal)["sillok_recovered_total", "segments"] == before + 1)
    assert metrics(mortal)["sillok_requests_total", "200"] == mortal.statuses[200]
    mortal.wait_until_ready()


def test_it_is_not_ready_while_a_slot_has_failed_and_says_which(tmp_path: Path):
    """Its folder is taken away and something else stands in its place: no restart helps until it is back."""
    with running(tmp_path, "workers = 2", "heartbeat_ms = 200") as collector:
        collector.wait_until_ready()
        slot = collector.spool / "slot-0001"
        slot.rename(tmp_path / "elsewhere")
        slot.write_bytes(b"")

        waiting = eventually(lambda: json.loads(collector.admin("/readyz")[1])["waiting"])
        assert list(waiting) == ["slot 1"]
        eventually(lambda: "see the log" in collector.admin("/readyz")[1])
        assert collector.admin("/readyz")[0] == 503
        assert collector.admin("/healthz")[0] == 200
        eventually(lambda: metrics(collector)["sillok_workers_ready",] == 1)

        slot.unlink()
        (tmp_path / "elsewhere").rename(slot)
        eventually(lambda: collector.admin("/readyz")[0] == 200, 60)


def test_a_killed_worker_is_started_again_and_nothing_acknowledged_is_lost(mortal: Collector):
    for _ in range(20):
        assert mortal.post(batch()).status == 200
    restarts = metrics(mortal)["sillok_worker_restarts_total",]
    killed = mortal.workers()[0]

    os.kill(killed, signal.SIGKILL)

    eventually(lambda: metrics(mortal)["sillok_worker_restarts_total",] == restarts + 1)
    mortal.wait_until_ready()
    assert len(mortal.workers()) == WORKERS
    assert killed not in mortal.workers()
    slots = {mortal.post(batch()).json["receipt"].split(".")[0] for _ in range(40)}
    assert slots == {"0", "1"}
    assert mortal.stop() == 0
    assert mortal.spooled().event_ids == mortal.acknowledged
