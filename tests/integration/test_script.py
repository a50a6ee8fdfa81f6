"""The collector serves the browser SDK itself, to pages of any origin, and never two files under one name."""

import gzip
import http.client
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest

from collector_server.script import BUILT, Script
from tests.integration.conftest import PATIENCE_S, Collector, running

PLAIN = BUILT.read_bytes()
VERSION = PLAIN.split(b" */", 1)[0].removeprefix(b"/*! sillok ").decode()


class Got(NamedTuple):
    status: int
    headers: Message
    body: bytes


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("script")) as started:
        started.wait_until_ready()
        yield started


def get(collector: Collector, path: str, method: str = "GET", **headers: str) -> Got:
    connection = http.client.HTTPConnection("127.0.0.1", collector.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Got(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_the_file_is_the_built_one_and_a_page_of_any_origin_may_load_it(collector: Collector) -> None:
    got = get(collector, "/sillok.js", Origin="https://anywhere.example")
    assert (got.status, got.body) == (200, PLAIN)
    assert got.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert got.headers["Access-Control-Allow-Origin"] == "*"
    assert got.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" not in got.headers["Cache-Control"]


def test_a_browser_gets_it_compressed(collector: Collector) -> None:
    got = get(collector, "/sillok.js", Accept_Encoding="gzip, deflate, br")
    assert got.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in got.headers["Vary"]
    assert len(got.body) < len(PLAIN)
    assert gzip.decompress(got.body) == PLAIN


def test_what_has_not_changed_is_not_sent_again(collector: Collector) -> None:
    etag = get(collector, "/sillok.js").headers["ETag"]
    again = get(collector, "/sillok.js", If_None_Match=etag)
    assert (again.status, again.body) == (304, b"")
    assert get(collector, "/sillok.js", If_None_Match='"another"').status == 200


def test_the_versioned_name_never_changes_and_no_other_version_is_served(collector: Collector) -> None:
    got = get(collector, f"/sillok-{VERSION}.js")
    assert (got.status, got.body) == (200, PLAIN)
    assert "immutable" in got.headers["Cache-Control"]
    other = get(collector, "/sillok-999.0.0.js")
    assert other.status == 404
    assert VERSION in other.body.decode()


def test_head_says_the_same_without_the_body(collector: Collector) -> None:
    got = get(collector, "/sillok.js", "HEAD")
    assert (got.status, got.body, got.headers["Content-Length"]) == (200, b"", str(len(PLAIN)))
    refused = get(collector, "/sillok.js", "POST")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_an_installation_without_the_file_says_so(tmp_path: Path) -> None:
    assert Script.read(tmp_path / "sillok.js").version is None
    (tmp_path / "sillok.js").write_bytes(b"/*! sillok 9.9.9 */\n")
    assert Script.read(tmp_path / "sillok.js").version == "9.9.9"
