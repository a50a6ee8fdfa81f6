"""What the pictures of the report show of the books: the stream of events, and the time line."""

from datetime import timedelta
from typing import Final

from commands.pages.books_texts import T
from commands.pages.page import both, box, fill
from commands.pages.picture import NARROW, WIDTH, Bar, Loss, Stage, flow, flow_down, legend, timeline
from commands.report import count
from contract.calendar import SEOUL
from processor.books import Books
from processor.equations import CLOSED

_BARS_MAX: Final = 150
_STEPS_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440, 10_080)
_DAY: Final = timedelta(days=1)
_KINDS: Final = ("clean", "duplicate", "dead letter", "removed", "pending")
_STREAM: Final = ("received", "accepted", "loaded", "clean")
# Which identity is drawn behind which station.
_ALARMS: Final = {
    "received": ("received = accepted + rejected", "rejected = rows of ops.rejected"),
    "accepted": ("accepted = loaded + dead-lettered + damaged", "lost groups = written off"),
    "loaded": (
        "loaded = clean + duplicate + dead-lettered + discarded + erased + purged + pending",
        "loaded = rows of raw.events",
        "duplicate = rows of ops.duplicates",
        "dead-lettered = rows of ops.dead_letters",
        "pending = 0 in a final minute",
    ),
    "clean": (
        "clean = rows of clean.events",
        "raw.events = clean + duplicates + dead letters, row by row",
        "each row of clean.events = its row of raw.events",
    ),
}


def pictures(books: Books, totals: dict[str, int]) -> str:
    """Return both pictures, or that there is nothing to draw."""
    if not totals["received"] and not totals["loaded"]:
        return f'<p class="empty">{both(T["no events"])}</p>'
    step = _step(books)
    kinds = ("clean", "duplicate", "dead letter", "removed", "pending", "rejected", "difference")
    keys = [(kind, T[kind]) for kind in kinds if kind in ("clean", "difference") or totals.get(kind)]
    stages, bars = _stages(books, totals), _bars(books, step)
    over_time = [timeline(bars, T["timeline"], T["open from here"], width) for width in (WIDTH, NARROW)]
    return box(T["flow"], T["flow says"], flow(stages, T["flow"]) + flow_down(stages, T["flow"])) + box(
        T["timeline"],
        fill(T["timeline says"], step),
        "".join(over_time) + f'<p class="keys">{legend(keys)}</p>',
    )


def _stages(books: Books, totals: dict[str, int]) -> list[Stage]:
    def loss(name: str, colour: str, events: int) -> Loss:
        return Loss(T[name], colour, events)

    failing = {name: sum(d.identity in names for d in books.differences) for name, names in _ALARMS.items()}
    loader_dead = sum(found.get("load.dead_lettered", 0) for found in books.totals.values())
    loader_dead += sum(found.get("operator.load_dead_lettered", 0) for found in books.totals.values())
    losses = {
        "received": [loss("rejected", "rejected", totals["rejected"])],
        "accepted": [loss("damaged", "damaged", totals["damaged"]), loss("dead letter", "dead letter", loader_dead)],
        "loaded": [
            loss("duplicate", "duplicate", totals["duplicate"]),
            loss("dead letter", "dead letter", totals["dead letter"] - loader_dead),
            loss("removed", "removed", totals["removed"]),
            loss("pending", "pending", totals["pending"]),
        ],
        "clean": [],
    }
    stages = [
        Stage(
            T[name], totals[name], losses[name],
            alarm=(f"불일치 {failing[name]}", f"differs: {failing[name]}") if failing[name] else None,
        )
        for name in _STREAM
    ]  # fmt: skip
    created = sum(c.created for c in books.clients)
    if created:
        gone = [
            loss("client dropped", "dropped", sum(sum(c.dropped.values()) for c in books.clients)),
            loss("vanished", "vanished", sum(c.vanished for c in books.clients)),
            loss("client pending", "pending", sum(c.pending for c in books.clients)),
        ]
        stages.insert(0, Stage(T["created"], created, gone, is_apart=True))
    return stages


def _step(books: Books) -> int:
    minutes = (books.range_until - books.range_from) / timedelta(minutes=1)
    return next((step for step in _STEPS_MINUTES if minutes / step <= _BARS_MAX), _STEPS_MINUTES[-1])


def _bars(books: Books, step: int) -> list[Bar]:
    length = timedelta(minutes=step)
    slots = max(-(-(books.range_until - books.range_from) // length), 1)
    sums: list[dict[str, int]] = [{} for _ in range(slots)]
    for minute, found in books.minutes:
        into = sums[(minute - books.range_from) // length]
        for account, events in found.items():
            into[account] = into.get(account, 0) + events
    differing = {(d.minute - books.range_from) // length for d in books.differences if d.identity != CLOSED}
    bars = []
    for slot, found in enumerate(sums):
        starts = books.range_from + slot * length
        is_open = not books.final and (books.finished_until is None or starts + length > books.finished_until)
        parts = tuple((kind, count(found, kind)) for kind in _KINDS)
        label = f"{starts.astimezone(SEOUL):{'%H:%M' if length < _DAY else '%m-%d'}}"
        bars.append(Bar(label, parts, count(found, "accepted"), count(found, "rejected"), slot in differing, is_open))
    return bars
