"""What must be true of the tables after whatever happened to them."""

import psycopg

from processor.checks import run_checks


def assert_checks_are_clean(connection: psycopg.Connection) -> None:
    """Fail with the offending rows unless every check of `processor/checks` finds none."""
    found = {outcome.name: outcome.offenders for outcome in run_checks(connection) if outcome.offenders}
    assert not found, f"checks that found something: {found}"
