"""The admin plane's metrics: every one is declared here, with a sentence and, where it has one, a unit in its name."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from collector_server.counters import Snapshot, Totals
from collector_server.handout import PullCounts
from collector_server.histogram import Histogram
from storage.spool.usage import Usage


class Seen(Struct, frozen=True):
    """What the supervisor knows when it is asked."""

    workers: Sequence[Snapshot]
    past: Totals
    """Of workers that have ended: without it a restart would take their part out of the sums."""
    restarts: int
    slots: Mapping[int, Usage]
    keys_file_ok: bool
    pull: PullCounts | None
    """None where there is no pull listener."""
    certificate_ends: Mapping[str, float]
    """When the certificate in force ends, by listener: seconds since the epoch."""


class SeenMetrics(Collector):
    """The figures of all workers together, and of the spool's folders."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the ingest plane."""
        totals = reduce(Totals.plus, (worker.totals for worker in self._seen.workers), self._seen.past)
        yield from _of_requests(totals)
        yield from _of_groups(totals)
        yield from _of_workers(self._seen)
        yield from _of_spool(self._seen.slots)
        if self._seen.pull is not None:
            yield from _of_pull(self._seen.pull)
        yield from _of_certificates(self._seen.certificate_ends)


def _of_requests(totals: Totals) -> Iterator[Metric]:
    yield _counter("sillok_requests", "Requests answered, by HTTP status.", ["status"], _split(totals.requests))
    yield _counter(
        "sillok_events",
        "Events of batches answered 200, by outcome and source.",
        ["outcome", "source"],
        _split(totals.events),
    )
    yield _counter(
        "sillok_retiring_key_requests",
        "Requests with a key that is retiring, by its id.",
        ["key"],
        [([key], n) for key, n in sorted(totals.retiring.items())],
    )
    yield _counter("sillok_unknown_keys", "Event keys unknown to this version, moved into props.",
                   [], [([], totals.unknown_keys)])  # fmt: skip
    yield _counter(
        "sillok_ids_of_nobody",
        "Ids of sessions, visitors and customers that stand for nothing (`undefined`, `null` …), by source: as absent.",
        ["source"],
        [([source], n) for source, n in sorted(totals.ids_of_nobody.items())],
    )
    yield _counter(
        "sillok_unreadable_addresses",
        "Batches whose `context.ip` is no address, by source: the visitor's is unknown.",
        ["source"],
        [([source], n) for source, n in sorted(totals.unreadable_addresses.items())],
    )
    yield _counter("sillok_ignored_reports", "Client reports that could not be read.",
                   [], [([], totals.ignored_reports)])  # fmt: skip
    yield _counter("sillok_log_lines_left_out", "Lines about refused requests over the log's rate, not written.",
                   [], [([], totals.log_lines_left_out)])  # fmt: skip


def _of_groups(totals: Totals) -> Iterator[Metric]:
    yield _histogram("sillok_group_batches", "Batches made durable together by one group commit.", totals.group_batches)
    yield _histogram("sillok_group_bytes", "Bytes of the bodies of one group commit, decompressed.", totals.group_bytes)
    yield _histogram("sillok_sync_seconds", "Time one fdatasync of the spool took.", totals.sync_seconds)
    yield _counter(
        "sillok_recovered",
        "What recovery found after an unclean end: segments, torn_bytes, damaged_events, lost_groups, unreadable "
        "segments.",
        ["finding"],
        _split(totals.recovered),
    )


def _of_workers(seen: Seen) -> Iterator[Metric]:
    yield _counter("sillok_worker_restarts", "Workers that ended and were started again.",
                   [], [([], seen.restarts)])  # fmt: skip
    yield _gauge("sillok_keys_file_ok", "1 when the key file on disk is the one in force, 0 when it is broken.",
                  [([], int(seen.keys_file_ok))])  # fmt: skip
    yield _gauge("sillok_workers_ready", "Workers that take events now.",
                 [([], sum(worker.ready for worker in seen.workers))])  # fmt: skip
    yield _gauge("sillok_queued_bytes", "Bytes that wait for the disk.",
                 [([], sum(worker.queued_bytes for worker in seen.workers))])  # fmt: skip
    yield _gauge("sillok_in_flight_bytes", "Bytes of bodies being received or waiting for the disk.",
                 [([], sum(worker.in_flight_bytes for worker in seen.workers))])  # fmt: skip


def _of_spool(slots: Mapping[int, Usage]) -> Iterator[Metric]:
    now = time.time()
    found = [([str(slot)], usage) for slot, usage in sorted(slots.items())]
    yield _gauge("sillok_spool_waiting_bytes", "Bytes of sealed segments that are not loaded, by slot.",
                 [(slot, usage.waiting_bytes) for slot, usage in found], ["slot"])  # fmt: skip
    yield _gauge("sillok_spool_waiting_segments", "Sealed segments that are not loaded, by slot.",
                 [(slot, usage.waiting_segments) for slot, usage in found], ["slot"])  # fmt: skip
    yield _gauge(
        "sillok_spool_oldest_waiting_seconds",
        "Age of the oldest sealed segment that is not loaded, by slot; 0 when none waits.",
        [(slot, max(0.0, now - (usage.oldest_waiting_at or now))) for slot, usage in found],
        ["slot"],
    )
    yield _gauge("sillok_spool_archived_bytes", "Bytes of loaded segments kept for the grace period, by slot.",
                 [(slot, usage.archived_bytes) for slot, usage in found], ["slot"])  # fmt: skip
    yield _gauge("sillok_spool_damaged_bytes", "Bytes that recovery moved aside, by slot.",
                 [(slot, usage.damaged_bytes) for slot, usage in found], ["slot"])  # fmt: skip


def _of_pull(pull: PullCounts) -> Iterator[Metric]:
    yield _counter("sillok_pull_refused", "Requests to the pull listener without the token.",
                   [], [([], pull.refused)])  # fmt: skip
    yield _counter("sillok_pull_released", "Segments a loader on another machine has released.",
                   [], [([], pull.released)])  # fmt: skip
    yield _counter("sillok_pull_sent_bytes", "Bytes of the segments a loader on another machine has read.",
                   [], [([], pull.sent_bytes)])  # fmt: skip


def _of_certificates(ends: Mapping[str, float]) -> Iterator[Metric]:
    now = time.time()
    yield _gauge(
        "sillok_certificate_left_seconds",
        "For how long the certificate in force is still good, by listener; 0 when it is not.",
        [([listener], max(0.0, end - now)) for listener, end in sorted(ends.items())],
        ["listener"],
    )


Rows = Iterable[tuple[Sequence[str], float]]


def _split(counts: Mapping[str, int]) -> Rows:
    return [(name.split(" ", 1), n) for name, n in sorted(counts.items())]


def _counter(name: str, help_: str, labels: Sequence[str], rows: Rows) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_, labels=labels)
    for values, figure in rows:
        family.add_metric(values, figure)
    return family


def _gauge(name: str, help_: str, rows: Rows, labels: Sequence[str] = ()) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, figure in rows:
        family.add_metric(values, figure)
    return family


def _histogram(name: str, help_: str, found: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, help_, buckets=found.buckets(), sum_value=found.sum)


def render(seen: Seen) -> bytes:
    """Return the Prometheus text of what was seen."""
    registry = CollectorRegistry()
    registry.register(SeenMetrics(seen))
    return generate_latest(registry)
