"""`sillok doctor`: is everything all right, and if not, what to do. Each check is one line.

A settings file says what its program is about, so the doctor looks at that and at nothing else: `process.toml` knows of
no spool, `collector.toml` of no database. Where another part can say itself what ails it, its words are passed on.
"""

import argparse
import getpass
import http.client
import json
import os
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
from rich.markup import escape

from collector_server.key_store import count_states
from commands.doctor_database import Finding, examine_database
from commands.doctor_machine import Login, examine_collectors, examine_login, examine_machine, logins
from commands.keys import listed
from commands.settings import Settings, named_sections, settings_file
from commands.terminal import OK, PROBLEM, add_json, terminal, write_json
from contract.calendar import SEOUL
from contract.errors import SillokError
from processor.rule_files import RuleFiles
from storage.embedded import running_dsn
from storage.postgres import connect
from storage.spool.folder import OPEN, SEALED, SpoolFolder

HELP = "check everything and say what to do"

_SYNCS: Final = 20
# A disk that syncs faster than this has a cache that survives a power cut, or lies.
_SYNC_S_MIN: Final = 20e-6
_WAITING_S_MAX: Final = 60.0
_TIGHT: Final = 4
_PLACES: Final = ("everything", "collector", "inside")
_PATIENCE_S: Final = 2.0
_ANSWER_BYTES_MAX: Final = 65_536
# Of a machine inside alone.
_INSIDE: Final = frozenset({"load", "process", "migrate", "operate", "expect", "retention"})

Check = tuple[str, Callable[[], Finding]]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what to look at, and how to print."""
    command.add_argument(
        "--on", choices=_PLACES, default=None,
        help="what this machine is: a collector without a database (DMZ), a machine inside, or everything (default: "
        "what the sections of the settings file are about; everything without one)",
    )  # fmt: skip
    add_json(command)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print the findings; say by the exit status whether all is well."""
    embedded = running_dsn(Path(settings.data.folder) / "postgres")
    config = settings_file(options.config, os.environ)
    findings = list(examine(settings, embedded, on=options.on, config=config))
    if options.json:
        write_json(findings)
    else:
        console = terminal()
        for finding in findings:
            mark = "[red]!![/]" if finding.advice else "[green]ok[/]"
            advice = f"\n   → {finding.advice}" if finding.advice else ""
            # Names of sections stand in brackets, which are no markup.
            console.print(mark, escape(f"{finding.check}: {finding.result}{advice}"), highlight=False)
    return PROBLEM if any(finding.advice for finding in findings) else OK


def examine(
    settings: Settings, dsn: str | None, *, on: str | None = "everything", config: str | None = None
) -> Iterator[Finding]:
    """Yield every finding; a check that cannot run is a finding too.

    `on` is what the machine is, None for what the settings file is about. `dsn` is the database where the settings
    name none: the embedded one, if it runs.
    """
    sections = named_sections(config, os.environ) if config else frozenset[str]()
    collects = on in {"everything", "collector"} or (
        on is None and not (sections & _INSIDE and "serve" not in sections)
    )
    spools = collects or (on is None and "load" in sections and not settings.load.collectors)
    closed = _closed(settings) if spools else None
    opens = spools and closed is None
    checks: list[Check] = list(examine_machine(settings, config, collects=collects, opens=opens))
    if closed is not None:
        checks.append((closed.check, lambda: closed))
    if opens:
        checks += [
            *_folders(settings),
            ("disk sync", lambda: _sync(settings.spool_folder())),
            ("spool", lambda: _spool(settings.spool_folder())),
        ]
    if opens and collects:
        checks.append(("write keys", lambda: _keys(settings)))
    if collects:
        checks.append(("collector", lambda: _collector(settings)))
    if on != "collector":
        checks += examine_collectors(settings)
    yield from _safely(checks)
    if on != "collector":
        yield from _databases(settings, dsn, asked=on is not None or not (config and collects))


def _safely(checks: list[Check]) -> Iterator[Finding]:
    for name, check in checks:
        try:
            yield check()
        except SillokError as error:
            yield Finding(name, "failed", str(error))
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            advice = f"{place}{error.strerror or error}; check that it is there, its owner, permissions and free space"
            yield Finding(name, "failed", advice)


def _databases(settings: Settings, dsn: str | None, *, asked: bool) -> Iterator[Finding]:
    """Try each user that the settings name, and look at the database as the one of them that sees most."""
    named = logins(settings)
    look = None if named or not dsn else Login("", None, dsn)
    for login in named:
        finding, works = examine_login(login)
        yield finding
        if look is None and works:
            look = login
    if look:
        try:
            with connect(look.dsn, role=look.role, application="sillok doctor") as connection:
                yield from examine_database(connection)
                yield from _rule_files(settings, connection)
        except (SillokError, psycopg.Error) as error:
            yield Finding("database", "failed", str(error).strip())
        return
    yield from _rule_files(settings, None)
    made = (Path(settings.data.folder) / "postgres").exists()
    if not named and (asked or made):
        yield Finding("database", "not running", "start it with `sillok up`, or name it in `[process] dsn`")


def _folders(settings: Settings) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Yield a check of the data folder, and of the spool where it is somewhere else: it fills up."""
    folders = {"data folder": Path(settings.data.folder)}
    if settings.spool.folder:
        if not folders["data folder"].exists():
            del folders["data folder"]  # nothing is kept there
        folders["spool folder"] = settings.spool_folder()
    for name, folder in folders.items():
        yield name, lambda name=name, folder=folder: _folder(name, folder, settings.spool.free_bytes_min)  # type: ignore[misc]


def _closed(settings: Settings) -> Finding | None:
    """Return what to say where this user may not look into the folders: the rest of them is then not looked at."""
    folders = {"data folder": Path(settings.data.folder), "spool folder": settings.spool_folder()}
    for name, folder in folders.items():
        try:
            with os.scandir(folder):
                pass
        except FileNotFoundError:
            continue
        except OSError as error:
            advice = "run the doctor as root or as the user of the collector, or give the folder back to that user"
            return Finding(name, f"{folder} cannot be looked into by {_user()}: {error.strerror}", advice)
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _folder(name: str, folder: Path, free_bytes_min: int) -> Finding:
    if not folder.exists():
        return Finding(name, f"{folder} does not exist yet", "`sillok up` or `sillok serve` makes it")
    if not os.access(folder, os.W_OK):
        return Finding(name, f"{folder} cannot be written", "check its owner and permissions")
    stats = os.statvfs(folder)
    free = stats.f_bavail * stats.f_frsize
    result = f"{folder}, {free / 2**30:.1f} GiB free"
    if free < free_bytes_min:
        return Finding(name, result, "make space: below [spool] free_bytes_min the collector answers 503")
    if free < _TIGHT * free_bytes_min:
        return Finding(name, result, "make space soon, or see why segments are not loaded")
    return Finding(name, result)


def _sync(spool: Path) -> Finding:
    """Measure what a 200 has to wait for."""
    folder = next(parent for parent in (spool.absolute(), *spool.absolute().parents) if parent.exists())
    probe = folder / f".sillok-doctor-{os.getpid()}"
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        times = []
        for _ in range(_SYNCS):
            os.write(fd, b"x" * 4096)
            started = time.perf_counter()
            os.fdatasync(fd)
            times.append(time.perf_counter() - started)
    finally:
        os.close(fd)
        probe.unlink()
    result = f"fdatasync of 4 KiB: median {statistics.median(times) * 1e3:.2f} ms, worst {max(times) * 1e3:.2f} ms"
    if statistics.median(times) < _SYNC_S_MIN:
        return Finding("disk sync", result, "too fast to be true: is this tmpfs, or a disk whose cache lies?")
    return Finding("disk sync", result)


def _spool(path: Path) -> Finding:
    if not (path / "SPOOL.json").exists():
        return Finding("spool", f"{path} is not initialised yet", "`sillok serve` or `sillok up` makes it")
    spool = SpoolFolder(path)
    waiting = [slot.segment_path(n) for slot in spool.slots() for n in slot.segments(SEALED)]
    damaged = sum(len(spool.files.names(slot.damaged)) for slot in spool.slots())
    open_ = sum(len(slot.segments(OPEN)) for slot in spool.slots())
    oldest = max((time.time() - p.stat().st_mtime for p in waiting), default=0.0)
    result = f"{len(waiting)} sealed segments wait, the oldest for {oldest:.0f} s; {open_} open, {damaged} damaged"
    if damaged:
        return Finding("spool", result, f"look into {path}/slot-*/damaged: recovery moved bytes aside there")
    if oldest > _WAITING_S_MAX:
        return Finding("spool", result, "is `sillok load` running, and can it reach the database?")
    return Finding("spool", result)


def _keys(settings: Settings) -> Finding:
    states = count_states(listed(settings))
    result = ", ".join(f"{n} {state}" for state, n in states.items()) + f"; {len(settings.serve.keys)} in the settings"
    if settings.serve.keys or states["active"] or states["retiring"]:
        return Finding("write keys", result)
    return Finding("write keys", result, "nobody can send: make a key with `sillok keys make`")


def _rule_files(settings: Settings, connection: psycopg.Connection | None) -> Iterator[Finding]:
    """Say of each file that operators edit whether the processor would take it, and what is in force if not."""
    for state in RuleFiles(settings.process).states(connection):
        last = state.last_good_at and f"last good of {state.last_good_at.astimezone(SEOUL):%Y-%m-%d %H:%M:%S} KST"
        if state.problem:
            since = f"{last} stays" if last else "none was taken yet"
            yield Finding(state.name, f"broken; {since}", f"{state.problem}; mend the file: it is taken at once")
        else:
            yield Finding(state.name, f"{state.path} is good; {last or 'none was taken yet'}")


def _collector(settings: Settings) -> Finding:
    """Ask the collector itself: it knows what it waits for."""
    host = settings.serve.admin_host
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.serve.admin_port}/readyz"
    # A proxy that the environment names is none of this machine's.
    asking = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with asking.open(url, timeout=_PATIENCE_S) as answer:
            status, text = answer.status, answer.read(_ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read(_ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ConnectionRefusedError):
            return Finding("collector", f"nobody listens on {url}", "start it with `sillok up` or `sillok serve`")
        advice = f"{url}: {reason}; is it a collector that listens there? See its log, and [serve] admin_port"
        return Finding("collector", "no answer", advice)
    try:
        said = json.loads(text)
        waiting = {str(slot): str(why) for slot, why in said["waiting"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        advice = f"another program listens on {url}: is [serve] admin_port that of this collector?"
        return Finding("collector", f"an answer ({status}) that is no collector's", advice)
    if not waiting:
        return Finding("collector", f"ready ({status}) on port {settings.serve.port}")
    reasons = "; ".join(f"{slot}: {why}" for slot, why in waiting.items())
    return Finding("collector", f"not ready: {reasons}", _remedy(set(waiting.values())))


def _remedy(reasons: set[str]) -> str:
    """Say what to do about the collector's own reasons."""
    said = " ".join(reasons)
    if "quota" in said:
        return "let the loader catch up, or raise [spool] bytes_max: it goes on by itself"
    if "full" in said:
        return "make space on the spool's disk, or let the loader catch up: it goes on by itself"
    if "descriptors" in said:
        return "raise the limit of open files (LimitNOFILE=): it goes on by itself"
    if reasons == {"starting"}:
        return "wait: it reads what was left open; if it stays, another process holds the spool (see its log)"
    return "its log says more: `journalctl -u sillok-collector`"
