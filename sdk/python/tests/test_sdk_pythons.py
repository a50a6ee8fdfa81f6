"""Every Python that is supported, as far as this machine has it: threads, asyncio, a fork, a killed process."""

import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from sillok_sdk import AsyncClient, Client
import sillok_sdk.__main__, sillok_sdk.integrations.asgi, sillok_sdk.integrations.logging, sillok_sdk.integrations.wsgi
url, folder = sys.argv[1:]

with Client(url, "k") as client:
    with client.context(session_id="s", ip="192.0.2.1"):
        for n in range(100): client.click(props={"value": {n}})
    client.identify("c")
    if os.fork() == 0:
        client.click()
        os._exit(not client.close(10_000))
    assert os.wait()[1] == 0
    client.reset()
    try: client.click(click_txt="")
    except TypeError: pass

async def main():
    async with AsyncClient(url, "k") as client:
        for n in range(100): client.click()

asyncio.run(main())
pid = os.fork()
if pid == 0:
    client = Client("http://127.0.0.1:1", "k", folder=folder)
    for n in range(100): client.click()
    os.kill(os.getpid(), 9)
os.waitpid(pid, 0)
client = Client(url, "k", folder=folder)
client.exit()
client.flush()
import time
for _ in range(1_200):
    if len(os.listdir(folder)) == 1: break
    time.sleep(0.05)
client.close()
print(sys.version_info[:2], os.listdir(folder))
"""


ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}


def executable(version):
    """Return where this Python is, on the path or in pyenv's folder; skip, naming it, where there is none that runs.

    What is on the path may be a shim: it looks for the interpreter in a home and a path that the test does not give.
    """
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    path = str(found[-1]) if found else shutil.which(f"python{version}")
    if path is None:
        pytest.skip(f"Python {version} is not on this machine")
    try:
        said = run(path, "import sys; print('%d.%d' % sys.version_info[:2])")
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{path} does not run: {type(error).__name__}")
    if said.stdout.strip() != version:
        pytest.skip(f"{path} is no Python {version} by itself: {(said.stderr or said.stdout).strip()[:200]}")
    return path


def run(python, code, *arguments):
    return subprocess.run(
        [python, "-c", code, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13"])
def test_a_python(collector, tmp_path, version):
    done = run(executable(version), textwrap.dedent(SCRIPT), collector.url, str(tmp_path))
    major, minor = version.split(".")
    assert (done.stdout, done.stderr) == (f"({major}, {minor}) []\n", "")
    assert len(set(collector.ids())) == 100 + 2 + 1 + 100 + 100 + 1


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("#!/bin/sh\necho no such version >&2; exit 127", "no such version"),
        ("#!/bin/sh\necho 2.7", "no Python 9.9 by itself: 2.7"),
        ("#!/nowhere/sh\n", "does not run"),
        ("not a program", "does not run"),
    ],
)
def test_what_only_looks_like_a_python_is_skipped_by_name(tmp_path, monkeypatch, script, why):
    shim = tmp_path / "python9.9"
    shim.write_text(script)
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=rf"{shim}.*{why}"):
        executable("9.9")
