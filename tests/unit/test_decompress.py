"""Bodies come back as they were, broken ones are refused, and a bomb costs its cap."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector_server.decompress import ENCODINGS, decompress
from collector_server.refusal import Refusal, Refused

MAX = 64 * 1024
Compress = Callable[[bytes], bytes]


def zlib_raw(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def zstd_stream(data: bytes) -> bytes:
    """Compress without saying the size beforehand."""
    stream = zstandard.ZstdCompressor().compressobj()
    return stream.compress(data) + stream.flush()


def zstd_wide(data: bytes) -> bytes:
    """Compress with the widest window a decoder must take: 8 MiB, whatever the size of the data."""
    parameters = zstandard.ZstdCompressionParameters(window_log=23)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(data) + stream.flush()


WAYS: dict[str, tuple[str, Compress]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", zlib_raw),
    "zstd": ("zstd", zstandard.compress),
    "zstd stream": ("zstd", zstd_stream),
    "zstd wide": ("zstd", zstd_wide),
}
every_way = pytest.mark.parametrize(("encoding", "compress"), WAYS.values(), ids=WAYS.keys())


def refusal(body: bytes, encoding: str, bytes_max: int = MAX) -> Refusal:
    with pytest.raises(Refused) as refused:
        decompress(body, encoding, bytes_max)
    return refused.value.refusal


def outcome(body: bytes, encoding: str) -> bytes | Refusal:
    try:
        return decompress(body, encoding, MAX)
    except Refused as refused:
        return refused.refusal


def noise(size: int) -> bytes:
    """Return data that does not compress, the same every time."""
    return random.Random(size).randbytes(size)


@every_way
@given(data=st.binary(max_size=2000))
def test_a_body_comes_back_as_it_was(encoding: str, compress: Compress, data: bytes):
    assert decompress(compress(data), encoding, MAX) == data


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_body_without_encoding_is_left_alone(encoding: str):
    assert decompress(b"anything", encoding, MAX) == b"anything"


def test_every_encoding_that_is_let_in_is_understood():
    assert {encoding for encoding, _ in WAYS.values()} | {"", "identity"} == ENCODINGS


@every_way
def test_the_cap_is_the_greatest_size_that_passes(encoding: str, compress: Compress):
    assert decompress(compress(bytes(MAX)), encoding, MAX) == bytes(MAX)
    assert refusal(compress(bytes(MAX + 1)), encoding) is Refusal.TOO_LARGE


@every_way
def test_a_body_cut_anywhere_never_passes_as_whole(encoding: str, compress: Compress):
    data = b"\n".join(b"%d" % n for n in range(300)) + b"end"
    body = compress(data)

    for end in range(len(body)):
        # Only a trailing checksum may be missing.
        assert outcome(body[:end], encoding) in (Refusal.BROKEN_COMPRESSION, data)


@every_way
def test_what_is_not_compressed_is_refused(encoding: str, compress: Compress):
    for body in (b"", b"{", b'{"events": []}', b"\x00" * 100, b"\xff" * 100):
        assert body != compress(body)
        assert refusal(body, encoding) is Refusal.BROKEN_COMPRESSION


@every_way
@given(junk=st.binary(max_size=300))
def test_junk_is_refused_or_stays_within_the_cap(encoding: str, compress: Compress, junk: bytes):
    for body in (junk, compress(b"x" * 50)[: len(junk) % 20] + junk):
        found = outcome(body, encoding)
        assert found in (Refusal.BROKEN_COMPRESSION, Refusal.TOO_LARGE) or len(found) <= MAX


@every_way
def test_a_bomb_costs_its_cap_not_its_size(encoding: str, compress: Compress):
    bomb = compress(bytes(50 * 1024 * 1024))
    tracemalloc.start()
    try:
        assert refusal(bomb, encoding) is Refusal.TOO_LARGE
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("zstd", zstandard.compress)],
)
def test_several_members_are_one_body_under_one_cap(encoding: str, compress: Compress):
    halves = [noise(MAX // 2), noise(MAX - MAX // 2)]

    assert decompress(b"".join(map(compress, halves)), encoding, MAX) == b"".join(halves)
    assert refusal(b"".join(map(compress, [*halves, b"x"])), encoding) is Refusal.TOO_LARGE


def test_gzip_members_are_counted():
    assert decompress(gzip.compress(b"x") * 16, "gzip", MAX) == b"x" * 16
    assert refusal(gzip.compress(b"x") * 17, "gzip") is Refusal.BROKEN_COMPRESSION


@every_way
def test_what_follows_the_body_is_refused_not_dropped(encoding: str, compress: Compress):
    assert refusal(compress(b"data") + b"more", encoding) is Refusal.BROKEN_COMPRESSION


def test_the_message_repeats_nothing_of_the_body():
    with pytest.raises(Refused) as refused:
        decompress(b"canary" * 10, "zstd", MAX)
    assert "canary" not in str(refused.value)
