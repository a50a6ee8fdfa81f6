"""One bit of every documented field of a segment, flipped, and what recovery and the loader then do.

Never a wrong row, never an end of the loader: what cannot be read is counted as damaged, or the segment is held,
with a sentence. All harmed segments lie side by side in one spool, a slot each, as one loader finds them.
"""

import os
import threading
from enum import Enum
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from msgspec import Struct
from structlog.testing import capture_logs

from contract.event import StoredEvent
from storage.loader import Loader, LoadSettings
from storage.sink import PostgresSink
from storage.spool.folder import SEALED, SpoolFolder
from storage.spool.recovery import Findings, recover_slot
from tests.builders import Road, Spool, documented, event, flip_bit, pieces

GROUPS = 3
HEADER = {name: offset for name, (offset, _) in documented("Header, 64 bytes:").items()} | {"version": 7}
GROUP = {name: offset for name, (offset, _) in documented("Group, a 64-byte header").items()} | {"payload": 70}
assert len(HEADER) == 10
assert len(GROUP) == 15


class State(Enum):
    """How far the writer had come."""

    SEALED = "sealed"
    FOOTER_SYNCED = "not sealed, but its footer is synced"
    OPEN = "killed in the midst"


PIECES = {State.SEALED: GROUPS + 1, State.FOOTER_SYNCED: GROUPS + 1, State.OPEN: GROUPS}


class Harmed(Struct):
    """One slot with one segment of three events, a group each, of which one bit was flipped."""

    field: str
    piece: int | None
    """The group, the footer being the last; None for the segment's header."""
    spool: Spool
    events: list[StoredEvent]

    @property
    def name(self) -> str:
        return f"{self.field} of {'the header' if self.piece is None else f'piece {self.piece}'}"

    @property
    def slot(self) -> int:
        return self.spool.folder.slot

    @property
    def others(self) -> list[UUID]:
        """The events of the groups that were not harmed."""
        return sorted(e.event_id for n, e in enumerate(self.events) if n != self.piece)


class Fate(NamedTuple):
    """What must become of a harmed segment."""

    rows: list[UUID]
    damaged: int = 0
    lost: int = 0
    """Groups of which nobody knows any more what they held."""


def write_all(path: Path, state: State) -> list[Harmed]:
    """Write a spool, and flip a bit of every field, each in a slot of its own; the last slot's stay as they were."""
    places = [(None, field, at) for field, at in HEADER.items()]
    places += [(piece, field, at) for piece in range(PIECES[state]) for field, at in GROUP.items()]
    found = []
    for slot, (piece, field, at) in enumerate([*places, (GROUPS, "nothing", None)]):
        one = Harmed(field, piece, Spool(path, slot=slot), [event() for _ in range(GROUPS)])
        sealed = one.spool.sealed(one.spool.write(*one.events))
        lie = pieces(sealed.read_bytes())
        if at is not None:
            flip_bit(sealed, at if piece is None else lie[piece].start + at)
        if state is State.OPEN:
            os.truncate(sealed, lie[-1].start)
        if state is not State.SEALED:
            sealed.rename(one.spool.open(1))
        found.append(one)
    return found


def load(road: Road) -> dict[int, str]:
    """Run the loader over all there is; return what it said of the slots it held."""
    loader = Loader(
        LoadSettings(poll_ms=1),
        partial(PostgresSink.open, road.dsn),
        [SpoolFolder(road.spool.path)],
        archive_grace_days=7,
    )
    with capture_logs() as logged:
        loader.run(threading.Event(), once=True)
    assert "load_failed" not in {line["event"] for line in logged}
    return {int(line["segment"].split(".")[1]): line["reason"] for line in logged if line["event"] == "segment_stuck"}


def fate_of(road: Road, slot: int) -> Fate | None:
    """Return what the tables say of a slot's segment; None when it is not in the ledger."""
    found = road.rows("select load_id, damaged from ops.loads where slot = %s", slot)
    if not found:
        return None
    [row] = found
    rows = road.values("select event_id from raw.events where load_id = %s order by event_id", row["load_id"])
    lost = road.values(
        "select coalesce(sum(events), 0)::int from ops.audit where load_id = %s and outcome = 'lost_groups'",
        row["load_id"],
    )
    return Fate(rows, row["damaged"], *lost)


def assert_nothing_is_wrong(road: Road, harmed: list[Harmed]) -> None:
    """Every row is one that was sent, once; and running it all again changes nothing and ends."""
    sent = {e.event_id for one in harmed for e in one.events}
    rows = road.values("select event_id from raw.events")
    assert len(rows) == len(set(rows))
    assert set(rows) <= sent
    loads = road.values("select count(*) from ops.loads")
    load(road)
    assert road.values("select count(*) from ops.loads") == loads
    road.process()
    assert sorted(road.values("select event_id from clean.events")) == sorted(rows)


def test_a_sealed_segment_is_loaded_without_its_damage_or_held_with_a_sentence(road: Road) -> None:
    """Its footer knows what was written; without it, or without its header, nothing is guessed."""
    harmed = write_all(road.spool.path, State.SEALED)

    held = load(road)

    for one in harmed:
        if one.field != "nothing" and one.piece in (None, GROUPS):
            assert fate_of(road, one.slot) is None, one.name
            assert one.spool.folder.segments(SEALED) == [1], one.name
            assert "segment" in held.pop(one.slot), one.name
        else:
            assert fate_of(road, one.slot) == Fate(one.others, GROUPS - len(one.others)), one.name
    assert held == {}
    assert_nothing_is_wrong(road, harmed)
    assert road.books().balanced


@pytest.mark.parametrize("state", [State.FOOTER_SYNCED, State.OPEN])
def test_an_open_segment_keeps_what_can_be_read_and_the_rest_is_counted(road: Road, state: State) -> None:
    """The writer was killed before the name was sealed; recovery decides what is left, and the loader takes it."""
    harmed = write_all(road.spool.path, state)

    for one in harmed:
        before = one.spool.open(1).read_bytes()
        findings = recover_slot(one.spool.folder, one.spool.clock.wall_us())
        assert findings.segments == 1, one.name
        assert findings.unreadable == (one.piece is None), one.name
        assert recover_slot(one.spool.folder, one.spool.clock.wall_us()) == Findings(), one.name
        if one.field != "nothing":
            assert (one.spool.folder.damaged / one.spool.open(1).name).read_bytes() == before, one.name
    assert load(road) == {}

    for one in harmed:
        assert fate_of(road, one.slot) == _fate_of_open(one, state), one.name
    assert_nothing_is_wrong(road, harmed)


def _fate_of_open(one: Harmed, state: State) -> Fate | None:
    if one.piece is None:
        return None  # set aside, and its missing number holds the slot's watermark
    if one.field == "nothing" or one.piece == GROUPS:
        return Fate(one.others)
    if state is State.FOOTER_SYNCED or (one.field == "payload" and one.piece < GROUPS - 1):
        return Fate(one.others, damaged=1)
    if one.piece < GROUPS - 1:
        return Fate(one.others, lost=1)
    return Fate(one.others)  # it cannot be told from a torn tail
