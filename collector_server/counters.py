"""What a worker counts in memory, for the metrics only: the books never read it, for it dies with the process."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from msgspec import Struct, field

from collector_server.decode import Decoded
from collector_server.histogram import Histogram

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_BYTES = (1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304)
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Totals(Struct):
    """Figures that only grow. Those of several workers, dead ones too, are added up."""

    requests: dict[str, int] = {}
    """By HTTP status."""
    events: dict[str, int] = {}
    """By `outcome source`, outcome being accepted or rejected."""
    recovered: dict[str, int] = {}
    """What recovery found, by the name of the finding."""
    unknown_keys: int = 0
    ids_of_nobody: dict[str, int] = {}
    """By source: it is its developers who write `undefined` for a visitor."""
    unreadable_addresses: dict[str, int] = {}
    """By source: of visitors whose requests it relays."""
    ignored_reports: int = 0
    retiring: dict[str, int] = {}
    """Requests by the id of the retiring key they came with."""
    log_lines_left_out: int = 0
    group_batches: Histogram = field(default_factory=lambda: Histogram(_BATCHES))
    group_bytes: Histogram = field(default_factory=lambda: Histogram(_BYTES))
    sync_seconds: Histogram = field(default_factory=lambda: Histogram(_SECONDS))

    def plus(self, other: Self) -> Self:
        """Return both together."""
        return type(self)(
            requests=_plus(self.requests, other.requests),
            events=_plus(self.events, other.events),
            recovered=_plus(self.recovered, other.recovered),
            retiring=_plus(self.retiring, other.retiring),
            ids_of_nobody=_plus(self.ids_of_nobody, other.ids_of_nobody),
            unreadable_addresses=_plus(self.unreadable_addresses, other.unreadable_addresses),
            unknown_keys=self.unknown_keys + other.unknown_keys,
            ignored_reports=self.ignored_reports + other.ignored_reports,
            log_lines_left_out=self.log_lines_left_out + other.log_lines_left_out,
            group_batches=self.group_batches.plus(other.group_batches),
            group_bytes=self.group_bytes.plus(other.group_bytes),
            sync_seconds=self.sync_seconds.plus(other.sync_seconds),
        )


class Snapshot(Struct, omit_defaults=True):
    """A worker's figures at one moment; sent to the supervisor twice a second."""

    ready: bool = False
    unavailable: str | None = None
    queued_bytes: int = 0
    in_flight_bytes: int = 0
    totals: Totals = field(default_factory=Totals)


class Counters:
    """The running counts of one worker."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._recovered: Counter[str] = Counter()
        self._retiring: Counter[str] = Counter()
        self._ids_of_nobody: Counter[str] = Counter()
        self._unreadable_addresses: Counter[str] = Counter()
        self._totals = Totals()

    def count_request(self, status: int) -> None:
        """Count one answered request."""
        self._requests[status] += 1

    def count_batch(self, source: str, decoded: Decoded) -> None:
        """Count one batch that was answered 200."""
        self._events["accepted", source] += decoded.accepted
        if decoded.rejects:
            self._events["rejected", source] += len(decoded.rejects)
        if decoded.ids_of_nobody:
            self._ids_of_nobody[source] += decoded.ids_of_nobody
        if decoded.unreadable_addresses:
            self._unreadable_addresses[source] += decoded.unreadable_addresses
        self._totals.unknown_keys += decoded.unknown_keys
        self._totals.ignored_reports += decoded.ignored_reports

    def count_retiring(self, key_id: str) -> None:
        """Count one request that came with a retiring key."""
        self._retiring[key_id] += 1

    def count_group(self, sizes: Sequence[int]) -> None:
        """Count one group that was synced, by the sizes of its batches; on the writer's thread, and only there."""
        self._totals.group_batches.observe(len(sizes))
        self._totals.group_bytes.observe(sum(sizes))

    def count_sync(self, seconds: float) -> None:
        """Count one sync; on the writer's thread, and only there."""
        self._totals.sync_seconds.observe(seconds)

    def count_recovery(self, findings: Mapping[str, int]) -> None:
        """Count what one recovery of the slot found."""
        self._recovered.update(findings)

    def count_lines_left_out(self, lines: int) -> None:
        """Count log lines that were not written."""
        self._totals.log_lines_left_out += lines

    def totals(self) -> Totals:
        """Return the figures so far."""
        totals = self._totals
        totals.requests = {str(status): n for status, n in self._requests.items()}
        totals.events = {f"{outcome} {source}": n for (outcome, source), n in self._events.items()}
        totals.recovered = dict(self._recovered)
        totals.retiring = dict(self._retiring)
        totals.ids_of_nobody = dict(self._ids_of_nobody)
        totals.unreadable_addresses = dict(self._unreadable_addresses)
        return totals


def _plus(some: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    return {name: some.get(name, 0) + others.get(name, 0) for name in some | others}
