"""The power goes at any moment, again and again: what was answered is there, once, as it was sent.

The product's own writer, recovery and reader run on a disk that loses what was not synced. The machine
below drives them step by step against a model of a few lines; and it is shown to find a disk that lies.
"""

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from contract.errors import FolderNotWritable, SpoolFormatError
from storage.spool.active import Pending
from storage.spool.folder import OPEN, SEALED, SegmentId, SlotFolder, SpoolFolder
from storage.spool.frame import decode_named
from storage.spool.reader import Segment, parse_segment
from storage.spool.recovery import recover_slot
from storage.spool.segment import LOST_GROUPS
from storage.spool.settings import SpoolSettings
from storage.spool.writer import SpoolWriter
from tests.builders import Sent, event
from tests.fakes import FakeClock
from tests.simdisk import SimDisk

_SETTINGS = SpoolSettings(segment_age_ms=2_000, heartbeat_ms=10_000, segment_bytes_max=20_000)
# Thousands of small files come and go.
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
# The same runs every time; `make soak` goes where nobody has been.
_SHORT = settings(
    max_examples=250,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_LONG = settings(
    _SHORT, derandomize=False, max_examples=int(os.environ.get("TEST_POWER_CUTS", "5000")), print_blob=True
)


class _TurnOver(BaseException):
    """The writer has come round to wait again."""


class _Pump:
    """Stands for the writer's thread and its alarm clock: the writer runs one turn when it is told to."""

    def __init__(self, writer: SpoolWriter) -> None:
        self._writer = writer
        self._waits = 0
        writer._wake = writer._thread = self

    def turn(self) -> None:
        self._waits = 0
        with contextlib.suppress(_TurnOver):
            self._writer._run()

    def wait(self, _seconds: float) -> bool:
        self._waits += 1
        if self._waits > 1:
            raise _TurnOver
        return True

    def start(self) -> None:
        """Begin nothing: the test turns."""

    def set(self) -> None:
        """Wake nobody: the test turns."""

    def clear(self) -> None:
        """Forget nothing: the test turns."""

    def join(self) -> None:
        self._waits = 0
        self._writer._run()


class SpoolMachine(RuleBasedStateMachine):
    """Batches are sent, segments sealed, loaded, dropped; the clock jumps, the disk fails, the power goes."""

    lies: tuple[str, ...] = ()
    """What the disk lies about, once the spool is there."""
    cuts = 0

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=_MEMORY)
        self.disk = SimDisk(Path(self._folder.name))
        self.disk.on_rename = self._on_rename
        self.clock = FakeClock()
        self.chance = Random(0)
        self.is_loader_fast = False
        self.sent: dict[UUID, bytes] = {}
        self.acknowledged: set[UUID] = set()
        self.loaded: dict[SegmentId, tuple[bytes, set[UUID]]] = {}
        self.slot: SlotFolder
        self.writer: SpoolWriter | None = None
        self.pump: _Pump

    @initialize(seed=st.integers(0, 2**32), is_loader_fast=st.booleans(), cut=st.none() | st.integers(0, 30))
    def begin(self, seed: int, is_loader_fast: bool, cut: int | None) -> None:
        self.chance = Random(seed)
        self.is_loader_fast = is_loader_fast
        if cut is not None:
            self.disk.cut_after(cut)
        self._start()
        self.disk.lies = self.lies

    # What happens

    @rule(sizes=st.lists(st.sampled_from([0, 30, 600, 3_000]), min_size=1, max_size=4))
    def send(self, sizes: list[int]) -> None:
        """Let some batches arrive and become one group."""
        for size in sizes:
            sent = event(props={"text": self.chance.randbytes(size // 2).hex()})
            pending = Sent([sent]).pending()
            self.sent[sent.event_id] = pending.body
            self._writer().submit(pending)
        self._turn()

    @rule(seconds=st.sampled_from([0.3, 3.0, 15.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass: a segment grows old, an idle slot makes a heartbeat."""
        self.clock.advance(seconds)
        self._turn()

    @rule(seconds=st.sampled_from([-3600, -6, 6, 3600]))
    def step_clock(self, seconds: int) -> None:
        self.clock.step(seconds)
        self._turn()

    @rule()
    def load(self) -> None:
        """Let the loader take what is sealed into its ledger, which is on another disk, and release it."""
        with self._going_on():
            for number in self.slot.segments(SEALED):
                if self._load(self.slot.segment_path(number)):
                    self.slot.release(number)

    @rule()
    def drop_archive(self) -> None:
        with self._going_on():
            self.slot.drop_archived(keep=lambda _path: self.chance.random() < 0.3)

    @rule()
    def stop_and_start(self) -> None:
        """Stop cleanly, if the power lets us."""
        writer, self.writer = self._writer(), None
        writer.close()
        self._start()

    @rule()
    def kill(self) -> None:
        """End the process; what it had written stays in the cache."""
        self._start()

    @rule()
    def cut_power(self) -> None:
        self.disk.cut_after(0)
        self.kill()

    @rule(calls=st.integers(5, 20))
    def cut_power_during_recovery(self, calls: int) -> None:
        self.disk.cut_after(calls)
        self.kill()

    @rule(calls=st.integers(0, 30))
    def cut_power_soon(self, calls: int) -> None:
        """Let it go at any call to the disk: in the middle of a group, a seal, a recovery."""
        self.disk.cut_after(calls)

    @rule(
        operation=st.sampled_from(["create", "write", "sync", "sync_folder", "rename", "remove"]),
        code=st.sampled_from([errno.ENOSPC, errno.EIO]),
    )
    def fail_soon(self, operation: str, code: int) -> None:
        self.disk.fail(operation, code)

    def teardown(self) -> None:
        try:
            self.disk.heal()
            self.cut_power()
        finally:
            self.leave()

    def leave(self) -> None:
        """Close and remove whatever is left."""
        self.disk.close_all()
        self._folder.cleanup()

    # How it is done

    def _writer(self) -> SpoolWriter:
        assert self.writer is not None
        if self.writer.unavailable is not None:
            self.clock.advance(1)
            self._turn()  # a full disk is tried again
        if self.writer.unavailable is not None:
            self.disk.heal()
            self._start()
        return self.writer

    def _turn(self) -> None:
        self.pump.turn()
        assert self.writer is not None
        if self.disk.is_off or self.writer.failure is not None:
            self._start()

    @contextlib.contextmanager
    def _going_on(self):
        """Let a part that is not the writer be interrupted by the disk."""
        try:
            yield
        except OSError:
            if self.disk.is_off:
                self._start()

    def _start(self) -> None:
        """Start the writer's process anew, as often as it takes."""
        while True:
            if self.disk.is_off:
                type(self).cuts += 1
                self.disk.power_cut(self.chance)
            try:
                self._start_once()
            except (OSError, FolderNotWritable):
                continue
            self._check()
            return

    def _start_once(self) -> None:
        self.slot = SpoolFolder(self.disk.root / "data" / "spool", self.disk).slot(0)
        self.slot.prepare()
        findings = recover_slot(self.slot, self.clock.wall_us())
        assert (findings.damaged_events, findings.unreadable) == (0, 0), "a power cut was taken for damage"
        self.writer = SpoolWriter(self.slot, _SETTINGS, self._on_durable, self.clock)
        self.pump = _Pump(self.writer)
        self.writer.start()

    def _on_durable(self, batches: list[Pending], error: BaseException | None) -> None:
        if error is None:
            assert not self.disk.is_off, "an answer without a disk"
            self.acknowledged |= {e.event_id for batch in batches for e in decode_named(batch.body).events}

    def _on_rename(self, target: Path) -> None:
        if self.is_loader_fast and target.suffix == SEALED and target.parent.name != "archive":
            self._load(target)

    def _load(self, path: Path) -> bool:
        """Do what `load_segment` does: the name first has to outlive a power cut as surely as the ledger."""
        try:
            self.disk.sync_folder(path.parent)
        except OSError:
            return False
        segment = self._read(path)
        name = SegmentId(segment.header.spool_id, segment.header.slot, segment.header.segment)
        loaded = hashlib.sha256(segment.data).digest(), set(self._events(segment))
        assert self.loaded.setdefault(name, loaded) == loaded, "a loaded segment came back with other contents"
        return True

    # What must be true

    def _check(self) -> None:
        """Hold the disk against the model: acknowledged ⊆ readable, each once, byte for byte as sent."""
        places = {event_id: name for name, (_, events) in self.loaded.items() for event_id in events}
        names = [path.name for path in self.slot.path.iterdir()]
        files = [path for suffix in (OPEN, SEALED) for path in self.slot.path.rglob(f"*{suffix}")]
        numbers = {int(path.stem) for path in files} | {name.segment for name in self.loaded}
        assert numbers == set(range(1, max(numbers) + 1)), "a number was left out: the watermark waits for it for ever"
        assert sum(name.endswith(OPEN) for name in names) == 1, f"only the writer's own is open: {names}"
        assert not any(name.endswith(".recovering") for name in names), "recovery finished its work"
        for folder in (self.slot.path, self.slot.archive):
            for path in sorted(folder.glob(f"*{SEALED}")):
                name = SegmentId(self.slot.spool_id, self.slot.slot, int(path.stem))
                for event_id in self._events(self._read(path)):
                    assert places.setdefault(event_id, name) == name, "an event is in two segments"
        lost = self.acknowledged - places.keys()
        assert not lost, f"acknowledged and lost: {len(lost)} of {len(self.acknowledged)}"

    def _read(self, path: Path) -> Segment:
        segment = parse_segment(path.read_bytes())
        header, footer = segment.header, segment.footer
        name = SegmentId(self.slot.spool_id, self.slot.slot, int(path.stem))
        assert (header.spool_id, header.slot, header.segment) == (name.spool_id, name.slot, name.segment)
        assert footer is not None, "sealed without a footer"
        assert not segment.bad, "sealed with bad bytes"
        assert footer.damaged == 0
        assert not any(row.outcome == LOST_GROUPS for row in footer.tally), "a group is missing"
        assert footer.accepted == len(list(self._events(segment)))
        return segment

    def _events(self, segment: Segment) -> list[UUID]:
        found = []
        for group in segment.groups:
            for frame in segment.frames(group):
                (stored,) = decode_named(frame.body).events
                assert self.sent[stored.event_id] == frame.body, "not what was sent"
                found.append(stored.event_id)
        return found


def test_a_power_cut_loses_nothing_that_was_answered():
    """Torn sectors, lost names, failed syncs, crashes within recovery: nothing answered is lost, nothing is twice."""
    SpoolMachine.cuts = 0
    run_state_machine_as_test(SpoolMachine, settings=_SHORT)
    assert SpoolMachine.cuts > 300, "the power hardly ever went"


@pytest.mark.soak
def test_many_power_cuts_lose_nothing_that_was_answered():
    SpoolMachine.cuts = 0
    run_state_machine_as_test(SpoolMachine, settings=_LONG)
    print(f"{_LONG.max_examples} runs, {SpoolMachine.cuts} power cuts")
    assert SpoolMachine.cuts > 2 * _LONG.max_examples


class OnDiskThatForgetsFiles(SpoolMachine):
    lies = ("sync",)


class OnDiskThatForgetsNames(SpoolMachine):
    lies = ("sync_folder",)


lying = pytest.mark.parametrize("machine", [OnDiskThatForgetsFiles, OnDiskThatForgetsNames])


@lying
def test_a_disk_that_lies_is_found_out(machine):
    """The check itself, checked: where `fdatasync`, or the sync of folders, does nothing, the machine must fail."""
    with pytest.raises((AssertionError, SpoolFormatError)):
        run_state_machine_as_test(machine, settings=_SHORT)


@lying
def test_a_disk_that_lies_loses_what_was_answered(machine):
    """And it fails for that very reason, in the plainest of runs."""
    losses = 0
    for seed in range(40):
        run = machine()
        run.begin(seed, is_loader_fast=False, cut=None)
        if seed % 2:
            run.wait(15)
        run.send([600, 30])
        try:
            run.cut_power()
        except (AssertionError, SpoolFormatError) as error:
            losses += "acknowledged and lost" in str(error)
        finally:
            run.leave()
    assert losses
