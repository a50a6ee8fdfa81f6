"""What operators did cannot be changed unseen: in the database, and beside the key file."""

import json
import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from commands.key_log import log_path, read_actions
from contract.errors import AuditBroken
from processor.operate.actions import acting, prepare
from storage.migrate import available
from storage.postgres import connect
from tests.builders import Road
from tests.operating import sillok, write_settings
from tests.patience import PATIENCE_S


def act(road: Road, *reasons: str) -> None:
    for reason in reasons:
        with acting(road.operator, "test", {"n": 1.50, "글": "값"}, reason) as action:
            action.result["done"] = 3


def broken(road: Road) -> list[int]:
    return road.values(
        "select link::int from ("
        + (Path("processor/checks/actions_are_chained.sql")).read_text(encoding="utf-8")
        + ") c"
    )


def as_superuser(road: Road, statement: str) -> None:
    """Change what nobody may, as who owns the server can."""
    with road.admin.transaction():
        road.admin.execute("set local session_replication_role = replica")
        road.admin.execute(statement)


@pytest.mark.parametrize(
    "statement", ["update ops.actions set reason = 'x'", "delete from ops.actions", "truncate ops.actions"]
)
def test_nobody_changes_what_was_done_not_even_the_owner(road: Road, statement: str) -> None:
    act(road, "first")
    with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
        road.admin.execute(statement)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("update ops.actions set reason = 'better' where link = 2", [2]),
        ("update ops.actions set at = at + interval '1 s' where link = 2", [2]),
        ("update ops.actions set arguments = '{}' where link = 3", [3]),
        ("update ops.actions set operator = 'somebody else' where link = 1", [1]),
        ("delete from ops.actions where link = 2", [3, 4]),
        ("delete from ops.actions where link = 1", [2, 3, 4]),
        (
            "insert into ops.actions (action_id, operator, command, arguments, reason, result) values (99, 'x', 'y', '{}', '', '{}')",
            [None],
        ),
    ],
)
def test_what_was_changed_is_found(road: Road, statement: str, found: list[int]) -> None:
    act(road, "first", "second", "third", "fourth")
    assert broken(road) == []
    as_superuser(road, statement)
    assert broken(road)[: len(found)] == found


def test_nobody_signs_with_another_name_or_on_another_day(road: Road) -> None:
    """Whoever may write actions may write what he likes as `operator`; user and time are PostgreSQL's own."""
    dsn = psycopg.conninfo.make_conninfo(road.dsn, user="audit_test")
    road.admin.execute("create user audit_test in role sillok_processor")
    road.reset_later("drop user audit_test")
    with connect(dsn) as theirs:
        theirs.execute(
            "insert into ops.actions (action_id, at, operator, login, command, arguments, reason, result, link, chain)"
            " values (1, '2020-01-01', 'lee', 'lee', 'export', '{}', '', '{}', 77, 'x')"
        )
    written = "select concat_ws(' ', login, link, now() - at < interval '1 min') from ops.actions"
    assert road.values(written) == ["audit_test 1 t"]
    assert broken(road) == []
    as_superuser(road, "update ops.actions set login = 'lee'")
    assert broken(road) == [1]


def test_actions_without_a_login_keep_their_hashes(road: Road) -> None:
    """Migration 10 on a database with actions in it."""
    sql = {number: sql for number, _, sql in available()}
    with road.admin.transaction(force_rollback=True):
        road.admin.execute("alter table ops.actions drop column login, drop column link, drop column chain")
        for function in ("action_hash", "link_action"):
            road.admin.execute(f"drop function ops.{function} cascade")
        road.admin.execute("drop trigger actions_only_grow on ops.actions")
        road.admin.execute(sql[9].encode())
        for number in (10, None):
            road.admin.execute(
                "insert into ops.actions (action_id, operator, command, arguments, reason, result)"
                " values (nextval('ops.action_id_seq'), 'kim', 'test', '{}', '', '{}')"
            )
            if number:
                road.admin.execute(sql[number].encode())
        assert road.values("select login is null from ops.actions order by link") == [True, False]
        assert broken(road) == []


def test_who_had_logged_in_is_known_behind_sudo() -> None:
    """The kernel's word for it, which is set at the login and stays."""
    program = (
        "import sys; from pathlib import Path; from processor.operate.actions import operating_user\n"
        "try: Path('/proc/self/loginuid').write_text('2')\n"
        "except OSError: sys.exit(77)\n"
        "print(operating_user())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode == 77:
        pytest.skip("this machine lets nobody set a login's user")
    assert done.stdout.strip() == f"{pwd.getpwuid(2).pw_name} as {pwd.getpwuid(os.getuid()).pw_name}", done.stderr


def test_actions_at_once_make_one_chain(road: Road) -> None:
    def work() -> None:
        with connect(road.dsn, role="sillok_operator") as connection:
            prepare(connection)
            for _ in range(10):
                with acting(connection, "test", {}, "at once"):
                    pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert road.values("select link::int from ops.actions order by link") == list(range(1, 41))
    assert broken(road) == []


def test_what_was_done_before_the_chain_is_its_beginning(road: Road) -> None:
    """Migration 9 on a database with actions in it."""
    act(road, "first", "second")
    sql = {number: sql for number, _, sql in available()}[9]
    with road.admin.transaction(force_rollback=True):
        road.admin.execute("alter table ops.actions drop column link, drop column chain")
        for function in ("action_hash", "link_action"):
            road.admin.execute(f"drop function ops.{function} cascade")
        road.admin.execute("drop trigger actions_only_grow on ops.actions")
        road.admin.execute(sql.encode())
        assert road.values("select link::int from ops.actions order by action_id") == [1, 2]
        assert broken(road) == []


def test_the_command_lists_and_verifies_both_logs_and_knows_a_log_that_was_cut_off(road: Road, tmp_path: Path) -> None:
    settings = write_settings(road, tmp_path, f'[data]\nfolder = "{tmp_path}"\n')
    act(road, "first", "second")
    made = json.loads(sillok(settings, "keys", "make", "--source", "mts", "--json").stdout)
    assert sillok(settings, "keys", "revoke", made["id"]).returncode == 0
    done = json.loads(sillok(settings, "audit", "list", "--json").stdout)
    assert [(each["log"], each["command"]) for each in done] == [
        ("database", "test"), ("database", "test"), ("keys", "keys make"), ("keys", "keys revoke"),
    ]  # fmt: skip
    assert made["key"] not in json.dumps(done)
    verified = sillok(settings, "audit", "verify")
    assert verified.returncode == 0, verified.stderr
    links = [line.removeprefix("ok ") for line in verified.stdout.splitlines()]
    known = [word for link in links for word in ("--known", link)]
    act(road, "third")
    assert sillok(settings, "audit", "verify", *known).returncode == 0

    as_superuser(road, "delete from ops.actions where link >= 2")
    assert sillok(settings, "audit", "verify").returncode == 0, "a log that ends early holds in itself"
    cut = sillok(settings, "audit", "verify", *known)
    assert cut.returncode == 1
    assert "link 2 is not the one that was known" in cut.stdout

    log_path(tmp_path / "keys.jsonl").unlink()
    assert "!! keys:0:" in sillok(settings, "audit", "verify", *known).stdout, "a log that is gone is cut off too"
    alone = tmp_path / "alone.toml"
    alone.write_text(f'[data]\nfolder = "{tmp_path}"\n', encoding="utf-8")
    nowhere = sillok(alone, "audit", "verify", "--known", known[-1])
    assert (nowhere.returncode, "no database" in nowhere.stdout) == (1, True)


def test_a_changed_line_of_the_key_log_is_found_and_nothing_is_added_behind_it(road: Road, tmp_path: Path) -> None:
    settings = write_settings(road, tmp_path, f'[data]\nfolder = "{tmp_path}"\n')
    for source in ("one", "two", "three"):
        assert sillok(settings, "keys", "make", "--source", source).returncode == 0
    path = log_path(tmp_path / "keys.jsonl")
    before = path.read_bytes()
    for spoiled in (
        before.replace(b'"two"', b'"2wo"'),
        b"".join(before.splitlines(keepends=True)[::2]),
        before[:-1],
        before + b"{}\n",
    ):
        path.write_bytes(spoiled)
        with pytest.raises(AuditBroken, match="line"):
            list(read_actions(path))
        verified = sillok(settings, "audit", "verify")
        assert verified.returncode == 1
        refused = sillok(settings, "keys", "make", "--source", "four")
        assert (refused.returncode, path.read_bytes()) == (1, spoiled)
    path.write_bytes(before)
    assert len(list(read_actions(path))) == 3
