"""Bodies as the client compressed them, decompressed under a cap: a bomb costs its cap, not more."""

import io
import zlib
from typing import Final

import zstandard

from collector_server.refusal import Refusal, Refused

_GZIP: Final = 16 + zlib.MAX_WBITS
# A client concatenates at most a few gzip members; each further one is a cheap way to burn our time.
_MEMBERS_MAX: Final = 16
# What a zstd client's stream may ask for however low the cap is: RFC 8878 asks decoders for 8 MiB.
_WINDOW_BYTES: Final = 8 * 1024 * 1024
ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate", "zstd"})


def decompress(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """Return the decompressed body; raise Refused for broken or too large ones."""
    try:
        if encoding in ("gzip", "x-gzip"):
            return _inflate(body, _GZIP, bytes_max)
        if encoding == "deflate":
            # RFC 9110 says zlib format; some clients send the bare stream.
            zlib_format = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0  # noqa: PLR2004
            return _inflate(body, zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS, bytes_max)
        if encoding == "zstd":
            return _unzstd(body, bytes_max)
    except (zlib.error, zstandard.ZstdError) as error:
        raise Refused(Refusal.BROKEN_COMPRESSION, f"the body is not valid {encoding}") from error
    return body


def _inflate(body: bytes, wbits: int, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for _ in range(_MEMBERS_MAX):
        stream = zlib.decompressobj(wbits)
        part = stream.decompress(body, bytes_max - size + 1)
        size += len(part)
        parts.append(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        if not stream.eof:
            raise zlib.error("cut short")
        body = stream.unused_data
        if not body:
            return b"".join(parts)
    raise Refused(Refusal.BROKEN_COMPRESSION, f"the body has more than {_MEMBERS_MAX} gzip members")


def _unzstd(body: bytes, bytes_max: int) -> bytes:
    size = zstandard.frame_content_size(body)  # of the first frame; -1 when it does not say
    if size > bytes_max:
        raise _too_large(bytes_max)
    with zstandard.ZstdDecompressor(max_window_size=max(bytes_max, _WINDOW_BYTES)).stream_reader(
        io.BytesIO(body), read_across_frames=True
    ) as stream:
        data = stream.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise _too_large(bytes_max)
    if len(data) < size or (not data and size != 0):
        raise zstandard.ZstdError("cut short")
    return data


def _too_large(bytes_max: int) -> Refused:
    return Refused(Refusal.TOO_LARGE, f"the batch is over {bytes_max} bytes decompressed: split it")
