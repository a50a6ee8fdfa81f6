"""The pieces of an HTML page in two languages: texts, boxes, tables and the style sheet. Every value is escaped."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from msgspec import Struct

from commands.pages.picture import Text
from contract.errors import FolderNotWritable

STYLE: Final = (files("commands.pages") / "page.css").read_text(encoding="utf-8")

# What the page does when it is shown: it opens in the reader's language. Where no script runs, it is Korean. The policy
# names its hash: this alone may run.
CHOOSE_LANGUAGE: Final = (
    "const known=['ko','en'];"
    "const show=name=>{document.documentElement.lang=name;document.getElementById(name).checked=true};"
    "show(navigator.languages.map(name=>name.slice(0,2)).find(name=>known.includes(name))||'en');"
    "for(const name of known)document.getElementById(name).onchange=()=>show(name)"
)
_HASH: Final = b64encode(sha256(CHOOSE_LANGUAGE.encode()).digest()).decode()
POLICY: Final = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-hashes' 'sha256-{_HASH}'"

_CODE: Final = re.compile(r"`([^`]+)`")


class Head(Struct, frozen=True):
    """What stands above a page's sections."""

    title: Text
    span: str
    badge: Text
    mark: str
    """How the badge looks: `good`, `bad` or `open`."""
    says: Text
    facts: Sequence[tuple[Text, str]]
    """Names with their values, as HTML."""


def document(head: Head, sections: Iterable[str]) -> str:
    """Return a whole page as the text of one file."""
    facts = "".join(f"<div><dt>{both(name)}</dt><dd>{value}</dd></div>" for name, value in head.facts)
    return (
        '<!DOCTYPE html>\n<html lang="ko"><head><meta charset="utf-8"/>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Sillok · {escape(head.title[0])} · {escape(head.span)}</title><style>{STYLE}</style></head>"
        f'<body onpageshow="{CHOOSE_LANGUAGE}">'
        '<input type="radio" name="language" id="ko" checked="checked"/><label for="ko">한국어</label>'
        '<input type="radio" name="language" id="en"/><label for="en">English</label>'
        f"<main><header><h1><small>Sillok · 실록</small>{both(head.title)}</h1>"
        f'<span class="badge {head.mark}">{both(head.badge)}</span></header><dl class="head">{facts}</dl>'
        f'<p class="says">{both(head.says)}</p>{"".join(sections)}</main></body></html>\n'
    )


def write_page(path: Path, page: str) -> None:
    """Write a page where it was asked for."""
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise FolderNotWritable(f"cannot write {path}: {error.strerror}; choose another place for --html") from error


def both(words: Text) -> str:
    """Return a text in both languages; the style sheet shows one."""
    korean, english = (_CODE.sub(r"<code>\1</code>", escape(text)) for text in words)
    return f'<span lang="ko">{korean}</span><span lang="en">{english}</span>'


def fill(words: Text, *values: object) -> Text:
    """Return a sentence with its values in."""
    korean, english = words
    return korean.format(*values), english.format(*values)


def number(events: int) -> str:
    """Return a number as it is read; nothing at all is pale."""
    return f"{events:,}" if events else '<span class="zero">0</span>'


def box(title: Text, note: Text | None, content: str) -> str:
    """Return a section of the page."""
    said = f'<p class="note">{both(note)}</p>' if note else ""
    return f"<section><h2>{both(title)}</h2>{said}{content}</section>"


def table(names: Sequence[Text], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), css: str = "") -> str:
    """Return a table; the cells are HTML already, the columns in `numbers` stand to the right.

    Each cell carries its column's name: on a phone a row is a list of names and values.
    """
    right = set(numbers)
    marks = [' class="number"' if column in right else "" for column in range(len(names))]
    head = "".join(f"<th{mark}>{both(name)}</th>" for mark, name in zip(marks, names, strict=True))
    tags = [
        f'<td{mark} data-ko="{escape(korean)}" data-en="{escape(english)}">'
        for mark, (korean, english) in zip(marks, names, strict=True)
    ]
    body = "".join(
        f"<tr>{''.join(f'{tag}{cell}</td>' for tag, cell in zip(tags, row, strict=True))}</tr>" for row in rows
    )
    kind = f' class="{css}"' if css else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
