"""Runs lines of a shell where the only network is loopback, and says as JSON what they printed and what was tried.

Started by test_offline.py as root in a namespace of its own: `unshare --net python -m … FOLDER LINE …`.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance.in_namespace import bring_loopback_up, counters

PATIENCE_S = 300


def main() -> None:
    folder, *lines = sys.argv[1:]
    bring_loopback_up()
    printed = []
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        printed.append({"line": line, "status": done.returncode, "output": done.stdout + done.stderr})
        if done.returncode:
            break
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    tried = counters()
    subprocess.run([sys.executable, "-c", _KNOCK], check=False)
    print(json.dumps({"printed": printed, "routes": routes, "tried": tried, "after_control": counters()}))


_KNOCK = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.create_connection(("192.0.2.1", 9))
"""

if __name__ == "__main__":
    main()
