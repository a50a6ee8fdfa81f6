"""The admin plane's metrics: every one with a sentence and, where it has one, a unit in its name."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector_server.counters import Snapshot


class WorkerMetrics(Collector):
    """Sums what the workers reported; a restarted worker counts from zero, as Prometheus expects of a restart."""

    def __init__(self, snapshots: Sequence[Snapshot], restarts: int, *, keys_file_ok: bool) -> None:
        self._snapshots = snapshots
        self._restarts = restarts
        self._keys_file_ok = keys_file_ok

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the ingest plane."""
        requests: Counter[str] = Counter()
        events: Counter[str] = Counter()
        retiring: Counter[str] = Counter()
        for snapshot in self._snapshots:
            requests.update(snapshot.requests)
            events.update(snapshot.events)
            retiring.update(snapshot.retiring)
        by_status = CounterMetricFamily("sillok_requests", "Requests answered, by HTTP status.", labels=["status"])
        for status, n in sorted(requests.items()):
            by_status.add_metric([status], n)
        yield by_status
        by_outcome = CounterMetricFamily(
            "sillok_events",
            "Events of batches answered 200, by outcome and source.",
            labels=["outcome", "source"],
        )
        for key, n in sorted(events.items()):
            by_outcome.add_metric(key.split(" ", 1), n)
        yield by_outcome
        by_key = CounterMetricFamily(
            "sillok_retiring_key_requests", "Requests with a key that is retiring, by its id.", labels=["key"]
        )
        for key, n in sorted(retiring.items()):
            by_key.add_metric([key], n)
        yield by_key
        yield _counter("sillok_unknown_keys", "Event keys unknown to this version, moved into props.",
                       sum(s.unknown_keys for s in self._snapshots))  # fmt: skip
        yield _counter("sillok_ignored_reports", "Client reports that could not be read.",
                       sum(s.ignored_reports for s in self._snapshots))  # fmt: skip
        yield _counter("sillok_groups", "Group commits: one write and one sync each.",
                       sum(s.groups for s in self._snapshots))  # fmt: skip
        yield _counter("sillok_group_batches", "Batches made durable by group commits.",
                       sum(s.batches for s in self._snapshots))  # fmt: skip
        yield _counter("sillok_worker_restarts", "Workers that ended and were started again.", self._restarts)
        yield _gauge("sillok_queued_bytes", "Bytes that wait for the disk.",
                     sum(s.queued_bytes for s in self._snapshots))  # fmt: skip
        yield _gauge("sillok_workers_ready", "Workers that take events now.",
                     sum(s.ready for s in self._snapshots))  # fmt: skip
        yield _gauge("sillok_keys_file_ok", "1 when the key file on disk is the one in force, 0 when it is broken.",
                     int(self._keys_file_ok))  # fmt: skip


def _counter(name: str, help_: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(name, help_, value=value)


def _gauge(name: str, help_: str, value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, value=value)


def render(snapshots: Sequence[Snapshot], restarts: int, *, keys_file_ok: bool) -> bytes:
    """Return the Prometheus text of all workers together."""
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(snapshots, restarts, keys_file_ok=keys_file_ok))
    return generate_latest(registry)
