"""An operator's action: one transaction that does it, moves the books, and says who did what and why.

Always true:

- Nothing an operator does is without its row in `ops.actions`, which commits with what was done.
- `ops.audit` is never edited: an action adds dated rows of stage `operator`, signed, which sum to zero over the
  outcomes an event can have.
- No personal data stands in a row of `ops.actions`.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from msgspec import Struct
from psycopg.types.json import Jsonb

from contract.errors import UsageError
from storage.postgres import read_sql

_LOCK: Final = 0x5111_0E
_NO_LOGIN: Final = 2**32 - 1


class Action(Struct, kw_only=True):
    """One action while it goes on; `result` is what it did, in numbers."""

    action_id: int
    connection: psycopg.Connection
    result: dict[str, Any]

    def run(self, name: str, **values: Any) -> int:
        """Run one of the statements of `operate/sql`; return how many rows it touched."""
        return self.connection.execute(statement(name), {"action_id": self.action_id, **values}).rowcount


def prepare(connection: psycopg.Connection) -> None:
    """Make the workspace of the statements, once per connection."""
    connection.execute(statement("session.sql").encode())


def statement(name: str) -> Any:
    """Return the text of a statement."""
    return read_sql("processor.operate.sql", name)


@contextmanager
def acting(
    connection: psycopg.Connection, command: str, arguments: dict[str, Any], reason: str = ""
) -> Iterator[Action]:
    """Open an action's transaction; it is written down, and committed, when the block ends well."""
    with connection.transaction():
        action_id = one(connection, "select nextval('ops.action_id_seq')")
        action = Action(action_id=action_id, connection=connection, result={})
        yield action
        action.run("write_moves.sql")
        action.run(
            "insert_action.sql",
            operator=operating_user(),
            command=command,
            arguments=Jsonb(arguments),
            reason=reason,
            result=Jsonb(action.result),
        )


@contextmanager
def alone(connection: psycopg.Connection, what: str) -> Iterator[None]:
    """Let no second command of this kind run meanwhile; raise UsageError when one does."""
    (taken,) = connection.execute("select pg_try_advisory_lock(%s)", (_LOCK,)).fetchone() or (False,)
    if not taken:
        raise UsageError(f"another command is changing what was stored: wait for it, then run {what} again")
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", (_LOCK,))


def one(connection: psycopg.Connection, query: LiteralString, values: Any = None) -> Any:
    """Return the first column of the first row."""
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None


def operating_user() -> str:
    """Return who runs this command, as the operating system knows him; behind sudo also who had logged in."""
    acting_as = _user_name(os.getuid())
    try:
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return acting_as
    # The kernel keeps it from the login on, and nobody but root can change it.
    return acting_as if login in (os.getuid(), _NO_LOGIN) else f"{_user_name(login)} as {acting_as}"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
