"""What cannot be done is refused in one sentence that says what to do: exit status 2, and never a traceback."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
import structlog

from sillok import main
from storage.embedded import EmbeddedPostgres
from storage.logs import configure_logs
from storage.migrate import migrate
from storage.postgres import connect
from storage.spool.folder import SpoolFolder
from tests.conftest import free_port, with_database
from tests.patience import PATIENCE_S

PASSWORD = "right-9f2c"
WRONG_PASSWORD = "wrong-51ab"

SETTINGS_ERRORS = {
    "a misspelt setting": ("[serve]\nprot = 1", "[serve]", "`prot`", "spelling"),
    "a misspelt section": ("[server]\nport = 1", "[top level]", "`server`", "spelling"),
    "a setting outside its section": ("port = 1", "[top level]", "`port`", "spelling"),
    "a value in place of a section": ("serve = 3", "[serve]", "expected a table"),
    "a misspelt setting of a key": ('[[serve.keys]]\nkey = "k"\nsorce = "s"', "[serve.keys[0]]", "`sorce`", "spelling"),
    "a key without its source": ('[[serve.keys]]\nkey = "k"', "[serve.keys[0]]", "`source` is missing"),
    "a key of no kind": ('[[serve.keys]]\nkey = "k"\nsource = "s"\nkind = "phone"', "[serve.keys[0].kind]", "'phone'"),
    "a key that may send nothing": (
        '[[serve.keys]]\nkey = "k"\nsource = "s"\nevents_per_second_max = 0',
        "[serve.keys[0].events_per_second_max]",
        "> 0",
    ),
    "a wrong type": ('[serve]\nport = "seven"', "[serve.port]", "expected `int`, got `str`"),
    "a port that is none": ("[serve]\nport = 70000", "[serve.port]", "<= 65535"),
    "no workers": ("[serve]\nworkers = 0", "[serve.workers]", ">= 1"),
    "a proxy that is no network": ('[serve]\ntrusted_proxies = "10.0.0.1"', "[serve.trusted_proxies]", "`array`"),
    "no bad request at all": ("[serve]\nrefused_per_minute_max = 0", "[serve.refused_per_minute_max]", ">= 1"),
    "a level that is none": ('[log]\nlevel = "loud"', "[log.level]", "'loud'"),
    "no TOML": ("[serve\nport = 1", "is not valid TOML", "line 1"),
    "no UTF-8": (b'[serve]\nhost = "\xb8\xc5"', "is not valid TOML", "position 16"),
}


class Result(NamedTuple):
    status: object
    stdout: str
    stderr: str


Command = Callable[..., Result]


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SILLOK_", "PG")) and k != "DATABASE_URL"}
    return {**kept, **more}


@pytest.fixture
def sillok_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Yield the command as a function, in a folder of its own: an error it does not expect fails the test."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **variables: str) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(environment()):
                patch.delenv(name)
            for name, value in variables.items():
                patch.setenv(name, value)
            capsys.readouterr()
            try:
                status: object = main(arguments)
            except SystemExit as end:
                status = end.code
        return Result(status, *capsys.readouterr())

    def give_up(*_: object) -> None:
        raise AssertionError("it works on instead of refusing")

    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(PATIENCE_S))
    yield run
    signal.alarm(0)
    for number, handler in handlers:
        signal.signal(number, handler)
    structlog.reset_defaults()


def sillok(folder: Path, *arguments: str, **variables: str) -> Result:
    """Run the command as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "sillok", *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def assert_refused(result: Result, *words: str) -> None:
    """Hold a refusal to its form: one line, of Sillok's, with these words."""
    assert result.status == 2
    assert "Traceback" not in result.stderr
    assert re.fullmatch(r"sillok: .+\n", result.stderr), result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def eventually(claim: Callable[[], object]) -> None:
    patience_ends = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < patience_ends, "it did not come true in time"
        time.sleep(0.05)


# Settings


@pytest.mark.parametrize("program", [[sys.executable, "-m", "sillok"], [str(Path(sys.executable).with_name("sillok"))]])
def test_the_process_says_it_and_ends_with_2(tmp_path: Path, program: list[str]):
    done = subprocess.run(
        [*program, "serve", "--config", "missing.toml"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert_refused(Result(done.returncode, done.stdout, done.stderr), "missing.toml")


@pytest.mark.parametrize("case", SETTINGS_ERRORS)
def test_an_error_in_the_settings_file_is_named_with_its_place_and_the_file(
    tmp_path: Path, sillok_here: Command, case: str
):
    text, *words = SETTINGS_ERRORS[case]
    path = tmp_path / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    assert_refused(sillok_here("serve", "--config", str(path)), str(path), *words)


def test_the_default_file_is_checked_too(tmp_path: Path, sillok_here: Command):
    (tmp_path / "sillok.toml").write_text("[load]\nfast = true", encoding="utf-8")

    assert_refused(sillok_here("load"), "sillok.toml", "[load]", "`fast`")


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path, sillok_here: Command):
    for result in (
        sillok_here("up", "--config", "missing.toml"),
        sillok_here("serve", SILLOK_CONFIG="missing.toml"),
    ):
        assert_refused(result, "missing.toml", "No such file", "--config", "SILLOK_CONFIG")
    assert_refused(sillok_here("serve", "--config", str(tmp_path)), str(tmp_path), "Is a directory")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SILLOK_SERVE_PROT", "1", ["SILLOK_SERVE_PROT", "SILLOK_<SECTION>_<KEY>"]),
        ("SILLOK_PORT", "1", ["SILLOK_PORT", "SILLOK_<SECTION>_<KEY>"]),
        ("SILLOK_SERVE_PORT", "seven", ["the environment", "[serve.port]", "expected `int`"]),
        ("SILLOK_SERVE_ACCOUNT_PATTERNS", "['(']", ["[serve.account_patterns]", "'('", "RE2"]),
        ("SILLOK_SERVE_ACCOUNT_PATTERNS", "['[0-9]*']", ["[serve.account_patterns]", "[0-9]*", "empty"]),
    ],
)
def test_an_error_in_the_environment_is_named(sillok_here: Command, name: str, value: str, words: list[str]):
    assert_refused(sillok_here("serve", **{name: value}), *words)


def test_a_text_in_the_environment_may_look_like_a_number(tmp_path: Path, sillok_here: Command):
    (tmp_path / "2026").write_text("no folder", encoding="utf-8")

    assert_refused(sillok_here("serve", SILLOK_DATA_FOLDER="2026"), "2026/spool", "Not a directory")


# The command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND"]),
        (["lod"], ["'lod'", "'load'", "'up'"]),
        (["load", "--twice"], ["--twice"]),
        (["reconcile", "--day", "yesterday"], ["'yesterday'", "write 2026-09-21"]),
        (["reconcile", "--close", "yesterday"], ["'yesterday'", "write 2026-09-21"]),
    ],
)
def test_a_wrong_command_line_is_answered_with_the_usage_and_one_sentence(
    sillok_here: Command, arguments: list[str], words: list[str]
):
    result = sillok_here(*arguments)

    usage, sentence = result.stderr.rstrip("\n").rsplit("\n", 1)
    assert result.status == 2
    assert usage.startswith("usage: sillok")
    assert re.match(r"sillok( \w+)?: error: ", sentence)
    assert all(word in sentence for word in words)


def test_the_command_alone_says_what_there_is(sillok_here: Command):
    result = sillok_here()

    assert result.status == 2
    assert "up          run everything on this machine" in result.stdout
    assert "Exit status: 0 fine" in result.stdout


def test_an_empty_range_is_refused(sillok_here: Command):
    result = sillok_here(
        "reconcile", "--from", "2026-09-21", "--until", "2026-09-20", SILLOK_PROCESS_DSN="host=/nowhere"
    )

    assert_refused(result, "--until", "--from")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expect", "orders.csv"], ["orders.csv, line 3", "`expected` is no whole number"]),
        (["--expect", "absent.csv"], ["absent.csv", "No such file"]),
        (["--tolerance", "half"], ["--tolerance", "0.5%"]),
        (["--close", "2026-09-21", "--day", "2026-09-22"], ["--close", "leave out --day"]),
    ],
)
def test_what_reconcile_is_given_must_be_readable(
    tmp_path: Path, sillok_here: Command, arguments: list[str], words: list[str]
):
    rows = "event_date,event_type,expected\n2026-09-21,click,1\n2026-09-22,click,many\n"
    (tmp_path / "orders.csv").write_text(rows, encoding="utf-8")

    assert_refused(sillok_here("reconcile", *arguments, SILLOK_PROCESS_DSN="host=/nowhere"), *words)


# Ports and folders


@pytest.mark.parametrize("setting", ["SILLOK_SERVE_PORT", "SILLOK_SERVE_ADMIN_PORT"])
@pytest.mark.parametrize("shared", [False, True], ids=["taken", "taken by a program that would share it"])
def test_a_port_in_use_is_named_with_the_setting_that_changes_it(
    tmp_path: Path,
    setting: str,
    shared: bool,
):
    """Another Sillok would share its port: half of the events would go to it."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=shared) as taken:
        port = str(taken.getsockname()[1])
        free = {"SILLOK_SERVE_PORT": str(free_port()), "SILLOK_SERVE_ADMIN_PORT": str(free_port())}

        result = sillok(tmp_path, "serve", **{**free, setting: port})

    assert_refused(result, f"127.0.0.1:{port}", "taken", setting)


def test_an_address_that_is_not_this_machines_is_named(tmp_path: Path):
    assert_refused(sillok(tmp_path, "serve", SILLOK_SERVE_HOST="192.0.2.1"), "192.0.2.1", "`host`")


@pytest.mark.parametrize("command", ["up", "serve", "load"])
@pytest.mark.parametrize("folder", ["file/data", "/proc/sillok"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, sillok_here: Command, command: str, folder: str):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    dsn = {"SILLOK_LOAD_DSN": f"host={tmp_path}"} if command == "load" else {}

    result = sillok_here(command, SILLOK_DATA_FOLDER=folder, **dsn)

    assert_refused(result, folder, "check its owner and permissions")


def test_a_proxy_by_name_is_refused(tmp_path: Path, sillok_here: Command):
    path = tmp_path / "settings.toml"
    path.write_text('[serve]\ntrusted_proxies = ["10.0.0.1", "proxy.internal"]', encoding="utf-8")

    assert_refused(
        sillok_here("serve", "--config", str(path)), "[serve.trusted_proxies]", "'proxy.internal'", "10.0.0.0/24"
    )


def test_half_of_tls_is_refused(tmp_path: Path, sillok_here: Command):
    path = tmp_path / "settings.toml"
    path.write_text('[serve]\ntls_key = "key.pem"', encoding="utf-8")

    assert_refused(
        sillok_here("serve", "--config", str(path)), "[serve] tls_certificate and tls_key", "set both, or none"
    )


# Write keys


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["make", "--source", "mts", "--origin", "https://m.example.com/path"], ["'https://m.example.com/path'", "no path"]),
        (["make", "--source", "mts", "--origin", "https://M.example.com"], ["no origin as browsers send it"]),
        (["make", "--source", "mts", "--origin", "https://m.example.com:443"], ["no origin as browsers send it"]),
        (["make", "--source", "mts", "--origin", "null"], ["'null'", "no origin as browsers send it"]),
        (["make", "--source", "m", "--kind", "server", "--origin", "https://m.kr"], ["a secret", "leave --origin out"]),
        (["make", "--source", ""], ["`$.source`"]),
        (["make", "--source", "mts", "--rate", "0"], ["`$.events_per_second_max`"]),
        (["retire", "k0000000000"], ["no such key", "`sillok keys list`"]),
        (["revoke", "k0000000000"], ["no such key", "`sillok keys list`"]),
    ],
)  # fmt: skip
def test_a_change_of_the_keys_that_cannot_be_made_is_refused(
    tmp_path: Path, sillok_here: Command, arguments: list[str], words: list[str]
):
    assert_refused(sillok_here("keys", *arguments), *words)
    assert not (tmp_path / "sillok-data" / "keys.jsonl").exists()


def test_a_key_never_comes_back_and_is_told_by_its_text_or_its_id(sillok_here: Command):
    made = json.loads(sillok_here("keys", "make", "--source", "mts", "--json").stdout)

    assert sillok_here("keys", "retire", made["key"]).status == 0
    assert_refused(sillok_here("keys", "retire", made["id"]), f"key {made['id']} is retiring already")
    assert sillok_here("keys", "revoke", made["id"]).status == 0
    assert_refused(sillok_here("keys", "retire", made["key"]), f"key {made['id']} is revoked already")
    assert_refused(sillok_here("keys", "revoke", made["key"]), f"key {made['id']} is revoked already")
    shown = sillok_here("keys", "list").stdout
    assert made["id"] in shown
    assert "revoked" in shown
    assert made["key"] not in shown


@pytest.mark.parametrize(
    "arguments", [["keys", "list"], ["keys", "make", "--source", "mts"], ["keys", "revoke", "k00"], ["serve"]]
)
def test_a_broken_key_file_is_named_with_its_line(tmp_path: Path, sillok_here: Command, arguments: list[str]):
    path = tmp_path / "keys.jsonl"
    path.write_text('{"sillok_keys":1,"count":1}\n', encoding="utf-8")
    result = sillok_here(*arguments, SILLOK_SERVE_KEYS_FILE=str(path), SILLOK_LOG_LEVEL="error")

    assert result.status == 2
    assert str(path) in result.stderr
    assert "line 1 promises 1 keys, but 0 follow" in result.stderr
    assert path.read_text(encoding="utf-8") == '{"sillok_keys":1,"count":1}\n'


def test_the_doctor_says_whether_anybody_can_send_and_which_line_is_broken(tmp_path: Path, sillok_here: Command):
    def finding() -> dict[str, str]:
        findings = json.loads(sillok_here("doctor", "--json", "--config", "none.toml").stdout)
        return next(f for f in findings if f["check"] == "write keys")

    (tmp_path / "none.toml").write_text("[serve]\nkeys = []", encoding="utf-8")
    assert "sillok keys make" in finding()["advice"]
    sillok_here("keys", "make", "--source", "mts", "--config", "none.toml")
    assert finding() == {
        "check": "write keys",
        "result": "1 active, 0 retiring, 0 revoked; 0 in the settings",
        "advice": "",
    }
    (tmp_path / "sillok-data" / "keys.jsonl").write_text("broken", encoding="utf-8")
    assert "line 1 is not JSON" in finding()["advice"]


# The collector holds no credentials


def test_the_collector_refuses_to_know_where_a_database_is(tmp_path: Path, sillok_here: Command):
    path = tmp_path / "settings.toml"
    path.write_text(f'[load]\ndsn = "postgresql://u:{PASSWORD}@h/d"\n', encoding="utf-8")

    for result, name in (
        (sillok_here("serve", "--config", str(path)), "[load] dsn"),
        (sillok_here("serve", SILLOK_PROCESS_DSN=f"password={PASSWORD}"), "[process] dsn"),
        (sillok_here("serve", PGPASSWORD=PASSWORD), "PGPASSWORD"),
        (sillok_here("serve", DATABASE_URL=f"postgresql://u:{PASSWORD}@h/d"), "DATABASE_URL"),
    ):
        assert_refused(result, name, "settings file of its own")
        assert PASSWORD not in result.stderr


# The database


@pytest.mark.parametrize("command", ["load", "process", "migrate", "reconcile"])
def test_without_a_database_each_command_says_where_to_name_one(sillok_here: Command, command: str):
    section = "process" if command == "reconcile" else command

    assert_refused(sillok_here(command), "no database", f"SILLOK_{section.upper()}_DSN", "sillok up")


@pytest.mark.parametrize("command", ["load", "process", "migrate", "reconcile"])
def test_a_dsn_that_cannot_be_read_is_refused_and_not_repeated(sillok_here: Command, command: str):
    section = "process" if command == "reconcile" else command

    result = sillok_here(command, **{f"SILLOK_{section.upper()}_DSN": f"password {PASSWORD}"})

    assert_refused(result, "dsn", "spelling")
    assert PASSWORD not in result.stderr


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the DSN of a server of our own, on which `guarded` needs its password."""
    folder = tmp_path_factory.mktemp("guarded")
    server = EmbeddedPostgres(folder)
    dsn = server.start()
    try:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(f"create role guarded superuser login password '{PASSWORD}'")
            rules = folder / "pg_hba.conf"
            rules.write_text(f"local all guarded scram-sha-256\n{rules.read_text(encoding='utf-8')}", encoding="utf-8")
            admin.execute("select pg_reload_conf()")
        eventually(lambda: _refuses(dsn))
        yield dsn
    finally:
        server.stop()


def _refuses(dsn: str) -> bool:
    try:
        psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user="guarded", password=WRONG_PASSWORD)).close()
    except psycopg.OperationalError:
        return True
    return False


def fresh_database(cluster: str, name: str) -> str:
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"drop database if exists {name}")
        admin.execute(f"create database {name}")
    return with_database(cluster, name)


@pytest.mark.parametrize("roles", ["no", "another database's"])
@pytest.mark.parametrize("command", ["load", "process", "reconcile"])
def test_a_database_without_sillok_in_it_is_refused_and_migrate_named(
    sillok_here: Command, cluster: str, command: str, roles: str
):
    """Roles belong to the whole server: another database's migrations may have made them."""
    if roles != "no":
        with connect(fresh_database(cluster, "migrated")) as connection:
            list(migrate(connection))
    dsn = fresh_database(cluster, "empty")

    result = sillok_here(command, SILLOK_LOAD_DSN=dsn, SILLOK_PROCESS_DSN=dsn)

    assert_refused(result, "run `sillok migrate`")


def test_a_database_that_lacks_the_last_migration_is_refused(sillok_here: Command, cluster: str):
    dsn = fresh_database(cluster, "old")
    with connect(dsn) as connection:
        list(migrate(connection))
        connection.execute("delete from ops.migrations where number = (select max(number) from ops.migrations)")

    assert_refused(sillok_here("load", "--once", SILLOK_LOAD_DSN=dsn), "lacks 1 ", "run `sillok migrate`")


@pytest.mark.parametrize("command", ["load", "process", "migrate", "reconcile"])
def test_a_database_of_a_newer_sillok_is_refused(sillok_here: Command, cluster: str, command: str):
    dsn = fresh_database(cluster, "newer")
    with connect(dsn) as connection:
        list(migrate(connection))
        connection.execute("insert into ops.migrations (number, name) values (9999, 'of the future')")

    result = sillok_here(command, SILLOK_LOAD_DSN=dsn, SILLOK_PROCESS_DSN=dsn, SILLOK_MIGRATE_DSN=dsn)

    assert_refused(result, "9999", "install the newer Sillok")


@pytest.mark.parametrize("command", ["load", "process", "migrate", "reconcile"])
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"user": "guarded", "password": WRONG_PASSWORD}, "password authentication failed"),
        ({"user": "nobody_here"}, "does not exist"),
        ({"dbname": "nothing_here"}, "does not exist"),
    ],
    ids=["password", "user", "database"],
)
def test_a_database_that_refuses_ends_the_command_without_repeating_the_password(
    sillok_here: Command, cluster: str, command: str, wrong: dict[str, str], reason: str
):
    dsn = psycopg.conninfo.make_conninfo(cluster, **wrong)

    result = sillok_here(command, SILLOK_LOAD_DSN=dsn, SILLOK_PROCESS_DSN=dsn, SILLOK_MIGRATE_DSN=dsn)

    assert_refused(result, reason, "check the dsn")
    assert WRONG_PASSWORD not in result.stderr


@pytest.mark.parametrize("command", ["load", "process"])
def test_a_database_that_refuses_later_ends_the_loop_too(tmp_path: Path, cluster: str, command: str):
    """A database that is away is waited for; one that says no is not."""
    database = f"later_{command}"
    plain = fresh_database(cluster, database)
    SpoolFolder(tmp_path / "sillok-data" / "spool").slot(0).prepare()  # a loader without a slot has nothing to ask
    with connect(plain) as admin:
        list(migrate(admin))
        admin.execute(f"create role {database} superuser login password '{PASSWORD}'")
        dsn = psycopg.conninfo.make_conninfo(plain, user=database, password=PASSWORD)
        with (tmp_path / "log").open("w+", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sillok", command],
                cwd=tmp_path,
                env=environment(SILLOK_LOAD_DSN=dsn, SILLOK_PROCESS_DSN=dsn),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
            try:
                eventually(lambda: "database_connected" in (tmp_path / "log").read_text(encoding="utf-8"))
                admin.execute(f"alter role {database} nologin")
                admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (database,))
                assert process.wait(PATIENCE_S) == 2
            finally:
                process.kill()
                process.wait()
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert re.fullmatch(
        r"sillok: PostgreSQL refuses the connection: .* is not permitted to log in; .+", said.splitlines()[-1]
    )
    assert "Traceback" not in said
    assert PASSWORD not in said


def test_a_logged_exception_names_the_place_and_no_value(capsys: pytest.CaptureFixture[str]):
    """Variables hold events and connection strings."""
    configure_logs()
    try:
        _log_with(PASSWORD)
    finally:
        structlog.reset_defaults()

    said = capsys.readouterr().err
    assert "_log_with" in said
    assert PASSWORD not in said


def _log_with(secret: str) -> None:
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger().exception("something_failed")


# Two of a kind


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield the settings of a `sillok up` that runs."""
    folder = tmp_path_factory.mktemp("up")
    variables = {
        "SILLOK_DATA_FOLDER": str(folder / "data"),
        "SILLOK_SERVE_PORT": str(free_port()),
        "SILLOK_SERVE_ADMIN_PORT": str(free_port()),
    }
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sillok", "up"],
            cwd=folder,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            eventually(
                lambda: process.poll() is not None or "Sillok is up" in (folder / "log").read_text(encoding="utf-8")
            )
            assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
            yield variables
            assert process.poll() is None, "the first is not disturbed by those that are refused"
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(PATIENCE_S)
    assert status == 0


def test_a_second_up_on_the_same_folder_is_refused(tmp_path: Path, up: dict[str, str]):
    ports = {"SILLOK_SERVE_PORT": str(free_port()), "SILLOK_SERVE_ADMIN_PORT": str(free_port())}

    result = sillok(tmp_path, "up", **{**up, **ports})

    assert_refused(result, up["SILLOK_DATA_FOLDER"], "another `sillok up`", "stop it first", "SILLOK_DATA_FOLDER")


@pytest.mark.parametrize("setting", ["SILLOK_SERVE_PORT", "SILLOK_SERVE_ADMIN_PORT"])
def test_up_on_a_port_in_use_is_refused_and_leaves_nothing_running(tmp_path: Path, up: dict[str, str], setting: str):
    ports = {"SILLOK_SERVE_PORT": str(free_port()), "SILLOK_SERVE_ADMIN_PORT": str(free_port())}

    result = sillok(
        tmp_path,
        "up",
        **{**ports, setting: up[setting], "SILLOK_DATA_FOLDER": "data", "SILLOK_LOG_LEVEL": "error"},
    )

    assert result.status == 2
    assert "Traceback" not in result.stderr
    first, second = result.stderr.splitlines()
    assert f"127.0.0.1:{up[setting]} is taken" in first
    assert setting in first
    assert "`sillok serve` refused to start" in second
    assert not (tmp_path / "data" / "postgres" / "postmaster.pid").exists()
