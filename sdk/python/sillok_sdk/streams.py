"""HTTP/1.1 over asyncio's streams: one kept-alive connection, one request at a time."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sillok_sdk.transport import AT_ONCE_S, Answer, Target, retry_after_s

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_HEAD_BYTES_MAX = 64 * 1024
_ANSWER_BYTES_MAX = 1024 * 1024


class StreamTransport:
    """Carries one body at a time to `{url}/v1/events`."""

    def __init__(self, url: str, ssl_context: ssl.SSLContext | None = None) -> None:
        self._target = Target.of(url)
        self._ssl_context = ssl_context
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """POST the body, once more at once if a kept connection turns out to be closed."""
        kept = self._writer is not None
        began = time.monotonic()
        try:
            try:
                return await asyncio.wait_for(self._exchange(body, headers), timeout_s)
            except (ConnectionError, asyncio.IncompleteReadError):
                await self.close()
                if not kept or time.monotonic() - began > AT_ONCE_S:
                    raise
                return await asyncio.wait_for(self._exchange(body, headers), timeout_s)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    async def _exchange(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        target = self._target
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(
                target.host, target.port, ssl=self._context(), limit=_HEAD_BYTES_MAX
            )
        named = {"Host": target.authority, "Content-Length": str(len(body)), **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._writer.write(f"POST {target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
        await self._writer.drain()
        return await self._answer(self._reader)

    def _context(self) -> ssl.SSLContext | None:
        if not self._target.is_https:
            return None
        if self._ssl_context is None:
            from ssl import create_default_context  # noqa: PLC0415  only where it is used

            self._ssl_context = create_default_context()
        return self._ssl_context

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        status = 100
        while status < 200:  # noqa: PLR2004  interim answers
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ", 2)[1])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        text = await self._body(reader, headers)
        if headers.get("connection", "").lower() == "close" or head[0].startswith("HTTP/1.0"):
            await self.close()
        return Answer(status, retry_after_s(headers.get("retry-after")), text)

    async def _body(self, reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return b"".join(parts)[:_ANSWER_BYTES_MAX]
        if "content-length" in headers:
            size = int(headers["content-length"])
            text = await reader.readexactly(min(size, _ANSWER_BYTES_MAX))
            if size > _ANSWER_BYTES_MAX:  # longer than any of ours: what is left would be in the way
                await self.close()
            return text
        text = await reader.read(_ANSWER_BYTES_MAX)
        await self.close()
        return text
