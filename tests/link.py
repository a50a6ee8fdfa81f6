"""A link into a network namespace, which can be taken down: packets are then swallowed, as by a real network, unanswered."""

import ipaddress
import os
import shutil
import subprocess
from typing import Final

# RFC 2544: for tests, so nobody's. Each process takes others of its /30s.
_ADDRESSES: Final = int(ipaddress.IPv4Address("198.18.0.0"))
_LINKS: Final = 1 << 15


class Link:
    """A namespace and a pair of interfaces, one on either side; for root alone."""

    def __init__(self, number: int) -> None:
        self._name = f"sillok-{os.getpid()}-{number}"
        place = (os.getpid() * 8 + number) % _LINKS
        self.near, self.far = (str(ipaddress.IPv4Address(_ADDRESSES + 4 * place + end)) for end in (1, 2))
        self._ends = (f"sk{place}a", f"sk{place}b")

    @property
    def inside(self) -> list[str]:
        """What to write before a command that is to run within the namespace."""
        return ["ip", "netns", "exec", self._name]

    def lay(self) -> bool:
        """Make it; say whether this machine lets us."""
        if os.geteuid() != 0 or not shutil.which("ip") or not _run("ip", "netns", "add", self._name):
            return False
        near, far = self._ends
        done = (
            _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", self._name)
            and _run("ip", "address", "add", f"{self.near}/30", "dev", near)
            and _run("ip", "link", "set", near, "up")
            and _run(*self.inside, "ip", "address", "add", f"{self.far}/30", "dev", far)
            and _run(*self.inside, "ip", "link", "set", far, "up")
        )
        if not done:
            self.remove()
        return done

    def silence(self) -> None:
        """Swallow every packet from now on."""
        assert _run(*self.inside, "ip", "link", "set", self._ends[1], "down")

    def speak(self) -> None:
        """Let packets through again; what is sent again arrives."""
        assert _run(*self.inside, "ip", "link", "set", self._ends[1], "up")

    def remove(self) -> None:
        """Leave nothing."""
        _run("ip", "netns", "delete", self._name)


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
