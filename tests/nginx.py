"""The delivered nginx settings, in front of collectors of the test's own."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.builders import eventually

PROGRAM: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
_HOST: Final = "127.0.0.1"
_DELIVERED: Final = Path(__file__).parents[1] / "deploy/nginx/sillok.conf"
# What Debian's nginx.conf has around it.
_AROUND: Final = """
daemon off; pid {folder}/nginx.pid; worker_processes 1; {user}
events {{ worker_connections 2048; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/sillok.conf;
}}
"""


@contextlib.contextmanager
def nginx(
    folder: Path, port: int, collectors: Sequence[int], pair: tuple[Path, Path] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx on a port before collectors' ports, with a certificate and its key, or without TLS."""
    assert PROGRAM is not None
    text = _DELIVERED.read_text(encoding="utf-8")
    servers = "".join(f"    server {_HOST}:{target} max_fails=2 fail_timeout=2s;\n" for target in collectors)
    text = re.sub(r"(?: +(?:# )?server [\d.]+:.*\n)+", servers, text, count=1)
    text = re.sub(r" +listen \[.*\n", "", text)
    text = text.replace("/var/log/nginx/sillok-error.log", f"{folder}/nginx.output")
    text = text.replace("listen 443 ssl;", f"listen {_HOST}:{port}{' ssl' if pair else ''};")
    if pair:
        text = text.replace("/etc/sillok/chain.pem", str(pair[0])).replace("/etc/sillok/key.pem", str(pair[1]))
    else:
        text = re.sub(r" +ssl_.*\n", "", text)
    (folder / "sillok.conf").write_text(text, encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    settings = folder / "nginx.conf"
    settings.write_text(_AROUND.format(folder=folder, user=user), encoding="utf-8")
    process = subprocess.Popen([PROGRAM, "-c", str(settings), "-e", f"{folder}/nginx.output"])

    def listens() -> bool:
        assert process.poll() is None, (folder / "nginx.output").read_text(encoding="utf-8")
        with contextlib.suppress(OSError), socket.create_connection((_HOST, port), timeout=1):
            return True
        return False

    try:
        eventually(listens)
        yield process
    finally:
        process.terminate()
        process.wait()
