"""No answer is not a refusal: a batch may be sent as often as it takes."""

import psycopg

from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine


def test_a_batch_sent_three_times_is_clean_once(machine: Machine, connection: psycopg.Connection) -> None:
    """Every try is answered 200, also across a restart of the collector; two thirds are counted as duplicates."""
    machine.start()
    driver = Driver(machine, senders=1, keep_alive=False)
    with driver.one_sender() as sender:
        batches = [sender.make(50) for _ in range(4)]
        receipts = []
        for restart in (False, False, True):
            if restart:
                machine.collector.kill()
                machine.collector.start()
                machine.wait_until_ready()
            for batch in batches:
                answer, body = sender.attempt(batch)
                assert answer == "200"
                assert (body["accepted"], body["rejected"]) == (50, [])
                receipts.append(body["receipt"])
    assert machine.collector.terminate() == 0
    drain(machine, connection)
    assert len(set(receipts)) == 12, "a receipt names one place on the disk"
    assert connection.execute("select count(*), count(distinct event_id) from clean.events").fetchone() == (200, 200)
    assert connection.execute(
        "select count(*), count(distinct event_id), min(n), max(n) from (select event_id, count(*) over (partition by event_id) as n from ops.duplicates) d"
    ).fetchone() == (400, 200, 2, 2)
    verdict = judge(connection, driver.folder)
    verdict.assert_clean()
    assert verdict.books is not None
    totals = verdict.books.totals["demo"]
    assert (totals["spool.received"], totals["process.clean"], totals["process.duplicate"]) == (600, 200, 400)
