"""`sillok doctor`: is everything all right, and if not, what to do. Each check is one line."""

import argparse
import os
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg
from rich.markup import escape

from collector_server.key_store import count_states
from commands.doctor_database import Finding, examine_database
from commands.doctor_machine import examine_collectors, examine_logins, examine_machine
from commands.keys import listed
from commands.settings import Settings, settings_file
from commands.terminal import OK, PROBLEM, add_json, terminal, write_json
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


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say what to look at, and how to print."""
    command.add_argument(
        "--on", choices=_PLACES, default="everything",
        help="what this machine is: a collector without a database (DMZ), a machine inside, or everything (default)",
    )  # fmt: skip
    add_json(command)


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Print the findings; say by the exit status whether all is well."""
    dsn = settings.process.dsn or running_dsn(Path(settings.data.folder) / "postgres")
    config = settings_file(options.config, os.environ)
    findings = list(examine(settings, dsn, on=options.on, config=config))
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
    settings: Settings, dsn: str | None, *, on: str = "everything", config: str | None = None
) -> Iterator[Finding]:
    """Yield every finding; a check that cannot run is a finding too."""
    checks: list[tuple[str, Callable[[], Finding]]] = list(examine_machine(settings, config))
    if on != "inside":
        checks += [
            *_folders(settings),
            ("disk sync", lambda: _sync(settings.spool_folder())),
            ("spool", lambda: _spool(settings.spool_folder())),
            ("write keys", lambda: _keys(settings)),
            ("collector", lambda: _collector(settings)),
        ]
    if on != "collector":
        checks += [*examine_collectors(settings), *examine_logins(settings)]
    for name, check in checks:
        try:
            yield check()
        except SillokError as error:
            yield Finding(name, "failed", str(error))
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            advice = f"{place}{error.strerror or error}; check that it is there, its owner, permissions and free space"
            yield Finding(name, "failed", advice)
    if on == "collector":
        return
    if dsn is None:
        yield from _rule_files(settings, None)
        yield Finding("database", "not running", "start it with `sillok up`, or name it in `[process] dsn`")
        return
    try:
        with connect(dsn, application="sillok doctor") as connection:
            yield from examine_database(connection)
            yield from _rule_files(settings, connection)
    except (SillokError, psycopg.Error) as error:
        yield Finding("database", "failed", str(error).strip())


def _folders(settings: Settings) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Yield a check of the data folder, and of the spool where it is somewhere else: it fills up."""
    folders = {"data folder": Path(settings.data.folder)}
    if settings.spool.folder:
        folders["spool folder"] = settings.spool_folder()
    for name, folder in folders.items():
        yield name, lambda name=name, folder=folder: _folder(name, folder, settings.spool.free_bytes_min)  # type: ignore[misc]


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
        since = (
            f"last good of {state.last_good_at:%Y-%m-%d %H:%M:%S} stays" if state.last_good_at else "none was taken yet"
        )
        if state.problem:
            yield Finding(state.name, f"broken; {since}", f"{state.problem}; mend the file: it is taken at once")
        else:
            yield Finding(state.name, f"{state.path} is good; {since.replace(' stays', '')}")


def _collector(settings: Settings) -> Finding:
    url = f"http://{settings.serve.admin_host}:{settings.serve.admin_port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return Finding("collector", f"ready ({answer.status}) on port {settings.serve.port}")
    except OSError as error:
        return Finding("collector", "not ready", f"{url} says: {error}; start it with `sillok up` or `sillok serve`")
