"""Delivery over real HTTP, through a collector that misbehaves in every way the wire allows."""

import datetime as dt
import threading
import time
import uuid

import pytest
from fake_collector import Collector


def test_every_type_of_event_arrives_with_its_fields(collector, make_client):
    client = make_client(context={"platform": "web", "app_version": "4.2.1", "os_name": None})
    methods = [
        "page_view",
        "click",
        "checkbox",
        "popup",
        "tab",
        "step",
        "search",
        "login",
        "logout",
        "error",
        "exit",
    ]
    ids = [getattr(client, name)(page_code="M0301", time=1_790_000_000_000) for name in methods]
    ids.append(client.track("chart_zoomed", props={"배율": 2}, event_id=str(uuid.UUID(int=7))))
    assert client.flush(60_000)
    assert collector.ids() == ids
    assert [event["event_type"] for event in collector.events()] == [*methods, "custom"]
    assert [event["seq"] for event in collector.events()] == list(range(1, 13))
    assert collector.events()[0] == {
        "seq": 1,
        "event_id": ids[0],
        "time": 1_790_000_000_000,
        "event_type": "page_view",
        "page_code": "M0301",
    }
    request = collector.requests[0]
    assert request.headers["Authorization"] == "Bearer wk_test"
    assert request.headers["Content-Type"] == "application/json"
    assert request.body["context"] == {
        "client_id": request.client_id,
        "platform": "web",
        "app_version": "4.2.1",
    }
    custom = collector.events()[-1]
    assert (custom["event_name"], custom["props"]) == ("chart_zoomed", {"배율": 2})
    assert abs(custom["time"] - time.time() * 1000) < 10_000
    assert custom["event_id"] == str(uuid.UUID(int=7))


def test_one_connection_is_kept(collector, make_client):
    client = make_client()
    for _ in range(5):
        client.click()
        assert client.flush(60_000)
    assert len(collector.requests) == 5
    assert len({request.peer for request in collector.requests}) == 1


def test_ids_are_the_same_on_every_try(collector, make_client):
    collector.script = [(500, {}), (0, {}), (202, {}), (503, {}), (429, {})]
    client = make_client()
    ids = [client.click() for _ in range(3)]
    assert client.flush(60_000)
    assert [[event["event_id"] for event in request.events] for request in collector.requests] == [ids] * 6
    sent_at = [request.body["sent_at"] for request in collector.requests]
    assert sent_at == sorted(sent_at)
    assert sent_at[0] < sent_at[-1]


def test_a_silent_collector_is_asked_again(collector, make_client):
    collector.script = [(-1, {})]
    client = make_client(timeout_ms=100)
    event_id = client.click()
    assert client.flush(60_000)
    assert collector.ids() == [event_id]


def test_a_guilty_event_is_dropped_alone_and_its_neighbours_arrive(collector, make_client):
    collector.answer = lambda request: (400 if b"poison" in request.text else 200, {})
    client = make_client()
    ids = [client.click(click_text="poison" if n == 17 else "ok") for n in range(40)]
    assert client.flush(60_000)
    client.close()
    assert collector.ids() == [event_id for n, event_id in enumerate(ids) if n != 17]
    report = collector.final_report()
    assert (report["created"], report["pending"], report["dropped"]) == (40, 0, {"invalid": 1})


def test_an_event_too_large_alone_is_dropped_and_its_neighbours_arrive(collector, make_client):
    collector.answer = lambda request: (413 if len(request.wire) > 8_000 else 200, {})
    client = make_client(gzip_bytes_min=None)
    ids = [client.track("note", props={"text": "가" * (2_600 if n == 3 else 500)}) for n in range(20)]
    assert client.flush(60_000)
    client.close()
    assert collector.ids() == [event_id for n, event_id in enumerate(ids) if n != 3]
    assert collector.final_report()["dropped"] == {"too_large": 1}


def test_retry_after_is_honoured(collector, make_client):
    collector.script = [(503, {"Retry-After": "1"}), (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})]
    client = make_client()
    client.click()
    assert client.flush(60_000)
    first, second, third = (request.at for request in collector.requests)
    assert second - first >= 1.0
    assert third - second < 1.0  # a date is not on the wire's list: the usual back-off


def test_415_falls_back_to_plain_bodies(collector, make_client):
    collector.answer = lambda request: (415 if "Content-Encoding" in request.headers else 200, {})
    client = make_client(gzip_bytes_min=0)
    ids = []
    for _ in range(2):
        ids.append(client.click())
        assert client.flush(60_000)
    assert collector.ids() == ids
    assert [request.status for request in collector.requests] == [415, 200, 200]


def test_bodies_are_compressed_from_a_size_on(collector, make_client):
    client = make_client()
    client.click()
    assert client.flush(60_000)
    for _ in range(40):
        client.click(click_text="매수")
    assert client.flush(60_000)
    assert [request.headers.get("Content-Encoding") for request in collector.requests] == [None, "gzip"]
    assert len(collector.requests[1].wire) * 3 < len(collector.requests[1].text)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_costs_no_event(collector, make_client, status):
    collector.script = [(status, {})] * 2
    client = make_client()
    ids = [client.click() for _ in range(5)]
    assert client.flush(60_000)
    assert collector.ids() == ids
    assert collector.requests[1].at - collector.requests[0].at >= 0.1  # refused_retry_ms


def test_relayed_visitors_share_batches_and_never_mix(collector, make_client):
    client = make_client(flush_interval_ms=200, context={"app_name": "mts"})
    sent = {}
    for n in range(300):
        ip = f"192.0.2.{n % 10}"
        sent.setdefault(ip, []).append(client.page_view(context={"ip": ip, "user_agent": "test"}))
    assert client.flush(60_000)
    arrived = {}
    for request in collector.accepted():
        assert request.body["context"]["app_name"] == "mts"
        arrived.setdefault(request.body["context"]["ip"], []).extend(event["event_id"] for event in request.events)
    assert arrived == sent
    assert len(collector.requests) == 10


def test_equal_contexts_are_one_whatever_the_order_of_their_keys(collector, make_client):
    client = make_client()
    client.click(context={"ip": "192.0.2.1", "user_agent": "test"})
    client.click(context={"user_agent": "test", "ip": "192.0.2.1"})
    assert client.flush(60_000)
    assert len(collector.requests) == 1


def test_hostile_values_arrive_as_plain_json(collector, make_client):
    circle = {}
    circle["self"] = circle
    client = make_client()
    client.track(
        "hostile",
        page_name="현재가\ud800 📈",
        props={
            "nan": float("nan"),
            "bytes": b"\xff",
            "set": {1},
            "circle": circle,
            "at": dt.datetime(2026, 11, 22, tzinfo=dt.timezone.utc),
            7: "int key",
        },
    )
    assert client.flush(60_000)
    (event,) = collector.events()
    assert event["page_name"] == "현재가\ufffd 📈"
    assert event["props"] == {
        "nan": None,
        "bytes": "\ufffd",
        "set": [1],
        "circle": {"self": "<circular>"},
        "at": "2026-11-22T00:00:00+00:00",
        "7": "int key",
    }


def test_korean_and_emoji_are_not_escaped(collector, make_client):
    client = make_client(gzip_bytes_min=None)
    client.click(click_text="매수 🚀")
    assert client.flush(60_000)
    assert '"click_text":"매수 🚀"'.encode() in collector.requests[0].wire


def test_a_collector_that_comes_up_late_gets_everything(make_client, free_port):
    client = make_client(f"http://127.0.0.1:{free_port}")
    ids = [client.click() for _ in range(500)]
    assert not client.flush(2_000)
    late = Collector(free_port)
    try:
        ids += [client.click() for _ in range(500)]
        assert client.flush(60_000)
        assert sorted(late.ids()) == sorted(ids)
        assert client.close()
    finally:
        late.stop()


def test_a_connection_that_was_closed_while_idle_costs_nothing(collector, make_client):
    client = make_client()
    collector.script = [(200, {"Connection": "close"})]
    ids = []
    for _ in range(3):
        ids.append(client.click())
        assert client.flush(60_000)
    assert collector.ids() == ids


def test_threads_share_a_client(collector, make_client):
    client = make_client(batch_events=100)
    ids = []

    def work():
        ids.extend([client.click(page_code="M1") for _ in range(500)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(60_000)
    assert sorted(collector.ids()) == sorted(ids)
    assert sorted(event["seq"] for event in collector.events()) == list(range(1, 4_001))


def test_flush_waits_for_the_events_so_far_and_not_for_later_ones(collector, make_client):
    client = make_client(flush_interval_ms=60_000)
    first = client.click()
    stop = threading.Event()

    def go_on():
        while not stop.is_set():
            client.click(context={"ip": "192.0.2.9"})
            time.sleep(0.001)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        assert client.flush(60_000)
    finally:
        stop.set()
        thread.join()
    assert first in collector.ids()


def test_the_context_manager_sends_what_waits(collector, make_client):
    with make_client(flush_interval_ms=60_000) as client:
        event_id = client.click()
    assert collector.ids() == [event_id]


def test_every_try_says_when_it_was_made(collector, make_client):
    """Also one after a kept connection that was cut late: the clock of every event is corrected by it."""
    client = make_client()
    client.click()
    assert client.flush(60_000)
    collector.script = [(503, {"Retry-After": "0.1"}), (500, {}), (0, {}), (200, {})]
    late = []

    def slow(request):
        late.append(request.body["sent_at"])
        return (time.sleep(1.2), (0, {}))[1] if len(late) == 1 else (200, {})

    client.click()
    assert client.flush(60_000)
    collector.answer = slow
    client.click()
    assert client.flush(60_000)
    sent = [request.body["sent_at"] for request in collector.requests]
    assert len(sent) >= 6  # a cut one may be repeated at once
    assert late[1] - late[0] >= 1_000
    assert sent == sorted(sent)
    assert len(set(sent[1:4])) == 3, "what was tried again was stamped again"
