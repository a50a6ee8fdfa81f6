"""Finding the rows that cannot be cleaned: by bisection, with any number of guilty rows, each for its own sake."""

from collections.abc import Mapping

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.refusal import CannotClean, fault_of, find_refused


class Load:
    """A load of which some rows fail by themselves, and of which only so many heavy rows pass together."""

    def __init__(self, guilty: set[int], heavy: set[int], heavy_max: int) -> None:
        self.guilty, self.heavy, self.heavy_max = guilty, heavy, heavy_max
        self.attempts = 0

    def clean(self, until: int, refused: Mapping[int, str]) -> None:
        self.attempts += 1
        kept = set(range(until)) - refused.keys()
        if kept & self.guilty:
            raise CannotClean("guilty", [1], until)
        if len(kept & self.heavy) > self.heavy_max:
            raise CannotClean("heavy", [1], until)


@settings(deadline=None)
@given(st.integers(1, 60), st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.integers(0, 5))
def test_the_rest_of_a_load_passes_without_the_refused_rows(rows, guilty, heavy, heavy_max):
    """Every guilty row is found, no innocent one, and of the heavy ones no more than must."""
    guilty &= set(range(rows))
    heavy = heavy & set(range(rows)) - guilty
    load = Load(guilty, heavy, heavy_max)
    refused = find_refused(rows, load.clean)
    load.clean(rows, refused)
    assert {row for row, why in refused.items() if why == "guilty"} == guilty
    assert {row for row, why in refused.items() if why == "heavy"} == set(sorted(heavy)[heavy_max:])


def test_one_guilty_row_costs_a_bisection():
    """Twice the logarithm, not a try a row."""
    load = Load({77_777}, set(), 0)
    assert list(find_refused(100_000, load.clean)) == [77_777]
    assert load.attempts < 40


def test_what_fails_without_any_row_is_no_rows_fault():
    """A broken installation does not turn events into dead letters."""

    def broken(until: int, _refused: Mapping[int, str]) -> None:
        raise CannotClean("broken", [1], until)

    assert find_refused(9, broken) == {}


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.InsufficientPrivilege(), psycopg.errors.UndefinedTable(), psycopg.errors.DiskFull(),
        psycopg.errors.OutOfMemory(), psycopg.errors.DeadlockDetected(), psycopg.errors.AdminShutdown(),
        psycopg.errors.LockNotAvailable(), psycopg.errors.IndexCorrupted(), psycopg.OperationalError("gone"),
        AssertionError("a run that loses a row"), MemoryError(), OSError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_no_row_is_blamed_for_what_is_not_its_fault(error):
    """Rights, resources, shutdowns, damage, our own assertions: these stop everything and are said."""
    assert fault_of(error) is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psycopg.errors.CheckViolation(), "23514: CheckViolation"),
        (psycopg.errors.NumericValueOutOfRange(), "22003: NumericValueOutOfRange"),
        (psycopg.errors.ProgramLimitExceeded(), "54000: ProgramLimitExceeded"),
        (psycopg.errors.RaiseException("900101-1234567"), "P0001: RaiseException"),
        (psycopg.DataError("900101-1234567"), "psycopg: DataError"),
        (ValueError("900101-1234567"), "ValueError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_named_without_a_value(error, reason):
    """Class and code; what PostgreSQL quotes may be somebody's resident number."""
    assert fault_of(error) == reason
