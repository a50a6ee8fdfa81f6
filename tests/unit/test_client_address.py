"""Whose address a request has, and what a bad address is held to."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from collector_server.bad_requests import _ADDRESSES_MAX, BadRequests
from collector_server.client_address import client_address, is_loopback, network_of, read_networks
from collector_server.refusal import Refusal, Refused
from contract.errors import SettingsError

PROXY = "10.0.0.5"
CLIENT = "203.0.113.9"


def address(peer: str | None, *forwarded: str, trusted: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8")) -> str | None:
    headers = CIMultiDict[str]()
    for value in forwarded:
        headers.add("x-forwarded-for", value)
    return client_address(read_networks(trusted))(peer, CIMultiDictProxy(headers))


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([CLIENT], CLIENT),
        (["198.51.100.1, " + CLIENT], CLIENT),
        (["198.51.100.1", CLIENT], CLIENT),
        ([f"127.0.0.1, {CLIENT}, 10.1.1.1 ,10.2.2.2"], CLIENT),
        ([f"{CLIENT}:4711"], CLIENT),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:DB8::1]:443"], "2001:db8::1"),
        ([f"::ffff:{CLIENT}"], CLIENT),
        (["10.9.9.9, 10.8.8.8"], "10.9.9.9"),
        (["junk, " + CLIENT], CLIENT),
        ([CLIENT + ", fd00::7"], CLIENT),
        (['"[2001:db8::1]"'], "2001:db8::1"),
        (['"[2001:db8::1]:443", 10.1.1.1:80'], "2001:db8::1"),
        ([f"[::ffff:{CLIENT}]:443"], CLIENT),
        (["fe80::1%eth0"], "fe80::1"),
        ([f"::ffff:{CLIENT}:51234"], CLIENT),
        ([f"gateway.local/{CLIENT}:51234"], CLIENT),
        ([f"ipv4:{CLIENT}:51234"], CLIENT),
        (["ipv6:[2001:db8::1]:51234"], "2001:db8::1"),
        ([f"{CLIENT}/32"], CLIENT),
        ([f"proto=https;for={CLIENT}"], CLIENT),
        ([f"by=10.1.1.1; for={CLIENT}"], CLIENT),
    ],
)
def test_behind_trusted_proxies_the_client_is_the_rightmost_address_that_is_none_of_them(
    forwarded: list[str], client: str
):
    assert address(PROXY, *forwarded) == client


@pytest.mark.parametrize("forwarded", [[CLIENT], ["127.0.0.1"], [f"{CLIENT}, {PROXY}"], ["junk"]])
def test_from_any_other_peer_the_header_is_ignored(forwarded: list[str]):
    assert address("192.0.2.7", *forwarded) == "192.0.2.7"


@pytest.mark.parametrize(
    "value", ["", " ", ",", "unknown", f"{CLIENT},", "1.2.3", "1.2.3.4.5", "_obf", "0.0.0.0", "::", "203.0.113.0/24", "/", "a" * 8000, ":" * 100, "[", f"{CLIENT}, x, 10.1.1.1"]
)  # fmt: skip
def test_a_header_that_cannot_be_read_is_ignored(value: str):
    assert address(PROXY, value) == PROXY


def test_a_long_chain_is_read_only_so_far():
    assert address(PROXY, ",".join(["10.1.1.1"] * 1000)) == PROXY


@pytest.mark.parametrize("peer", ["::ffff:10.0.0.5", "::ffff:10.0.0.5%eth0"])
def test_a_listener_for_both_kinds_of_addresses_knows_its_proxies(peer: str):
    assert address(peer, CLIENT) == CLIENT


@pytest.mark.parametrize("peer", [None, "", "not an address"])
def test_a_peer_without_an_address_is_trusted_by_nobody(peer: str | None):
    assert address(peer, CLIENT) == peer


@pytest.mark.parametrize("text", ["10.0.0.0/33", "proxy.internal", "10.0.0.1/24", ""])
def test_what_is_no_network_is_refused(text: str):
    with pytest.raises(SettingsError, match=r"\[serve.trusted_proxies\].*is no network"):
        read_networks([text])


@pytest.mark.parametrize("own", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_this_machines_own_addresses_are_loopback(own: str):
    assert is_loopback(own)


@pytest.mark.parametrize("other", ["10.0.0.1", "192.168.0.1", "0.0.0.0", "::", "2001:db8::1", "", "localhost", None])
def test_anything_else_is_not_loopback(other: str | None):
    assert not is_loopback(other)


def test_one_subscriber_is_an_address_or_a_64():
    assert network_of(CLIENT) == CLIENT
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::4") != network_of("2001:db8:1:2::4")


# Bad requests


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


UNKNOWN = Refused(Refusal.UNKNOWN_KEY, "who")


def test_over_the_limit_a_bad_request_is_429_until_the_minute_is_over():
    clock = Clock()
    bad = BadRequests(3, clock)

    assert [bad.judge(UNKNOWN, CLIENT) for _ in range(3)] == [UNKNOWN] * 3
    clock.now += 20
    over = bad.judge(UNKNOWN, CLIENT)
    assert (over.refusal.status, over.retry_after_s) == (429, 40)
    assert "unknown_key" in str(over)
    assert bad.judge(UNKNOWN, "203.0.113.10") is UNKNOWN, "each address for itself"
    clock.now += 40
    assert bad.judge(UNKNOWN, CLIENT) is UNKNOWN


@pytest.mark.parametrize(
    "refusal", [Refusal.OVER_RATE, Refusal.UNAVAILABLE, Refusal.INTERNAL, Refusal.BODY_TIMEOUT]
)  # fmt: skip
def test_what_is_not_the_clients_mistake_is_not_counted(refusal: Refusal):
    bad = BadRequests(1, Clock())
    refused = Refused(refusal, "later", retry_after_s=1)

    assert all(bad.judge(refused, CLIENT) is refused for _ in range(10))
    assert len(bad) == 0


@pytest.mark.parametrize("own", ["127.0.0.1", "::1", None])
def test_a_probe_of_this_machine_is_not_counted(own: str | None):
    bad = BadRequests(1, Clock())

    assert all(bad.judge(UNKNOWN, own) is UNKNOWN for _ in range(10))


def test_the_addresses_remembered_are_bounded_and_the_busy_one_is_among_them():
    bad = BadRequests(15, Clock())
    for n in range(_ADDRESSES_MAX * 2):
        bad.judge(UNKNOWN, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        if n % 1000 == 0:
            bad.judge(UNKNOWN, CLIENT)
    assert len(bad) == _ADDRESSES_MAX
    assert bad.judge(UNKNOWN, CLIENT).refusal is Refusal.TOO_MANY_REFUSED
