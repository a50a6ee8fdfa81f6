"""Losses in the books: those that an operator wrote off, and those still to be, by the name that he needs for it."""

from datetime import datetime

import msgspec
import psycopg
from msgspec import Struct

from processor.equations import LOST_GROUPS, Difference
from storage.postgres import read_sql


class Damage(Struct, frozen=True):
    """What stands in the books as damaged by an operator's word, by name: nobody knows how many events it held."""

    minute: datetime
    segment: str
    kind: str
    """`groups` of a segment, or the whole `segment`."""
    count: int
    """How many groups or segments."""
    at: datetime
    operator: str
    reason: str


def read_written_off(connection: psycopg.Connection, range_from: datetime, range_until: datetime) -> list[Damage]:
    """Return what stands in the range as damaged by an operator's word."""
    rows = connection.execute(read_sql("processor.sql", "written_off.sql"), {"from": range_from, "until": range_until})
    return [Damage(*row) for row in rows]


def with_names(
    connection: psycopg.Connection, range_from: datetime, range_until: datetime, differences: list[Difference]
) -> list[Difference]:
    """Say of lost groups in which segments they were: by that name they are written off."""
    if all(difference.identity != LOST_GROUPS for difference in differences):
        return differences
    names: dict[datetime | None, list[str]] = {}
    for spool_id, slot, segment, _, _, minute in connection.execute(
        read_sql("processor.sql", "find_losses.sql"), {"from": range_from, "until": range_until}
    ):
        names.setdefault(minute, []).append(f"{str(spool_id)[:8]}.{slot}.{segment}")
    return [
        msgspec.structs.replace(d, detail=f"segment {', '.join(names[d.minute])}")
        if d.identity == LOST_GROUPS and d.minute in names
        else d
        for d in differences
    ]
