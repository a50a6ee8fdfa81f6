"""`sillok up --sample`: a month of believable visits, so that there is something to look at.

They come in through the real door, now, with times of the past: each row older than a day says so by its flag `late`,
and the books balance as for any others. What is in `clean` already is not sent again: a day follows from its date, ids
too, so a second `--sample` adds what has happened since the first, and completes one that was cut short.
"""

import hashlib
import http.client
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct

from collector_server.settings import DEMO_KEY, CollectorSettings, WriteKeySettings
from commands.settings import Settings
from commands.terminal import progress
from contract.calendar import SEOUL
from contract.errors import SillokError, UsageError
from loadtest.month import visits_of
from loadtest.visitors import Visit
from storage.postgres import connect

SOURCE: Final = "sample"
DAYS: Final = 28
_SEED: Final = 1
_SENDERS: Final = 4
_TURN: Final = 64
_PATIENCE_S: Final = 120.0
_ANSWER_S: Final = 30.0
_COUNT: Final = "select count(*) from clean.events where source = %s"


class Batch(Struct, frozen=True):
    """What of one visit is sent."""

    context: dict[str, Any]
    client: dict[str, Any]
    events: list[dict[str, Any]]


def with_key(settings: Settings) -> Settings:
    """Return the settings with a write key for this run alone; raise UsageError where real events are collected."""
    if any((settings.load.dsn, settings.process.dsn, settings.migrate.dsn)) or settings.serve.tls_certificate:
        raise UsageError(
            "--sample is for trying things out, in the embedded database and without TLS: "
            "leave out the settings file, or give it a folder of its own by SILLOK_DATA_FOLDER"
        )
    key = WriteKeySettings(key=secrets.token_hex(16), source=SOURCE, kind="server", loopback_only=True)
    serve = msgspec.structs.replace(settings.serve, keys=(*settings.serve.keys, key))
    return msgspec.structs.replace(settings, serve=serve)


def fill(settings: Settings, dsn: str, stop: threading.Event, days: int = DAYS) -> int:
    """Send the visits of the last days that are not there, wait until they are clean; return how many events."""
    now = datetime.now(SEOUL)
    with connect(dsn, application="sillok up --sample") as connection:
        _refuse_among_others(connection)
        known = _known(connection)
        batches = list(missing(now, days, known))
        events = sum(len(batch.events) for batch in batches)
        with progress("sample events") as bar:
            for done in _send(settings.serve, batches, stop):
                bar(done, events)
        if events and not stop.is_set():
            _wait_until_clean(connection, len(known) + events, stop)
    if not stop.is_set():
        _say(len(batches), events, days)
    return events


def missing(now: datetime, days: int, known: set[UUID]) -> Iterator[Batch]:
    """Yield what has happened in these days until now and is not known, each visit as one batch."""
    now_ms = int(now.timestamp() * 1000)
    for age in reversed(range(days)):
        for visit in visits_of(_SEED, now.astimezone(SEOUL).date() - timedelta(days=age)):
            batch = _batch(visit, now_ms, known)
            if batch.events:
                yield batch


def _batch(visit: Visit, now_ms: int, known: set[UUID]) -> Batch:
    """Return what of a visit has happened by now and is not known; its ids follow from the session's."""
    client = f"sample-{visit.context['session_id']}"
    happened = [call for call in visit.calls if call[1] <= now_ms]
    events: list[dict[str, Any]] = []
    for seq, (method, time_ms, fields) in enumerate(happened, 1):
        event_id = _event_id(time_ms, f"{client} {seq}")
        if event_id not in known:
            kind = "custom" if method == "track" else method
            made: dict[str, Any] = {"event_id": event_id, "time": time_ms, "seq": seq, "event_type": kind}
            events.append({**made, **fields})
    told: dict[str, Any] = {name: visit.context[name] for name in ("platform", "app_version") if name in visit.context}
    report = {"id": client, "sdk": "sample/1", "created": len(happened), "pending": len(events), **told}
    return Batch({"client_id": client, **visit.context}, report, events)


def _event_id(time_ms: int, name: str) -> UUID:
    """Return a UUIDv7 that follows from its time and a name."""
    tail = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=10).digest())
    return UUID(int=time_ms << 80 | 7 << 76 | (tail >> 68) << 64 | 2 << 62 | tail & (1 << 62) - 1)


def _refuse_among_others(connection: psycopg.Connection) -> None:
    """Raise UsageError where somebody's real events are: the sample's could not be taken out again."""
    found = connection.execute(
        "select source from clean.events where source <> all(%s) limit 1", ([SOURCE, DEMO_KEY.source],)
    ).fetchone()
    if found:
        raise UsageError(
            f"this folder holds events of source `{found[0]}`: give --sample one of its own, "
            "for instance SILLOK_DATA_FOLDER=./sillok-sample"
        )


def _known(connection: psycopg.Connection) -> set[UUID]:
    return {row[0] for row in connection.execute("select event_id from clean.events where source = %s", (SOURCE,))}


def _send(serve: CollectorSettings, batches: Iterable[Batch], stop: threading.Event) -> Iterator[int]:
    """Send the batches over a few connections; yield how many events are acknowledged."""
    waiting, done = iter(batches), 0
    with ExitStack() as stack:
        lines = [
            stack.enter_context(
                closing(http.client.HTTPConnection(_reachable(serve.host), serve.port, timeout=_ANSWER_S))
            )
            for _ in range(_SENDERS)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(_SENDERS))
        while not stop.is_set() and (some := list(islice(waiting, _TURN))):
            shares = [some[number::_SENDERS] for number in range(_SENDERS)]
            done += sum(pool.map(partial(_post, serve.keys[-1].key, stop), lines, shares))
            yield done


def _post(key: str, stop: threading.Event, line: http.client.HTTPConnection, batches: list[Batch]) -> int:
    """Send batches, each until it is acknowledged; return how many events were, before `stop`."""
    done = 0
    for batch in batches:
        ends, answer = time.monotonic() + _PATIENCE_S, "no answer"
        while not stop.is_set():
            status, answer = _try(line, key, batch)
            if status == HTTPStatus.OK:
                done += len(batch.events)
                break
            if time.monotonic() > ends or not (status == 0 or status >= HTTPStatus.TOO_MANY_REQUESTS):
                raise SillokError(f"the collector did not take the sample's visits: {answer}")
            stop.wait(0.5)
    return done


def _try(line: http.client.HTTPConnection, key: str, batch: Batch) -> tuple[int, str]:
    """Send a batch once; return its answer, status 0 for none."""
    body = {"sent_at": time.time_ns() // 1_000_000, "context": batch.context, "clients": [batch.client],
            "events": batch.events}  # fmt: skip
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        line.request("POST", "/v1/events", msgspec.json.encode(body), headers)
        with line.getresponse() as response:
            return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        line.close()
        return 0, str(error)


def _reachable(host: str) -> str:
    """Return an address of this machine for what a collector listens on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is compared, not bound


def _wait_until_clean(connection: psycopg.Connection, wanted: int, stop: threading.Event) -> None:
    ends = time.monotonic() + _PATIENCE_S
    with progress("clean events") as bar:
        while time.monotonic() < ends:
            (found,) = connection.execute(_COUNT, (SOURCE,)).fetchone() or (0,)
            bar(found, wanted)
            if found >= wanted or stop.wait(0.3):
                return
    sys.stdout.write("The sample's events are on disk; the processor is still at work on some of them.\n")


def _say(visits: int, events: int, days: int) -> None:
    if not events:
        sys.stdout.write(f"The sample's visits of the last {days} days are there already.\n")
    else:
        sys.stdout.write(
            f"{visits:,} visits of the last {days} days, {events:,} events, are clean: source `{SOURCE}`.\n"
        )
    sys.stdout.write(
        "Look at them from a second terminal in this folder:\n"
        "  .venv/bin/sillok sql -c 'select channel, count(*) from clean.sessions group by 1 order by 2 desc'\n"
        "  .venv/bin/sillok tail\n"
        "  docs/queries.md has funnels, retention and more\n"
    )
    sys.stdout.flush()
