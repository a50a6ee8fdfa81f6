"""Which joins the planner may choose, where the statement knows better than its estimates.

The rows of a batch are the newest, beyond every histogram: PostgreSQL takes them for one row, and seven equal texts for
one too. And it believes that to read a day whole is cheaper than some thousand probes of its partitions. Either mistake
costs seconds a batch, and the second more with every event of the day.
"""

import contextlib
from collections.abc import Iterator
from typing import LiteralString

import psycopg


def by_hash(connection: psycopg.Connection) -> contextlib.AbstractContextManager[None]:
    """Join rows of the batch with rows of the batch: never each with each."""
    return _without(connection, "nestloop")


def by_probe(connection: psycopg.Connection) -> contextlib.AbstractContextManager[None]:
    """Look each row of the batch up in a table of any size: never read that table."""
    return _without(connection, "hashjoin", "mergejoin")


@contextlib.contextmanager
def _without(connection: psycopg.Connection, *joins: LiteralString) -> Iterator[None]:
    # An error ends the transaction, and with it the settings.
    for join in joins:
        connection.execute(f"set local enable_{join} = off")
    yield
    for join in joins:
        connection.execute(f"set local enable_{join} = on")
