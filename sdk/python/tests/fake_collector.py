"""A collector in miniature, on a free loopback port: it answers as told and keeps what it answered 200."""

import gzip
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request:
    """One request as it was read from the wire."""

    def __init__(self, peer, headers, wire):
        self.peer = peer
        self.at = time.monotonic()
        self.headers = headers
        self.wire = wire
        encoding = headers.get("Content-Encoding")
        self.text = gzip.decompress(wire) if encoding == "gzip" else wire
        self.body = json.loads(self.text, parse_constant=_no_constant)
        self.events = self.body["events"]
        self.report = self.body["clients"][0]
        self.client_id = self.body["context"]["client_id"]
        self.status = None


def _no_constant(name):
    raise AssertionError(f"a bare {name} on the wire")


class Collector:
    """`script` holds the next answers, each (status, headers); then `answer(request)` decides.

    Status 0 closes the connection without an answer, -1 keeps silent until the test is over.
    """

    def __init__(self, port=0):
        self.script = []
        self.answer = lambda _: (200, {})
        self.requests = []
        self._changed = threading.Condition()
        self._over = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                assert self.path == "/v1/events"
                request = Request(
                    self.client_address, self.headers, self.rfile.read(int(self.headers["Content-Length"]))
                )
                request.status, headers = collector.script.pop(0) if collector.script else collector.answer(request)
                collector._keep(request)
                if request.status <= 0:
                    if request.status < 0:
                        collector._over.wait(20)
                    self.close_connection = True
                    return
                text = json.dumps({"accepted": len(request.events), "rejected": [], "receipt": "r"}).encode()
                self.send_response(request.status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass  # a client that ends in the middle of an answer is one of the tests

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def _keep(self, request):
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def wait_for(self, condition, timeout_s=60):
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), timeout_s), "the requests awaited did not come"

    def accepted(self):
        return [request for request in self.requests if request.status == 200]

    def events(self):
        return [event for request in self.accepted() for event in request.events]

    def ids(self):
        return [event["event_id"] for event in self.events()]

    def final_report(self):
        return self.accepted()[-1].report

    def stop(self):
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
