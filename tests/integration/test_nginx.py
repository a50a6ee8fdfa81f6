"""The delivered nginx settings in front of two collectors: what one cannot take the other does, in the wire's words."""

import http.client
import json
import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import free_port
from tests.integration.conftest import Answer, Collector, batch, eventually, running
from tests.integration.test_tls import Certificates
from tests.nginx import PROGRAM, nginx
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")
_FULL = f"free_bytes_min = {1 << 60}"
_TIMES = 20


class Front(NamedTuple):
    """nginx, the collector behind it that has room, and the one whose disk is full."""

    port: int
    roomy: Collector
    full: Collector

    def ask(self, method: str, path: str, sent: bytes = b"", **headers: str) -> Answer:
        """Send a request; the collector that has room keeps the books of what was acknowledged.

        It also holds each answer to what every answer must be, whoever of the three gave it.
        """
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE_S, context=context)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, sent, {"Origin": "https://m.example.com", **named})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return self.roomy.take(answer, sent, "browser")

    def post(self, sent: bytes | None = None, key: str = "browser") -> Answer:
        """Send a batch as a page does."""
        return self.ask("POST", "/v1/events", sent or batch(), Authorization=f"Bearer {key}")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder, port = tmp_path_factory.mktemp("front"), free_port()
    pair = Certificates(folder).make("front")
    with (
        running(tmp_path_factory.mktemp("roomy")) as roomy,
        running(tmp_path_factory.mktemp("full"), spool=_FULL) as full,
        nginx(folder, port, [roomy.port, full.port], pair),
    ):
        roomy.wait_until_ready()
        eventually(lambda: "disk" in full.admin("/readyz")[1])
        yield Front(port, roomy, full)


def test_what_a_full_collector_refuses_the_other_takes(front: Front) -> None:
    """A full one answers quickest, and would draw the most."""
    assert front.full.post(batch()).status == 503
    assert {front.post().status for _ in range(_TIMES)} == {200}


def test_a_page_reads_what_the_collectors_answer_and_what_nginx_says_itself(front: Front) -> None:
    """A browser believes no header that comes twice, and none that is missing: `Collector.take` counts them."""
    assert front.post().status == 200
    assert front.ask("POST", "/v1/events?key=browser", batch(), baggage="k=" + "v" * 16_000).status == 200
    assert (front.post(key="nobodys").status, front.post(b"{}").status) == (401, 400)
    large, nowhere = front.post(b" " * 3_000_000), front.ask("POST", "/v1/event")
    assert (large.status, large.code) == (413, "too_large"), "two megabytes are nginx's own limit"
    assert (nowhere.status, nowhere.code) == (404, "not_found")


def test_a_preflight_goes_through_nginx(front: Front) -> None:
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-encoding,traceparent"}
    answer = front.ask("OPTIONS", "/v1/events", **asked)
    assert answer.status == 204
    assert "traceparent" in answer.headers["Access-Control-Allow-Headers"]


def test_with_no_collector_there_the_answer_is_the_wires_own(front: Front) -> None:
    """Apps wait and send the same again; nginx alone would say 502 in HTML."""
    front.roomy.stop()
    assert {front.post().status for _ in range(_TIMES)} == {503}
    front.full.stop()
    answers = [front.post() for _ in range(_TIMES)]
    assert {json.loads(answer.body)["error"]["code"] for answer in answers} == {"unavailable"}
