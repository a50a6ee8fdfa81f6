"""What the tables about people and visits should say, in the plainest Python: forwards through a list of events.

It knows nothing of loads and runs, and so nothing of the order in which events arrive.
"""

from itertools import pairwise
from typing import Any
from uuid import UUID

from contract.event import TYPES_OF_DOING, StoredEvent

MINUTE_MS = 60_000
HALF_HOUR_MS = 30 * MINUTE_MS


def by_time(events: list[StoredEvent]) -> list[StoredEvent]:
    return sorted(events, key=lambda e: (e.time, e.event_id))


def is_doing(stored: StoredEvent) -> bool:
    """Return whether a person did it."""
    return stored.event_type in TYPES_OF_DOING or (stored.event_type == "custom" and stored.platform != "server")


def is_attached(stored: StoredEvent) -> bool:
    """Return whether it joins a session that others made, or has none."""
    return stored.session_id is None and not is_doing(stored)


def sessions(events: list[StoredEvent]) -> dict[UUID, str | None]:
    """Return each event's session: the SDK's, or one cut from what its visitor did, or what it belongs to."""
    found: dict[UUID, str | None] = {e.event_id: e.session_id for e in events if e.session_id is not None}
    bare = [e for e in events if e.session_id is None and is_doing(e)]
    for visitor in {e.anonymous_id for e in bare}:
        found |= cut([e for e in bare if e.anonymous_id == visitor])
    made: dict[str, list[StoredEvent]] = {}
    for stored in events:
        if (name := found.get(stored.event_id)) is not None:
            made.setdefault(name, []).append(stored)
    return found | {e.event_id: belonging(e, made) for e in events if is_attached(e)}


def belonging(stored: StoredEvent, made: dict[str, list[StoredEvent]]) -> str | None:
    """Return which of these sessions an event belongs to, if any."""
    fitting: list[tuple[bool, int, str]] = []
    for name, own in made.items():
        did = [e.time for e in own if is_doing(e)]
        [*_, customer] = [None, *(e.customer_id for e in in_order(own) if e.customer_id is not None)]
        if not did or first_visitor(own) != stored.anonymous_id or {customer, stored.customer_id, None} != {
            customer or stored.customer_id, None
        }:  # fmt: skip
            continue
        since, until = stored.time - min(did), stored.time - max(did)
        if (since >= 0 and until <= HALF_HOUR_MS) or (-HALF_HOUR_MS <= since < 0 and stored.event_type != "exit"):
            fitting.append((since < 0, abs(since), name))
    return min(fitting)[2] if fitting else None


def first_visitor(own: list[StoredEvent]) -> str | None:
    """Return whose session it is, by the first of its own events that says so."""
    return next((e.anonymous_id for e in in_order(own) if e.anonymous_id is not None), None)


def cut(events: list[StoredEvent]) -> dict[UUID, str]:
    """Return each event's derived session, cut forwards through one visitor's events."""
    found: dict[UUID, str] = {}
    name, last, started, chunk, customer = "", None, 0, 0, None
    for stored in by_time(events):
        if last is None or stored.time - last > 30 * MINUTE_MS:
            name, started, chunk, customer = "", stored.time, 0, None
        elif stored.customer_id is not None and customer is not None and stored.customer_id != customer:
            name, started, chunk = "", stored.time, 0
        elif (stored.time - started) // (720 * MINUTE_MS) != chunk:
            name, chunk = "", (stored.time - started) // (720 * MINUTE_MS)
        last, customer = stored.time, stored.customer_id or customer
        name = name or "d-" + stored.event_id.hex
        found[stored.event_id] = name
    return found


def visits(events: list[StoredEvent]) -> dict[str, list[StoredEvent]]:
    """Return each session's events in the session's order: instance after instance, each in its own numbers."""
    names = sessions(events)
    found: dict[str, list[StoredEvent]] = {}
    for stored in events:
        if (name := names[stored.event_id]) is not None:
            found.setdefault(name, []).append(stored)
    return {name: in_order(own) for name, own in found.items()}


def in_order(own: list[StoredEvent]) -> list[StoredEvent]:
    """Return a session's events in its order."""
    began: dict[str | None, int] = {}
    for stored in by_time(own):
        began.setdefault(stored.client_id, stored.time)
    return sorted(
        own,
        key=lambda e: (
            began[e.client_id], e.client_id is None, e.client_id or "", e.seq is None, e.seq or 0, e.time, e.event_id
        ),
    )  # fmt: skip


def session_rows(events: list[StoredEvent]) -> list[dict[str, Any]]:
    """Return what follows from the events for `clean.sessions`, by session."""
    rows = []
    for name, own in sorted(visits(events).items()):
        pages = [e for e in own if e.event_type == "page_view"]
        named = [e.customer_id for e in own if e.customer_id is not None and not is_attached(e)]
        visitors = [e.anonymous_id for e in own if e.anonymous_id is not None and not is_attached(e)]
        did = [e.time for e in own if is_doing(e)]
        rows.append(
            {
                "session_id": name,
                "started_ms": min(e.time for e in own),
                "ended_ms": max(e.time for e in own),
                "is_derived": all(e.session_id is None for e in own),
                "is_visit": bool(did),
                "active_from_ms": min(did, default=None),
                "active_until_ms": max(did, default=None),
                "visitor_id": visitors[0] if visitors else name,
                "customer_id": named[-1] if named else None,
                "events": len(own),
                "page_views": len(pages),
                "clicks": sum(e.event_type == "click" for e in own),
                "errors": sum(e.event_type == "error" for e in own),
                "entry_page_code": (pages or own)[0].page_code,
                "exit_page_code": pages[-1].page_code if pages else None,
                "exit_menu": exit_menu(own),
            }
        )
    return rows


def exit_menu(own: list[StoredEvent]) -> str | None:
    """Return from where the visitor left at a session's end; None when he did not, or went on."""
    pages = [e for e in own if e.event_type == "page_view"]
    left: dict[str | None, tuple[int, int, str]] = {}
    for nth, stored in enumerate(own):
        if stored.event_type == "page_view":
            left.pop(stored.client_id, None)
        if stored.exit_menu is not None:
            # Its number says that it came after its instance's page views, whatever the clock.
            seen = [e.time for e in pages if e.client_id == stored.client_id]
            left[stored.client_id] = (max([stored.time, *seen]), nth, stored.exit_menu)
    if not left or max(left.values())[0] < max((e.time for e in pages), default=0):
        return None
    return max(left.values())[2]


def page_view_rows(events: list[StoredEvent]) -> list[dict[str, Any]]:
    """Return what follows from the events for `clean.page_views`, by session and place."""
    rows = []
    for name, own in sorted(visits(events).items()):
        pages = [e for e in own if e.event_type == "page_view"]
        open_pages: dict[str | None, UUID] = {}
        done: dict[UUID, list[StoredEvent]] = {page.event_id: [] for page in pages}
        for stored in own:
            if stored.event_type == "page_view":
                open_pages[stored.client_id] = stored.event_id
            elif stored.client_id in open_pages:
                done[open_pages[stored.client_id]].append(stored)
        around: list[StoredEvent | None] = [None, *pages, None]
        for nth, page in enumerate(pages, 1):
            before, after, on_it = around[nth - 1], around[nth + 1], done[page.event_id]
            ends = [e.time for e in on_it] + [after.time for _ in [0] if after]
            rows.append(
                {
                    "session_id": name,
                    "event_id": page.event_id,
                    "nth": nth,
                    "is_entry": before is None,
                    "is_exit": after is None,
                    "previous_page_code": before and before.page_code,
                    "next_page_code": after and after.page_code,
                    "dwell_ms": max(ends) - page.time if ends and max(ends) >= page.time else None,
                    "clicks": sum(e.event_type == "click" for e in on_it),
                    "errors": sum(e.event_type == "error" for e in on_it),
                    "other_events": sum(e.event_type not in ("click", "error") for e in on_it),
                }
            )
    return rows


def turns(own: list[StoredEvent]) -> list[tuple[int, str]]:
    """Return since when which customer owned one device; the empty one is nobody, after a logout."""
    told: list[tuple[int, bool, str]] = []
    counted: set[tuple[str, int]] = set()
    for stored in by_time(own):
        if stored.event_type == "logout":
            told.append((stored.time, False, ""))
        elif stored.customer_id is not None:
            period = (stored.customer_id, stored.time // (10 * MINUTE_MS))
            if stored.event_type == "login" or period not in counted:
                told.append((stored.time, True, stored.customer_id))
            if stored.event_type != "login":
                counted.add(period)
    found: list[tuple[int, str]] = []
    for time, _, owner in sorted(told):
        if not found or found[-1][1] != owner:
            found.append((time, owner))
    return found


def identity_rows(events: list[StoredEvent]) -> list[dict[str, Any]]:
    """Return what follows from the events for `clean.identities`, by device and time; None is no end."""
    rows = []
    for device in sorted({e.anonymous_id for e in events if e.anonymous_id is not None}):
        own = [e for e in events if e.anonymous_id == device]
        seen_ms = min(e.time for e in own)
        is_shared = len({e.customer_id for e in own if e.customer_id is not None}) > 1
        for nth, ((known_ms, owner), (until_ms, next_owner)) in enumerate(pairwise([*turns(own), (None, "")])):
            if not owner or known_ms == until_ms:
                continue
            is_backfilled = nth == 0 and not is_shared and seen_ms < known_ms
            rows.append(
                {
                    "anonymous_id": device,
                    "customer_id": owner,
                    "from_ms": seen_ms if is_backfilled else known_ms,
                    "until_ms": until_ms,
                    "known_from_ms": known_ms,
                    "is_backfilled": is_backfilled,
                    "is_shared": is_shared,
                    "ended_by": "other_customer" if next_owner else "logout" if until_ms is not None else None,
                }
            )
    return rows
