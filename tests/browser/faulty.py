"""What stands between a page and the collector, and can be told to fail like a network, a proxy or a server."""

import contextlib
import gzip
import http.client
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

HOST: Final = "127.0.0.1"
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "content-encoding, content-type",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Expose-Headers": "Retry-After",
}


class Road:
    """A reverse proxy to the collector. Every body that came is kept, whatever became of it."""

    def __init__(self, collector_port: int) -> None:  # noqa: C901 - a server's methods, and nothing else
        self.fault: str | int = ""
        """`""`: hand on; a status: answer it; `cut`: close without an answer; `mute`: hand on, and lose the answer."""
        self.retry_after_s = 0
        self.allowed = -1
        """So many more bodies are handed on, then the road is cut; -1: any number."""
        self.bytes_max = 0
        """Bodies above it are answered 413, by a proxy that knows nothing of events. 0: any."""
        self.bodies: list[dict[str, Any]] = []
        self.posts: list[float] = []
        road = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_OPTIONS(self) -> None:
                self._answer(204, _CORS)

            def do_GET(self) -> None:
                self._hand_on(b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                road.posts.append(time.monotonic())
                road.bodies.append(json.loads(plain))
                if not road.fault and road.allowed >= 0:
                    road.allowed -= 1
                    road.fault = "" if road.allowed >= 0 else "cut"
                if road.fault == "cut":
                    self.close_connection = True
                elif road.bytes_max and len(plain) > road.bytes_max:
                    self._answer(413, _CORS)
                elif isinstance(road.fault, int):
                    wait = {"Retry-After": str(road.retry_after_s)} if road.retry_after_s else {}
                    self._answer(road.fault, _CORS | wait)
                else:
                    self._hand_on(body, is_heard=road.fault != "mute")

            def _hand_on(self, body: bytes, *, is_heard: bool = True) -> None:
                connection = http.client.HTTPConnection(HOST, collector_port, timeout=30)
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                answer = response.read()
                connection.close()
                if is_heard:
                    left_out = {"content-length", "date", "connection"}
                    headers = {k: v for k, v in response.getheaders() if k.lower() not in left_out}
                    self._answer(response.status, headers, answer)
                else:
                    self.close_connection = True

            def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._handler = Handler
        self._server = serve(Handler)
        self.url: Final = f"http://{HOST}:{self._server.server_address[1]}"

    def unplug(self) -> None:
        """Listen no more, and cut what is connected."""
        self.close()

    def plug(self) -> None:
        """Listen again, where it was."""
        self._server = serve(self._handler, self._server.server_address[1])

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that came by, as often as it came."""
        return [event for body in self.bodies for event in body["events"]]

    def close(self) -> None:
        self._server.end()


class Site:
    """A web site: pages by path, each with the headers it is served with."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                status = 200 if path in site.pages else int(path[1:4]) if path[1:4].isdigit() else 404
                html, headers = site.pages.get(path, ("", {}))
                self.send_response(status)
                for name, value in ({"Content-Type": "text/html; charset=utf-8"} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(html.encode())

        self._server = serve(Handler)
        self.url: Final = f"http://{HOST}:{self._server.server_address[1]}"

    def add(self, path: str, body: str, head: str = "", title: str = "", **headers: str) -> str:
        """Put up a page; return its address."""
        html = (
            f"<!doctype html><html lang=ko><head><meta charset=utf-8><title>{title or path}</title>{head}</head>{body}"
        )
        self.pages[path] = (html, {name.replace("_", "-"): value for name, value in headers.items()})
        return self.url + path

    def close(self) -> None:
        self._server.end()


class Server(ThreadingHTTPServer):
    """One whose connections end with it."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        super().__init__((HOST, port), handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of who went in the middle of a sentence."""

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def serve(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Server:
    """Serve on this port, or a free one, from a thread of its own."""
    server = Server(port, handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server
