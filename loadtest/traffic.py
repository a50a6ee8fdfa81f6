"""Sends a model's visits through the Python SDK, one SDK instance a visitor, and counts what it planned."""

import random
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Struct
from sillok_sdk import Client
from sillok_sdk.transport import Answer, HttpTransport

from loadtest.visitors import Visit


class Sent(Struct):
    """What was sent, as the sender knows it."""

    visits: int = 0
    events: int = 0
    duplicates_planned: int = 0
    gave_up: int = 0


class _Accepted(Struct):
    accepted: int


class ForgetfulTransport:
    """HTTP on which an answer is lost now and then, as in a lift: the SDK must send the batch again."""

    def __init__(self, url: str, rng: random.Random, answers_lost: float, sent: Sent) -> None:
        self._http = HttpTransport(url)
        self._rng = rng
        self._answers_lost = answers_lost
        self._sent = sent

    def send(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send; now and then pretend that no answer came, though the events arrived."""
        answer = self._http.send(body, headers, timeout_s)
        if answer.status == 200 and self._rng.random() < self._answers_lost:  # noqa: PLR2004 - the one success
            self._sent.duplicates_planned += msgspec.json.decode(answer.body, type=_Accepted).accepted
            raise ConnectionError("the answer was lost, as planned")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def send_visits(
    url: str,
    write_key: str,
    visits: Iterable[Visit],
    *,
    seed: int = 0,
    answers_lost: float = 0.05,
    progress: Callable[[int], None] | None = None,
) -> Sent:
    """Send every visit over HTTP and wait until each is acknowledged; return what was sent."""
    sent = Sent()
    rng = random.Random(seed)
    for visit in visits:
        transport = ForgetfulTransport(url, rng, answers_lost, sent)
        client = Client(url, write_key, context=visit.context, transport=transport, retry_first_ms=20)
        for method, time_ms, fields in visit.calls:
            getattr(client, method)(time=time_ms, **fields)
        sent.visits += 1
        sent.events += len(visit.calls)
        sent.gave_up += not client.close(timeout_ms=30_000)
        if progress is not None:
            progress(sent.events)
    return sent
