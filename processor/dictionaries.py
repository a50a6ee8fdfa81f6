"""Each distinct value parsed once: user agents, addresses, and the sets of values from which a visit's way follows.

A batch's distinct values are looked up in a bounded memory, then in the dictionary's table, and only then parsed.
All are copied into a temporary table, which the statement that writes `clean.events` joins; what was parsed goes
from there into the dictionary's table. So a batch of known values writes nothing, and a restart parses nothing.

Always true:

- A row is of the rules, the settings and the code that are in force: `rules_version` is a hash of all three, and rows
  of another version are dropped before the first look-up. An edited rule file takes effect with the next batch.
- A dictionary holds no more than `ROWS_MAX` rows, none unseen for 30 days: addresses of pages are as many as a site,
  or an attacker, makes them. What finds no room is parsed again when the memory has lost it.
- Nothing of one person is kept for its own sake: neither network addresses nor clicks with an id are written.
"""

import functools
import hashlib
from collections.abc import Callable, Hashable
from datetime import date, datetime
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

import psycopg

from contract.calendar import SEOUL
from processor.enrich import (
    ChannelInput,
    ChannelRules,
    GeoFile,
    OwnApp,
    parse_page_url,
    parse_referrer,
    parse_user_agent,
)
from storage.postgres import read_sql

# About 1 KB an entry: 200 MB of memory at the very most, a few MB in practice; 50 MB a table on disk.
ROWS_MAX: Final = 100_000

Row = tuple[Any, ...]


def _today() -> date:
    return datetime.now(SEOUL).date()


class Dictionary:
    """One dictionary table and the memory in front of it. Its statements are `distinct_…`, `find_…` and so on."""

    def __init__(
        self,
        name: str,
        parse: Callable[[Row], Row],
        rules_version: str,
        *,
        is_kept: Callable[[Row], bool] = lambda _: True,
        rows_max: int,
        today: Callable[[], date],
    ) -> None:
        self._name = name
        self._parse = parse
        self._version = rules_version
        self._is_kept = is_kept
        self._rows_max = rows_max
        self._today = today
        self._memory: dict[Row, Row] = {}
        self._day: date | None = None
        self._room = 0
        self.parsed = 0
        """How many values were parsed so far."""

    def forget(self) -> None:
        """Empty the memory: what it believes to be in the table may have been rolled back."""
        self._memory.clear()
        self._day = None

    def fill(self, connection: psycopg.Connection, batch: dict[str, Any]) -> None:
        """Copy what the batch needs into its temporary table, and keep what is new."""
        self._begin_day(connection)
        distinct = self._run(connection, "distinct", batch)
        fresh = self._learn(connection, [row for row in distinct if row not in self._memory])
        columns = f"copy batch_{self._name} from stdin"
        with connection.cursor() as cursor, cursor.copy(columns.encode()) as copy:
            for row in distinct:
                copy.write_row((fresh.get(row), *row, *self._memory[row]))
        if fresh:
            connection.execute(read_sql("processor.sql", f"keep_{self._name}.sql"), self._parameters())

    def _begin_day(self, connection: psycopg.Connection) -> None:
        """Once a day, drop what is of no use any more, and note anew what is seen."""
        today = self._today()
        if today != self._day:
            self._day = today
            self._memory.clear()
            [(rows,)] = self._run(connection, "drop", self._parameters())
            self._room = max(self._rows_max - rows, 0)
        elif len(self._memory) > self._rows_max:
            self._memory.clear()

    def _learn(self, connection: psycopg.Connection, rows: list[Row]) -> dict[Row, UUID]:
        """Bring rows into the memory, from the table or by parsing; return the keys of those to be kept."""
        if not rows:
            return {}
        keys = {row: _key(row) for row in rows}
        found = self._run(connection, "find", {**self._parameters(), "keys": list(keys.values())})
        known = {key: values for key, *values in found}
        fresh: dict[Row, UUID] = {}
        for row, key in keys.items():
            if key in known:
                self._memory[row] = tuple(known[key])
                continue
            self._memory[row] = self._parse(row)
            self.parsed += 1
            if self._room and self._is_kept(self._memory[row]):
                fresh[row] = key
                self._room -= 1
        return fresh

    def _parameters(self) -> dict[str, Any]:
        return {"today": self._day, "version": self._version}

    def _run(self, connection: psycopg.Connection, verb: str, parameters: dict[str, Any]) -> list[Row]:
        return connection.execute(read_sql("processor.sql", f"{verb}_{self._name}.sql"), parameters).fetchall()


class Dictionaries:
    """All that the processor has parsed."""

    def __init__(
        self,
        rules: ChannelRules,
        geo: GeoFile | None = None,
        own_apps: tuple[OwnApp, ...] = (),
        *,
        rows_max: int = ROWS_MAX,
        today: Callable[[], date] = _today,
    ) -> None:
        self._rows_max = rows_max
        self._today = today
        self.user_agents = Dictionary(
            "user_agents",
            lambda row: _read_user_agent(row[0], own_apps),
            _version(
                repr(own_apps), *map(_code, ("user_agent.py",)), version("ua-parser-rs"), version("ua-parser-builtins")
            ),
            rows_max=rows_max,
            today=today,
        )
        self.use(rules, geo)

    def use(self, rules: ChannelRules, geo: GeoFile | None) -> None:
        """Take other rules from the next batch on."""
        self.urls = Dictionary(
            "urls",
            partial(_read_visit, rules),
            _version(rules.sha256, _code("urls.py", "contract"), *map(_code, ("channel.py", "channel_file.py"))),
            is_kept=lambda values: values[-1] is None,  # a click id is seen once: it would fill the table in days
            rows_max=self._rows_max,
            today=self._today,
        )
        self._geo = geo
        self._places: dict[Hashable, Row] = {}

    def forget(self) -> None:
        """Look everything up in the tables again."""
        self.user_agents.forget()
        self.urls.forget()

    def fill(self, connection: psycopg.Connection, batch: dict[str, Any]) -> None:
        """Copy what the batch needs into its temporary tables."""
        self.user_agents.fill(connection, batch)
        self.urls.fill(connection, batch)
        if self._geo is not None:
            self._fill_addresses(connection, batch, self._geo)

    def _fill_addresses(self, connection: psycopg.Connection, batch: dict[str, Any], geo: GeoFile) -> None:
        """Copy the places of the batch's addresses, which stay in memory alone: a table would list customers."""
        if len(self._places) > self._rows_max:
            self._places.clear()
        distinct = connection.execute(read_sql("processor.sql", "distinct_addresses.sql"), batch).fetchall()
        with connection.cursor() as cursor, cursor.copy("copy batch_addresses from stdin") as copy:
            for (address,) in distinct:
                if address not in self._places:
                    self._places[address] = geo.place(address)
                copy.write_row((address, *self._places[address]))


def _key(row: Row) -> UUID:
    """Return the row's key, `md5(user_agent)::uuid` for a user agent alone."""
    return UUID(bytes=hashlib.md5("\x1f".join(row).encode(), usedforsecurity=False).digest())


def _version(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _code(name: str, package: str = "processor.enrich") -> str:
    """Return a module's source: whoever changes it need not remember to raise a number."""
    return (files(package) / name).read_text(encoding="utf-8")


def _read_visit(rules: ChannelRules, row: Row) -> Row:
    """Return the page's host and path, the referrer's host, the channel, and the campaign with its click id."""
    page_url, referrer, source, medium, campaign, click_id, platform = row
    page = parse_page_url(page_url) if page_url else None
    referrer_host, referrer_path = _read_referrer(referrer) if referrer else (None, None)
    visit = ChannelInput(
        utm_source=source or (page and page.utm_source) or None,
        utm_medium=medium or (page and page.utm_medium) or None,
        utm_campaign=campaign or (page and page.utm_campaign) or None,
        ad_click_id=click_id or (page and page.ad_click_id) or None,
        referrer_host=referrer_host,
        referrer_path=referrer_path,
        page_host=page.host if page else None,
        platform=platform or None,
    )
    return (
        visit.page_host, page and page.path, visit.referrer_host, rules.assign(visit), visit.utm_source,
        visit.utm_medium, visit.utm_campaign, page and page.utm_term, page and page.utm_content, visit.ad_click_id,
    )  # fmt: skip


@functools.lru_cache(maxsize=1000)
def _read_referrer(referrer: str) -> tuple[str | None, str | None]:
    """Return a referrer's host and path; most visits come from few pages."""
    host = parse_referrer(referrer)
    return host, parse_page_url(referrer).path if host else None


def _read_user_agent(text: str, own_apps: tuple[OwnApp, ...]) -> Row:
    agent = parse_user_agent(text, own_apps)
    return (
        agent.device_type, agent.os_name, agent.os_version, agent.browser_name, agent.browser_version, agent.is_bot
    )  # fmt: skip
