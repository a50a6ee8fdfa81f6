"""Processes that end, fork and start: each one real."""

import os
import subprocess
import sys
import textwrap
import time

import pytest


def python(script, *arguments, timeout=120):
    """Run a script in a process of its own; warnings are errors there too."""
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
    )


def test_a_process_that_simply_ends_loses_nothing(collector):
    done = python(
        """
        import sys
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k", flush_interval_ms=60_000)
        for n in range(2_005):
            client.click(page_code=f"M{n:04}")
        """,
        collector.url,
    )
    assert [event["page_code"] for event in collector.events()] == [f"M{n:04}" for n in range(2_005)]
    assert collector.final_report()["pending"] == 0
    assert done.stderr == ""


def test_an_event_made_while_the_process_exits_arrives(collector):
    """The interpreter may refuse a new thread by then; the closing thread sends instead."""
    done = python(
        """
        import atexit, sys
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k")
        atexit.register(lambda: client.exit(exit_menu="M0301"))
        """,
        collector.url,
    )
    assert [event["exit_menu"] for event in collector.events()] == ["M0301"]
    assert collector.final_report()["pending"] == 0
    assert done.stderr == ""


def test_an_uncaught_exception_loses_nothing(collector):
    with pytest.raises(subprocess.CalledProcessError):
        python(
            """
            import sys
            from sillok_sdk import Client
            client = Client(sys.argv[1], "k")
            client.error(error_code="E1")
            raise SystemExit(3)
            """,
            collector.url,
        )
    assert [event["error_code"] for event in collector.events()] == ["E1"]


@pytest.mark.parametrize("fault", ["refuses", "silent"])
def test_a_dead_collector_does_not_hold_up_the_exit(collector, free_port, fault):
    collector.answer = lambda _: (-1, {})
    url = collector.url if fault == "silent" else f"http://127.0.0.1:{free_port}"
    started = time.monotonic()
    python(
        """
        import sys
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k")
        for n in range(205):
            client.click()
        """,
        url,
    )
    assert time.monotonic() - started < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_parent_and_child_each_send_their_own_events_once(collector):
    done = python(
        """
        import os, sys, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the very thing under test
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k", flush_interval_ms=100)
        client.click(page_code="parent"); client.flush()          # the connection is open, the thread runs
        for n in range(104):
            client.click(page_code="parent")                      # and these are pending
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for n in range(100):
                    client.click(page_code=f"child {child}")
                os._exit(0 if client.close(5_000) else 1)
            children.append(pid)
        client.click(page_code="parent")
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
        """,
        collector.url,
    )
    made = {}
    for request in collector.accepted():
        for event in request.events:
            made.setdefault((request.client_id, event["page_code"]), []).append(event["seq"])
    assert sorted(code for _, code in made) == ["child 0", "child 1", "child 2", "child 3", "parent"]
    assert len({client_id for client_id, _ in made}) == 5
    for (_, code), seqs in made.items():
        assert seqs == list(range(1, 107 if code == "parent" else 101))
    assert len(set(collector.ids())) == 506
    reports = {request.client_id: request.report for request in collector.accepted()}
    assert sorted((r["created"], r["pending"]) for r in reports.values()) == [(100, 0)] * 4 + [(106, 0)]
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_multiprocessing_worker_that_simply_ends_loses_nothing(collector):
    python(
        """
        import multiprocessing, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k", flush_interval_ms=60_000)
        def work(n):
            for _ in range(50):
                client.click(page_code=f"worker {n}")
        client.click(page_code="parent")
        fork = multiprocessing.get_context("fork")
        workers = [fork.Process(target=work, args=(n,)) for n in range(2)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        """,
        collector.url,
    )
    codes = [event["page_code"] for event in collector.events()]
    assert sorted(codes) == ["parent"] + ["worker 0"] * 50 + ["worker 1"] * 50


def test_a_closed_client_stays_closed_in_a_child(collector):
    python(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k")
        client.click()
        client.close()
        pid = os.fork()
        if pid == 0:
            client.click()
            os._exit(client.close())
        assert os.waitpid(pid, 0)[1] == 0
        """,
        collector.url,
    )
    reports = {request.client_id: request.report for request in collector.accepted()}
    assert [(r["created"], r["dropped"]) for r in reports.values()] == [(1, {}), (1, {"closed": 1})]


def test_importing_the_package_is_light():
    done = python("import sys; before = set(sys.modules); import sillok_sdk; print(*set(sys.modules) - before)")
    heavy = {
        "http.client",
        "urllib.parse",
        "ssl",
        "logging",
        "asyncio",
        "random",
        "uuid",
        "dataclasses",
        "inspect",
    }
    assert heavy.isdisjoint(done.stdout.split())


def test_the_sending_threads_import_nothing(collector, tmp_path):
    """A fork in the middle of a thread's import would leave the child a half-made module for ever."""
    done = python(
        """
        import sys
        from sillok_sdk import Client
        client = Client(sys.argv[1], "k", folder=sys.argv[2], gzip_bytes_min=0)
        before = set(sys.modules)
        client.click()
        client.flush()
        client.close()
        print(*set(sys.modules) - before)
        """,
        collector.url,
        str(tmp_path),
    )
    assert done.stdout.split() == []
