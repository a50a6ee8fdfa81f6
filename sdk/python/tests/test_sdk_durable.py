"""With a folder an event is on the device when its call returns: killed processes, forks, full disks, torn files."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from sillok_sdk import Client, SettingError
from sillok_sdk.journal import RING, Journal, orphans

START = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from sillok_sdk import Client
client = Client(sys.argv[1], "k", folder=sys.argv[2], flush_interval_ms=20, retry_first_ms=20, retry_max_ms=100)
"""


def start(script, *arguments):
    code = textwrap.dedent(START) + textwrap.dedent(script)
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def finish(process):
    """Wait for its end, and return its last line."""
    said, _ = process.communicate(timeout=120)
    return said.strip().rpartition("\n")[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "queue"


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def heir(collector, folder):
    """Start the next process, and let it make one event; return its client once nothing is left."""
    client = Client(collector.url, "k", folder=folder, flush_interval_ms=20)
    client.exit()
    assert client.flush(60_000)
    deadline = time.monotonic() + 90
    while len(left(folder)) > 1:
        assert time.monotonic() < deadline, f"{left(folder)} are left"
        time.sleep(0.02)
    return client


def account(collector):
    """Return by client: how many distinct events arrived, the seqs, and the last report."""
    found = {}
    for request in collector.accepted():
        for report in request.body["clients"]:
            found.setdefault(report["id"], [set(), report])[1] = report
        for event in request.events:
            found[request.client_id][0].add(event["seq"])
    return found


def test_a_process_killed_at_any_moment_loses_nothing_it_was_told_is_kept(collector, folder):
    """While the collector cannot be reached, and while it can: at some moment of every kind of work."""
    moments = random.Random(4)
    kept = 0
    for number in range(6):
        collector.answer = lambda _, number=number: (503 if number % 2 else 200, {})
        process = start(
            """
            n = 0
            while True:
                n += 1
                client.click(page_code=f"M{n}", props={"text": "가" * (n % 50), "when": time})
                os.write(1, b"%d\\n" % n)
            """,
            collector.url,
            folder,
        )
        assert process.stdout.readline()
        time.sleep(moments.random() / 3)
        process.kill()
        kept += int(finish(process))
    collector.answer = lambda _: (200, {})
    assert heir(collector, folder).close()
    arrived = {event["event_id"] for event in collector.events()}
    assert kept > 200
    assert kept + 1 <= len(arrived) <= kept + 1 + 6, "one more of each may have been made than it could tell of"
    for seqs, report in account(collector).values():
        assert seqs == set(range(1, report["created"] + 1))
        assert (report["pending"], report["dropped"]) == (0, {})
    assert left(folder) == []


def test_what_waits_at_the_exit_is_sent_by_the_next_process(collector, folder, free_port):
    started = time.monotonic()
    process = start("for n in range(205): client.click()", f"http://127.0.0.1:{free_port}", folder)
    assert finish(process) == ""
    assert process.returncode == 0
    assert time.monotonic() - started < 10
    opened_ms = time.time_ns() // 1_000_000
    assert heir(collector, folder).close()
    assert sorted(len(seqs) for seqs, _ in account(collector).values()) == [1, 205]
    for request in collector.requests:  # the time of the try, though the events are older
        assert request.body["sent_at"] >= opened_ms
        assert len(request.events) < 2 or request.events[0]["time"] < opened_ms
    assert left(folder) == []


def test_a_living_owner_is_left_alone(collector, folder):
    collector.answer = lambda request: (503 if request.events and "page_code" in request.events[0] else 200, {})
    owner = start("client.click(page_code='hers'); print('made', flush=True); time.sleep(60)", collector.url, folder)
    assert owner.stdout.readline()
    assert list(orphans(str(folder))) == []
    client = Client(collector.url, "k", folder=folder)
    client.click()
    assert client.flush(60_000)
    assert client.close()
    assert len(left(folder)) == 1
    owner.kill()
    owner.wait()
    owner.stdout.close()
    collector.answer = lambda _: (200, {})
    assert heir(collector, folder).close()
    assert "hers" in [event.get("page_code") for event in collector.events()]


def test_two_heirs_send_what_was_left_once(collector, folder, free_port):
    finish(start("for n in range(3_000): client.click()\nos._exit(0)", f"http://127.0.0.1:{free_port}", folder))
    heirs = [start("client.exit(); client.flush(); time.sleep(1)", collector.url, folder) for _ in range(4)]
    for process in heirs:
        finish(process)
    ids = collector.ids()
    assert len(ids) == len(set(ids)) == 3_004
    assert left(folder) == []


def test_a_forked_child_has_a_journal_of_its_own_and_leaves_its_parent_s(collector, folder):
    process = start(
        """
        for n in range(105): client.click(page_code="parent")
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for n in range(500): client.click(page_code=f"child {child}")
                os._exit(0)  # as a worker that is killed
            children.append(pid)
        for pid in children: os.waitpid(pid, 0)
        client.click(page_code="parent")
        """,
        collector.url,
        folder,
    )
    finish(process)
    assert heir(collector, folder).close()
    made = {}
    for event in collector.events():
        made.setdefault(event.get("page_code"), set()).add(event["event_id"])
    assert {code: len(ids) for code, ids in made.items()} == {
        "parent": 106,
        None: 1,
        **{f"child {child}": 500 for child in range(4)},
    }
    assert left(folder) == []


def test_a_dead_parent_s_journal_is_free_while_its_children_live(collector, folder, free_port):
    process = start(
        """
        for n in range(50): client.click(page_code="parent")
        if os.fork() == 0:
            client.click(page_code="child")
            client._heirs._thread.join()  # it has looked while its parent lived, so that it is not the heir
            print(os.getpid(), flush=True)
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
        """,
        f"http://127.0.0.1:{free_port}",
        folder,
    )
    child = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        with Client(collector.url, "k", folder=folder, flush_interval_ms=20) as client:
            client.exit()
            collector.wait_for(lambda c: len(c.ids()) == 51)
    finally:
        os.kill(child, signal.SIGKILL)
        process.stdout.close()
    assert [event.get("page_code") for event in collector.events()].count("parent") == 50


def test_sigterm_loses_nothing(collector, folder):
    process = start(
        "for n in range(285): client.click(); time.sleep(0.001)\nprint(n, flush=True); time.sleep(60)",
        collector.url,
        folder,
    )
    assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert heir(collector, folder).close()
    assert len(set(collector.ids())) == 286


def test_a_full_journal_counts_what_it_has_no_room_for(collector, folder, free_port):
    dead = f"http://127.0.0.1:{free_port}"
    process = start(
        "client = Client(sys.argv[1], 'k', folder=sys.argv[2], journal_bytes_max=100_000)\n"
        "for n in range(2_000): client.click()\nos._exit(0)",
        dead,
        folder,
    )
    finish(process)
    assert heir(collector, folder).close()
    seqs, report = max(account(collector).values(), key=lambda found: found[1]["created"])
    assert report["created"] == 2_000
    assert 100 < len(seqs) == 2_000 - report["dropped"]["queue_full"]


def test_block_waits_for_room_and_loses_nothing(collector, folder):
    gate = threading.Event()
    collector.answer = lambda _: (200 if gate.is_set() else 503, {"Retry-After": "0.1"})
    for client in (
        Client(collector.url, "k", on_full="block", queue_events_max=50, flush_interval_ms=20, retry_first_ms=20),
        Client(collector.url, "k", on_full="block", folder=folder, journal_bytes_max=10_000, retry_first_ms=20),
    ):
        gate.clear()
        made = []
        thread = threading.Thread(
            target=lambda made=made, client=client: [made.append(client.click()) for _ in range(300)]
        )
        thread.start()
        patience_ends = time.monotonic() + 60
        while len(made) <= 20:
            assert time.monotonic() < patience_ends, f"{len(made)} are made"
            time.sleep(0.01)
        time.sleep(0.3)  # for those that may not come
        assert len(made) <= 100
        gate.set()
        thread.join(60)
        assert client.flush(60_000)
        assert client.close()
        assert set(made) <= set(collector.ids())
        assert len(made) == 300


def test_block_waits_for_a_ring_that_is_empty_when_an_event_needs_all_of_it(collector, folder):
    client = Client(collector.url, "k", on_full="block", folder=folder, journal_bytes_max=10_000, flush_interval_ms=20)
    for size in (100, 7_000, 100, 9_000, 7_000, 100):
        client.click(props={"text": "x" * size})
    assert client.flush(60_000)
    assert client.figures() == (6, 0, {})
    client.click(props={"text": "x" * 10_000})  # never
    assert client.figures().dropped == {"queue_full": 1}
    assert client.close()


def test_a_blocked_caller_is_let_go_by_close(collector):
    collector.answer = lambda _: (503, {})
    client = Client(collector.url, "k", on_full="block", queue_events_max=5, close_timeout_ms=200)
    thread = threading.Thread(target=lambda: [client.click() for _ in range(20)])
    thread.start()
    collector.wait_for(lambda c: c.requests)
    assert not client.close()
    thread.join(60)
    assert not thread.is_alive()


def test_spill_sends_on_to_the_folder_what_memory_has_no_room_for(collector, folder, free_port):
    process = start(
        "client = Client(sys.argv[1], 'k', folder=sys.argv[2], on_full='spill', queue_events_max=100)\n"
        "for n in range(1_000): client.click()\nclient.close()",
        f"http://127.0.0.1:{free_port}",
        folder,
    )
    finish(process)
    assert heir(collector, folder).close()
    assert sorted(len(seqs) for seqs, _ in account(collector).values()) == [1, 900]


def test_a_folder_that_cannot_be_used_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="folder: no journal can be made"):
        Client("http://127.0.0.1:1", "k", folder=tmp_path / "file" / "queue")
    with pytest.raises(SettingError, match="spill needs a folder"):
        Client("http://127.0.0.1:1", "k", on_full="spill")


def test_a_disk_without_room_is_said_when_the_client_is_built(folder):
    with pytest.raises(SettingError, match="folder: no journal can be made"):
        Client("http://127.0.0.1:1", "k", folder=folder, journal_bytes_max=1 << 62)
    assert left(folder) == []


def test_records_come_back_whatever_their_sizes_and_however_often_the_ring_ends(folder):
    sizes = random.Random(1)
    journal = Journal.create(str(folder), "a", 5_000, b"{}")
    waiting = []
    seq = 0
    for _ in range(3_000):
        payload = os.urandom(sizes.randrange(700))
        if journal.append(seq + 1, payload):
            seq += 1
            waiting.append((seq, payload))
        else:
            assert len(waiting) > 3
        if sizes.random() < 0.5 and waiting:
            record = next(journal.read(journal.head))
            assert record[:2] == waiting.pop(0)
            journal.settle(record.end, seq, {"closed": seq})
        if sizes.random() < 0.01:
            journal.close()
            journal = Journal.adopt(folder / "a.journal")
        assert [record[:2] for record in journal.read(journal.head)] == waiting
    assert seq > 1_500
    assert journal.figures()[1] == {"closed": journal.figures()[0]}
    journal.close(is_done=True)
    assert left(folder) == []


def test_a_torn_record_ends_the_reading_and_a_file_that_is_no_journal_is_left_alone(folder):
    journal = Journal.create(str(folder), "a", 5_000, b"{}")
    for seq in (1, 2, 3):
        assert journal.append(seq, b"x" * 100)
    path = journal.path
    journal.close()
    data = bytearray(path.read_bytes())
    data[RING + 150] ^= 1
    path.write_bytes(data)
    (folder / "other.journal").write_bytes(b"not one" * 1_000)
    (found,) = orphans(str(folder))
    assert [record.seq for record in found.read(found.head)] == [1]
    found.close()


def test_the_layout_is_what_the_module_says(folder):
    journal = Journal.create(str(folder), "a", 4_096, b'{"client_id":"a"}')
    journal.append(7, b"abc")
    journal.note(9, {"invalid": 2})
    data = journal.path.read_bytes()
    assert data[:48].hex() == (
        "53494c4c4f4b4a0100100000000000000000000000000000180000000000000009000000000000000000000000000000"
    )
    assert data[48:56].hex() == "0200000000000000"
    assert data[128:149] == b"\x11\0\0\0" + b'{"client_id":"a"}'
    assert data[4096:4120].hex() == "0300000047576b3007000000000000006162630000000000"
    assert len(data) == 8_192
    journal.close()


def test_an_empty_ring_has_room_however_little_it_held(folder):
    """It begins again at its start, but not when a record is larger than all that was there before."""
    journal = Journal.create(str(folder), "a", 5_000, b"{}")
    for seq, size in enumerate((1, 40, 700, 8, 2_000, 300, 1, 2_400, 1_200, 1, 2_400), 1):
        assert journal.holds(size)
        assert journal.append(seq, b"x" * size), f"no room for {size} bytes in an empty ring"
        assert [record.seq for record in journal.read(journal.head)] == [seq]
        journal.settle(journal.tail, seq, {})
    journal.close(is_done=True)


def test_a_queue_that_was_emptied_takes_what_comes(collector, folder):
    """One event, and when it has arrived twenty smaller ones at once: nothing is settled between them."""
    for settings in ({}, {"journal_bytes_max": 20_000}):
        client = Client(collector.url, "k", folder=folder, **settings)
        for size in (900, 300, 30):
            client.click(props={"text": "x" * size})
            assert client.flush(30_000)
            for _ in range(20):
                client.click(props={"text": "x" * (size // 3)})
        assert client.flush(30_000)
        assert client.figures() == (63, 0, {})
        assert client.close()
