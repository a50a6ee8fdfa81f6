"""`sillok dead-letters`: accepted events that could not be loaded or cleaned."""

import argparse
import sys

from rich.table import Table

from commands.database import find_spool, operating
from commands.settings import Settings
from commands.terminal import OK, PROBLEM, add_config, add_json, add_reason, progress, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import UsageError
from contract.outcome import DeadLetterReason
from processor.batch import prepare_session
from processor.operate.again import make_dictionaries
from processor.operate.dead_letters import (
    Letter,
    Retried,
    discard_letters,
    list_letters,
    retry_letters,
    show_letter,
)

HELP = "list, show, retry and discard accepted events that could not be loaded or cleaned"
_ROUND = 500
_ALL = 1_000_000


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say which actions there are."""
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION", dest="letters_command")
    list_ = actions.add_parser("list", help="list them, oldest first, without their contents")
    show = actions.add_parser("show", help="show one with its contents, which may be somebody's data")
    show.add_argument("id", type=int, metavar="ID")
    retry = actions.add_parser(
        "retry",
        help="try them again: load and clean",
        description="Takes each letter the road it fell from. What cannot be mended stays a dead letter, and why is "
        "said. An id_conflict stays one unless its original is gone. Retrying twice does nothing twice.",
    )
    retry.add_argument("ids", type=int, nargs="*", metavar="ID")
    retry.add_argument("--all", action="store_true", help="all there are")
    retry.add_argument("--reason", default="", metavar="TEXT", help="why; kept in ops.actions")
    discard = actions.add_parser("discard", help="give them up: their contents go, their names and counts stay")
    discard.add_argument("ids", type=int, nargs="+", metavar="ID")
    add_reason(discard)
    list_.add_argument("--limit", type=int, default=1000, metavar="N", help="at most so many (default: 1000)")
    for action in (list_, retry):
        action.add_argument("--source", metavar="SOURCE", help="only this source's")
        action.add_argument("--because", choices=[r.value for r in DeadLetterReason], help="only those of this kind")
    for action in actions.choices.values():
        add_json(action)
    add_config(actions)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Do one action."""
    action = {"list": _list, "show": _show, "retry": _retry, "discard": _discard}[options.letters_command]
    return action(settings, options)


def _list(settings: Settings, options: argparse.Namespace) -> int:
    with operating(settings, "dead-letters") as connection:
        letters = list_letters(connection, source=options.source, reason=options.because, limit=options.limit)
    if options.json:
        write_json(letters)
    else:
        terminal().print(_table(letters) if letters else "There are no dead letters.", highlight=False)
    return OK


def _table(letters: list[Letter]) -> Table:
    table = Table("id", "since", "stage", "kind", "source", "event_type", "event_id", "detail")
    for x in letters:
        since = f"{x.created_at.astimezone(SEOUL):%Y-%m-%d %H:%M %Z}"
        table.add_row(
            str(x.dead_letter_id), since, x.stage, x.reason, x.source, x.event_type, str(x.event_id or "?"), x.detail
        )
    return table


def _show(settings: Settings, options: argparse.Namespace) -> int:
    with operating(settings, "dead-letters") as connection:
        write_json(show_letter(connection, options.id))
    return OK


def _retry(settings: Settings, options: argparse.Namespace) -> int:
    if bool(options.ids) == options.all:
        raise UsageError("name the dead letters to try again, or say --all")
    dictionaries, spool = make_dictionaries(settings.process), find_spool(settings)
    total = Retried(0, {}, [])
    with operating(settings, "dead-letters") as connection, progress("retrying") as bar:
        prepare_session(connection)
        ids = options.ids
        if options.all:
            found = list_letters(connection, source=options.source, reason=options.because, limit=_ALL)
            ids = [letter.dead_letter_id for letter in found]
        for start in range(0, len(ids), _ROUND):
            report = retry_letters(connection, dictionaries, spool, ids[start : start + _ROUND], options.reason)
            outcomes = {
                k: total.outcomes.get(k, 0) + report.outcomes.get(k, 0) for k in total.outcomes | report.outcomes
            }
            total = Retried(total.retried + report.retried, outcomes, total.left + report.left)
            bar(start + _ROUND, len(ids))
    if options.json:
        write_json(total)
    else:
        became = ", ".join(f"{events:,} {outcome}" for outcome, events in sorted(total.outcomes.items()))
        sys.stdout.write(f"{total.retried:,} tried again{': ' if became else ''}{became}\n")
        sys.stdout.writelines(f"{left.dead_letter_id} stays a dead letter: {left.why}\n" for left in total.left)
    return PROBLEM if total.left else OK


def _discard(settings: Settings, options: argparse.Namespace) -> int:
    with operating(settings, "dead-letters") as connection:
        discarded = discard_letters(connection, options.ids, options.reason)
    if options.json:
        write_json({"discarded": discarded})
    else:
        sys.stdout.write(f"{discarded:,} of {len(set(options.ids)):,} discarded\n")
    return OK if discarded == len(set(options.ids)) else PROBLEM
