"""The page dictionary: a CSV file of the firm's page codes, checked whole before any of it is used.

    page_code,page_name,menu_group
    M0301,국내주식 현재가,국내주식

A header with these three columns in any order (others are ignored), commas, quotes where a text holds one. UTF-8 with
or without a byte-order mark, or CP949 as a Korean Excel saves "CSV". Always true of a file that loads:

- A code stands in it once, and has a name; `menu_group` may be empty.
- It is of one encoding: what decodes as CP949 with texts in it that are UTF-8 is a damaged UTF-8 file.
"""

import csv
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from contract.errors import RuleFileBroken

_COLUMNS: Final = ("page_code", "page_name", "menu_group")
# As long as the event's fields.
_LENGTHS_MAX: Final = {"page_code": 64, "page_name": 256, "menu_group": 256}


class Page(NamedTuple):
    """One line of the file."""

    page_code: str
    page_name: str
    menu_group: str | None


def parse_pages(data: bytes, name: str) -> tuple[Page, ...]:
    """Read a page dictionary; raise RuleFileBroken, naming the line."""
    pages: dict[str, Page] = {}
    places: dict[str, int] = {}
    try:
        for line, page in _pages(_decode(data)):
            if page.page_code in places:
                raise _BadLine(line, f"page_code {page.page_code!r} stands in line {places[page.page_code]} too")
            places[page.page_code] = line
            pages[page.page_code] = page
    except _BadLine as error:
        raise RuleFileBroken(f"{name}: {error}") from error
    if not pages:
        raise RuleFileBroken(f"{name}: line 2: no page follows the header; leave the setting out to have none")
    return tuple(pages.values())


class _BadLine(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    if any(_is_utf8_text(part) for part in data.splitlines()):
        raise _BadLine(line, "not UTF-8, although other lines are; save the whole file as “CSV UTF-8”")
    try:
        return data.decode("cp949")
    except UnicodeDecodeError:
        raise _BadLine(line, "neither UTF-8 nor CP949; in Excel save as “CSV UTF-8”") from None


def _is_utf8_text(line: bytes) -> bool:
    try:
        return not line.isascii() and bool(line.decode())
    except UnicodeDecodeError:
        return False


def _pages(text: str) -> Iterator[tuple[int, Page]]:
    """Yield the pages with the lines they begin in."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    line = 1
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        for column in _COLUMNS:
            if header.count(column) != 1:
                raise _BadLine(1, f"the header must name {', '.join(_COLUMNS)}, each once; {column} is not")
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):  # Excel leaves lines of commas behind
                yield line, _page(line, header, cells)
            line = reader.line_num + 1
    except csv.Error as error:
        raise _BadLine(line, f"not CSV: {error}") from error


def _page(line: int, header: list[str], cells: list[str]) -> Page:
    if len(cells) != len(header):
        raise _BadLine(
            line, f"{len(cells)} cells under a header of {len(header)}; put quotes around a text with commas"
        )
    values = {column: _text(line, column, cells[header.index(column)]) for column in _COLUMNS}
    for column in ("page_code", "page_name"):
        if not values[column]:
            raise _BadLine(line, f"{column} is empty")
    return Page(values["page_code"], values["page_name"], values["menu_group"] or None)


def _text(line: int, column: str, cell: str) -> str:
    """Clean one cell; macOS writes Hangul in pieces, which would equal no app's page code."""
    text = unicodedata.normalize("NFC", cell.strip())
    if len(text) > _LENGTHS_MAX[column]:
        raise _BadLine(line, f"{column} is longer than {_LENGTHS_MAX[column]} characters")
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise _BadLine(line, f"{column} holds a control character or a line break")
    return text
