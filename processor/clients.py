"""The client's account: what SDK instances say they made, beside what arrived. Shown, never forced to balance."""

from datetime import date, datetime

import psycopg
from msgspec import Struct

from storage.postgres import read_sql


class ClientAccount(Struct, frozen=True):
    """What the SDK instances of one app version say of a Korean day, beside what arrived."""

    day: date
    source: str
    platform: str
    app_version: str
    instances: int
    created: int
    arrived: int
    dropped: dict[str, int]
    """Given up on by the SDK: reason → events."""
    pending: int
    """Still in the queues of instances that were heard of within 7 days."""
    vanished: int
    """Neither arrived nor accounted for."""


def read_clients(connection: psycopg.Connection, range_from: datetime, range_until: datetime) -> list[ClientAccount]:
    """Return the accounts of the Korean days that the range touches."""
    rows = connection.execute(
        read_sql("processor.sql", "client_account.sql"), {"from": range_from, "until": range_until}
    ).fetchall()
    return [ClientAccount(*row) for row in rows]
