"""The journal's ring beside a plain list: what it may refuse, what it returns, and what a kill at any line leaves.

The model knows nothing of positions. It holds the records that wait, each with its place, and says by looking at them
whether there is room: behind the last one or before the first, in one piece, or anywhere when nothing waits.
"""

import random
import sys
from types import SimpleNamespace

import pytest

from sillok_sdk import journal as module
from sillok_sdk.journal import Journal

RECORD_BYTES = 16


class Killed(BaseException):
    """The process is gone, in the middle of whatever it did."""


class Model:
    """The records that wait, in their order: (seq, payload, place, bytes in the ring)."""

    def __init__(self, ring):
        self.ring = ring
        self.waiting = []

    def place_for(self, payload):
        """Return where a record would lie, or `None` when there is no room for it."""
        whole = (RECORD_BYTES + len(payload) + 7) // 8 * 8
        if not self.waiting:
            return (0, whole) if whole <= self.ring else None
        first, (_, _, place, last) = self.waiting[0][2], self.waiting[-1]
        end = place + last
        if end > first:  # in one piece: there is room on both sides of it
            if whole <= self.ring - end:
                return end, whole
            return (0, whole) if whole <= first else None
        return (end, whole) if whole <= first - end else None

    def append(self, seq, payload, found):
        self.waiting.append((seq, payload, *found))

    def records(self):
        return [(seq, payload) for seq, payload, _, _ in self.waiting]


def killing(lines):
    """Return a tracer that ends the process, as it were, before the journal's n-th line from now."""
    left = SimpleNamespace(lines=lines)

    def local(_frame, event, _argument):
        if event == "line":
            left.lines -= 1
            if left.lines < 0:
                raise Killed
        return local

    return lambda frame, _event, _argument: local if frame.f_code.co_filename == module.__file__ else None


def until_killed(dice, share, call, *arguments):
    """Call it; now and then it is killed before one of its lines. Return its answer, or `None` when it was killed."""
    if dice.random() >= share:
        return call(*arguments)
    tracer = sys.gettrace()
    sys.settrace(killing(dice.randrange(24)))
    try:
        return call(*arguments)
    except Killed:
        return None
    finally:
        sys.settrace(tracer)


def waiting(journal, position=None):
    return [record[:2] for record in journal.read(journal.head if position is None else position)]


class Beside:
    """A journal and its model, which do the same; now and then the journal's process is killed."""

    def __init__(self, folder, seed):
        self.dice = dice = random.Random(seed)
        self.ring = ring = dice.choice([8, 24, 64, 200, 1_000, 4_096, 5_000])
        self.largest = max(1, dice.choice([8, ring // 8, ring // 2, ring]))
        self.kills = dice.choice([0, 0.05])
        self.path = folder / "a.journal"
        self.journal = Journal.create(str(folder), "a", ring + dice.randrange(8), b"{}")
        self.model = Model(ring)
        self.seq = self.noted = 0
        self.taken = self.position = 0  # how many the sender has, and where it goes on

    def adopt(self):
        self.journal.close()
        self.journal = Journal.adopt(self.path)
        self.taken, self.position = 0, self.journal.head

    def append(self):
        dice, model = self.dice, self.model
        payload = dice.randbytes(dice.randrange(self.largest if dice.random() < 0.9 else self.ring + 9))
        found = model.place_for(payload)
        is_kept = until_killed(dice, self.kills, self.journal.append, self.seq + 1, payload)
        if is_kept is None:
            self.adopt()
            is_kept = waiting(self.journal) == [*model.records(), (self.seq + 1, payload)]
            assert found is not None or not is_kept
        else:
            assert is_kept == (found is not None), f"{len(payload)} bytes beside {model.waiting} in {self.ring}"
        if is_kept:
            self.seq += 1
            model.append(self.seq, payload, found)

    def take(self):
        more = self.dice.randrange(len(self.model.waiting) - self.taken + 1)
        for record, _ in zip(self.journal.read(self.position), range(more)):
            self.position = record.end
        self.taken += more

    def settle(self):
        settled = self.dice.randrange(self.taken + 1)
        if not settled:
            return
        end = [record.end for record in self.journal.read(self.journal.head)][settled - 1]
        self.noted = self.seq
        until_killed(self.dice, self.kills, self.journal.settle, end, self.seq, {"closed": self.seq})
        if waiting(self.journal) == self.model.records()[settled:]:
            self.taken -= settled
            del self.model.waiting[:settled]
        else:
            self.adopt()
            assert waiting(self.journal) == self.model.records(), "killed before it was settled"

    def agree(self):
        assert waiting(self.journal) == self.model.records()
        assert waiting(self.journal, self.position) == self.model.records()[self.taken :], "the sender goes on"
        created, dropped = self.journal.figures()
        assert created <= self.noted
        assert set(dropped.values()) <= set(range(self.noted + 1))


@pytest.mark.parametrize("seed", range(40))
def test_the_ring_is_a_list_with_a_bound(tmp_path, seed):
    """Whatever is appended, taken and settled, in any order and size, and wherever the process is killed."""
    both = Beside(tmp_path, seed)
    steps = [both.append] * 60 + [both.take] * 15 + [both.settle] * 25 + [both.adopt] * 3
    for _ in range(600):
        both.dice.choice(steps)()
        both.agree()
    assert both.seq > 20 or both.ring < 64
    both.journal.close(is_done=True)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_before_any_line_of_an_append_leaves_the_record_whole_or_not_at_all(tmp_path):
    """Every line, in every kind of append: at the start, behind others, around the end, into an empty ring."""
    kinds = {"first": [], "behind": [(100, 0)], "around": [(300, 0), (300, 0), (300, 2)], "empty": [(300, 1)]}
    killed = set()
    for kind, steps in kinds.items():
        for lines in range(40):
            journal = Journal.create(str(tmp_path), f"{kind}{lines}", 1_000, b"{}")
            records = []
            for seq, (size, settled) in enumerate(steps, 1):
                assert journal.append(seq, b"x" * size)
                records.append((seq, b"x" * size))
                if settled:
                    ends = [record.end for record in journal.read(journal.head)]
                    journal.settle(ends[settled - 1], seq, {})
                    del records[:settled]
            sys.settrace(killing(lines))
            try:
                journal.append(9, b"y" * 400)
            except Killed:
                killed.add(kind)
            else:
                break
            finally:
                sys.settrace(None)
            journal.close()
            journal = Journal.adopt(journal.path)
            assert waiting(journal) in (records, [*records, (9, b"y" * 400)])
            if waiting(journal) == records:
                assert journal.append(9, b"y" * 400), f"no room after a kill: {kind}, {lines}"
            assert waiting(journal) == [*records, (9, b"y" * 400)]
            journal.close(is_done=True)
        else:
            pytest.fail("an append that never ends")
        journal.close(is_done=True)
    assert killed == set(kinds)


@pytest.mark.parametrize("sizes", [[100, *[100] * 9], [1, *[300] * 3], [900, *[1] * 30], [984, 984, 984, 984]])
def test_a_ring_that_was_emptied_takes_what_a_new_one_takes(tmp_path, sizes):
    old = Journal.create(str(tmp_path), "old", 1_000, b"{}")
    assert old.append(1, b"x" * sizes[0])
    old.settle(old.tail, 1, {})
    new = Journal.create(str(tmp_path), "new", 1_000, b"{}")
    answers = [[journal.append(seq, b"x" * size) for seq, size in enumerate(sizes[1:], 2)] for journal in (old, new)]
    assert answers[0] == answers[1]
    assert answers[0][0]
    for journal in (old, new):
        journal.close()
