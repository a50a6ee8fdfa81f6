"""An independent witness: a driver that writes down what it sends, and a judge that compares afterwards.

The driver knows the wire and nothing of Sillok's code. Before a batch is sent its ids stand in a
journal that is synced; so do the ids of every answer that acknowledged them. What an event says is a
function of its id, so the judge can tell from the journal alone what `clean.events` must hold.
"""

import contextlib
import http.client
import json
import os
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from processor.books import Books, read_books
from processor.checks import run_checks
from tests.crash.processes import HOST, Machine, wait_until
from tests.patience import PATIENCE_S

SOURCE: Final = "demo"
KEY: Final = "demo"
_TEXTS: Final = (
    "매수", "매도 주문", "관심종목 추가", "잔고", "Buy now", "\\.", "\\N", "탭\t과\n줄", '"따옴표"와 \'그것\'', "📈 상승", "긴 글 " * 30,
)  # fmt: skip
_TYPES: Final = ("page_view", "click", "search", "tab")
_EVENTS_MAX: Final = 50
_RESENDABLE: Final = 50
_SHOWN: Final = 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def contents_of(event_id: UUID) -> dict[str, Any]:
    """Return what the event with this id says of itself, besides who sent it."""
    number = event_id.int & 0xFFFF_FFFF
    text = _TEXTS[number % len(_TEXTS)]
    return {
        "time": event_id.int >> 80,
        "event_type": _TYPES[number % len(_TYPES)],
        "click_text": f"{text} {number % 997}",
        "page_code": f"M{number % 10_000:04}",
        "props": {"수량": number % 1_000, "글": text, "목록": [number % 7, None, {"깊이": number % 2 == 0}]},
    }


class Batch:
    """Some events of one sender, the same at every try."""

    def __init__(self, number: int, client_id: str, first_seq: int, ids: list[UUID], *, has_session: bool) -> None:
        self.number = number
        self.client_id = client_id
        self.seqs = {str(event_id): seq for seq, event_id in enumerate(ids, first_seq)}
        # A session is written anew with each of its late events: an endless one would be all the work there is.
        visit = f"{client_id}-{first_seq // 200}"
        session = {"session_id": visit} if has_session else {}
        events = [
            {
                "event_id": str(event_id),
                "client_id": client_id,
                "seq": seq,
                "anonymous_id": f"방문자-{visit}",
                **session,
                **contents_of(event_id),
            }
            for seq, event_id in enumerate(ids, first_seq)
        ]
        # Escaped and plain text take different roads through the collector, to the same end.
        self._events = json.dumps(events, ensure_ascii=number % 4 == 0)

    def body(self) -> bytes:
        """Return the request's body; only the time of sending differs between tries."""
        return f'{{"sent_at":{time.time_ns() // 1_000_000},"events":{self._events}}}'.encode()


class Journal:
    """A file of JSON lines, each on the disk before the call returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, **line: Any) -> None:
        """Append one line and sync it."""
        os.write(self._fd, json.dumps(line).encode() + b"\n")
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Sender(threading.Thread):
    """Sends batch after batch; the same batch until it is acknowledged."""

    def __init__(
        self, port: int, folder: Path, number: int, *, seed: int, pause_s: float, resent: float, keep_alive: bool
    ) -> None:
        super().__init__(name=f"sender-{number}")
        self.answers: Counter[str] = Counter()
        """By status, or by how no answer came: `refused`, `reset` (not a byte of it), `cut`, `late`."""
        self.acknowledged = 0
        self.rejected = 0
        self.failure: BaseException | None = None
        self._port = port
        self._random = random.Random(f"{seed}-{number}")
        self._client_id = f"sender-{number}-{self._random.getrandbits(32):08x}"
        self._journal = Journal(folder / f"journal-{self._client_id}.jsonl")
        self._has_session = number % 2 == 0
        self._pause_s = pause_s
        self._resent = resent
        self._keep_alive = keep_alive
        self._stop_asked = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._delivered: deque[Batch] = deque(maxlen=_RESENDABLE)
        self._batches = 0
        self._seq = 1

    def stop(self) -> None:
        """Stop after the try that is under way."""
        self._stop_asked.set()

    def run(self) -> None:
        """Send until told to stop."""
        try:
            while not self._stop_asked.is_set():
                batch = self.make(self._random.randint(1, self._random.randint(1, _EVENTS_MAX)))
                if self.deliver(batch):
                    self._delivered.append(batch)
                if self._delivered and self._random.random() < self._resent:
                    # One of the last few, or one whose first arrival is long cleaned.
                    self.deliver(self._random.choice(self._delivered))
                self._stop_asked.wait(self._random.uniform(0, 2 * self._pause_s))
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection and the journal."""
        self._hang_up()
        self._journal.close()

    def make(self, count: int) -> Batch:
        """Make a batch of new events and write it down."""
        ids = [self._new_id() for _ in range(count)]
        batch = Batch(self._batches, self._client_id, self._seq, ids, has_session=self._has_session)
        self._batches += 1
        self._seq += count
        self._journal.write(batch=batch.number, client_id=self._client_id, events=list(batch.seqs.items()))
        return batch

    def deliver(self, batch: Batch) -> bool:
        """Try until the batch is acknowledged or the end is asked for; say whether it was."""
        wait_s = 0.02
        while True:
            answer, body = self.attempt(batch)
            if answer == "200":
                rejected = {r.get("event_id") for r in body["rejected"]}
                acknowledged = [event_id for event_id in batch.seqs if event_id not in rejected]
                assert body["accepted"] == len(acknowledged), f"{len(acknowledged)} events sent, answered {body}"
                self._journal.write(batch=batch.number, acknowledged=acknowledged)
                self.acknowledged += len(acknowledged)
                self.rejected += len(rejected)
                return True
            if self._stop_asked.wait(self._random.uniform(wait_s / 2, wait_s)):
                return False
            wait_s = min(2 * wait_s, 0.3)

    def attempt(self, batch: Batch) -> tuple[str, Any]:
        """Send the batch once; return what came of it, and the answer's body."""
        self._journal.write(batch=batch.number, attempt=True)
        answer, body = self._post(batch.body())
        self.answers[answer] += 1
        if answer != "200" or not self._keep_alive:
            self._hang_up()
        return answer, body

    def _post(self, body: bytes) -> tuple[str, Any]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(HOST, self._port, timeout=PATIENCE_S)
        try:
            self._connection.request("POST", "/v1/events", body, {"Authorization": f"Bearer {KEY}"})
            response = self._connection.getresponse()
            return str(response.status), json.loads(response.read())
        except ConnectionRefusedError:
            return "refused", None
        except TimeoutError:
            return "late", None
        except (http.client.RemoteDisconnected, ConnectionError):
            return "reset", None
        except (http.client.HTTPException, ValueError):
            return "cut", None

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _new_id(self) -> UUID:
        bits = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | self._random.getrandbits(12) << 64
        return UUID(int=bits | 2 << 62 | self._random.getrandbits(62))


class Driver:
    """Several senders at once."""

    def __init__(
        self,
        machine: Machine,
        *,
        senders: int = 4,
        seed: int = 1,
        pause_s: float = 0.04,
        resent: float = 0.05,
        keep_alive: bool = True,
    ) -> None:
        self.folder = machine.folder / "journals"
        self.folder.mkdir(exist_ok=True)
        self._first = len(list(self.folder.iterdir()))
        self._senders = [
            Sender(
                machine.port,
                self.folder,
                self._first + number,
                seed=seed,
                pause_s=pause_s,
                resent=resent,
                keep_alive=keep_alive,
            )
            for number in range(senders)
        ]

    @property
    def acknowledged(self) -> int:
        """How many acknowledgements there were, an event sent twice counted twice."""
        return sum(sender.acknowledged for sender in self._senders)

    @property
    def answers(self) -> Counter[str]:
        """How often which answer came, or none."""
        return sum((Counter(sender.answers) for sender in self._senders), Counter())

    @contextlib.contextmanager
    def sending(self) -> Iterator["Driver"]:
        """Send from beginning to end of the block."""
        for sender in self._senders:
            sender.start()
        try:
            yield self
        finally:
            for sender in self._senders:
                sender.stop()
            for sender in self._senders:
                sender.join()
        failures = [sender.failure for sender in self._senders if sender.failure]
        assert not failures, f"the driver itself failed: {failures}"
        strange = set(self.answers) - {"200", "503", "refused", "reset", "cut", "late"}
        assert not strange, f"the collector answered what the wire does not know here: {self.answers}"

    @contextlib.contextmanager
    def one_sender(self) -> Iterator[Sender]:
        """Hand out the only sender, to be told what to send."""
        (sender,) = self._senders
        try:
            yield sender
        finally:
            sender.close()

    def wait_for_more(self, events: int = 1, patience_s: float = PATIENCE_S) -> None:
        """Return once so many more events were acknowledged."""
        goal = self.acknowledged + events

        def reached() -> bool:
            assert not any(sender.failure for sender in self._senders), "the driver itself failed"
            return self.acknowledged >= goal

        wait_until(reached, f"{events} more events to be acknowledged", patience_s)


class Expected:
    """What the journals say of one event."""

    __slots__ = ("acknowledged", "attempts", "client_id", "seq")

    def __init__(self, client_id: str, seq: int) -> None:
        self.client_id = client_id
        self.seq = seq
        self.attempts = 0
        self.acknowledged = 0


def read_journals(folder: Path) -> dict[UUID, Expected]:
    """Return every event that was ever about to be sent."""
    expected: dict[UUID, Expected] = {}
    for path in sorted(folder.iterdir()):
        batches: dict[int, list[UUID]] = {}
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if "events" in line:
                batches[line["batch"]] = [UUID(event_id) for event_id, _ in line["events"]]
                for event_id, seq in line["events"]:
                    expected[UUID(event_id)] = Expected(line["client_id"], seq)
            elif "attempt" in line:
                for event_id in batches[line["batch"]]:
                    expected[event_id].attempts += 1
            else:
                for event_id in line["acknowledged"]:
                    expected[UUID(event_id)].acknowledged += 1
    return expected


class Verdict:
    """What the judge found: figures, and lists that must all be empty."""

    def __init__(self) -> None:
        self.sent = self.acknowledged = self.clean = self.duplicates = 0
        self.recovered_segments = 0
        self.torn_bytes = 0
        self.taken_without_answer = 0
        """Arrivals whose answer got lost: fair when something was killed, wrong after a clean stop."""
        self.books: Books | None = None
        self.faults: dict[str, list[str]] = {
            name: []
            for name in (
                "acknowledged and lost",
                "in clean and never sent",
                "twice in clean",
                "in clean with other contents",
                "loaded more often than sent",
                "loaded less often than acknowledged",
                "arrivals without an outcome, or with two",
                "dead letters, though every event was fine",
                "duplicates without an original",
                "damaged segments",
                "books that do not balance",
                "books that are not final",
                "checks that found something",
            )
        }

    def found(self, fault: str, what: object) -> None:
        """Note one fault."""
        self.faults[fault].append(str(what))

    def __str__(self) -> str:
        faults = {
            name: f"{len(found)}: {', '.join(found[:_SHOWN])}{' …' if len(found) > _SHOWN else ''}"
            for name, found in self.faults.items()
            if found
        }
        return (
            f"sent {self.sent}, acknowledged {self.acknowledged}, clean {self.clean}, duplicates {self.duplicates}, "
            f"recovered segments {self.recovered_segments}, torn bytes {self.torn_bytes}; faults: {faults or 'none'}"
        )

    def assert_clean(self) -> None:
        """Fail unless every list is empty."""
        assert not any(self.faults.values()), str(self)


def drain(machine: Machine, connection: psycopg.Connection) -> None:
    """Wait until nothing is on its way any more; the collector has been stopped cleanly before."""
    query = "select count(*), count(*) filter (where load_id in (select load_id from ops.processed)) from ops.loads"
    progress: tuple[int, ...] = ()
    while True:
        for program in (machine.loader, machine.processor):
            assert program.status is None, f"`sillok {program.name}` ended with status {program.status}"
        waiting = machine.waiting_segments()
        loads, processed = connection.execute(query).fetchone() or (0, 0)
        if not waiting and loads == processed:
            return
        if progress != (len(waiting), loads, processed):
            progress = (len(waiting), loads, processed)
            patience_ends = time.monotonic() + PATIENCE_S
        assert time.monotonic() < patience_ends, (
            f"nothing moved for {PATIENCE_S:.0f} s: {loads} loads, {processed} processed, waiting: {waiting[:_SHOWN]}"
        )
        time.sleep(0.02)


def judge(connection: psycopg.Connection, journals: Path) -> Verdict:
    """Hold the database against the journals, event by event, and close the books."""
    verdict = Verdict()
    expected = read_journals(journals)
    acknowledged = {event_id for event_id, event in expected.items() if event.acknowledged}
    verdict.sent, verdict.acknowledged = len(expected), len(acknowledged)
    clean = _judge_clean(connection, expected, verdict)
    dead = _counts(connection, "ops.dead_letters")
    for event_id, count in dead.items():
        verdict.found("dead letters, though every event was fine", f"{event_id}, {count} times")
    for event_id in acknowledged - clean.keys() - dead.keys():
        verdict.found("acknowledged and lost", event_id)
    duplicates = _counts(connection, "ops.duplicates")
    verdict.duplicates = duplicates.total()
    for event_id in duplicates.keys() - clean.keys():
        verdict.found("duplicates without an original", event_id)
    arrivals = _counts(connection, "raw.events")
    for event_id in arrivals.keys() | expected.keys():
        count, event = arrivals[event_id], expected.get(event_id)
        if clean[event_id] + duplicates[event_id] + dead[event_id] != count:
            verdict.found("arrivals without an outcome, or with two", event_id)
        if count > (event.attempts if event else 0):
            verdict.found("loaded more often than sent", event_id)
        verdict.taken_without_answer += max(0, count - (event.acknowledged if event else 0))
        if event and count < event.acknowledged:
            verdict.found("loaded less often than acknowledged", event_id)
    _judge_ledger(connection, verdict)
    _judge_books(connection, verdict)
    for outcome in run_checks(connection):
        for offender in outcome.offenders:
            verdict.found("checks that found something", f"{outcome.name}: {offender}")
    return verdict


def _judge_clean(connection: psycopg.Connection, expected: dict[UUID, Expected], verdict: Verdict) -> Counter[UUID]:
    """Compare every clean row with what was sent; return how often each id is there."""
    seen: Counter[UUID] = Counter()
    with connection.transaction(), connection.cursor("clean_events") as rows:
        rows.execute(
            "select source, event_id, client_id, seq, event_type, click_text, page_code, props, client_time"
            " from clean.events"
        )
        for source, event_id, client_id, seq, event_type, click_text, page_code, props, client_time in rows:
            seen[event_id] += 1
            if event_id not in expected:
                verdict.found("in clean and never sent", event_id)
                continue
            found = (source, client_id, seq, event_type, click_text, page_code, props, client_time)
            says, event = contents_of(event_id), expected[event_id]
            wanted = (
                SOURCE,
                event.client_id,
                event.seq,
                *(says[field] for field in ("event_type", "click_text", "page_code", "props")),
                _EPOCH + timedelta(milliseconds=says["time"]),
            )
            if found != wanted:
                verdict.found("in clean with other contents", event_id)
    for event_id, count in seen.items():
        if count > 1:
            verdict.found("twice in clean", event_id)
    verdict.clean = seen.total()
    return seen


def _counts(connection: psycopg.Connection, table: str) -> Counter[UUID]:
    """Return how often each event is in a table."""
    query = psycopg.sql.SQL("select event_id, count(*) from {} group by 1").format(
        psycopg.sql.Identifier(*table.split("."))
    )
    return Counter(dict(connection.execute(query).fetchall()))


def _judge_ledger(connection: psycopg.Connection, verdict: Verdict) -> None:
    row = connection.execute(
        "select count(*) filter (where recovered), coalesce(sum(torn_bytes), 0)::bigint, sum(damaged)::bigint from ops.loads"
    ).fetchone()
    assert row is not None
    verdict.recovered_segments, verdict.torn_bytes, damaged = row
    if damaged:
        verdict.found("damaged segments", f"{damaged} events")


def _judge_books(connection: psycopg.Connection, verdict: Verdict) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    books = verdict.books = read_books(connection, now - timedelta(days=1), now + timedelta(minutes=2))
    for difference in books.differences:
        verdict.found("books that do not balance", difference)
    if not books.final:
        verdict.found("books that are not final", f"finished until {books.finished_until}")
    totals = books.totals.get(SOURCE, {})
    if totals.get("process.clean", 0) != verdict.clean or totals.get("process.duplicate", 0) != verdict.duplicates:
        verdict.found("books that do not balance", f"their totals {totals} are not what the tables hold")


def finish(machine: Machine, connection: psycopg.Connection) -> None:
    """Stop the collector cleanly, wait until all is processed, and fail when a single event is not where it belongs."""
    assert machine.collector.terminate() == 0
    drain(machine, connection)
    verdict = judge(connection, machine.folder / "journals")
    print(verdict)
    verdict.assert_clean()
    assert verdict.acknowledged > 100
