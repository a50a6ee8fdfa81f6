"""`sillok sql`: psql of the embedded PostgreSQL, as somebody who may read `clean` and nothing else."""

import argparse
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from commands.settings import Settings
from commands.terminal import OK, PROBLEM
from contract.errors import UsageError
from storage.embedded import client_program, running_dsn
from storage.postgres import connect

HELP = "open psql on the embedded database, as a reader of the cleaned tables"

# A login of its own: a superuser who merely acts as the reader would be one again after `reset role`.
_LOGIN: Final = "sillok_sql"
_MAKE_LOGIN: Final = f"""
do $$
begin
    if not exists (select from pg_roles where rolname = '{_LOGIN}') then
        create role {_LOGIN} login in role sillok_reader;
        comment on role {_LOGIN} is 'Who `sillok sql` is: reads clean, changes nothing.';
    end if;
    alter role {_LOGIN} set default_transaction_read_only = on;
    alter role {_LOGIN} set search_path = clean;
end
$$
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take what psql is most often asked for; the rest stands behind `--`."""
    command.add_argument(
        "-c", "--command", dest="statements", action="append", default=[], metavar="SQL", help="run this and end"
    )
    command.add_argument("-f", "--file", metavar="FILE", help="run the statements of a file and end")
    command.add_argument("--csv", action="store_true", help="print the rows as CSV")
    command.add_argument("rest", nargs="*", metavar="-- OPTION", help="options of psql's own, behind a --")
    command.epilog = (
        "The tables of the schema clean are found by their names alone: select * from events limit 5. "
        "Times are Korean. docs/data-dictionary.md says what each column means, docs/queries.md has questions to "
        "begin with. Nothing can be changed from here."
    )


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Hand the terminal to psql."""
    dsn = _embedded(settings)
    with connect(dsn, application="sillok sql") as connection:
        connection.execute(_MAKE_LOGIN)
    place = psycopg.conninfo.conninfo_to_dict(dsn)
    uri = f"postgresql://{_LOGIN}@/{place['dbname']}?host={place['host']}&port={place['port']}"
    program = find_psql(client_program("psql"))
    if program is None:
        raise UsageError(
            f"there is no psql on this machine: install postgresql-client, or open {uri} with any SQL tool"
        )
    # Ctrl-C is psql's: it ends a query, and not the command around it.
    signal.signal(signal.SIGINT, lambda *_: None)
    done = subprocess.run([program, uri, *_arguments(options)], env=_environment(), check=False)
    return OK if done.returncode == 0 else PROBLEM


def find_psql(own: Path | None) -> str | None:
    """Return the psql that came with the server, else the machine's own, else None."""
    return str(own) if own else shutil.which("psql")


def _embedded(settings: Settings) -> str:
    if any((settings.load.dsn, settings.process.dsn, settings.migrate.dsn)):
        raise UsageError(
            "`sillok sql` is for the embedded database; in one of your own give each analyst a login "
            "(`create role anna login in role sillok_reader`), and psql or any SQL tool will do"
        )
    dsn = running_dsn(Path(settings.data.folder) / "postgres")
    if dsn is None:
        raise UsageError(f"no database runs in {settings.data.folder}: start `sillok up` on this folder first")
    return dsn


def _arguments(options: argparse.Namespace) -> Sequence[str]:
    asked = [f"--command={statement}" for statement in options.statements]
    asked += [f"--file={options.file}"] if options.file else []
    asked += ["--csv"] if options.csv else []
    return ["--quiet", "--set=ON_ERROR_STOP=1", *asked, *options.rest]


def _environment() -> dict[str, str]:
    """Return the environment without what else libpq would read in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PGAPPNAME": "sillok sql", "PGTZ": "Asia/Seoul", "PGCLIENTENCODING": "UTF8"}
