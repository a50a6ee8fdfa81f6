"""The collector opens no connection and holds no credential: where it cannot, and where it could."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.spool.folder import SEALED, SpoolFolder
from storage.spool.reader import read_segment
from tests.acceptance.in_namespace import as_user
from tests.acceptance.test_refusals import environment, eventually, sillok
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
# Nobody's: no account has it.
UID = 64_787
NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
SECRET = "secret-3e77"
PATIENCE_S = 300


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that the other user reaches, and its part that is the user's own."""
    path = Path(tempfile.mkdtemp(prefix="sillok-isolation-"))
    if not all(above.stat().st_mode & 0o001 for above in path.parents):
        path.rmdir()
        pytest.skip("the folder of temporary files is one user's alone: set TMPDIR to another")
    path.chmod(0o755)
    (path / "data").mkdir()
    os.chown(path / "data", UID, UID)
    yield path
    shutil.rmtree(path)


def refuses_namespaces() -> str:
    """Return why this machine cannot run the proof, nothing when it can."""
    if os.geteuid() != 0:
        return "only root can become another user and leave the network"
    if not shutil.which("setpriv") or not shutil.which("unshare"):
        return "setpriv and unshare (util-linux) are not installed"
    done = subprocess.run([*NAMESPACES, *as_user(UID, "true")], capture_output=True, check=False)
    return "" if done.returncode == 0 else f"this machine refuses namespaces: {done.stderr.decode().strip()}"


REFUSAL = refuses_namespaces()


@pytest.mark.skipif(bool(REFUSAL), reason=REFUSAL)
def test_a_collector_without_a_way_out_takes_events_and_tries_no_connection(folder: Path, postgres: str):
    """As a user of its own, without routes, with the database's socket out of its reach."""
    parts = psycopg.conninfo.conninfo_to_dict(postgres)
    door = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
    if not Path(door).is_socket():
        pytest.skip("the tests' PostgreSQL is not on a socket of this machine")
    psycopg.connect(postgres).close()
    port, admin_port = free_port(), free_port()
    ids = [str(uuid.uuid4()) for _ in range(20)]
    now_ms = time.time_ns() // 1_000_000
    bodies = [json.dumps({"events": [{"event_id": id_, "time": now_ms, "event_type": "click"}]}) for id_ in ids]
    order = {
        "uid": UID,
        "folder": str(folder),
        "cwd": str(ROOT),
        "paths": [str(ROOT), sys.prefix, sys.base_prefix],
        "environment": {
            "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1",
            "SILLOK_DATA_FOLDER": str(folder / "data"),
            "SILLOK_SERVE_PORT": str(port), "SILLOK_SERVE_ADMIN_PORT": str(admin_port), "SILLOK_SERVE_WORKERS": "2",
        },
        "port": port,
        "admin_port": admin_port,
        "bodies": bodies,
        "socket": door,
    }  # fmt: skip

    done = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.acceptance.in_namespace", json.dumps(order)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    if "unreadable" in seen:
        pytest.skip("no other user may read this checkout or its Python")
    assert seen["statuses"] == [200] * len(bodies)
    assert seen["status"] == 0
    assert {event_id for event_id in ids if event_id.encode() in spooled(folder / "data" / "spool")} == set(ids)

    assert len(seen["tree"]) == 3, "a supervisor and two workers"
    for process in seen["tree"]:
        assert process["uids"] == [str(UID)] * 4
        assert process["groups"] == []
        assert process["capabilities"] == 0
        assert not [name for name in process["variables"] if name.startswith("PG") or "DSN" in name]
    assert seen["database"] in {"EACCES", "ENOENT"}, "the socket is there for others, and not for this user"

    assert seen["routes"] == []
    assert seen["counters"] == {
        "Tcp:ActiveOpens": seen["connections"], "Ip:OutNoRoutes": 0, "Udp:OutDatagrams": 0,
        "Ip6OutNoRoutes": 0, "Udp6OutDatagrams": 0,
    }, "every connection was the client's own, and nothing was tried that failed"  # fmt: skip
    assert seen["control"] == "ENETUNREACH"
    assert seen["counters_after_control"]["Ip:OutNoRoutes"] == 1, "what is tried shows"


def spooled(path: Path) -> bytes:
    """Return every body in a stopped collector's spool."""
    return b"".join(
        frame.body
        for slot in SpoolFolder(path).slots()
        for number in slot.segments(SEALED)
        for segment in (read_segment(slot.segment_path(number)),)
        for group in segment.groups
        for frame in segment.frames(group)
    )


# `sillok up`, on one user's machine: a scrubbed environment, and no more than that


def post(port: int, key: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/v1/events", b'{"events": []}', {"X-Sillok-Key": key})
        return connection.getresponse().status
    finally:
        connection.close()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def words_of(pid: int, what: str) -> list[str]:
    return Path(f"/proc/{pid}/{what}").read_text().split("\0")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc to look into")
def test_up_starts_the_collector_without_a_word_of_the_database(tmp_path: Path):
    """And so its workers; the loader's environment shows that the look would find it. SIGHUP is handed on to it."""
    variables = {
        "SILLOK_DATA_FOLDER": str(tmp_path / "data"),
        "SILLOK_SERVE_PORT": str(free_port()),
        "SILLOK_SERVE_ADMIN_PORT": str(free_port()),
        "PGPASSWORD": SECRET,
        "PGSERVICEFILE": f"/nowhere/{SECRET}",
        "DATABASE_URL": f"postgresql://u:{SECRET}@db/x",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "sillok", "up"],
            cwd=tmp_path, env=environment(**variables), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        eventually(lambda: up.poll() is not None or b"Sillok is up" in log.read_bytes())
        assert up.poll() is None, log.read_text(encoding="utf-8")
        parts = {word: pid for pid in children_of(up.pid) for word in words_of(pid, "cmdline")}
        collector = [parts["serve"], *children_of(parts["serve"])]
        assert len(collector) == 2
        for pid in collector:
            names = {word.partition("=")[0] for word in words_of(pid, "environ")}
            assert not [name for name in names if name.startswith(("PG", "SILLOK_")) or name == "DATABASE_URL"]
            for what in ("environ", "cmdline"):
                assert not [word for word in words_of(pid, what) if SECRET in word or "postgres" in word]
        assert f"PGPASSWORD={SECRET}" in words_of(parts["load"], "environ")

        made = sillok(tmp_path, "keys", "make", "--json", "--source", "mts", **variables)
        key = json.loads(made.stdout)["key"]
        up.send_signal(signal.SIGHUP)
        eventually(lambda: post(int(variables["SILLOK_SERVE_PORT"]), key) == http.client.OK)
    finally:
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0
