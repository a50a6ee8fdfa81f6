"""Countries and regions by address, from files in the MaxMind DB format that the tests write themselves."""

from ipaddress import ip_address

import pytest

from contract.errors import RuleFileBroken
from processor.enrich import GeoFile, Place
from tests.mmdb import make_mmdb

SEOUL = {"country": {"iso_code": "KR"}, "subdivisions": [{"iso_code": "11", "names": {"en": "Seoul", "ja": "ソウル"}}]}
RECORDS = {
    "203.0.113.0/24": SEOUL,
    "198.51.100.0/25": {"country": {"iso_code": "US"}, "subdivisions": [{"iso_code": "CA"}]},
    "198.51.100.128/25": {"country": {"iso_code": "JP"}},
    "192.0.2.0/24": {"registered_country": {"iso_code": "DE"}},
    "10.0.0.0/8": {"country": "KR", "region": "Busan"},
    "172.16.0.0/16": {"country_code": "SG", "country": {"names": {"en": "Singapore"}}},
    "172.17.0.0/16": {"country": {"iso_code": 7}, "subdivisions": [], "region": ["x"]},
    "172.18.0.0/16": "KR",
    "2001:db8::/32": SEOUL,
}


@pytest.fixture(scope="module")
def geo():
    return GeoFile.parse(make_mmdb(RECORDS), "geo.mmdb")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", ("KR", "Seoul")),
        ("203.0.113.255", ("KR", "Seoul")),
        ("2001:db8::1", ("KR", "Seoul")),
        ("198.51.100.1", ("US", "CA")),
        ("198.51.100.200", ("JP", None)),
        ("192.0.2.1", ("DE", None)),
        ("10.1.2.3", ("KR", "Busan")),
        ("172.16.0.1", ("SG", None)),
        ("172.17.0.1", (None, None)),
        ("172.18.0.1", (None, None)),
        ("8.8.8.8", (None, None)),
        ("2001:db9::1", (None, None)),
    ],
)
def test_an_address_has_the_place_the_file_says(geo, address, place):
    """Of MaxMind's and DB-IP's form, of plain texts, or nothing."""
    assert geo.place(ip_address(address)) == Place(*place)


def test_an_ipv6_address_is_nowhere_in_a_file_of_ipv4():
    file = GeoFile.parse(make_mmdb({"203.0.113.0/24": SEOUL}, ip_version=4), "geo.mmdb")
    assert file.place(ip_address("203.0.113.1")) == ("KR", "Seoul")
    assert file.place(ip_address("2001:db8::1")) == (None, None)


def test_damage_in_one_entry_costs_that_entry_its_country():
    """Only a look-up finds it: it must not stop the cleaning."""
    data = bytearray(make_mmdb({"203.0.113.0/24": SEOUL, "198.51.100.0/24": {"country": {"iso_code": "US"}}}))
    place = data.rindex(b"country", 0, data.index(b"\xab\xcd\xefMaxMind")) - 2
    data[place] = 0x3F  # the pointer to nowhere
    file = GeoFile(bytes(data))
    assert file.place(ip_address("203.0.113.1")) == ("KR", "Seoul")
    assert file.place(ip_address("198.51.100.1")) == (None, None)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a whole MaxMind DB file (0 bytes): fetch it again"),
        (b"PK\x03\x04" + bytes(5000), "not a whole MaxMind DB file (5,004 bytes)"),
        (make_mmdb(RECORDS)[:-60], "not a whole MaxMind DB file"),
        (make_mmdb({"10.0.0.0/8": {"autonomous_system_number": 9318}}), "but of no countries"),
        (make_mmdb({}), "but of no countries"),
    ],
    ids=["empty", "another format", "cut short", "networks", "no entry"],
)
def test_what_is_no_geography_is_refused(data, says):
    with pytest.raises(RuleFileBroken) as caught:
        GeoFile.parse(data, "geo.mmdb")
    assert str(caught.value).startswith("geo.mmdb: ")
    assert says in str(caught.value)
