"""`sillok audit`: what operators did, and whether anybody has changed what was written about it."""

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from msgspec import Struct
from rich.table import Table

from commands.database import find_dsn, operating
from commands.key_log import log_path, read_actions, unlogged
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_config, add_json, moment, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import AuditBroken, UsageError
from processor.checks import all_checks, run_checks

HELP = "list what operators did, and verify that nobody changed what was written of it"
_CHECK = "actions_are_chained"
_KEYS, _DATABASE = "keys", "database"


class Done(Struct, frozen=True):
    """One action of an operator."""

    log: str
    """`database` (`ops.actions`) or `keys` (the key file's log)."""
    link: int
    at: datetime
    operator: str
    """The operating system's user, as the command says."""
    login: str | None
    """The database's user, as PostgreSQL says; None for keys."""
    command: str
    what: dict[str, Any]
    reason: str
    chain: str


class Verified(Struct, frozen=True):
    """One log, and its last link; `problem` is empty when it is as it was written."""

    log: str
    links: int
    chain: str
    problem: str = ""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which actions there are."""
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION", dest="audit_command")
    list_ = actions.add_parser("list", help="what was done, by whom and why, oldest first")
    list_.add_argument("--since", type=moment, metavar="TIME", help="only from then on")
    verify = actions.add_parser(
        "verify",
        help="check both chains; prints each one's last link, to be kept elsewhere",
        description="A chain that was cut off at its end, or written anew by who owns the database, still holds in "
        "itself: compare it with a link that this command printed earlier and that was kept elsewhere.",
    )
    verify.add_argument(
        "--known", action="append", default=[], metavar="LOG:LINK:CHAIN", help="a link as printed earlier; repeatable"
    )
    for action in (list_, verify):
        add_json(action)
    add_config(actions)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """List or verify."""
    if options.audit_command == "list":
        return _list(settings, options)
    found = list(verify(settings, [_known(text) for text in options.known]))
    if options.json:
        write_json(found)
    else:
        for each in found:
            sys.stdout.write(f"{'!!' if each.problem else 'ok'} {each.log}:{each.links}:{each.chain}\n")
            if each.problem:
                sys.stdout.write(f"   → {each.problem}\n")
    return PROBLEM if any(each.problem for each in found) else OK


def verify(settings: Settings, known: list[tuple[str, int, str]]) -> Iterator[Verified]:
    """Yield what became of each log that there is here."""
    is_known = {name for name, _, _ in known}
    if log_path(settings.keys_file()).exists() or _KEYS in is_known:
        try:
            found = _compare(_KEYS, list(_of_keys(settings)), known)
            strange = unlogged(settings.keys_file())
            yield (
                found
                if not strange
                else msgspec.structs.replace(
                    found,
                    problem="; ".join(filter(None, (found.problem, f"nobody made {', '.join(strange)} by a command"))),
                )
            )
        except AuditBroken as error:
            yield Verified(_KEYS, 0, "", str(error))
    if not _has_database(settings):
        if _DATABASE in is_known:
            yield Verified(_DATABASE, 0, "", "a link is known, but no database: name it in the settings")
        return
    with operating(settings, "audit") as connection:
        (outcome,) = run_checks(connection, checks=[c for c in all_checks() if c.name == _CHECK], safely=True)
        found = _compare(_DATABASE, list(_of_database(connection)), known)
        if outcome.offenders or outcome.failure:
            first = outcome.failure or f"link {outcome.offenders[0]['link']} does not follow from the one before it"
            found = Verified(found.log, found.links, found.chain, f"{first}: rows were changed, added or removed")
        yield found


def _compare(log: str, done: list[Done], known: list[tuple[str, int, str]]) -> Verified:
    """Hold a log against what was kept elsewhere."""
    chains = {each.link: each.chain for each in done}
    problem = "; ".join(
        f"link {link} is not the one that was known: the log was cut off, restored to the past or written anew"
        for name, link, chain in known
        if name == log and chains.get(link) != chain
    )
    return Verified(log, max(chains, default=0), chains[max(chains)] if chains else "", problem)


def _list(settings: Settings, options: argparse.Namespace) -> int:
    done = list(_of_keys(settings))
    if _has_database(settings):
        with operating(settings, "audit") as connection:
            done += _of_database(connection)
    done = sorted((each for each in done if not options.since or each.at >= options.since), key=lambda each: each.at)
    if options.json:
        write_json(done)
        return OK
    table = Table("at", "log", "link", "operator", "login", "command", "what", "reason")
    for each in done:
        what = ", ".join(f"{name} {value}" for name, value in each.what.items())
        at = f"{each.at.astimezone(SEOUL):%Y-%m-%d %H:%M:%S %Z}"
        table.add_row(at, each.log, str(each.link), each.operator, each.login or "", each.command, what, each.reason)
    terminal().print(table if done else "Nothing has been done yet.", highlight=False, markup=False)
    return OK


def _of_keys(settings: Settings) -> Iterator[Done]:
    for x in read_actions(log_path(settings.keys_file())):
        yield Done(_KEYS, x.link, x.at, x.operator, None, x.command, {"key": x.key, "source": x.source}, "", x.chain)


def _of_database(connection: psycopg.Connection) -> Iterator[Done]:
    rows = connection.execute(
        "select link, at, operator, login, command, arguments, reason, encode(chain, 'hex')"
        " from ops.actions order by link"
    ).fetchall()
    return (Done(_DATABASE, *row) for row in rows)


def _has_database(settings: Settings) -> bool:
    """Say whether this machine knows one: a collector's in a DMZ does not."""
    try:
        find_dsn(settings, "operate")
    except UsageError:
        return False
    return True


def _known(text: str) -> tuple[str, int, str]:
    log, _, rest = text.partition(":")
    link, _, chain = rest.partition(":")
    if log not in (_KEYS, _DATABASE) or not link.isdigit() or not chain:
        raise UsageError(f"{text!r} is no link: write it as `sillok audit verify` prints it, log:number:chain")
    return log, int(link), chain
