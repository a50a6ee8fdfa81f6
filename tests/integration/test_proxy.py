"""Behind a proxy, over HTTP: the client's address is stored, counted, and never believed from a stranger."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Collector, batch, event, eventually, running
from tests.integration.test_pixel import fetch, stored

MAX = 5


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """Yield a collector whose proxy is this machine."""
    serve = f'trusted_proxies = ["127.0.0.0/8"]\nrefused_per_minute_max = {MAX}'
    with running(tmp_path_factory.mktemp("behind"), serve) as started:
        started.wait_until_ready()
        yield started


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("bare")) as started:
        started.wait_until_ready()
        yield started


def test_the_address_a_trusted_proxy_names_is_stored(behind: Collector):
    assert (
        fetch(behind, "key=browser&event_type=click&page_code=X1", {"X-Forwarded-For": "1.1.1.1, 203.0.113.9"}).status
        == 200
    )
    assert stored(behind, "X1")[0].ip == "203.0.113.9"
    assert fetch(behind, "key=browser&event_type=click&page_code=X2", {"X-Forwarded-For": "junk"}).status == 200
    assert stored(behind, "X2")[0].ip == "127.0.0.1"


def test_without_trusted_proxies_the_header_names_nobody(bare: Collector):
    assert fetch(bare, "key=browser&event_type=click&page_code=X3", {"X-Forwarded-For": "203.0.113.9"}).status == 200
    assert stored(bare, "X3")[0].ip == "127.0.0.1"


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "127.0.0.1"])
def test_a_key_for_this_machine_is_refused_to_whoever_came_over_a_proxy(
    behind: Collector, bare: Collector, forwarded: str
):
    """A proxy on this machine would else open the demo key to the world."""
    for collector in (behind, bare):
        answer = collector.post(batch(), "local", X_Forwarded_For=forwarded)
        assert answer.code in {"key_not_allowed_here", "too_many_refused"}
        assert collector.post(batch(), "local").status == 200


def test_an_address_with_too_many_bad_requests_gets_429_for_bad_ones_and_200_for_good_ones(behind: Collector):
    phones = "198.51.100.77"

    def bad() -> int:
        return behind.post(batch(), "nobody", X_Forwarded_For=phones).status

    # A minute may end between two of them, never between all.
    eventually(lambda: [bad() for _ in range(MAX + 1)][-1] == 429)
    over = eventually(
        lambda: [a for _ in range(MAX) if (a := behind.post(b"{}", X_Forwarded_For=phones)).status == 429]
    )[0]
    assert over.code == "too_many_refused"
    assert 1 <= int(over.headers["Retry-After"]) <= 61
    for _ in range(MAX * 4):
        assert behind.post(batch(), X_Forwarded_For=phones).status == 200
        bad()
    assert behind.post(batch(), "nobody", X_Forwarded_For="198.51.100.78").status == 401, (
        "its neighbour is not held to it"
    )


def test_a_spoofed_entry_does_not_make_somebody_else_pay(behind: Collector):
    attacker, victim = "192.0.2.66", "192.0.2.1"
    for _ in range(MAX * 3):
        behind.post(batch(), "nobody", X_Forwarded_For=f"{victim}, {attacker}")

    assert behind.post(batch(), "nobody", X_Forwarded_For=victim).status == 401


def test_a_relayed_event_names_its_own_client(behind: Collector):
    """`context.ip` is the server key's way; the header is the proxy's."""
    sent = event(page_code="X4")
    plain = json.dumps({"events": [sent], "context": {"ip": "198.51.100.3"}}).encode()
    assert behind.post(plain, "server", X_Forwarded_For="203.0.113.50").status == 200
    assert stored(behind, "X4")[0].ip == "203.0.113.50"
