"""What a worker counts in memory, for the metrics only: the books never read it, for it dies with the process."""

from collections import Counter

from msgspec import Struct

from collector_server.decode import Decoded


class Snapshot(Struct, omit_defaults=True):
    """A worker's figures at one moment; sent to the supervisor once a second, cumulative."""

    ready: bool = False
    unavailable: str | None = None
    queued_bytes: int = 0
    requests: dict[str, int] = {}
    """By HTTP status."""
    events: dict[str, int] = {}
    """By `outcome source`, outcome being accepted or rejected."""
    unknown_keys: int = 0
    ignored_reports: int = 0
    groups: int = 0
    batches: int = 0
    retiring: dict[str, int] = {}
    """Requests by the id of the retiring key they came with."""


class Counters:
    """The running counts of one worker."""

    def __init__(self) -> None:
        self._requests: Counter[int] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._unknown_keys = 0
        self._ignored_reports = 0
        self._retiring: Counter[str] = Counter()
        self.groups = 0
        self.batches = 0

    def count_request(self, status: int) -> None:
        """Count one answered request."""
        self._requests[status] += 1

    def count_batch(self, source: str, decoded: Decoded) -> None:
        """Count one batch that was answered 200."""
        self._events["accepted", source] += decoded.accepted
        if decoded.rejects:
            self._events["rejected", source] += len(decoded.rejects)
        self._unknown_keys += decoded.unknown_keys
        self._ignored_reports += decoded.ignored_reports

    def count_retiring(self, key_id: str) -> None:
        """Count one request that came with a retiring key."""
        self._retiring[key_id] += 1

    def count_group(self, batches: int) -> None:
        """Count one group that was synced."""
        self.groups += 1
        self.batches += batches

    def snapshot(self, *, ready: bool, unavailable: str | None, queued_bytes: int) -> Snapshot:
        """Return the figures so far."""
        return Snapshot(
            ready=ready,
            unavailable=unavailable,
            queued_bytes=queued_bytes,
            requests={str(status): n for status, n in self._requests.items()},
            events={f"{outcome} {source}": n for (outcome, source), n in self._events.items()},
            unknown_keys=self._unknown_keys,
            ignored_reports=self._ignored_reports,
            groups=self.groups,
            batches=self.batches,
            retiring=dict(self._retiring),
        )
