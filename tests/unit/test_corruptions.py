"""Known corruptions of a segment that a crash left open, one by one: what must be kept, and what it is called."""

import struct
from collections.abc import Callable

import pytest

from storage.spool.frame import decode_named
from storage.spool.reader import read_segment
from storage.spool.recovery import Findings, recover_slot
from storage.spool.segment import LOST_GROUPS
from tests.builders import Spool, documented, event, pieces

_EVENTS = [event(click_text=f"{n}") for n in range(4)]
_GROUP_FIELDS = {name: at for name, (at, _) in documented("Group, a 64-byte header").items()}
_HEADER_FIELDS = {name: at for name, (at, _) in documented("Header, 64 bytes:").items()} | {"version": 7}
Harm = Callable[[bytearray, list[tuple[int, int]]], None]
"""Changes a segment's bytes, given where its four groups begin and end."""


class Outcome:
    """What recovery must find."""

    def __init__(self, kept: str, *, damaged: int = 0, lost: int = 0, torn: bool = False) -> None:
        self.kept = [int(n) for n in kept]
        self.damaged, self.lost, self.torn = damaged, lost, torn


def _flip(group: int, offset: int) -> Harm:
    def harm(data: bytearray, groups: list[tuple[int, int]]) -> None:
        data[groups[group][0] + offset] ^= 0x10

    return harm


def _zero(group: int, start: int, end: int | None = None) -> Harm:
    def harm(data: bytearray, groups: list[tuple[int, int]]) -> None:
        begin, stop = groups[group][0] + start, groups[group][1] if end is None else groups[group][0] + end
        data[begin:stop] = bytes(stop - begin)

    return harm


def _cut(group: int, offset: int) -> Harm:
    def harm(data: bytearray, groups: list[tuple[int, int]]) -> None:
        del data[groups[group][0] + offset :]

    return harm


def _append(tail: Callable[[bytearray], bytes]) -> Harm:
    def harm(data: bytearray, _groups: list[tuple[int, int]]) -> None:
        data += tail(data)

    return harm


def _remove(data: bytearray, groups: list[tuple[int, int]]) -> None:
    del data[slice(*groups[1])]


_TABLE: dict[str, tuple[Harm, Outcome]] = {
    **{
        f"a bit of {field} in the second group's header": (_flip(1, at), Outcome("023", lost=1))
        for field, at in _GROUP_FIELDS.items()
    },
    **{
        f"a bit of {field} in the last group's header": (_flip(3, at), Outcome("012", torn=True))
        for field, at in _GROUP_FIELDS.items()
    },
    "a bit of the second group's payload": (_flip(1, 70), Outcome("023", damaged=1)),
    "a bit of the last group's payload": (_flip(3, 70), Outcome("012", torn=True)),
    "the second group's payload is zeros": (_zero(1, 64), Outcome("023", damaged=1)),
    "the second group is zeros": (_zero(1, 0), Outcome("023", lost=1)),
    "the last group is zeros": (_zero(3, 0), Outcome("012", torn=True)),
    "half of the last group's header is zeros": (_zero(3, 32, 64), Outcome("012", torn=True)),
    "the last group's payload is zeros": (_zero(3, 64), Outcome("012", torn=True)),
    "the file ends before the last group": (_cut(3, 0), Outcome("012")),
    "the file ends within the last group's magic": (_cut(3, 2), Outcome("012", torn=True)),
    "the file ends within the last group's header": (_cut(3, 63), Outcome("012", torn=True)),
    "the file ends after the last group's header": (_cut(3, 64), Outcome("012", torn=True)),
    "the file ends within the last group's payload": (_cut(3, 80), Outcome("012", torn=True)),
    "a sector of zeros follows": (_append(lambda _: bytes(512)), Outcome("0123", torn=True)),
    "a lone magic follows": (_append(lambda _: b"SGR1"), Outcome("0123", torn=True)),
    "an empty group's header of another segment follows": (
        _append(lambda _: b"SGR1" + struct.pack("<I", 0) + bytes(56)),
        Outcome("0123", torn=True),
    ),
    "a group is missing altogether": (_remove, Outcome("023", lost=1)),
}


def _left_open(tmp_path) -> tuple[Spool, bytearray, list[tuple[int, int]]]:
    """Return a spool whose writer was killed, the open segment's bytes, and where its groups lie."""
    spool = Spool(tmp_path / "spool")
    sealed = spool.sealed(spool.write(*_EVENTS))
    data = sealed.read_bytes()
    found = pieces(data)
    sealed.unlink()
    return spool, bytearray(data[: found[-1].start]), [(p.start, p.end) for p in found[:-1]]


@pytest.mark.parametrize("name", _TABLE)
def test_what_can_be_kept_is_kept_and_the_rest_is_named(tmp_path, name):
    """Acknowledged and unreadable is damaged or lost; past everything known to be synced it is torn."""
    harm, wanted = _TABLE[name]
    spool, data, groups = _left_open(tmp_path)
    harm(data, groups)
    spool.open(1).write_bytes(data)
    findings = recover_slot(spool.folder, spool.clock.wall_us())
    segment = read_segment(spool.sealed(1))
    kept = [e.event_id for g in segment.groups for f in segment.frames(g) for e in decode_named(f.body).events]
    assert kept == [_EVENTS[n].event_id for n in wanted.kept]
    assert segment.footer is not None
    lost = sum(row.events for row in segment.footer.tally if row.outcome == LOST_GROUPS)
    assert (findings.damaged_events, lost, findings.torn_bytes > 0) == (wanted.damaged, wanted.lost, wanted.torn)
    aside = spool.folder.damaged / spool.open(1).name
    assert not spool.open(1).exists()
    if aside.exists():
        assert aside.read_bytes() == bytes(data), "bad bytes are kept as they were"
    else:
        assert not segment.bad
        assert bytes(data) == segment.data[: len(data)], "nothing was thrown away"


@pytest.mark.parametrize("field", _HEADER_FIELDS)
def test_a_segment_whose_header_lies_is_set_aside_whole(tmp_path, field):
    """Nothing in it can be believed, and the slot goes on without it."""
    spool, data, _ = _left_open(tmp_path)
    data[_HEADER_FIELDS[field]] ^= 0x10
    spool.open(1).write_bytes(data)
    assert recover_slot(spool.folder, spool.clock.wall_us()) == Findings(segments=1, unreadable=1)
    assert (spool.folder.damaged / spool.open(1).name).read_bytes() == bytes(data)
    assert spool.folder.last_segment() == 1
