"""What events have in common: blocks, tasks, threads, and who is logged in."""

import asyncio
import threading

import pytest

from sillok_sdk import FieldError


def arrived(collector, client):
    assert client.flush(60_000)
    return {event["page_code"]: event for event in collector.events() if "page_code" in event}


def test_a_block_s_fields_lie_under_each_event_s_own(collector, make_client):
    client = make_client()
    with client.context(session_id="s", customer_id="c", app_version="2"):
        client.click(page_code="in", customer_id="other")
        with client.context(session_id="inner"):
            client.click(page_code="inner")
    client.click(page_code="out")
    events = arrived(collector, client)
    names = ("session_id", "customer_id", "app_version")
    assert [events["in"].get(name) for name in names] == ["s", "other", "2"]
    assert [events["inner"].get(name) for name in names] == ["inner", "c", "2"]
    assert [events["out"].get(name) for name in names] == [None] * 3


def test_visitors_share_a_batch_unless_their_addresses_differ(collector, make_client):
    client = make_client(flush_interval_ms=200)
    for n in range(5):
        with client.context(session_id=str(n)):
            client.click(page_code=str(n))
    with client.context(ip="192.0.2.1", user_agent="test", props={"job": "a"}):
        client.click(page_code="relayed", props={"own": 1})
    assert len(arrived(collector, client)) == 6
    assert [len(request.events) for request in collector.requests] == [5, 1]
    context = collector.requests[1].body["context"]
    assert (context["ip"], context["user_agent"], context["props"]) == ("192.0.2.1", "test", {"job": "a"})


def test_tasks_and_threads_do_not_see_each_other_s_blocks(collector, make_client):
    client = make_client()

    async def serve(name):
        with client.context(session_id=name):
            for _ in range(20):
                client.click(page_code=name + str(_))
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(serve(name) for name in "ab"))

    asyncio.run(main())
    with client.context(session_id="main"):
        thread = threading.Thread(target=lambda: client.click(page_code="thread"))
        thread.start()
        thread.join()
    events = arrived(collector, client)
    assert len(events) == 41
    assert all(event.get("session_id") == code[0] for code, event in events.items() if code != "thread")
    assert "session_id" not in events["thread"]


def test_identify_is_a_login_once_and_reset_a_logout(collector, make_client):
    client = make_client()
    assert client.identify("c-1")
    assert client.identify("c-1") == ""
    client.click()
    with client.context(session_id="s"):
        assert client.identify("c-2")
        client.click()
        assert client.reset()
    client.click()
    assert client.reset()
    assert client.reset() == ""
    client.click()
    assert client.flush(60_000)
    told = [(event["event_type"], event.get("customer_id")) for event in collector.events()]
    assert told == [
        ("login", "c-1"),
        ("click", "c-1"),
        ("login", "c-2"),
        ("click", "c-2"),
        ("logout", "c-2"),
        ("click", "c-1"),
        ("logout", "c-1"),
        ("click", None),
    ]


def test_mistakes_are_told_where_they_are_made(make_client):
    client = make_client()
    with pytest.raises(FieldError, match="did you mean 'session_id'"):
        client.context(sesion_id="s")
