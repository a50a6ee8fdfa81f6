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
for _ in range(200):
    if len(os.listdir(folder)) == 1: break
    time.sleep(0.05)
client.close()
print(sys.version_info[:2], os.listdir(folder))
"""


def executable(version):
    """Return where this Python is, on the path or in pyenv's folder."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13"])
def test_a_python(collector, tmp_path, version):
    python = executable(version)
    if python is None:
        pytest.skip(f"Python {version} is not on this machine")
    package = str(Path(__file__).parents[1])
    done = subprocess.run(
        [python, "-c", textwrap.dedent(SCRIPT), collector.url, str(tmp_path)],
        env={"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    major, minor = version.split(".")
    assert (done.stdout, done.stderr) == (f"({major}, {minor}) []\n", "")
    assert len(set(collector.ids())) == 100 + 2 + 1 + 100 + 100 + 1
