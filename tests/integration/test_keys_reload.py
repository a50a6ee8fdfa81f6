"""Write keys while the collector runs: made, retired and revoked by the command, taken at SIGHUP."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.integration.conftest import Collector, batch, eventually, running
from tests.integration.test_admin import metrics

ORIGIN = "https://www.example.com"
WORKERS = 2


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running(tmp_path, f"workers = {WORKERS}") as started:
        started.wait_until_ready()
        yield started


def key_id(collector: Collector, source: str) -> str:
    records = json.loads(collector.sillok("keys", "list", "--json"))
    return next(record["id"] for record in records if record["source"] == source)


def answers_everywhere(collector: Collector, key: str, status: int) -> None:
    """Return once every worker answers this key so: the kernel chooses the worker of a connection."""
    in_a_row = 0

    def settled() -> bool:
        nonlocal in_a_row
        in_a_row = in_a_row + 1 if collector.post(batch(), key).status == status else 0
        return in_a_row >= 20

    eventually(settled, 90)


class Load:
    """Requests without a pause, on kept connections and new ones, with a key that is always good."""

    def __init__(self, collector: Collector, key: str, senders: int = 4) -> None:
        self.failures: list[str] = []
        self.sent = 0
        self._collector, self._key = collector, key
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(senders)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._stop.is_set():
            try:
                self._talk()
            except (OSError, AssertionError, ValueError, IndexError) as error:
                self.failures.append(repr(error))
                return

    def _talk(self) -> None:
        """Send twenty batches on one connection."""
        with self._collector.connect() as connection, connection.makefile("rb") as stream:
            for _ in range(20):
                plain = batch(2)
                head = (
                    f"POST /v1/events HTTP/1.1\r\nHost: c\r\nX-Sillok-Key: {self._key}\r\nContent-Length: {len(plain)}"
                )
                connection.sendall(head.encode() + b"\r\n\r\n" + plain)
                answer = self._collector.read(stream, plain, self._key)
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {answer.body.decode()}")
                self.sent += 1


def test_keys_change_under_load_and_not_one_request_is_dropped_or_refused(collector: Collector):
    steady = collector.make_key("steady", "--rate", "1000000")
    collector.reload()
    answers_everywhere(collector, steady, 200)

    with Load(collector, steady) as load:
        doomed = collector.make_key("doomed", "--kind", "test")
        assert collector.post(batch(), doomed).status == 401
        collector.reload()
        answers_everywhere(collector, doomed, 200)
        for _ in range(20):
            sent = load.sent
            collector.reload()
            eventually(lambda: load.sent > sent or load.failures)  # noqa: B023 - called at once
        collector.sillok("keys", "revoke", doomed)
        collector.reload()
        answers_everywhere(collector, doomed, 401)

    assert load.failures == []
    assert load.sent > 20
    assert collector.stop() == 0
    found = collector.spooled()
    assert (+found.accepted) == (+collector.accepted)
    assert set(found.event_ids) == set(collector.acknowledged)
    assert found.test_sources == {"doomed"}


def test_a_retiring_key_works_and_its_use_shows_by_its_id(collector: Collector):
    key = collector.make_key("mts", "--origin", ORIGIN)
    collector.sillok("keys", "retire", key)
    collector.reload()
    answers_everywhere(collector, key, 200)

    assert collector.post(batch(), key, Origin=ORIGIN).status == 200
    assert collector.post(batch(), key, Origin="https://m.example.com").status == 403
    name = ("sillok_retiring_key_requests_total", key_id(collector, "mts"))
    eventually(lambda: metrics(collector).get(name, 0) >= 20)


def test_a_broken_file_is_said_with_its_line_and_the_last_good_one_counts_even_after_a_restart(tmp_path: Path):
    with running(tmp_path, f"workers = {WORKERS}") as collector:
        collector.wait_until_ready()
        key = collector.make_key("mts")
        collector.reload()
        answers_everywhere(collector, key, 200)
        good = collector.keys_file.read_bytes()

        collector.keys_file.write_bytes(good.replace(b'"active"', b'"activ"'))
        collector.reload()
        [said] = eventually(lambda: collector.logged("keys_file_broken"))
        assert f"{collector.keys_file}: line 2: Invalid enum value 'activ'" in said["reason"]
        assert "SIGHUP" in said["action"]
        assert metrics(collector)["sillok_keys_file_ok",] == 0
        answers_everywhere(collector, key, 200)
        for pid in collector.workers():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: metrics(collector)["sillok_worker_restarts_total",] == WORKERS)
        collector.wait_until_ready()
        answers_everywhere(collector, key, 200)

    with running(tmp_path, f"workers = {WORKERS}", name="again") as again:
        again.sources[key] = "mts"
        again.wait_until_ready()
        assert again.logged("keys_last_good_used")
        assert metrics(again)["sillok_keys_file_ok",] == 0
        answers_everywhere(again, key, 200)

        again.keys_file.write_bytes(good)
        again.reload()
        eventually(lambda: metrics(again)["sillok_keys_file_ok",] == 1)
        again.sillok("keys", "revoke", key)
        again.reload()
        answers_everywhere(again, key, 401)


def test_a_worker_that_comes_later_knows_the_keys_of_now(collector: Collector):
    kept, revoked = collector.make_key("mts"), collector.make_key("hts")
    collector.reload()
    answers_everywhere(collector, revoked, 200)
    collector.sillok("keys", "revoke", revoked)
    collector.reload()
    answers_everywhere(collector, revoked, 401)

    for pid in collector.workers():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: metrics(collector)["sillok_worker_restarts_total",] == WORKERS)
    collector.wait_until_ready()
    answers_everywhere(collector, kept, 200)
    answers_everywhere(collector, revoked, 401)


def test_a_hangup_that_reaches_the_whole_unit_ends_nobody(collector: Collector):
    """`systemctl kill -s HUP` sends it to every process."""
    workers = collector.workers()
    key = collector.make_key("mts")
    for pid in (*workers, collector.process.pid):
        os.kill(pid, signal.SIGHUP)
    answers_everywhere(collector, key, 200)
    assert collector.workers() == workers
