"""The pieces of an HTML page in two languages: texts, boxes, tables and the style sheet. Every value is escaped."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from commands.picture import Text
from commands.report_texts import T

STYLE: Final = (files("commands") / "report.css").read_text(encoding="utf-8")

_CODE: Final = re.compile(r"`([^`]+)`")


def both(words: Text) -> str:
    """Return a text in both languages; the style sheet shows one."""
    korean, english = (_CODE.sub(r"<code>\1</code>", escape(text)) for text in words)
    return f'<span lang="ko">{korean}</span><span lang="en">{english}</span>'


def fill(name: str, *values: object) -> Text:
    """Return a sentence of the table with its values in."""
    korean, english = T[name]
    return korean.format(*values), english.format(*values)


def number(events: int) -> str:
    """Return a number as it is read; nothing at all is pale."""
    return f"{events:,}" if events else '<span class="zero">0</span>'


def box(title: Text, note: Text | None, content: str) -> str:
    """Return a section of the page."""
    said = f'<p class="note">{both(note)}</p>' if note else ""
    return f"<section><h2>{both(title)}</h2>{said}{content}</section>"


def table(names: Sequence[Text], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), css: str = "") -> str:
    """Return a table; the cells are HTML already, the columns in `numbers` stand to the right."""
    right = set(numbers)
    marks = [' class="number"' if column in right else "" for column in range(len(names))]
    head = "".join(f"<th{mark}>{both(name)}</th>" for mark, name in zip(marks, names, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{mark}>{cell}</td>' for mark, cell in zip(marks, row, strict=True))}</tr>" for row in rows
    )
    kind = f' class="{css}"' if css else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
