"""A row that cannot be cleaned: whose fault an error is, and which rows of a load are to blame.

A batch that fails is tried again in halves until one load stands alone; within it the guilty rows are found
by bisection, in transactions that are always rolled back.
"""

from collections.abc import Callable, Mapping
from typing import Final

import psycopg
from msgspec import Struct

from storage.postgres import is_passing

# SQLSTATE classes that say a row is at fault: data, constraints, limits, and what a trigger raises.
_ROW_STATES: Final = ("22", "23", "54", "P0")
# What parsing a strange value may raise. A failed assertion is nobody's row: it stops everything.
_ROW_ERRORS: Final = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)


class Portion(Struct, frozen=True, kw_only=True):
    """What one run is to clean."""

    events_max: int
    """About how many events, in whole loads."""
    load_id: int | None = None
    """This load and no other."""
    until: int | None = None
    """In a trial: the rows of that load before this position."""
    refused: Mapping[int, str] = {}
    """Positions of the rows that cannot be cleaned, and why."""

    @property
    def is_whole(self) -> bool:
        """Whether no row is left out."""
        return self.until is None and not self.refused


class CannotClean(Exception):
    """A statement of the batch failed through the fault of a row; the batch is rolled back."""

    def __init__(self, reason: str, load_ids: list[int], rows: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.load_ids = load_ids
        """The batch's loads that have rows."""
        self.rows = rows


def fault_of(error: Exception) -> str | None:
    """Return what is wrong with some row, without any value of it; None when no row is to blame."""
    if not isinstance(error, psycopg.Error):
        return type(error).__name__ if isinstance(error, _ROW_ERRORS) else None
    is_data = (error.sqlstate or "").startswith(_ROW_STATES) or isinstance(error, psycopg.DataError)
    if is_passing(error) or not is_data:
        return None
    diagnosis = error.diag
    place = [
        f"{what} {name}"
        for what, name in (
            ("constraint", diagnosis.constraint_name),
            ("column", diagnosis.column_name),
            ("table", diagnosis.table_name),
        )
        if name
    ]
    return ", ".join([f"{error.sqlstate or 'psycopg'}: {type(error).__name__}", *place])


def find_refused(rows: int, attempt: Callable[[int, Mapping[int, str]], None]) -> dict[int, str]:
    """Return the positions of the rows without which a load of so many can be cleaned, and why.

    `attempt(until, refused)` cleans the rows before a position without the refused ones, and changes nothing;
    it raises CannotClean. Each step stands on rows that pass together: so a row that is only too much beside
    others is found too. Empty when even no row at all cannot be cleaned: then no row is to blame.
    """
    refused: dict[int, str] = {}
    try:
        attempt(0, refused)
    except CannotClean:
        return refused
    ranges = [(0, rows)]
    while ranges:
        start, end = ranges.pop()
        try:
            attempt(end, refused)
        except CannotClean as error:
            if end - start == 1:
                refused[start] = error.reason
            else:
                middle = (start + end) // 2
                ranges += [(middle, end), (start, middle)]
    return refused
