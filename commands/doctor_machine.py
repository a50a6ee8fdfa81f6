"""What `sillok doctor` looks at on this machine: settings, clock, file system, certificates, the log of keys."""

import ctypes
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from collector_server.tls import certificates, expiry
from commands.doctor_database import CLOCK_S_MAX, Finding
from commands.key_log import log_path, read_actions, unlogged
from commands.settings import Settings
from contract.errors import DatabaseUnavailable, SillokError
from storage.postgres import connect
from storage.remote import RemoteSpool

_DAY_S: Final = 86_400
_EXPIRY_DAYS_MIN: Final = 21
_READABLE_BY_OTHERS: Final = 0o044
_OF_OTHERS: Final = 0o007
_WRITABLE: Final = 0o022
# adjtimex(2): the return value when no NTP program keeps the clock.
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512
_CAP_SYS_TIME: Final = 25
_MARKS: Final = (".dockerenv", "run/.containerenv", "run/systemd/container", "run/secrets/kubernetes.io")
_FORGETFUL: Final = ("tmpfs", "ramfs")
_SHARED: Final = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph")


def examine_machine(
    settings: Settings, config: str | None, *, collects: bool, opens: bool
) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Yield each check's name and the check; one may raise OSError or SillokError.

    `collects`: a collector works here. `opens`: a program works with the spool's folder here, and it may be opened.
    """
    yield "settings", lambda: _settings(config)
    yield "clock", _clock
    if opens:
        yield "file system", lambda: _file_system(settings.spool_folder())
    if collects:
        for listener, certificate, key in certificates(settings.serve):
            name = f"{listener} certificate"
            yield name, lambda certificate=certificate, key=key, name=name: _certificate(name, certificate, key)  # type: ignore[misc]
    if secrets := dict(_secrets(settings, collects=collects, opens=opens)):
        yield "secrets", lambda: _readable(secrets)
    if collects and opens:
        yield "key log", lambda: _key_log(settings)
    if collects:
        yield "account numbers", lambda: _accounts(settings)


def examine_collectors(settings: Settings) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Yield a check for each collector whose spool is pulled."""
    for each in settings.load.collectors:
        yield (
            f"collector {each.url}",
            lambda each=each: _pulled(RemoteSpool(each.url, each.token_file, each.ca_file)),  # type: ignore[misc]
        )


class Login(NamedTuple):
    """A database user that the settings name, and the role its program works as."""

    section: str
    role: str | None
    """None for the embedded database's own user, and for those that work as themselves."""
    dsn: str


def logins(settings: Settings) -> list[Login]:
    """Return the users that the settings name, the one that sees most of the database first."""
    roles = {"process": "sillok_processor", "operate": "sillok_operator", "load": "sillok_loader", "migrate": None}
    found = [Login(section, role, getattr(settings, section).dsn) for section, role in roles.items()]
    return [login for login in found if login.dsn]


def examine_login(login: Login) -> tuple[Finding, bool]:
    """Try whether a user may act as the role its program works as; say whether it may."""
    name = f"[{login.section}] user"
    try:
        with connect(login.dsn, role=login.role, application="sillok doctor") as connection:
            user, mighty = connection.execute(
                "select session_user, rolsuper from pg_roles where rolname = session_user"
            ).fetchone() or ("?", False)
    except DatabaseUnavailable as error:
        advice = f"{error}; start it, or check host and port of [{login.section}] dsn: what waits goes on by itself"
        return Finding(name, "the database cannot be reached", advice), False
    except SillokError as error:
        what = f"cannot act as {login.role}" if login.role and f"`{login.role}`" in str(error) else "is refused"
        return Finding(name, what, str(error)), False
    if login.role is None:
        return Finding(name, f"{user} may log in"), True
    advice = f"it is a superuser: give `sillok {login.section}` a user that may act as {login.role} and no more"
    return Finding(name, f"{user} may act as {login.role}", advice if mighty else ""), True


def _settings(config: str | None) -> Finding:
    if config is None:
        return Finding("settings", "defaults and the environment")
    mode = Path(config).stat().st_mode & 0o777
    if mode & _READABLE_BY_OTHERS and "dsn" in Path(config).read_text(encoding="utf-8"):
        advice = f"it names a database: `chmod 640 {config}`, its group being the one that Sillok runs as"
        return Finding("settings", f"{config} has mode {mode:03o}", advice if mode & 0o004 else "")
    return Finding("settings", f"{config} has mode {mode:03o}")


def _clock() -> Finding:
    """Ask the kernel whether a program keeps its clock: `received_at` and the watermark are this clock's."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: asks, and changes nothing
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    if state == -1:
        return Finding("clock", "the kernel does not say whether it is kept by NTP")
    if state == _TIME_ERROR and is_contained():
        # Not this machine's to mend; what it costs is measured against the database's clock.
        return Finding("clock", "a container's, and so its host's: NTP has to run there, and the kernel knows of none")
    if state == _TIME_ERROR:
        return Finding("clock", "nothing keeps it", "run chrony or another NTP client: times and watermark are its")
    return Finding("clock", "kept by NTP")


def is_contained(root: Path = Path("/")) -> bool:
    """Say whether this is a container, whose clock is its host's: its makers' marks, or no right ever to set it."""
    if any((root / mark).exists() for mark in _MARKS):
        return True
    status = (root / "proc/self/status").read_text(encoding="ascii", errors="replace")
    bounds = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:")]
    return any(not bound >> _CAP_SYS_TIME & 1 for bound in bounds)


def _file_system(spool: Path) -> Finding:
    place = next(parent for parent in (spool.absolute(), *spool.absolute().parents) if parent.exists()).resolve()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    under = [(mount[1], mount[2]) for mount in mounts if place.is_relative_to(mount[1].replace("\\040", " "))]
    point, kind = max(under, key=lambda mount: len(mount[0]))
    advice = ""
    if kind in _FORGETFUL:
        advice = "it is memory: a power cut loses what was acknowledged; put the spool on a disk"
    elif kind in _SHARED:
        advice = "locks and syncs over a network are not what a disk's are; put the spool on a disk of this machine"
    return Finding("file system", f"the spool is on {kind}, mounted on {point}", advice)


def _certificate(name: str, certificate: str, key: str) -> Finding:
    until = expiry(certificate, key)
    if until is None:
        return Finding(name, f"{certificate}: its dates could not be read", "try it with `openssl s_client`")
    days = (until - time.time()) / _DAY_S
    result = f"{certificate} is good for {days:.0f} more days"
    advice = "renew it, then `systemctl reload sillok-collector`" if days < _EXPIRY_DAYS_MIN else ""
    return Finding(name, result, advice)


def _secrets(settings: Settings, *, collects: bool, opens: bool) -> Iterator[tuple[Path, int]]:
    """Yield what is not everybody's, with the rights that are too many: to read a secret, to write who may send."""
    serve = settings.serve
    files = [collector.token_file for collector in settings.load.collectors]
    if collects:
        files += [file for file in (serve.tls_key, serve.pull_tls_key, serve.pull_token_file) if file]
    yield from ((Path(file), _OF_OTHERS | _WRITABLE) for file in files)
    folders = ((settings.keys_file(), _WRITABLE), (settings.spool_folder(), _OF_OTHERS | _WRITABLE))
    for path, rights in folders if opens else ():
        if path.exists():
            yield path, rights


def _readable(secrets: dict[Path, int]) -> Finding:
    open_ = [path for path, rights in secrets.items() if path.stat().st_mode & rights]
    advice = "; ".join(f"`chmod {'go-w' if secrets[path] == _WRITABLE else 'go-w,o='} {path}`" for path in open_)
    return Finding("secrets", f"{len(open_)} of {len(secrets)} are open to others" if open_ else "kept", advice)


def _key_log(settings: Settings) -> Finding:
    try:
        actions = list(read_actions(log_path(settings.keys_file())))
        strange = unlogged(settings.keys_file())
    except SillokError as error:
        return Finding("key log", "broken", str(error))
    advice = (
        f"find out who wrote {', '.join(strange)} into the key file, and revoke what is not yours" if strange else ""
    )
    return Finding("key log", f"{len(actions)} changes, each following from the one before it", advice)


def _accounts(settings: Settings) -> Finding:
    """Say what is masked of accounts; not red: a firm may number as the banks do, which nobody else can know."""
    patterns = len(settings.serve.account_patterns)
    if patterns:
        return Finding("account numbers", f"the large banks' forms and {patterns} of the firm's own are masked")
    own = "the firm's own, if they are shaped otherwise, are stored: name them in [serve] account_patterns"
    return Finding("account numbers", f"the large banks' forms are masked; {own}")


def _pulled(spool: RemoteSpool) -> Finding:
    name = f"collector {spool.name}"
    try:
        waiting = sum(len(slot.waiting()) for slot in spool.slots())
    except OSError as error:
        return Finding(name, "out of reach", f"{error}; {spool.remedy}")
    finally:
        spool.close()
    result = f"{waiting} sealed segments wait"
    off_s = abs(spool.clock_off_s or 0.0)
    if off_s > CLOCK_S_MAX:
        return Finding(
            name, f"{result}; its clock is {off_s:.0f} s from this machine's", "set both clocks right: run NTP"
        )
    days = ((spool.certificate_ends or math.inf) - time.time()) / _DAY_S
    if days < _EXPIRY_DAYS_MIN:
        return Finding(
            name, f"{result}; its certificate is good for {days:.0f} more days", "renew it there, then SIGHUP"
        )
    return Finding(name, result)
