"""The asyncio client: the same promises, kept by a task instead of a thread."""

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from sillok_sdk import AsyncClient

QUICK = {"flush_interval_ms": 20, "retry_first_ms": 20, "retry_max_ms": 100, "refused_retry_ms": 100}


def client_of(collector, **settings):
    return AsyncClient(collector.url, "wk_test", **{**QUICK, **settings})


async def test_events_arrive_with_their_context_on_one_connection(collector):
    async with client_of(collector, context={"app_version": "4.2.1"}) as sillok:
        for n in range(205):
            with sillok.context(session_id=str(n)):
                assert sillok.click(click_text="매수")
            await asyncio.sleep(0)
        assert sillok.identify("c-1")
        assert await sillok.flush(60_000)
    assert [event["seq"] for event in collector.events()] == list(range(1, 207))
    assert {request.body["context"]["app_version"] for request in collector.accepted()} == {"4.2.1"}
    assert len({request.peer for request in collector.requests}) == 1
    assert collector.final_report()["pending"] == 0


@pytest.mark.parametrize(
    "answers",
    [[(0, {})] * 2, [(500, {})] * 3, [(429, {"Retry-After": "0.1"})] * 2, [(401, {})], [(415, {})]],
    ids=["cut", "500", "429", "401", "415"],
)
async def test_no_answer_and_no_refusal_lose_or_change_anything(collector, answers):
    collector.script = list(answers)
    sillok = client_of(collector)
    made = [sillok.click(page_code="M" * 2_000) for _ in range(20)]
    assert await sillok.flush(60_000)
    assert await sillok.close()
    assert collector.ids() == made
    assert len(collector.requests) >= len(answers) + 1


async def test_what_is_too_large_is_halved(collector):
    collector.answer = lambda request: (413 if len(request.events) > 3 else 200, {})
    sillok = client_of(collector)
    made = [sillok.click() for _ in range(20)]
    assert await sillok.close()
    assert collector.ids() == made


async def test_the_loop_is_not_held_up_while_the_collector_is_silent(collector):
    collector.answer = lambda _: (-1, {})
    sillok = client_of(collector, timeout_ms=60_000)
    sillok.click()
    longest = 0.0
    for _ in range(100):
        before = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - before)
    assert longest < 5
    started = time.monotonic()
    assert not await sillok.close(timeout_ms=300)
    assert time.monotonic() - started < 10


async def test_an_event_of_another_thread_wakes_the_task(collector):
    sillok = client_of(collector, flush_interval_ms=60_000, batch_events=2)
    sillok.click()
    await asyncio.sleep(0.05)
    thread = threading.Thread(target=sillok.click)
    thread.start()
    thread.join()
    await asyncio.to_thread(collector.wait_for, lambda c: c.events())
    assert await sillok.close()
    assert len(collector.events()) == 2


def test_a_client_works_in_one_loop_after_the_other_and_before_any(collector):
    sillok = client_of(collector)
    sillok.click(page_code="before")

    async def work(code):
        sillok.click(page_code=code)
        await sillok.flush(60_000)

    asyncio.run(work("first"))
    asyncio.run(work("second"))
    asyncio.run(sillok.close())
    assert [event["page_code"] for event in collector.events()] == ["before", "first", "second"]


def test_what_a_loop_leaves_behind_is_sent_at_the_end_of_the_process(collector, tmp_path):
    script = """
    import asyncio, sys
    from sillok_sdk import AsyncClient
    client = AsyncClient(sys.argv[1], "k", flush_interval_ms=60_000, folder=sys.argv[2] or None)
    async def main():
        for n in range(105): client.click()
    asyncio.run(main())
    """
    for folder in ("", str(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), collector.url, folder],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stderr == ""
    assert len(set(collector.ids())) == 210
    assert list(tmp_path.iterdir()) == []


async def test_the_next_process_sends_what_was_left(collector, tmp_path, free_port):
    script = """
    import asyncio, os, sys
    from sillok_sdk import AsyncClient
    async def main():
        client = AsyncClient(sys.argv[1], "k", folder=sys.argv[2])
        for n in range(105): client.click()
        await asyncio.sleep(0.2)
        os._exit(1)
    asyncio.run(main())
    """
    dead = f"http://127.0.0.1:{free_port}"
    command = [sys.executable, "-c", textwrap.dedent(script), dead, str(tmp_path)]
    await asyncio.to_thread(subprocess.run, command, timeout=120, check=False)
    async with client_of(collector, folder=tmp_path) as sillok:
        sillok.exit()
        await asyncio.to_thread(collector.wait_for, lambda c: len(c.ids()) == 106)
        await asyncio.sleep(0.2)
    assert len(set(collector.ids())) == 106
    assert list(tmp_path.iterdir()) == []
