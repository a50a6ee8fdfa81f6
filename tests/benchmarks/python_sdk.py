"""What an event costs the thread that makes it, beside other SDKs in the same run; then what a process can and survives.

`python -m tests.benchmarks.python_sdk`. The others are installed into a throw-away environment, where a package index can be
reached. Every SDK runs in a process of its own against the same stub, which answers 200 from another process; one event
has ten fields. Nanoseconds of 60,000 calls, in bursts of 4,000 with a flush between; `json.dumps` of the same fields is the
measure of the machine. Theirs wait in memory, ours (`durable`) are in the journal when the call returns.
"""

import json
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
import venv
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from collector_server.settings import CollectorSettings, WriteKeySettings
from commands.settings import DataSettings, Settings
from commands.up import Installation
from tests.benchmarks.results import record
from tests.conftest import free_port

_PART: Final = "Python SDK"
_OTHERS: Final = ("posthog", "segment-analytics-python", "snowplow-tracker", "sentry-sdk")
_IMPORTS: Final = ("sillok_sdk", "posthog", "segment.analytics", "snowplow_tracker", "sentry_sdk", "requests")
_IMPORT_RUNS: Final = 7
_CALLER_S: Final = 120
_SUSTAINED: Final = 500_000
_FIELDS: Final = """
import json, sys, time
fields = dict(page_code="M0301", page_name="국내주식 현재가", click_text="매수", click_name="btn_buy", session_id="s" * 36,
    customer_id="c" * 20, anonymous_id="a" * 36, flow_name="order")
port = int(sys.argv[1])
flush = lambda: None
"""
_MEASURE: Final = """
clock = time.perf_counter_ns
times = []
for burst in range(16):
    for i in range(4000):
        props = {"n": i, "price": 71500.5}
        began = clock()
        call(props)
        times.append(clock() - began)
    flush()
times = sorted(times[4000:])
print(json.dumps([times[len(times) // 2], times[len(times) * 99 // 100], times[-1]]))
"""
_CALLS: Final = {
    "json.dumps": "call = lambda props: json.dumps({**fields, 'props': props})",
    "sillok_sdk, durable": """
        import tempfile
        from sillok_sdk import Client
        client = Client(f"http://127.0.0.1:{port}", "k", batch_events=500, folder=tempfile.mkdtemp())
        call = lambda props: client.click(props=props, **fields)
        flush = client.flush
    """,
    "sillok_sdk, memory": """
        from sillok_sdk import Client
        client = Client(f"http://127.0.0.1:{port}", "k", batch_events=500)
        call = lambda props: client.click(props=props, **fields)
        flush = client.flush
    """,
    "posthog": """
        from posthog import Posthog
        client = Posthog("k", host=f"http://127.0.0.1:{port}")
        call = lambda props: client.capture("click", distinct_id="u", properties={**fields, **props})
        flush = client.flush
    """,
    "segment-analytics-python": """
        from segment.analytics.client import Client
        client = Client("k", host=f"http://127.0.0.1:{port}")
        call = lambda props: client.track("u", "click", {**fields, **props})
        flush = client.flush
    """,
    "snowplow-tracker": """
        from snowplow_tracker import AsyncEmitter, SelfDescribing, SelfDescribingJson, Tracker
        tracker = Tracker("n", [AsyncEmitter("127.0.0.1", protocol="http", port=port)], app_id="a")
        schema = "iglu:com.acme/click/jsonschema/1-0-0"
        call = lambda props: tracker.track(SelfDescribing(SelfDescribingJson(schema, {**fields, **props})))
        flush = tracker.flush
    """,
    "sentry-sdk": """
        import sentry_sdk
        sentry_sdk.init(f"http://k@127.0.0.1:{port}/1")
        call = lambda props: sentry_sdk.capture_event({"message": "click", "extra": {**fields, **props}})
        flush = sentry_sdk.flush
    """,
}


def main() -> int:
    port = free_port()
    stub = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.python_sdk", "stub", str(port)])
    try:
        with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder:
            python = _environment(Path(folder))
            _callers(python, port)
            _imports(python)
        _exits()
        _memory()
    finally:
        stub.kill()
        stub.wait()
    _sustained()
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _environment(folder: Path) -> str:
    """Return the Python of an environment with ours, and with the others when they can be had."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "sillok.pth").write_text(str(Path(__file__).parents[2] / "sdk" / "python"))
    done = subprocess.run([python, "-m", "pip", "install", "-q", *_OTHERS], capture_output=True, text=True, check=False)
    if done.returncode:
        _say("The others cannot be installed here: " + done.stderr.strip().splitlines()[-1])
    return python


def _callers(python: str, port: int) -> None:
    _say(f"{'one call, on the caller thread':34}{'median':>10}{'p99':>10}{'max ms':>9}{'of json.dumps':>15}")
    measure = 0
    for name, script in _CALLS.items():
        code = _FIELDS + textwrap.dedent(script) + _MEASURE
        command = [python, "-W", "ignore", "-c", code, str(port)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_CALLER_S, check=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            _say(f"{name:34}not measured: {type(error).__name__}")
            continue
        median, p99, longest = json.loads(done.stdout.strip().splitlines()[-1])
        measure = measure or median
        _say(f"{name:34}{median:10,}{p99:10,}{longest / 1e6:9.1f}{median / measure:14.2f}x")
        yardstick = measure / 1000 if name != "json.dumps" else None
        record(_PART, f"{name}: one call", median / 1000, "µs", "json.dumps", yardstick)
        record(_PART, f"{name}: p99", p99 / 1000, "µs")
        record(_PART, f"{name}: longest", longest / 1e6, "ms")


def _imports(python: str) -> None:
    _say("\nimport, ms above a bare interpreter")
    bare = _cpu_ms(python, "pass")
    for name in _IMPORTS:
        took = _cpu_ms(python, f"import {name}")
        _say(f"{name:34}" + (f"{took - bare:10.1f}" if took else "  not there"))
        if took:
            record(_PART, f"import {name}", took - bare, "ms", "a bare interpreter", bare)


def _cpu_ms(python: str, code: str) -> float:
    """Return the least CPU milliseconds that a process takes for this; 0 when it fails."""
    took = []
    for _ in range(_IMPORT_RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        if subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, check=False).returncode:
            return 0.0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(took) * 1000


def _ours(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )


def _exits() -> None:
    _say("\nexit of a process with 205 events and a dead server, seconds")
    for name, folder in (("memory", ""), ("durable", tempfile.mkdtemp())):
        began = time.monotonic()
        _ours(
            """
            import sys
            from sillok_sdk import Client
            client = Client("http://127.0.0.1:1", "k", folder=sys.argv[1] or None)
            for n in range(205): client.click()
            """,
            folder,
        )
        took = time.monotonic() - began
        _say(f"{name:34}{took:10.2f}")
        record(_PART, f"exit, server dead, {name}", took, "s")


def _memory() -> None:
    _say(
        "\na million events against a dead server: MiB resident after 100,000 and 1,000,000; of these, the journal's pages"
    )
    code = """
        import os, sys
        from sillok_sdk import Client
        client = Client("http://127.0.0.1:1", "k", folder=sys.argv[1] or None)
        told = []
        for n in range(1, 1_000_001):
            client.click(page_code="M0301", click_text="매수")
            if n in (100_000, 1_000_000):
                status = dict(line.split(":", 1) for line in open("/proc/self/status"))
                told += [int(status[name].split()[0]) // 1024 for name in ("VmRSS", "RssFile")]
        print(told, client.figures().dropped, flush=True)
        os._exit(0)
    """
    for name, folder in (("memory", ""), ("durable", tempfile.mkdtemp())):
        told = _ours(code, folder).stdout.strip()
        _say(f"{name:34}{told}")
        resident = json.loads(told.partition("]")[0] + "]")
        record(_PART, f"100,000 events waiting, {name}", resident[0], "MiB")
        record(_PART, f"1,000,000 events waiting, {name}", resident[2], "MiB")


def _sustained() -> None:
    _say("\none process into the real collector, durable queue on")
    with tempfile.TemporaryDirectory(prefix="sillok-bench-") as folder:
        key = WriteKeySettings(key="k", source="bench", kind="server")
        settings = Settings(
            data=DataSettings(folder=folder),
            serve=CollectorSettings(port=free_port(), admin_port=free_port(), keys=(key,)),
        )
        with Installation(settings) as installation:
            # The collector alone: what loads and cleans would take the other processor.
            for name in ("load", "process"):
                installation.children[name].stop()
            done = _ours(
                """
                import json, sys, tempfile, time
                from sillok_sdk import Client
                client = Client(sys.argv[1], "k", batch_events=1000, folder=tempfile.mkdtemp(), on_full="block")
                count = int(sys.argv[2])
                began, cpu = time.monotonic(), time.process_time()
                for n in range(count):
                    client.click(page_code="M0301", click_text="매수", props={"n": n})
                made = time.monotonic() - began
                assert client.flush(300_000)
                took, cpu = time.monotonic() - began, time.process_time() - cpu
                print(json.dumps([made, took, cpu, client.figures()._asdict()]))
                """,
                f"http://127.0.0.1:{settings.serve.port}",
                str(_SUSTAINED),
            )
            made, took, cpu, figures = json.loads(done.stdout)
    _say(f"{'events made a second':34}{_SUSTAINED / made:10,.0f}")
    _say(f"{'events acknowledged a second':34}{_SUSTAINED / took:10,.0f}")
    _say(f"{'CPU of the process, µs an event':34}{cpu / _SUSTAINED * 1e6:10.1f}")
    _say(f"{'account':34}{figures}")
    record(_PART, "events made", _SUSTAINED / made, "events/s")
    record(_PART, "events acknowledged", _SUSTAINED / took, "events/s")
    record(_PART, "CPU of the process", cpu / _SUSTAINED * 1e6, "µs an event")


def _stub(port: int) -> None:
    """Answer every POST with 200 and a receipt."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            if "Content-Length" in self.headers:
                self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"accepted":0,"rejected":[],"receipt":"r","status":"Ok"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the name is the server's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["stub"]:
        _stub(int(sys.argv[2]))
    raise SystemExit(main())
