"""Which customer owned which device, from when to when.

Always true:

- What is known of a device (`ops.identity_events`) only grows, and whose it was follows from all of it: so late and
  unordered logins end in the same rows as ordered ones.
- Two customers never own a device at the same time; PostgreSQL refuses it.
- A device that ever had two customers is never given back to one of them for the time before they were known.
"""

import psycopg

from storage.postgres import read_sql


def link(connection: psycopg.Connection) -> None:
    """Take in what the run wrote, and write whose the devices are of which it says something new."""
    connection.execute(read_sql("processor.sql", "remember_identities.sql"))
    resolve(connection)


def resolve(connection: psycopg.Connection) -> None:
    """Write whose the devices of batch_devices are, from all that is known of them."""
    for name in ("resolve_identities.sql", "drop_identities.sql", "write_identities.sql"):
        connection.execute(read_sql("processor.sql", name))
