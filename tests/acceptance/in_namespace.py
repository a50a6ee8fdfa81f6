"""Runs a collector as a user of its own where there is no way out, and says as JSON what it saw.

Started by test_isolation.py as root in a namespace of its own for the network, mounts and processes. The only
interface is loopback; the only client is this program, which counts its own connections, so that whatever
else the namespace's counters show is the collector's.
"""

import ctypes
import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_MS_BIND, _MS_REC = 4096, 16384


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def mount(source: str, target: Path, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [word.encode() if word is not None else None for word in (source, str(target), kind, data)]
    if libc.mount(words[0], words[1], words[2], flags, words[3]):
        raise OSError(ctypes.get_errno(), f"mount on {target}")


def open_the_way_to(paths: list[Path], stage: Path) -> None:
    """Let another user reach Python and the code where a folder above them is its owner's alone, like /root.

    In this namespace only, such a folder is covered by an empty one that holds nothing but the way to the paths.
    """
    closed: dict[Path, list[Path]] = {}
    for path in paths:
        for folder in reversed(path.parents):
            if not folder.stat().st_mode & 0o001:
                closed.setdefault(folder, []).append(path)
                break
    for number, (folder, within) in enumerate(closed.items()):
        kept = [(stage / f"{number}-{n}", path) for n, path in enumerate(within)]
        for place, path in kept:
            place.mkdir(parents=True)
            mount(str(path), place, flags=_MS_BIND | _MS_REC)
        mount("tmpfs", folder, "tmpfs", data="mode=755")
        for place, path in kept:
            path.mkdir(parents=True, exist_ok=True)
            mount(str(place), path, flags=_MS_BIND | _MS_REC)


def as_user(uid: int, *command: str) -> list[str]:
    ids = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return ["setpriv", *ids, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]


class Client:
    """HTTP on loopback; every connection is counted."""

    def __init__(self) -> None:
        self.connections = 0

    def ask(self, method: str, port: int, path: str, body: bytes = b"") -> int:
        self.connections += 1
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body)
            return connection.getresponse().status
        except ConnectionError:
            return 0
        finally:
            connection.close()


def counters() -> dict[str, int]:
    """Return what the kernel counted in this namespace."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    found = {
        f"{names[0]}{name}": int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }
    for line in Path("/proc/net/snmp6").read_text().splitlines() if Path("/proc/net/snmp6").exists() else []:
        name, value = line.split()
        found[name] = int(value)
    wanted = ("Tcp:ActiveOpens", "Ip:OutNoRoutes", "Udp:OutDatagrams", "Ip6OutNoRoutes", "Udp6OutDatagrams")
    return {name: found.get(name, 0) for name in wanted}


def tree_of(pid: int) -> list[dict[str, Any]]:
    """Return what every process of the collector is and holds."""
    found = []
    for member in (pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())):
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{member}/status").read_text().splitlines() if ":\t" in line
        )
        variables = Path(f"/proc/{member}/environ").read_text().split("\0")
        found.append({
            "uids": status["Uid"].split(),
            "groups": status["Groups"].split(),
            "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
            "variables": sorted(variable.partition("=")[0] for variable in variables if variable),
        })  # fmt: skip
    return found


def knock(uid: int, address: str | tuple[str, int]) -> str:
    """Let the user connect once; return what it met."""
    family = "AF_UNIX" if isinstance(address, str) else "AF_INET"
    program = (
        f"import errno, socket\n"
        f"try: socket.socket(socket.{family}).connect({address!r}); print('open')\n"
        f"except OSError as error: print(errno.errorcode[error.errno])"
    )
    done = subprocess.run(as_user(uid, sys.executable, "-c", program), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    order = json.loads(sys.argv[1])
    uid, folder = order["uid"], Path(order["folder"])
    bring_loopback_up()
    open_the_way_to([Path(path) for path in order["paths"]], folder / "stage")
    readable = subprocess.run(as_user(uid, sys.executable, "-c", "import sillok"), check=False, cwd=order["cwd"])
    if readable.returncode:
        print(json.dumps({"unreadable": True}))
        return
    collector = subprocess.Popen(
        as_user(uid, sys.executable, "-m", "sillok", "serve"),
        cwd=order["cwd"],
        env=order["environment"],
        stdin=subprocess.DEVNULL,
    )
    client = Client()
    patience_ends = time.monotonic() + PATIENCE_S
    while client.ask("GET", order["admin_port"], "/readyz") != 200:
        if collector.poll() is not None or time.monotonic() > patience_ends:
            raise SystemExit("the collector did not start")
        time.sleep(0.05)
    statuses = [client.ask("POST", order["port"], "/v1/events?key=demo", body.encode()) for body in order["bodies"]]
    collector.send_signal(signal.SIGHUP)
    seen = {"statuses": statuses, "tree": tree_of(collector.pid), "database": knock(uid, order["socket"])}
    client.ask("GET", order["admin_port"], "/metrics")
    collector.send_signal(signal.SIGTERM)
    seen |= {"status": collector.wait(PATIENCE_S), "connections": client.connections, "counters": counters()}
    seen |= {"control": knock(uid, ("192.0.2.1", 9)), "counters_after_control": counters()}
    seen |= {"routes": Path("/proc/net/route").read_text().splitlines()[1:], "root": os.geteuid()}
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
