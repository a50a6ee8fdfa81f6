"""What a session has to be before anything is done in it: pinned, on a server that suits, and its own.

Firms keep PostgreSQL in their own ways: another date style, a database in EUC_KR, a pooler in front. What a statement
means must not depend on it, and what cannot be pinned is refused in one sentence, before the first migration.
"""

import contextlib
import select
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Final

import psycopg
from psycopg.pq import ExecStatus

from contract.errors import DatabaseRefused

_PIN: Final = (files("storage.sql") / "pin_session.sql").read_bytes()
_VERSION_MIN: Final = 15
_PROBES: Final = 5
# A pool whose sessions are all taken lets nobody in: then nothing is known, and nobody is refused.
_PROBE_S: Final = 3.0
_NO_TRANSACTIONS: Final = b""
_SHARED: Final = (
    "a pooler before PostgreSQL hands this session on between transactions (PgBouncer's `pool_mode = transaction`), "
    "but Sillok keeps locks and temporary tables in it: name PostgreSQL itself in the dsn, or a pool with "
    "`pool_mode = session`"
)


def refuse_unsuitable(connection: psycopg.Connection) -> None:
    """Raise DatabaseRefused for a server that is too old, and for a database that cannot hold every text."""
    version = connection.info.server_version // 10_000
    if version < _VERSION_MIN:
        raise DatabaseRefused(f"PostgreSQL {version} is too old: Sillok needs {_VERSION_MIN} or later")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"the database `{connection.info.dbname}` is in {encoding}, which cannot hold every text: make one for "
            "Sillok with `create database sillok encoding 'UTF8' locale 'C' template template0`, and name it in the dsn"
        )


def pin(connection: psycopg.Connection, open_another: Callable[[], psycopg.Connection]) -> None:
    """Pin the session's settings; raise DatabaseRefused when it is not the session's for as long as the connection.

    `open_another` is asked for a second connection only when a pooler shows itself: it gives its clients numbers of its
    own, where PostgreSQL gives the backend's.
    """
    answer = connection.execute(_PIN).fetchone()
    assert answer is not None  # noqa: S101 - an aggregate has a row
    if answer[0] != connection.info.backend_pid and _is_handed_on(connection, answer[0], open_another):
        raise DatabaseRefused(_SHARED)


def _is_handed_on(connection: psycopg.Connection, backend: int, open_another: Callable[[], psycopg.Connection]) -> bool:
    """Say whether somebody else gets our backend while we have no transaction, or we get another one."""
    with contextlib.suppress(psycopg.OperationalError), contextlib.closing(open_another()) as another:
        for _ in range(_PROBES):
            others = _ask_within(another, b"begin; select pg_catalog.pg_backend_pid()")
            if others is None:
                return False
            if others == _NO_TRANSACTIONS or int(others) == backend:
                return True
            if connection.execute("select pg_catalog.pg_backend_pid()").fetchone() != (backend,):
                return True
            another.pgconn.exec_(b"rollback")
    return False


def _ask_within(connection: psycopg.Connection, query: bytes, seconds: float = _PROBE_S) -> bytes | None:
    """Return a query's last value; None when no answer comes in time, or a refusal."""
    ends, pgconn = time.monotonic() + seconds, connection.pgconn
    pgconn.send_query(query)
    while pgconn.is_busy():
        if not select.select([pgconn.socket], [], [], max(0.0, ends - time.monotonic()))[0]:
            return None
        pgconn.consume_input()
    value = None
    while result := pgconn.get_result():
        value = result.get_value(0, 0) if result.status == ExecStatus.TUPLES_OK else None
        if b"statement pooling" in result.error_message:
            return _NO_TRANSACTIONS
    return value
