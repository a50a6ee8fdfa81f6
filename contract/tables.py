"""The tables as the migrations make them, column by column, and what each column means.

Only the SQL that the migrations are written in is read: one that adds, drops or renames a column in other words is
refused by its name.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from contract.columns import MEANINGS
from contract.event import Context, Event
from contract.schema import components

MIGRATIONS: Final = Path(__file__).resolve().parent.parent / "storage" / "migrations"
COMMENTS: Final = "0003_comments.sql"
"""The generated one: it creates nothing."""

_SCHEMAS: Final = ("clean", "raw", "ops")
# The migrator makes its own table before the first migration.
_MIGRATOR: Final = """
create table ops.migrations (number integer primary key, name text not null, applied_at timestamptz not null);
comment on table ops.migrations is 'Which migrations this database has had.';
"""
_CREATE: Final = re.compile(r"create\s+table\s+(?:if\s+not\s+exists\s+)?(\w+)\.(\w+)\s*\(", re.IGNORECASE)
_ALTER: Final = re.compile(r"alter\s+table\s+\S+\s+(?:add(?!\s+constraint)|drop|rename)\b", re.IGNORECASE)
_ADD: Final = re.compile(r"alter\s+table\s+(\w+\.\w+)\s+add\s+column\s+([^,;]+);", re.IGNORECASE)
_DROP_NOT_NULL: Final = re.compile(
    r"alter\s+table\s+(\w+\.\w+)\s+alter\s+column\s+(\w+)\s+drop\s+not\s+null;", re.IGNORECASE
)
_TABLE_COMMENT: Final = re.compile(r"comment\s+on\s+table\s+(\w+\.\w+)\s+is\s+'((?:[^']|'')*)'", re.IGNORECASE)
_CONSTRAINT: Final = re.compile(r"(?:constraint|primary|unique|check|foreign|exclude|like)\b", re.IGNORECASE)
_AFTER_TYPE: Final = re.compile(
    r"\s+(?:not\s+null|null|default|primary|unique|references|check|constraint|generated|collate)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_REQUIRED: Final = re.compile(r"\bnot\s+null\b|\bprimary\s+key\b", re.IGNORECASE)


class Column(NamedTuple):
    """One column of a table, as the migration has it, and what it means."""

    name: str
    type: str
    is_required: bool
    korean: str
    meaning: str
    migration: int

    @property
    def comment(self) -> str:
        """The text of its comment in the database."""
        return f"{self.korean}: {self.meaning}" if self.korean else self.meaning


class Table(NamedTuple):
    """One table and its columns, in order."""

    name: str
    meaning: str
    columns: list[Column]


def read_tables(meanings: Mapping[str, str] = MEANINGS) -> list[Table]:
    """Return every table of the migrations, explained; raise ValueError for whatever has no text or no column."""
    korean, described = _fields()
    used: set[str] = set()
    tables: list[Table] = []

    def explain(table: str, name: str) -> tuple[str, str]:
        for key in (f"{table}.{name}", name):
            if key in meanings:
                used.add(key)
                return korean.get(name, ""), meanings[key]
        if name not in described:
            raise ValueError(f"{table}.{name} has no text: write one in contract/columns.py")
        return korean[name], described[name]

    for number, sql in _migrations():
        purposes = {name: text.replace("''", "'") for name, text in _TABLE_COMMENT.findall(sql)}
        for table, parts in _created(sql):
            if table not in purposes:
                raise ValueError(f"{table} has no comment: write one in its migration")
            columns = [Column(name, *shape, *explain(table, name), number) for name, shape in map(_column, parts)]
            tables.append(Table(table, purposes[table], columns))
        for table, definition in _ADD.findall(sql):
            name, shape = _column(definition)
            _columns_of(table, tables).append(Column(name, *shape, *explain(table, name), number))
        _allow_nulls(sql, tables)
    left_over = meanings.keys() - used
    if left_over:
        raise ValueError(f"contract/columns.py explains columns that no table has: {', '.join(sorted(left_over))}")
    return sorted(tables, key=lambda table: _SCHEMAS.index(table.name.partition(".")[0]))


def _columns_of(name: str, tables: list[Table]) -> list[Column]:
    [table] = [table for table in tables if table.name == name]
    return table.columns


def _allow_nulls(sql: str, tables: list[Table]) -> None:
    for table, name in _DROP_NOT_NULL.findall(sql):
        columns = _columns_of(table, tables)
        columns[:] = [c._replace(is_required=c.is_required and c.name != name) for c in columns]


def _fields() -> tuple[dict[str, str], dict[str, str]]:
    """Return the Korean name and the description of every field."""
    korean: dict[str, str] = {}
    described: dict[str, str] = {}
    _, definitions = components(Event, Context)
    for definition in definitions.values():
        for name, field in definition["properties"].items():
            korean[name] = field["title"]
            described[name] = field["description"]
    return korean, described


def _migrations() -> Iterator[tuple[int, str]]:
    """Yield the number and the statements of every migration, comments taken out, the generated one left out."""
    yield 0, _MIGRATOR
    for path in sorted(MIGRATIONS.glob("*.sql")):
        if path.name != COMMENTS:
            sql = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))
            if _ALTER.search(_ADD.sub("", re.sub(r"'(?:[^']|'')*'", "''", sql))):
                raise ValueError(f"{path.name} alters a table, which contract/tables.py does not read yet")
            yield int(path.name[:4]), sql


def _created(sql: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each created table's name and its columns' definitions."""
    for match in _CREATE.finditer(sql):
        parts = [part.strip() for part in _split(sql[match.end() :])]
        yield f"{match[1]}.{match[2]}", [part for part in parts if not _CONSTRAINT.match(part)]


def _split(sql: str) -> Iterator[str]:
    """Split at the commas up to the closing parenthesis, those within inner ones or in quotes left alone."""
    part, depth, is_quoted = "", 0, False
    for char in sql:
        is_quoted ^= char == "'"
        if not is_quoted:
            if char == ")" and depth == 0:
                break
            depth += (char == "(") - (char == ")")
            if char == "," and depth == 0:
                yield part
                part = ""
                continue
        part += char
    yield part


def _column(definition: str) -> tuple[str, tuple[str, bool]]:
    name, _, rest = definition.partition(" ")
    return name, (_AFTER_TYPE.sub("", rest).strip(), _REQUIRED.search(rest) is not None)
