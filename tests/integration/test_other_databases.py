"""The database as others keep it: what a statement means does not depend on it, and what cannot be pinned is refused.

Each refusal is one sentence and exit status 2, before anything is written.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from contract.errors import DatabaseRefused
from storage.migrate import migrate
from storage.postgres import connect
from tests.builders import Road, Sent, event, fresh_database, on_road, today_us
from tests.conftest import with_database
from tests.integration.conftest import clean_environment
from tests.patience import PATIENCE_S
from tests.pgbouncer import PROGRAM, pgbouncer

# Whatever a database, a role or a DSN may say, and what it means to us all the same.
STRANGE = {
    "datestyle": ("German, DMY", "ISO, YMD"),
    "intervalstyle": ("iso_8601", "postgres"),
    "timezone": ("America/New_York", "Asia/Seoul"),
    "bytea_output": ("escape", "hex"),
    "extra_float_digits": ("-10", "1"),
    "client_encoding": ("EUC_KR", "UTF8"),
    "standard_conforming_strings": ("off", "on"),
    "backslash_quote": ("on", "safe_encoding"),
    "transform_null_equals": ("on", "off"),
    "array_nulls": ("off", "on"),
    "xmloption": ("document", "content"),
    "search_path": ("elsewhere, public", ""),
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_read_only": ("on", "off"),
    "default_transaction_deferrable": ("on", "off"),
    "synchronous_commit": ("off", "on"),
    "statement_timeout": ("3s", "0"),
    "lock_timeout": ("3s", "0"),
    "idle_in_transaction_session_timeout": ("3s", "0"),
    "client_min_messages": ("error", "warning"),
}


def identifier(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


def setting(value: str) -> str:
    """Return a value as `alter … set` takes it: a list's parts each by itself."""
    return ", ".join(f"'{part.strip()}'" for part in value.split(","))


@contextlib.contextmanager
def database(postgres: str, how: str = "") -> Iterator[str]:
    """Yield the DSN of an empty database that was made so."""
    name = identifier("others")
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create database {name} {how} template template0")
    yield with_database(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture(params=["database", "role", "dsn"])
def strange(request: pytest.FixtureRequest, postgres: str, template: str) -> Iterator[str]:
    """Yield the DSN of a database in which every setting is strange, by one of the ways to say so."""
    with fresh_database(postgres, template) as dsn:
        name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
        role = identifier("stranger")
        with psycopg.connect(postgres, autocommit=True) as admin:
            admin.execute(f"create role {role} login superuser")
            whose = {"database": f"database {name}", "role": f"role {role} in database {name}"}.get(request.param)
            for key, (value, _) in STRANGE.items():
                if whose:
                    admin.execute(f"alter {whose} set {key} = {setting(value)}")
        user = role if request.param == "role" else "postgres"
        options = "".join(
            f"-c {key}={value.replace(' ', chr(92) + ' ')} " for key, (value, _) in STRANGE.items() if not whose
        )
        yield psycopg.conninfo.make_conninfo(dsn, user=user, **({"options": options} if options else {}))
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"drop role {role}")


def settings_of(connection: psycopg.Connection) -> dict[str, str]:
    return {key: connection.execute(f"show {key}").fetchone()[0] for key in STRANGE}


def test_what_changes_a_statements_meaning_is_pinned_whoever_says_otherwise(strange: str) -> None:
    with psycopg.connect(strange) as plain:
        wrong = {key for key, found in settings_of(plain).items() if found == STRANGE[key][1].strip()}
        assert not wrong, "the test has to make them strange"
    with connect(strange) as ours:
        found = settings_of(ours)
        assert {key: found[key].strip('"') for key in STRANGE} == {key: value for key, (_, value) in STRANGE.items()}


def walk(road: Road) -> list[tuple[object, ...]]:
    """Take events of every kind of value all the way; return what is clean of them."""
    events = [
        event(
            session_id="s1",
            anonymous_id="기기-1",
            event_type="page_view",
            page_url="https://m.example.com/매수\\n",
            seq=1,
        ),
        event(session_id="s1", anonymous_id="기기-1", customer_id="O'Brien \\' 고객", click_text="10% — \\", seq=2),
        event(
            anonymous_id="기기-2",
            event_type="custom",
            event_name="주문",
            props={"단가": 71500.1, "널": None, "가": ["NULL"]},
        ),
        event(anonymous_id="기기-2", time=today_us(9) // 1000, search_text="İstanbul ıI ŞÇ 漢字 🙂"),  # noqa: RUF001
    ]
    road.send(
        Sent(events, at_us=today_us(12, 1), sent_at=today_us(11, 50) // 1000, ip="203.0.113.7", user_agent="뷰어/1")
    )
    shown = (
        "event_type", "event_time", "event_date", "page_path", "customer_id", "click_text", "props", "flags", "ip",
        "search_text",
    )  # fmt: skip
    return [tuple(row[name] for name in shown) for row in road.clean(*events)]


@pytest.fixture(scope="module")
def ordinary(postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    with (
        fresh_database(postgres, template) as dsn,
        on_road(dsn, tmp_path_factory.mktemp("ordinary") / "spool") as road,
    ):
        return walk(road)


def test_in_a_strange_database_the_rows_and_the_books_are_the_same(
    strange: str, ordinary: list[tuple[object, ...]], tmp_path: Path
) -> None:
    with on_road(strange, tmp_path / "spool") as road:
        assert walk(road) == ordinary
        assert road.books().balanced


@pytest.mark.parametrize("how", ["locale 'C'", "locale_provider icu icu_locale 'tr-TR' locale 'C'"])
def test_in_a_database_of_another_collation_the_rows_and_the_books_are_the_same(
    postgres: str, how: str, ordinary: list[tuple[object, ...]], tmp_path: Path
) -> None:
    """Turkish has another lower case, and sorts in another order."""
    try:
        made = database(postgres, f"encoding 'UTF8' {how}")
        dsn = made.__enter__()
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL was built without ICU")
    with contextlib.ExitStack() as stack:
        stack.push(made)
        with connect(dsn) as admin:
            list(migrate(admin))
        with on_road(dsn, tmp_path / "spool") as road:
            assert walk(road) == ordinary
            assert road.books().balanced


# What cannot be pinned


def sillok(dsn: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    sections = ("MIGRATE", "LOAD", "PROCESS", "OPERATE")
    environment = clean_environment(
        **{f"SILLOK_{section}_DSN": dsn for section in sections}, SILLOK_DATA_FOLDER=str(folder)
    )
    command = [sys.executable, "-m", "sillok", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Hold a command to: exit status 2, one sentence, no traceback."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("sillok: ")
    assert all(word in line for word in words), line


COMMANDS = [("migrate",), ("load", "--once"), ("process", "--once"), ("reconcile",)]


@pytest.mark.parametrize(("encoding", "commands"), [("EUC_KR", COMMANDS), ("SQL_ASCII", COMMANDS[:1])])
def test_a_database_that_cannot_hold_every_text_is_refused_before_the_first_migration(
    postgres: str, encoding: str, commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    with database(postgres, f"encoding '{encoding}' locale 'C'") as dsn:
        for command in commands:
            assert_refused(sillok(dsn, tmp_path, *command), f"is in {encoding}", "encoding 'UTF8'")
        with psycopg.connect(dsn) as plain:
            assert plain.execute("select count(*) from pg_namespace where nspname = 'ops'").fetchone() == (0,)


def test_a_server_that_is_too_old_is_refused(tmp_path: Path) -> None:
    greeting = (
        message(b"R", bytes(4))
        + message(b"S", b"server_version\0" + b"14.12\0")
        + message(b"S", b"server_encoding\0UTF8\0")
        + message(b"S", b"client_encoding\0UTF8\0")
        + message(b"K", bytes(8))
        + message(b"Z", b"I")
    )
    with greeting_server(greeting) as dsn:
        assert_refused(sillok(dsn, tmp_path, "migrate"), "PostgreSQL 14 is too old", "15 or later")


@pytest.mark.parametrize(
    "text",
    [
        '"sillok" 데이터베이스 없음',
        '"kim" 롤(role) 없음',
        '사용자 "kim"의 password 인증을 실패했습니다',
        '사용자 "kim"의 peer 인증을 실패했습니다.',
        '"kim" 롤은 접속을 허용하지 않음',
        "sillok 데이터베이스 접근 권한 없음",
        '호스트 "::1", 사용자 "kim", 데이터베이스 "sillok", 암호화 안함 연결에 대한 설정이 pg_hba.conf 파일에 없습니다.',
        'database "sillok" does not exist',
    ],
)
def test_a_server_that_refuses_in_korean_is_understood(text: str) -> None:
    """As PostgreSQL 15 words it. Waiting mends none of these."""
    severity = "FATAL" if text.isascii() else "치명적오류"
    fields = f"S{severity}\0VFATAL\0C28000\0M{text}\0\0".encode()
    with greeting_server(message(b"E", fields)) as dsn, pytest.raises(DatabaseRefused) as caught:
        connect(dsn)
    assert str(caught.value) == f"PostgreSQL refuses the connection: {text}; check the dsn in the settings"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


@contextlib.contextmanager
def greeting_server(greeting: bytes) -> Iterator[str]:
    """Yield the DSN of a server that greets everybody so, and can do no more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client:
                    client.recv(4096)
                    client.sendall(greeting)
                    while client.recv(4096):
                        pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        host, port = listener.getsockname()
        yield f"host={host} port={port} user=old dbname=old sslmode=disable gssencmode=disable"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_user_without_the_rights_to_migrate_is_told_so(postgres: str, tmp_path: Path) -> None:
    role = identifier("plain")
    with database(postgres) as dsn, psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"create role {role} login")
        assert_refused(
            sillok(psycopg.conninfo.make_conninfo(dsn, user=role), tmp_path, "migrate"),
            "permission denied for database", "name an administrator in [migrate] dsn",
        )  # fmt: skip
        admin.execute(f"drop role {role}")


# Poolers

needs_pgbouncer = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")


@needs_pgbouncer
@pytest.mark.parametrize("settings", [(), ("server_round_robin = 1",), ("min_pool_size = 5",)])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_hands_sessions_on_is_refused(
    postgres: str, template: str, mode: str, settings: tuple[str, ...], tmp_path: Path
) -> None:
    with fresh_database(postgres, template) as dsn, pgbouncer(tmp_path, dsn, mode, *settings) as pooled:
        for _ in range(5):
            with pytest.raises(DatabaseRefused, match="pool_mode = session"):
                connect(pooled)
        if mode == "transaction" and not settings:
            for command in COMMANDS[:3]:
                assert_refused(sillok(pooled, tmp_path, *command), "pool_mode = transaction", "pool_mode = session")


@needs_pgbouncer
def test_through_a_pooler_that_leaves_a_session_to_its_client_all_is_as_without(
    postgres: str, template: str, ordinary: list[tuple[object, ...]], tmp_path: Path
) -> None:
    with fresh_database(postgres, template) as dsn, pgbouncer(tmp_path, dsn, "session") as pooled:
        with on_road(pooled, tmp_path / "spool") as road:
            assert walk(road) == ordinary
            assert road.books().balanced
        assert sillok(pooled, tmp_path, "migrate").stdout == "nothing to do: the schema is up to date\n"
        assert json.loads(sillok(pooled, tmp_path, "reconcile", "--json").stdout)


@needs_pgbouncer
def test_a_pooler_whose_sessions_are_all_taken_is_not_refused(postgres: str, template: str, tmp_path: Path) -> None:
    """Nothing is known of it then, and the second connection is not waited for."""
    with (
        fresh_database(postgres, template) as dsn,
        pgbouncer(tmp_path, dsn, "session", "default_pool_size = 1") as pooled,
        connect(pooled) as only,
    ):
        assert only.execute("show search_path").fetchone() == ("",)


@needs_pgbouncer
def test_what_a_pooler_will_never_take_is_refused(postgres: str, template: str, tmp_path: Path) -> None:
    with fresh_database(postgres, template) as dsn, pgbouncer(tmp_path, dsn, "session") as pooled:
        asked = psycopg.conninfo.make_conninfo(pooled, options="-c jit=off")
        with pytest.raises(DatabaseRefused, match="unsupported startup parameter: options"):
            connect(asked)
