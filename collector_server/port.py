"""The port, held before there are workers to share it."""

import errno
import socket

from contract.errors import PortInUse


def hold_port(host: str, port: int) -> socket.socket:
    """Bind the port without listening; raise PortInUse when another program has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            # Without SO_REUSEPORT: a second Sillok on the port must fail here, not share it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        holder = socket.socket(family)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError as error:
        raise port_error(error, host, port, "port") from error
    return holder


def port_error(error: OSError, host: str, port: int, key: str) -> PortInUse:
    """Return what to tell of a port that cannot be had."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"{host}:{port} is taken by another program; stop it or set another port (SILLOK_SERVE_{key.upper()})"
        )
    return PortInUse(f"cannot listen on {host}:{port}: {error.strerror}; check `host` and `{key}` in [serve]")
