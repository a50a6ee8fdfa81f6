"""The account that a client gives of itself: exact in every request, and complete at the end."""

import time


def test_a_full_queue_is_counted_and_the_reports_stay_exact(collector, make_client):
    collector.script = [(503, {"Retry-After": "0.2"})]
    client = make_client(queue_events_max=10, batch_events=5)
    ids = [client.click() for _ in range(100)]
    assert len(set(ids)) == 100
    assert client.flush(60_000)
    ids.append(client.click())
    assert client.close()
    arrived = collector.ids()
    for request in collector.accepted():
        report = request.report
        assert report["created"] == report["pending"] + sum(report["dropped"].values()) + len(
            [event for earlier in collector.accepted() for event in earlier.events if earlier.at < request.at]
        )
    report = collector.final_report()
    assert report["created"] == 101
    assert report["pending"] == 0
    assert report["dropped"] == {"queue_full": 101 - len(arrived)}
    assert arrived[-1] == ids[-1]
    assert collector.events()[-1]["seq"] == 101


def test_the_last_report_says_that_nothing_is_pending(collector, make_client):
    client = make_client(context={"app_version": "4.2.1"})
    for _ in range(3):
        client.click()
    assert client.close()
    last = collector.requests[-1]
    assert last.events == []
    assert last.report == {
        "id": last.client_id,
        "sdk": "python/0.1.0",
        "platform": "server",
        "app_version": "4.2.1",
        "created": 3,
        "pending": 0,
        "dropped": {},
    }
    assert client.close()
    assert collector.requests[-1] is last


def test_the_last_report_is_repeated_until_a_200_answered_it(collector, make_client):
    client = make_client()
    client.click()
    assert client.flush(60_000)
    collector.script = [(500, {}), (0, {})]
    assert client.close()
    assert [len(request.events) for request in collector.requests] == [1, 0, 0, 0]


def test_a_client_without_events_says_nothing(collector, make_client):
    assert make_client().close()
    assert collector.requests == []


def test_events_after_close_are_counted_and_reported_by_the_next_close(collector, make_client):
    client = make_client()
    client.click()
    assert client.close()
    assert client.click()
    assert not client.close()
    assert collector.final_report()["dropped"] == {"closed": 1}


def test_closing_in_time_reports_what_was_given_up(collector, make_client):
    """A collector that is alive but slow hears how many events it will never get.

    The one in flight at the deadline may have arrived or not: it stays pending, for the collector to settle.
    """
    collector.answer = lambda request: (time.sleep(0.1 if request.events else 0), (200, {}))[1]
    client = make_client(batch_events=1, context={"platform": "server"})
    for _ in range(100):
        client.click()
    started = time.monotonic()
    assert not client.close(timeout_ms=1_000)
    assert time.monotonic() - started < 5
    collector.wait_for(lambda c: not c.requests[-1].events)
    report = collector.final_report()
    dropped = report["dropped"]["closed"]
    assert report["pending"] <= 1
    assert dropped > 50
    assert dropped + report["pending"] >= 100 - len(collector.ids()) >= dropped
