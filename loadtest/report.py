"""One run, whole: what was asked for, what was done and answered, what became of it, what it is compared with."""

from datetime import datetime

from msgspec import Struct

from loadtest.history import Run
from loadtest.shapes import STEP
from loadtest.steps import Step, highest
from loadtest.tally import Load
from loadtest.verdict import Verdict
from loadtest.watch import Sample, lags


class Report(Struct, kw_only=True):
    """What is printed, drawn and kept of a run."""

    run_id: str
    url: str
    shape: str
    rate: float
    seconds: float
    seed: int
    batch_events: int
    started_at: datetime
    mix: str
    machine: str
    load: Load
    verdict: Verdict
    steps: list[Step] = []
    samples: list[Sample] = []
    lags: list[tuple[float, float]] = []
    """(seconds of the run, seconds until what had been acknowledged by then was clean)"""
    earlier: list[Run] = []
    """Runs like this one, oldest first."""
    holds: bool = False

    def settle(self, samples: list[Sample]) -> None:
        """Take what was seen meanwhile."""
        self.samples, self.lags = samples, lags(samples)
        self.holds = self.verdict.holds

    @property
    def rate_grows(self) -> bool:
        """Whether steps were asked for: how long they take is not known before."""
        return self.shape == STEP

    @property
    def lag_p95_s(self) -> float | None:
        """The lag from acknowledged to clean that 95 of 100 looks saw, or better."""
        found = sorted(lag for _, lag in self.lags)
        return found[min(len(found) - 1, len(found) * 95 // 100)] if found else None

    @property
    def highest(self) -> Step | None:
        """The fastest step that held, where steps were asked for."""
        return highest(self.steps)

    def row(self) -> Run:
        """Return what the history keeps."""
        load, best = self.load, self.highest
        return Run(
            run_id=self.run_id,
            started_at=self.started_at,
            url=self.url,
            shape=self.shape,
            rate=self.rate,
            seconds=self.seconds,
            batch_events=self.batch_events,
            mix=self.mix,
            machine=self.machine,
            holds=self.holds,
            sent=load.sent,
            acknowledged=load.acknowledged,
            shed=load.shed,
            missing=self.verdict.missing,
            achieved_rate=load.achieved_rate,
            p50_ms=load.p50_ms,
            p99_ms=load.p99_ms,
            max_ms=load.max_ms,
            lag_p95_s=self.lag_p95_s,
            drained_s=self.verdict.drained_s,
            highest_rate=best.rate if best else None,
        )
