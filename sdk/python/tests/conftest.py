"""What the tests share."""

import socket

import pytest
from fake_collector import Collector

from sillok_sdk import Client


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture
def make_client(collector):
    """Build clients that wait in milliseconds, and close them after the test."""
    made = []

    def make(url=None, **settings):
        quick = {"flush_interval_ms": 20, "retry_first_ms": 20, "retry_max_ms": 100, "refused_retry_ms": 100}
        client = Client(url or collector.url, "wk_test", **{**quick, **settings})
        made.append(client)
        return client

    yield make
    for client in made:
        client.close(timeout_ms=200)


@pytest.fixture
def free_port():
    """Return a port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
