"""What a developer is told: nothing unless asked or in trouble, and at the end what is lost."""

import logging
import re
import subprocess
import sys

import pytest

from sillok_sdk import Client, SettingError


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "sillok_sdk")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "sillok_sdk"]


def debugging(code, *arguments):
    """Return what a program that sets up no logging says on stderr."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from sillok_sdk import Client; url, *more = sys.argv[1:]\n" + code,
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stderr.splitlines()


def test_without_debug_a_client_says_nothing(collector):
    assert debugging("Client(url, 'wk_secret').click(page_code='M1')", collector.url) == []


def test_debug_says_what_was_recorded_sent_rejected_and_left_out(collector):
    lines = debugging(
        """
client = Client(url, "wk_secret", debug=True, context={"app_version": 412, "screen_width": "wide"})
with client.context(session_id="s-1"):
    client.click(page_code="M0301", click_text="900101-1234567", step_position="three", customer_id="undefined")
client.flush()
client.click(step_position="three")
try: client.click(pageCode="M0301")
except TypeError as error: print("sillok_sdk " + str(error), file=sys.stderr)
client.close()
""",
        collector.url,
    )
    said = "\n".join(lines)
    assert [line for line in lines if not line.startswith("sillok_sdk ")] == []
    assert f"sillok_sdk begun: events go to {collector.url}/v1/events" in said
    assert re.search(r"recorded: click [0-9a-f-]{36} with click_text page_code session_id", said)
    assert "left_out: context: screen_width must be int, not str" in said
    assert said.count("left_out: click: step_position must be int, not str") == 2
    assert "left_out: click: customer_id stands for nobody" in said
    assert "sent: 1 events, acknowledged but for 0" in said
    assert "click has no field 'pageCode': did you mean 'page_code'?" in said
    assert "closed: 2 created, 0 pending, dropped {}" in said
    assert "secret" not in said
    assert "900101" not in said


def test_debug_says_each_refusal(collector):
    collector.script = [(401, {}), (401, {}), (500, {}), (0, {})]
    lines = debugging(
        "client = Client(url, 'k', debug=True, refused_retry_ms=20, retry_first_ms=20); client.click(); client.flush()",
        collector.url,
    )
    said = "\n".join(lines)
    assert said.count("refused: status 401: check the write key") == 2
    assert "failed: status 500" in said
    assert "sent: 1 events, acknowledged but for 0" in said


def test_debug_goes_where_the_program_s_logging_goes(collector):
    code = """
import logging
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
with Client(url, "k", debug=True) as client: client.click()
"""
    lines = debugging(code, collector.url)
    assert len(lines) >= 3
    assert all(line.startswith(("DEBUG sillok_sdk ", "WARNING sillok_sdk ")) for line in lines)


def test_a_missing_key_or_an_unknown_option_is_said_where_the_client_is_built():
    for key in ("", None, " "):
        with pytest.raises(SettingError, match="write_key must be"):
            Client("https://collect.example.com", key)
    with pytest.raises(TypeError, match="flush_intervall_ms"):
        Client("https://collect.example.com", "k", flush_intervall_ms=1)


def test_a_full_queue_is_told(collector, make_client, said):
    collector.script = [(503, {"Retry-After": "0.2"})]
    client = make_client(queue_events_max=5)
    for _ in range(20):
        client.click()
    assert client.flush(30_000)
    assert [line.split(":")[0] for line in said()].count("queue_full") == 1


def test_a_close_that_gives_up_says_how_many_are_lost_and_what_keeps_them(free_port, said):
    client = Client(f"http://127.0.0.1:{free_port}", "k", batch_events=5)
    for _ in range(12):
        client.click()
    assert not client.close(timeout_ms=300)
    created, pending, dropped = client.figures()
    assert (created, pending + dropped.get("closed", 0)) == (12, 12)
    (line,) = [line for line in said() if line.startswith("closed")]
    lost = dropped.get("closed", 0)
    assert f"{lost} events are lost with this process" in line
    assert f"of {pending} nobody knows whether they arrived" in line
    assert "folder=" in line


def test_a_close_that_gives_up_with_a_folder_says_that_they_wait(free_port, tmp_path, said):
    client = Client(f"http://127.0.0.1:{free_port}", "k", folder=tmp_path)
    for _ in range(12):
        client.click()
    assert not client.close(timeout_ms=300)
    (line,) = [line for line in said() if line.startswith("closed")]
    assert f"12 events wait in {tmp_path} for the next process that makes an event with it" in line
    assert "lost" not in line


def test_a_close_that_sent_everything_says_nothing(make_client, said):
    client = make_client()
    client.click()
    assert client.close()
    assert said() == []


async def test_an_asyncio_client_says_it_too(free_port, said):
    from sillok_sdk import AsyncClient

    client = AsyncClient(f"http://127.0.0.1:{free_port}", "k")
    for _ in range(3):
        client.click()
    assert not await client.close(timeout_ms=300)
    assert [line.split(":")[0] for line in said()].count("closed") == 1
