"""The books as one page: nothing fetched, Korean and English in one file, good to print and hand in."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Final

from commands.pages.books_pictures import pictures
from commands.pages.books_texts import MEANINGS, T
from commands.pages.page import Head, both, box, document, fill, number, table
from commands.report import COLUMNS, count
from contract.calendar import SEOUL
from processor.books import Books
from processor.equations import CLOSED, Difference

_ROWS_MAX: Final = 200


def render_page(books: Books) -> str:
    """Return the whole page as the text of one file."""
    totals = {column: sum(count(found, column) for found in books.totals.values()) for column in COLUMNS}
    span = f"{_moment(books.range_from)} … {_moment(books.range_until)}"
    verdict = _verdict(books)
    sections = [
        *([_waits(books)] if not books.final else []),
        pictures(books, totals),
        *([box(T["by source"], None, _sources(books))] if books.totals else []),
        box(T["differences"], None, _differences(books.differences)),
        box(T["identities"], T["identities says"], _identities(books)),
        *(
            [box(T["outside"], fill(T["outside says"], books.outside_tolerance), _outside(books))]
            if books.outside
            else []
        ),
        *([box(T["clients"], T["clients says"], _clients(books))] if books.clients else []),
        *([box(T["written off"], T["written off says"], _written_off(books))] if books.written_off else []),
        *([box(T["closes"], None, _closes(books))] if books.closes or books.raw_gone else []),
        _signatures(books),
    ]
    head = Head(
        title=T["title"],
        span=span,
        badge=T[verdict],
        mark={"balanced": "good", "so far": "open"}.get(verdict, "bad"),
        says=T[f"{verdict} says"],
        facts=[
            (T["of"], escape(span)),
            (T["watermark"], escape(_moment(books.finished_until)) if books.finished_until else both(T["nothing"])),
            (T["made"], escape(_moment(books.read_at))),
        ],
    )
    return document(head, sections)


def _verdict(books: Books) -> str:
    if not books.balanced:
        return "differs"
    if books.stalled:
        return "stalled"
    if not books.holds:
        return "expected missing"
    return "balanced" if books.final else "so far"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(SEOUL):%Y-%m-%d %H:%M %Z}"


def _waits(books: Books) -> str:
    items = [
        f"<li><b>{escape(name)}</b> {both(fill(T[f'waits {slot.waits_for}'], name))}</li>"
        for slot in books.waiting
        # A clock is the slot's, the rest is about its next segment.
        for name in [str(slot).rpartition(".")[0] if slot.waits_for == "clock" else str(slot)]
    ]
    return box(T["slots"], None, f"<ul>{''.join(items)}</ul>") if items else ""


def _sources(books: Books) -> str:
    columns = [c for c in COLUMNS if c not in ("removed", "damaged") or any(count(t, c) for t in books.totals.values())]
    rows = [
        [escape(source) or "—", *(number(count(totals, column)) for column in columns)]
        for source, totals in sorted(books.totals.items())
    ]
    if len(rows) > 1:
        everything = [sum(count(totals, column) for totals in books.totals.values()) for column in columns]
        rows.append([f"<b>{both(T['all'])}</b>", *(f"<b>{number(events)}</b>" for events in everything)])
    return table([T["source"], *(T[column] for column in columns)], rows, numbers=range(1, len(columns) + 1))


def _differences(differences: Sequence[Difference]) -> str:
    if not differences:
        return f'<p class="fine">✓ {both(T["no differences"])}</p>'
    rows = []
    for d in differences[:_ROWS_MAX]:
        moment = f"{d.minute.astimezone(SEOUL):%Y-%m-%d}" if d.identity == CLOSED else _moment(d.minute)
        cell = " · ".join(escape(part) for part in (d.source, d.event_type, d.detail) if part) or "—"
        rows.append([f"<b>{escape(moment)}</b>", cell, escape(d.identity), number(d.left[0]), number(d.right[0]),
                     _explained(d)])  # fmt: skip
    names = ("when", "where", "identity", "left", "right", "what to do")
    return table([T[name] for name in names], rows, numbers=(3, 4), css="differences") + _more(len(differences))


def _explained(d: Difference) -> str:
    """Say what a difference means; what nobody has an explanation for is marked."""
    by = d.right[0] - d.left[0]
    size = T["same count"] if not by else fill(T["rows more" if by > 0 else "rows less"], f"{abs(by):,}")
    is_explained = not d.final or d.identity == "lost groups = written off"
    kind, word = ("open", "explained") if is_explained else ("bad", "unexplained")
    mark = f'<span class="{kind}">{both(T[word])}</span>'
    action = T["still open"] if not d.final else MEANINGS[d.identity][1]
    return f"{mark} {both(size)} {both(action)}"


def _more(rows: int) -> str:
    return f"<p>{both(fill(T['more'], f'{rows - _ROWS_MAX:,}'))}</p>" if rows > _ROWS_MAX else ""


def _identities(books: Books) -> str:
    rows = [
        [
            f"<code>{escape(name)}</code>",
            both(MEANINGS[name][0]),
            f'<span class="{"good" if holds else "bad"}">{both(T["holds" if holds else "fails"])}</span>',
        ]
        for name, holds in books.identities.items()
    ]
    return table([T["identity"], T["meaning"], T["result"]], rows)


def _outside(books: Books) -> str:
    rows = [
        [
            escape(str(row.event_date)),
            escape(row.event_type),
            escape(row.source) or both(T["any"]),
            escape(row.event_name) or both(T["any"]),
            number(row.expected),
            number(row.found),
            f"{row.found - row.expected:+,}",
            f'<span class="{"good" if row.holds else "bad"}">{both(T["holds" if row.holds else "fails"])}</span>'
            + ("" if row.final else f' <span class="open">{both(T["open"])}</span>'),
        ]
        for row in sorted(books.outside, key=lambda row: row.holds)[:_ROWS_MAX]
    ]
    names = ("day", "type", "source", "name", "expected", "found", "apart", "result")
    return table([T[name] for name in names], rows, numbers=(4, 5, 6)) + _more(len(books.outside))


def _clients(books: Books) -> str:
    rows = [
        [
            escape(str(c.day)),
            escape(c.source),
            escape(c.platform) or "—",
            escape(c.app_version) or "—",
            *(number(n) for n in (c.instances, c.created, c.arrived, sum(c.dropped.values()), c.pending, c.vanished)),
            escape(", ".join(f"{reason[:24]} {events:,}" for reason, events in sorted(c.dropped.items())[:4])) or "—",
        ]
        for c in sorted(books.clients, key=lambda c: -c.vanished)[:_ROWS_MAX]
    ]
    names = ("day", "source", "platform", "version", "instances", "created", "arrived", "client dropped",
             "client pending", "vanished", "reasons")  # fmt: skip
    return table([T[name] for name in names], rows, numbers=range(4, 10)) + _more(len(books.clients))


def _written_off(books: Books) -> str:
    rows = [
        [
            escape(_moment(loss.minute)),
            f"<code>{escape(loss.segment)}</code>",
            both(fill(T[f"lost {loss.kind}"], loss.count)),
            escape(_moment(loss.at)),
            escape(loss.operator),
            escape(loss.reason),
        ]
        for loss in books.written_off
    ]
    return table([T[name] for name in ("when", "segment", "what is lost", "written off at", "by", "reason")], rows)


def _closes(books: Books) -> str:
    rows = [
        [
            escape(str(close.day)),
            both(T[close.kind]) + (f" {both(fill(T['restated'], close.revision))}" if close.revision else ""),
            escape(_moment(close.closed_at)),
            escape(close.closed_by),
            f"<code>{close.digest}</code>",
        ]
        for close in books.closes
    ]
    names = ("day", "kind", "closed at", "by", "digest")
    parts = [table([T[name] for name in names], rows)] if rows else []
    parts += [f"<p>{both(fill(T['raw gone'], day))}</p>" for day in books.raw_gone]
    if books.restatements:
        changes = [
            [
                escape(str(r.day)),
                both(fill(T["restated"], r.revision) if r.revision else T["to be restated"]),
                escape(f"{r.source} · {r.event_type}")
                + (f" {both(T['test keys'])}" if r.account == "clean_test" else ""),
                number(r.before),
                number(r.after),
                f"{r.after - r.before:+,}",
            ]
            for r in books.restatements[:_ROWS_MAX]
        ]
        columns = ("day", "kind", "where", "before", "after", "apart")
        parts.append(f"<h3>{both(T['restatements'])}</h3>")
        parts.append(table([T[name] for name in columns], changes, numbers=(3, 4, 5)) + _more(len(books.restatements)))
    return "".join(parts)


def _signatures(books: Books) -> str:
    command = f"sillok reconcile --from {books.range_from.astimezone(SEOUL):%Y-%m-%dT%H:%M}"
    command += f" --until {books.range_until.astimezone(SEOUL):%Y-%m-%dT%H:%M} --html report.html"
    lines = "".join(f"<div>{both(T[name])}<i></i></div>" for name in ("signed", "checked", "date"))
    return f'<footer><div class="sign">{lines}</div><p>{both(T["repeat"])}: <code>{escape(command)}</code></p></footer>'
