"""What is lost, by the segment's name, and the operator's word that it is: `sillok spool lost` and `write-off`.

Three losses hold up the books or the watermark until somebody says that they are final:

- *groups*: recovery found that a group was written and synced, and not even its header can be read. How many events it
  held nobody knows, so the books do not balance.
- *footer*: a sealed segment's footer cannot be read, so nobody knows what it should hold; its slot waits. What can be
  read is sealed anew, to be loaded; the old file goes to `damaged/` as it is.
- *segment*: a number that no loader ever loaded though a later one was, or a file that cannot be read at all. It gets
  its row in the ledger, with nothing in it, so that the slot's watermark goes on.

Nothing is deleted. The word stands in `ops.actions` with its reason, and in the books, dated, as damaged.
"""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

import psycopg
from msgspec import Struct

from contract.errors import SpoolFormatError, UsageError
from processor.operate.actions import Action, acting, one
from storage.postgres import read_sql
from storage.spool.folder import OPEN, SegmentId, SlotFolder, SpoolFolder
from storage.spool.reader import parse_segment
from storage.spool.recovery import recover_segment, set_aside

Kind = Literal["groups", "footer", "segment"]
_COMMAND: Final = "spool write-off"
_IS_LOADED: Final = """
select exists (
    select from ops.loads where spool_id = %(spool_id)s and slot = %(slot)s and segment = %(segment)s
)
"""


class Loss(Struct, frozen=True):
    """Something that is lost and not yet written off."""

    segment: str
    """Its name, as the books print it: the spool's first eight digits, slot, number."""
    kind: Kind
    groups: int | None
    """How many groups, where that is what is lost."""
    minute: datetime | None
    """Where it stands in the books."""


class WriteOff(Struct, frozen=True):
    """What one `sillok spool write-off` did."""

    segment: str
    kind: Kind
    groups: int | None
    reason: str


def find_losses(connection: psycopg.Connection, spool: SpoolFolder | None) -> list[Loss]:
    """Return what is lost: by the ledger, and by this machine's spool where there is one."""
    ever = {"from": "-infinity", "until": "infinity"}
    rows = connection.execute(read_sql("processor.sql", "find_losses.sql"), ever)
    found = [Loss(str(SegmentId(spool_id, slot, number)), *rest) for spool_id, slot, number, *rest in rows]
    stuck = _stuck(spool) if spool else ()
    return found + [loss for loss in stuck if loss.segment not in {known.segment for known in found}]


def _stuck(spool: SpoolFolder) -> Iterator[Loss]:
    """Yield the sealed segments of this machine that no loader can take."""
    for slot in spool.slots():
        for number in slot.waiting():
            kind = _fault(slot, number)
            if kind is not None:
                yield Loss(str(SegmentId(slot.spool_id, slot.slot, number)), kind, None, None)


def _fault(slot: SlotFolder, number: int) -> Kind | None:
    """Say what keeps a waiting segment from being loaded; None when nothing does, or it is gone."""
    try:
        segment = parse_segment(slot.files.read(slot.segment_path(number)))
    except FileNotFoundError:
        return None
    except SpoolFormatError:
        return "segment"
    return None if segment.footer is not None else "footer"


def write_off(connection: psycopg.Connection, spool: SpoolFolder | None, name: str, reason: str) -> WriteOff:
    """Write a loss off by its segment's name; raise UsageError when nothing of it is lost.

    `spool` is this machine's, where it has one. Another machine's segment is taken at the operator's word.
    """
    segment = _resolve(connection, name)
    here = spool.slot(segment.slot) if spool is not None and spool.spool_id == segment.spool_id else None
    arguments = {"spool_id": str(segment.spool_id), "slot": segment.slot, "segment": segment.segment}
    with acting(connection, _COMMAND, arguments, reason) as action:
        kind, groups = _write_off(action, here, segment)
        action.result |= {"kind": kind, "groups": groups}
    return WriteOff(str(segment), kind, groups, reason)


def _resolve(connection: psycopg.Connection, name: str) -> SegmentId:
    """Return the segment of this name, whose spool a loader has seen."""
    spool, _, rest = name.partition(".")
    slot, _, number = rest.partition(".")
    if not spool or not slot.isdigit() or not number.isdigit():
        raise UsageError(f"{name!r} is no segment's name: write it as `sillok spool lost` prints it, 1a2b3c4d.0.7")
    rows = connection.execute(
        "select spool_id, last_segment from ops.slots where starts_with(spool_id::text, %s) and slot = %s",
        (spool.lower(), int(slot)),
    ).fetchall()
    if len(rows) != 1:
        what = "no loader has ever seen" if not rows else "more than one spool begins with the name of"
        raise UsageError(f"{what} slot {slot} of spool {spool}: look into ops.slots")
    ((spool_id, last_segment),) = rows
    if not 1 <= int(number) <= last_segment:
        raise UsageError(f"slot {slot} of spool {spool} has numbers from 1 to {last_segment}: {number} is none of them")
    return SegmentId(spool_id, int(slot), int(number))


def _write_off(action: Action, here: SlotFolder | None, segment: SegmentId) -> tuple[Kind, int | None]:
    values = {"spool_id": segment.spool_id, "slot": segment.slot, "segment": segment.segment}
    groups: int = action.run("write_off_groups.sql", **values)
    if groups:
        count = one(action.connection, "select sum(events)::bigint from action_moves where outcome = 'lost_groups'")
        return "groups", count
    if one(action.connection, _IS_LOADED, values):
        raise UsageError(f"segment {segment} is loaded, and nothing of it is lost: see `sillok spool lost`")
    fault = _seal_anew(here, segment) if here is not None and here.path.exists() else None
    if fault == "footer":
        return "footer", None
    if not action.run("write_off_segment.sql", **values, is_aside=fault is not None):
        raise UsageError(f"segment {segment} is not missing yet: nothing after it is loaded; see `sillok doctor`")
    return "segment", None


def _seal_anew(here: SlotFolder, segment: SegmentId) -> Kind | None:
    """Do with this machine's file what can be done; raise UsageError while a loader may still take it."""
    number = segment.segment
    if here.segment_path(number, OPEN).exists():
        raise UsageError(
            f"segment {segment} is being written, or waits for its collector to recover it: start it first"
        )
    if not here.segment_path(number).exists():
        if here.archived(number) is not None:
            raise UsageError(f"segment {segment} is in the archive: `sillok load` takes it from there")
        return None
    fault = _fault(here, number)
    if fault is None:
        raise UsageError(f"segment {segment} can be loaded: run `sillok load`; nothing of it is lost")
    # A crash in between leaves what the collector recovers at its next start.
    here.files.rename(here.segment_path(number), here.segment_path(number, OPEN))
    here.files.sync_folder(here.path)
    if fault == "footer":
        recover_segment(here, number, time.time_ns() // 1000)
    else:
        set_aside(here, number)
    return fault
