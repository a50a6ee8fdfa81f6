"""The files that operators edit: channel rules, page dictionary, geography. Watched, checked whole, never half taken.

Always true:

- A broken file changes nothing. The last good version stays in force, also across a restart: its content is kept in
  `ops.rule_files`. Only where there never was a good one is a broken file a reason not to start.
- It is said once, with the file, the line and why, when it is found; and `sillok doctor` says it as long as it is so.
- A version is in force from the first batch after it was found, which is looked for between batches.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import psycopg
import structlog
from msgspec import Struct

from contract.errors import RuleFileBroken
from processor.enrich import ChannelRules, GeoFile, Page, parse_pages
from processor.settings import ProcessSettings
from storage.postgres import read_sql

log: Final = structlog.get_logger()

_T = TypeVar("_T")

# PostgreSQL keeps a value of up to 1 GB, and takes it as a parameter of its size.
_FILE_BYTES_MAX: Final = 400 * 1024 * 1024


class FileState(Struct, frozen=True):
    """What `sillok doctor` says of one file: `problem` is empty when it is good."""

    name: str
    path: str
    problem: str
    last_good_at: datetime | None


class RuleFile(Generic[_T]):
    """One such file, and the version of it that is in force: `value`."""

    def __init__(
        self,
        name: str,
        path: str | None,
        parse: Callable[[bytes, str], _T],
        without: _T,
        apply: Callable[[psycopg.Connection, _T], None] = lambda *_: None,
    ) -> None:
        self.name = name
        self.path = path
        self.value = without
        self._parse = parse
        self._apply = apply
        self._sha256: bytes | None = None
        self._stamp: tuple[int, ...] = ()

    def read(self) -> None:
        """Take the file as it is now; raise RuleFileBroken when it is broken."""
        if self.path is not None:
            self.value = self._parse(_read(Path(self.path)), self.path)

    def refresh(self, connection: psycopg.Connection, *, again: bool) -> bool:
        """Take the file if it has changed, or `again`; say whether another version is in force now.

        Raises RuleFileBroken when it is broken and there is no good version.
        """
        if self.path is None:
            if again:
                self._apply(connection, self.value)
            return False
        stamp = _stamp(Path(self.path))
        if stamp == self._stamp and not again:
            return False
        self._stamp = stamp
        try:
            data = _read(Path(self.path))
            sha256 = hashlib.sha256(data).digest()
            value = self.value if sha256 == self._sha256 else self._parse(data, self.path)
        except RuleFileBroken as error:
            return self._fall_back(connection, error)
        with connection.transaction():
            keep = {"name": self.name, "sha256": sha256, "content": data}
            connection.execute(read_sql("processor.sql", "keep_rule_file.sql"), keep)
            self._apply(connection, value)
        return self._take(value, sha256)

    def _fall_back(self, connection: psycopg.Connection, error: RuleFileBroken) -> bool:
        """Stay with the version in force; at the start, with the last good one the database knows."""
        last = connection.execute(read_sql("processor.sql", "last_good_file.sql"), {"name": self.name}).fetchone()
        if self._sha256 is None:
            if last is None:
                raise error
            try:
                value = self._parse(last[0], self.name)
            except RuleFileBroken:  # by the rules of an older version
                raise error from None
            self._apply(connection, value)
        since = last[2].isoformat(timespec="seconds") if last else None
        log.error(
            "rule_file_broken", setting=self.name, reason=str(error), action="the last good one stays", since=since
        )
        return self._take(value, last[1]) if self._sha256 is None and last else False

    def _take(self, value: _T, sha256: bytes) -> bool:
        if sha256 == self._sha256:
            return False
        self.value, self._sha256 = value, sha256
        log.info("rule_file_loaded", setting=self.name, sha256=sha256.hex()[:12])
        return True


class RuleFiles:
    """All of them."""

    def __init__(self, settings: ProcessSettings) -> None:
        self.channels = RuleFile("channel_rules", settings.channel_rules, ChannelRules.parse, ChannelRules.load())
        self.pages = RuleFile[tuple[Page, ...]]("page_dictionary", settings.page_dictionary, parse_pages, (), _sync)
        self.geo = RuleFile[GeoFile | None]("geoip_file", settings.geoip_file, GeoFile.parse, None)
        self._all: tuple[RuleFile[Any], ...] = (self.channels, self.pages, self.geo)

    def read(self) -> None:
        """Take every file as it is now, without the database; raise RuleFileBroken when one is broken."""
        for file in self._all:
            file.read()

    def refresh(self, connection: psycopg.Connection, *, again: bool) -> bool:
        """Take every file that has changed; see RuleFile.refresh."""
        changed = [file.refresh(connection, again=again) for file in self._all]
        return any(changed)

    def states(self, connection: psycopg.Connection | None) -> Iterator[FileState]:
        """Yield what is to be said of each file that the settings name; the database is only read."""
        for file in self._all:
            if file.path is not None:
                try:
                    file.read()
                    problem = ""
                except RuleFileBroken as error:
                    problem = str(error)
                query, name = read_sql("processor.sql", "last_good_file.sql"), {"name": file.name}
                last = connection.execute(query, name).fetchone() if connection else None
                yield FileState(file.name, file.path, problem, last[2] if last else None)


def _sync(connection: psycopg.Connection, pages: tuple[Page, ...]) -> None:
    codes, names, groups = ([page[n] for page in pages] for n in range(3))
    connection.execute(read_sql("processor.sql", "sync_pages.sql"), {"codes": codes, "names": names, "groups": groups})


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; nothing when it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return (0,)
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise RuleFileBroken(f"{path}: larger than {_FILE_BYTES_MAX // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise RuleFileBroken(f"{path}: cannot be read: {error.strerror}") from error
