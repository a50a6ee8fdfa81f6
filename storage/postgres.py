"""PostgreSQL: connecting with the right role, reading a `.sql` file by name, telling errors apart.

Every connection of ours is made by `connect`, and so is pinned and looked at (`session`).
"""

import functools
import re
from importlib.resources import files
from typing import Final

import psycopg
from msgspec import Struct

from contract.errors import DatabaseRefused, DatabaseUnavailable
from storage.session import pin, refuse_unsuitable

# Passing trouble by SQLSTATE class: connection, resources, shutdown, serialisation; and a lock timeout.
_PASSING: Final = ("08", "53", "57", "40", "55P03")
# Waiting does not mend these: wrong password or user, no such database, no such role.
_REFUSED: Final = ("28", "3D000", "42704", "22023")

_SEVERITY: Final = re.compile("FATAL:|치명적오류:")

# libpq gives no SQLSTATE for a connection that did not come about.
_REFUSING_WORDS: Final = (
    "password", "authentication failed", "pg_hba.conf", "does not exist", "not permitted to log in",
    "permission denied for database",
    # A pooler's own words.
    "no such database", "no such user", "unsupported startup parameter",
    # A server whose messages are Korean (`lc_messages`): it speaks before a session could ask for English.
    "인증을 실패", "데이터베이스 없음", "롤(role) 없음", "접속을 허용하지 않음", "접근 권한 없음",
)  # fmt: skip


# A machine or a firewall that goes without a word is noticed within a minute, by both ends: the kernel's own two hours
# would leave the loader waiting for an answer, and the lock of a lost processor with its ghost.
_ALIVE: Final = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}


class DatabaseSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one process reaches PostgreSQL: sections `[load]`, `[process]`, `[migrate]`, `[operate]`."""

    dsn: str = ""
    """A libpq connection string or URI, as a user for this program alone. Empty: the embedded PostgreSQL of `sillok
    up`. Another database: the command works on what stands there."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dsn={'…' if self.dsn else ''!r})"


def connect(dsn: str, *, role: str | None = None, application: str = "sillok") -> psycopg.Connection:
    """Open a connection; raise DatabaseUnavailable when waiting may help, else DatabaseRefused.

    `role` is what the session works as; it needs no rights beyond.
    """
    connection = connect_anywhere(dsn, application=application)
    try:
        refuse_unsuitable(connection)
        pin(connection, functools.partial(connect_anywhere, dsn, application=application))
        if role is not None:
            connection.execute(psycopg.sql.SQL("set role {}").format(psycopg.sql.Identifier(role)))
    except DatabaseRefused:
        connection.close()
        raise
    except psycopg.Error as error:
        connection.close()
        if role is None or is_passing(error):
            raise DatabaseUnavailable from error
        raise DatabaseRefused(
            f"PostgreSQL did not let this user act as `{role}`: run `sillok migrate`, then `grant {role} to <user>`"
        ) from error
    return connection


def connect_anywhere(dsn: str, *, application: str) -> psycopg.Connection:
    """Open a connection to a database that need not be ours, with its own settings; raise as `connect` does."""
    try:
        chosen = psycopg.conninfo.conninfo_to_dict(dsn)
        asked = {name: value for name, value in _ALIVE.items() if name not in chosen}
        return psycopg.connect(
            psycopg.conninfo.make_conninfo(dsn, **asked),
            autocommit=True,
            connect_timeout=10,
            application_name=application,
            # No `options`: a pooler refuses them.
            client_encoding="UTF8",
        )
    except psycopg.OperationalError as error:
        raise _classify(error) from error
    except psycopg.ProgrammingError:
        # It would quote the string, and so the password.
        raise DatabaseRefused("the dsn in the settings is not one PostgreSQL can read: check its spelling") from None


def _classify(error: psycopg.OperationalError) -> Exception:
    """Tell a database that is away from one that says no; the DSN, and so the password, is never repeated."""
    state = error.sqlstate or ""
    text = str(error)
    reason = _SEVERITY.split(text.strip().splitlines()[-1])[-1].strip() if text.strip() else "no reason given"
    refused = state.startswith(_REFUSED) or (
        not state and any(words in text for words in _REFUSING_WORDS) and "No such file" not in text
    )
    if refused:
        return DatabaseRefused(f"PostgreSQL refuses the connection: {reason}; check the dsn in the settings")
    return DatabaseUnavailable(f"PostgreSQL cannot be reached: {reason}")


def is_passing(error: psycopg.Error) -> bool:
    """Say whether the same work may succeed later without anybody changing the data."""
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return True
    return (error.sqlstate or "").startswith(_PASSING)


@functools.cache
def read_sql(package: str, name: str) -> str:
    """Return the text of a `.sql` file that ships with a package."""
    return (files(package) / name).read_text(encoding="utf-8")
